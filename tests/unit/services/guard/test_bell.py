"""A bell ends a wait by its ring or by the time, and keeps a ring for whoever waits next."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.clock import VirtualLoop

from kedge.services.guard.bell import Bell


def test_a_ring_and_the_time_end_a_wait_and_a_ring_is_kept_until_it_is_cleared() -> None:
    loop, bell, ended_s = VirtualLoop(), Bell(), list[float]()

    async def waits() -> None:
        for is_cleared in (True, False, True, True):
            if is_cleared:
                bell.clear()
            await bell.wait(2.0)
            ended_s.append(loop.time())

    loop.call_later(0.5, bell.ring)
    loop.call_later(3.0, bell.ring)
    loop.run_until_complete(waits())
    loop.close()
    assert ended_s == [0.5, 0.5, 2.5, 3.0]


def test_whoever_waits_may_be_cancelled_and_rings_later_disturb_nobody() -> None:
    loop, bell = VirtualLoop(), Bell()

    async def lives() -> None:
        task = asyncio.ensure_future(bell.wait(9.0))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bell.ring()
        await bell.wait(9.0)

    loop.run_until_complete(lives())
    assert loop.time() == pytest.approx(1.0)
    loop.close()
