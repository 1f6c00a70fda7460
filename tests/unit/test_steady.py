"""The tests' own loop: time in which the machine stood still does not count, time in which we worked does."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest
from tests import steady


@pytest.mark.parametrize(("worked_s", "counted_s"), [(0.0, steady.STEP_S), (3.0, 3.0), (9.0, 5.0)])
def test_a_pause_counts_as_far_as_it_was_work(monkeypatch: pytest.MonkeyPatch, worked_s: float, counted_s: float) -> None:
    machine = {"monotonic": 100.0, "thread_time": 7.0}
    clocks = SimpleNamespace(monotonic=lambda: machine["monotonic"], thread_time=lambda: machine["thread_time"])
    clocks.time_ns, clocks.monotonic_ns = time.time_ns, time.monotonic_ns
    monkeypatch.setattr(steady, "time", clocks)
    loop = steady.SteadyLoop()
    began_s = loop.time()
    machine["monotonic"] += 5.0
    machine["thread_time"] += worked_s
    assert loop.time() - began_s == pytest.approx(counted_s)
    assert loop.time() - began_s == pytest.approx(counted_s)
    loop.close()


def test_timers_and_both_clocks_go_by_the_loop() -> None:
    async def main() -> tuple[int, int]:
        begun_ns, begun_wall_ns = steady.monotonic_ns(), steady.wall_ns()
        await asyncio.sleep(0.05)
        return steady.monotonic_ns() - begun_ns, steady.wall_ns() - begun_wall_ns

    for passed_ns in steady.run(main()):
        assert passed_ns >= 49_000_000
    assert abs(steady.wall_ns() - time.time_ns()) < 60 * 10**9
    assert abs(steady.monotonic_ns() - time.monotonic_ns()) < 60 * 10**9


def test_what_hangs_is_ended() -> None:
    with pytest.raises(TimeoutError):
        steady.run(asyncio.sleep(60), within_s=0.05)
