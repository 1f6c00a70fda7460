"""A trader whose process did not run for longer than a permit lives trusts nothing it knew until the books were compared."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kedge.domain.errors import InvalidInput
from kedge.services.kill_points import KillAt
from kedge.services.live import LiveTrader

from ...builders import AAA, Wish
from .live_world import World, play, until
from .test_live_new_risk import one_bar
from .venue_in_process import VenueInProcess


def test_after_a_long_stop_the_books_are_compared_before_anything_adds_risk(tmp_path: Path) -> None:
    world, wish, now = World(tmp_path), Wish(), [10**12]
    trader = world.trader(strategy=wish, monotonic_ns=lambda: now[0])
    held = asyncio.Event()

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        venue = trader.venue
        assert isinstance(venue, VenueInProcess)
        real = trader.books.reconcile

        async def waits(why: str):
            assert why == "stood still"
            await held.wait()
            return await real(why)

        trader.books.reconcile = waits  # type: ignore[method-assign]
        now[0] += 10 * 10**9
        await until(trader, lambda: not trader.bars.gate.is_open)
        assert not trader.desk._may_add_risk(), "whatever permit was granted since"
        held.set()
        await until(trader, lambda: trader.desk._may_add_risk())
        assert trader.bars.gate.is_open

    play(world, trader, script)
    assert AAA in trader.engine.state.slots


def test_a_short_pause_changes_nothing(tmp_path: Path) -> None:
    world, now = World(tmp_path), [10**12]
    trader = world.trader(strategy=Wish(), monotonic_ns=lambda: now[0])

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        before = trader.news.interruptions
        now[0] += 10**9
        await one_bar(world, trader, 2)
        assert trader.news.interruptions == before

    play(world, trader, script)


def test_a_point_can_freeze_a_process_instead_of_ending_it() -> None:
    frozen = subprocess.Popen(
        [sys.executable, "-c", "from kedge.services.kill_points import KillAt; KillAt.parse('stop:2:freeze').reach('stop'); "
         "kill = KillAt.parse('stop:1:freeze'); kill.reach('stop'); print('went on')"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with frozen:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        frozen.send_signal(signal.SIGCONT)
        said, _ = frozen.communicate(timeout=30)
    assert said == "went on\n"


@pytest.mark.parametrize("text", ["stop:1:melt", "stop:freeze", "stop::freeze", "stop:0:freeze", "nowhere:1:freeze"])
def test_a_freeze_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="kill point"):
        KillAt.parse(text)
