"""Lock-step: one instant of a simulated market after the other, each finished before the next begins, whatever the speed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from kedge.domain.errors import VenueUnavailable
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import TradingVenue
from kedge.services.live_bars import Bars
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_news import News
from kedge.services.live_settings import LiveSettings
from kedge.services.live_stops import Stops
from kedge.services.live_timers import Timers


class Release(Protocol):
    """An instant of a simulated market: `bars` bars that close at `venue_ms` are out, or the market has `ended`."""

    @property
    def seq(self) -> int: ...
    @property
    def venue_ms(self) -> int: ...
    @property
    def bars(self) -> int: ...
    @property
    def ended(self) -> bool: ...


class LockStep(Protocol):
    """The exchange's control endpoint as a trader needs it; registered already."""

    async def next_bar(self) -> Release: ...
    async def acknowledge(self, seq: int) -> None: ...


class InStep:
    """Takes a trader from instant to instant.

    Parameters
    ----------
    reconcile : callable
        Compares the books until that is concluded.
    is_wanted : callable
        Whether a comparison is asked for.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        desk: Desk,
        bars: Bars,
        news: News,
        timers: Timers,
        settings: LiveSettings,
        *,
        stops: Stops,
        reconcile: Callable[[], Awaitable[None]],
        is_wanted: Callable[[], bool],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._core, self._venue, self._desk, self._bars, self._news = core, venue, desk, bars, news
        self._timers, self._settings, self._monotonic_ns, self._stops = timers, settings, monotonic_ns, stops
        self._reconcile, self._is_wanted = reconcile, is_wanted
        self._wall_ns, self._ts_ns = monotonic_ns(), core.now_ns()

    async def run(self, lockstep: LockStep) -> None:
        """Until the market ends."""
        while not (released := await lockstep.next_bar()).ended:
            ts_ns = released.venue_ms * NS_PER_MS
            await self._bars.arrived(ts_ns, released.bars, self._settings.bars_wait_s, self._news.drain)
            is_blind = not await self.settle()
            if is_blind or self._is_wanted() or not self._bars.gate.is_open or self._is_due(ts_ns):
                await self._compare()
                self._wall_ns, self._ts_ns = self._monotonic_ns(), ts_ns
            self._core.clock.saw(ts_ns)
            self._timers.fire()
            self._bars.release()
            if self._desk.under_way or self._desk.searching or self._stops.under_way:  # else nothing can come: the market stands still
                await self.settle()
            self._core.journal.flush()
            self._core.kill.reach("before_ack")
            await lockstep.acknowledge(released.seq)
            self._core.kill.reach("after_ack")

    async def _compare(self) -> None:
        """Compare the books; while we are blind the market waits for us."""
        await self._reconcile()
        while not self._bars.gate.is_open:
            await asyncio.sleep(self._settings.reading_gap_s)
            await self._reconcile()

    async def settle(self) -> bool:
        """Wait until every request is answered, every search is done, and everything the venue has sent is taken in, as far as time allows.

        False where the streams do not answer: nobody knows then what the venue has sent.
        """
        deadline_ns = self._monotonic_ns() + int(self._settings.answers_wait_s * NS_PER_S)
        while (now_ns := self._monotonic_ns()) < deadline_ns:
            pending = [*self._desk.under_way, *self._desk.searching.values(), *self._stops.under_way]
            if pending:
                await asyncio.wait(pending, timeout=(deadline_ns - now_ns) / NS_PER_S, return_when=asyncio.FIRST_COMPLETED)
                continue
            before = self._core.steps
            try:
                await self._venue.barrier()
            except VenueUnavailable:
                return False
            self._news.drain()
            if self._core.steps == before and not self._desk.under_way and not self._desk.searching:
                break
        return True

    def _is_due(self, ts_ns: int) -> bool:
        wall_due = self._monotonic_ns() - self._wall_ns >= self._settings.reconcile_wall_min_s * NS_PER_S
        return wall_due and ts_ns - self._ts_ns >= self._settings.reconcile_every_ns
