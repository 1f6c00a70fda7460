"""Waiting with a limit: for one answer, and for a bell that whoever has news rings.

Rules: a ring that nobody waits for is kept until the bell is cleared; waiting for a bell ends by the ring or by the time, and says nothing
of which. `asyncio.timeout` can do both, with a context and its coroutines around each wait; the guard waits dozens of times a second for
as long as it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def in_time(what: Awaitable[T], within_s: float) -> T:
    """What this gives, or `TimeoutError` after so long, when it has been cancelled; whoever cancels the waiting itself is obeyed."""
    task = asyncio.current_task()
    assert task is not None
    before, is_late = task.cancelling(), False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(within_s, give_up)
    try:
        return await what
    except asyncio.CancelledError:
        if is_late and task.cancelling() - 1 <= before:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        if is_late:
            task.uncancel()


class Bell:
    """Rings for one task."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake whoever waits, now or next."""
        self._is_rung = True
        if self._waiter is not None:
            _wake(self._waiter)

    def clear(self) -> None:
        """What rang before is dealt with."""
        self._is_rung = False

    async def wait(self, within_s: float) -> None:
        """Return when it rings, or after so long."""
        if self._is_rung:
            return
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(within_s, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
