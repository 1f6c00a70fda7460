"""A bell for one waiter: rung by whoever has news, waited for with a limit.

Rules: a ring that nobody waits for is kept until the bell is cleared; waiting ends by the ring or by the time, and says nothing of which.
An event under `asyncio.timeout` does the same with three objects, an exception and a cancelled task where nothing rings, several times a
second for as long as the guard lives.
"""

from __future__ import annotations

import asyncio


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
