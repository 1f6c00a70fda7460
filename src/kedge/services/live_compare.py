"""When the books are compared, and what follows: bars and timers wait while they are not known to agree."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from kedge.domain.venue import Stream

if TYPE_CHECKING:
    from kedge.services.live import LiveTrader


class Comparisons:
    """The comparisons of one trader.

    Attributes
    ----------
    done : asyncio.Event
        Set when the books were compared for the first time.
    """

    def __init__(self, trader: LiveTrader) -> None:
        self._trader, self._settings = trader, trader.settings
        self.done, self._wanted, self._why = asyncio.Event(), asyncio.Event(), "start"
        self._compared_at = -1

    def want(self, why: str) -> None:
        """Have the books compared soon."""
        self._why = why
        self._wanted.set()

    @property
    def is_wanted(self) -> bool:
        return self._wanted.is_set()

    @property
    def sees(self) -> bool:
        """Whether the books were compared, and the private stream was not interrupted since."""
        return self._trader.news.interruptions == self._compared_at

    async def compare(self) -> None:
        """Compare until that is concluded; bars pass afterwards, unless the private stream was interrupted meanwhile."""
        trader = self._trader
        why = self._why if self._wanted.is_set() or not self.done.is_set() else "routine"
        self._wanted.clear()
        interruptions = trader.news.interruptions
        while not await trader.patiently(lambda: self._once(why), "reconciling"):
            await asyncio.sleep(self._settings.reading_gap_s)
        trader.instruments.change()
        trader.news.drain()
        if trader.news.streams[Stream.PRIVATE] and trader.news.interruptions == interruptions:
            self._compared_at = interruptions
            trader.bars.open()
            trader.timers.arm()
        trader.condition = "trading"
        self.done.set()

    async def keep_comparing(self) -> None:
        """Every so often, and whenever it is wanted."""
        every_s = self._settings.reconcile_every_ns / 1e9 / self._settings.speed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(every_s, self._settings.reconcile_wall_min_s)):
                    await self._wanted.wait()
            await asyncio.sleep(self._settings.reading_gap_s)  # what one happening sends arrives piece by piece
            await self.compare()

    async def leave_old_grid(self) -> None:
        """Cancel or resolve what was sent on a grid that the venue has left; then this process ends, and the next one has the new grid.

        Raises
        ------
        Conflict
            Always, in the end: another start is needed.
        """
        trader, instruments = self._trader, self._trader.instruments
        instruments.cancel_orders()
        while instruments.left():
            await trader.patiently(lambda: self._once("old grid"), "leaving an old grid")
            await asyncio.sleep(self._settings.reading_gap_s)
        raise instruments.new_start_needed()

    async def _once(self, why: str) -> bool:
        """Compare once; whether that is concluded. Where it is not, nobody knows whether the books agree: bars wait."""
        concluded = False
        try:
            await self._trader.books.check_clock(self._trader.wall_clock)
            concluded = (await self._trader.books.reconcile(why)).conclusive
        finally:
            if not concluded:
                self._trader.bars.close()
        return concluded
