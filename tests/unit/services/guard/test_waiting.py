"""A bell ends a wait by its ring or by the time, and keeps a ring for whoever waits next; an answer comes in time or not at all."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.clock import VirtualLoop

from kedge.services.guard.waiting import Bell, in_time


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


async def _answers(after_s: float) -> str:
    await asyncio.sleep(after_s)
    return "here"


async def _minds_nothing() -> str:
    try:
        await asyncio.sleep(9.0)
    except asyncio.CancelledError:
        return "anyway"
    raise AssertionError


def test_an_answer_comes_in_time_or_not_at_all_and_the_task_that_waited_goes_on() -> None:
    loop = VirtualLoop()

    async def lives() -> None:
        assert await in_time(_answers(1.0), 2.0) == "here"
        with pytest.raises(TimeoutError):
            await in_time(_answers(3.0), 2.0)
        with pytest.raises(TimeoutError):
            await in_time(in_time(_answers(9.0), 5.0), 1.0)
        assert await in_time(_minds_nothing(), 1.0) == "anyway"
        assert (loop.time(), asyncio.current_task().cancelling()) == (5.0, 0)  # type: ignore[union-attr]

    loop.run_until_complete(lives())
    loop.close()


def test_whoever_cancels_the_waiting_itself_is_obeyed_even_when_it_is_late_as_well() -> None:
    loop = VirtualLoop()

    async def lives() -> None:
        for within_s in (9.0, 1.0):
            task = asyncio.ensure_future(in_time(_answers(20.0), within_s))
            loop.call_later(1.0, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    loop.run_until_complete(lives())
    loop.close()
