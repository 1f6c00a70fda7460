"""Comparing the books with the venue's: when a run begins or goes on, after every interruption, and every so often.

Evidence is booked at once. A difference counts only when it stays over several readings in which nothing else moved, since the venue
answers five questions at five moments.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from kedge.domain.events import BooksDiffer, Command, CommandGiven, OrderAccepted
from kedge.domain.venue import TradingVenue
from kedge.engine.lifecycle import Status
from kedge.risk.states import FLATTEN, RiskState
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_settings import LiveSettings
from kedge.services.reconcile import (
    ORDER_ALIVE,
    Foreign,
    VenueBooks,
    adoptions,
    differences,
    foreign_orders,
    missed,
    not_shown,
    read_books,
    shown,
    still_open,
)

READINGS_MAX: Final = 10
"""So often the books are read; when they have not stood still until then, nothing is concluded and it is tried again later."""

STEADY: Final = 3
"""So many readings in a row with the same difference, nothing else moving, make it a fact."""

_log: Final = logging.getLogger("kedge.live")


class Reconciled(msgspec.Struct, frozen=True):
    """How a comparison ended. `booked` counts events that the books had missed; `reports` are what nothing explained."""

    ts_ns: int
    why: str
    readings: int
    booked: int
    reports: tuple[BooksDiffer, ...]
    conclusive: bool = True

    @property
    def agreed(self) -> bool:
        return self.conclusive and not self.reports


class _Steady:
    """Counts readings in a row that found the same."""

    def __init__(self) -> None:
        self.readings = 0
        self._keys: list[tuple[str, str, str, int, int]] = []

    def count(self, found: list[BooksDiffer], *, moved: bool) -> int:
        keys = [_key(report) for report in found]
        self.readings = 0 if moved else self.readings + 1 if keys == self._keys else 1
        self._keys = keys
        return self.readings


class Books:
    """Compares one trader's books with its venue's.

    Parameters
    ----------
    drain : callable
        Takes in all news that has arrived; returns how much private news there has been so far.
    want : callable
        Asks for another comparison soon, with the reason.
    same_market : callable
        Raises where what the venue has just said was said by another market.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        desk: Desk,
        settings: LiveSettings,
        drain: Callable[[], int],
        want: Callable[[str], None],
        same_market: Callable[[], Awaitable[None]],
    ) -> None:
        self._core, self._venue, self._desk, self._settings, self._drain = core, venue, desk, settings, drain
        self._want, self._same_market = want, same_market
        self._lock = asyncio.Lock()
        self._known_foreign: set[str] = set()
        self._reported: set[tuple[str, str, str, int, int]] = set()
        self.last: Reconciled | None = None
        self.count = 0

    async def reconcile(self, why: str) -> Reconciled:
        """Compare until the books agree, or what differs has stayed; then trading goes on, or is halted with the figures.

        Raises
        ------
        VenueUnavailable
            The venue could not be asked; what was found so far is booked, nothing is concluded.
        MarketGone
            Another market answered; nothing of it is booked.
        """
        async with self._lock:
            self._core.kill.reach("reconcile_begin")
            booked, steady = 0, _Steady()
            for reading in range(1, READINGS_MAX + 1):
                data_ts_ns = self._core.clock.data_ts_ns
                news, books = await self._read()
                booked += self._book(books)
                found = self._differ(books)
                if not found:
                    return self._conclude(why, reading, booked, (), data_ts_ns)
                moved = self._drain() != news or bool(self._desk.under_way)
                if steady.count(found, moved=moved) >= STEADY or self._is_known(found, steady):
                    if self._settings.foreign is Foreign.ADOPT:
                        booked += self._adopt(books)
                        found = self._differ(books)
                    return self._conclude(why, reading, booked, tuple(found), data_ts_ns)
                await asyncio.sleep(self._settings.reading_gap_s * reading)
            self._core.kill.reach("reconcile_end")
            return Reconciled(self._core.now_ns(), why, READINGS_MAX, booked, (), False)

    async def _read(self) -> tuple[int, VenueBooks]:
        while under_way := self._desk.under_way:
            await asyncio.wait(under_way)
        await self._venue.barrier()
        news = self._drain()
        books = await read_books(self._venue, self._core.seen.ask_from_ns())
        await self._same_market()
        self._core.kill.reach("reconcile_after_reading")
        return news, books

    def _book(self, books: VenueBooks) -> int:
        """Book what the reading proves; how many events it was."""
        core, state = self._core, self._core.state
        begin = core.steps
        for event in missed(state, books, core.seen, self._settings.foreign):
            core.step(event)
            core.kill.reach("reconcile_mid_events")
        for event in shown(state, books, core.now_ns()):
            if isinstance(event, OrderAccepted):
                self._desk.accepted(event)
                core.kill.reach("reconcile_mid_events")
        for order in not_shown(state, books):
            if order.order.client_order_id not in self._desk.placing:
                self._desk.unanswered(order)
        for order in still_open(state, books):
            self._desk.cancel(order.order.client_order_id)
        if self._settings.foreign is Foreign.ADOPT:
            self._note_foreign(books)
        return core.steps - begin

    def _note_foreign(self, books: VenueBooks) -> None:
        for order in foreign_orders(self._core.state, books):
            if order.venue_order_id not in self._known_foreign:
                self._known_foreign.add(order.venue_order_id)
                _log.warning("foreign order adopted", extra={"event": "foreign_order", "venue_order_id": order.venue_order_id})

    def _adopt(self, books: VenueBooks) -> int:
        """Take over positions whose difference has stayed; how many."""
        core = self._core
        begin = core.steps
        searched = {core.state.orders.by_id[name].order.instrument for name in self._desk.searching if name in core.state.orders.by_id}
        for event in adoptions(core.state, books, core.now_ns()):
            if getattr(event, "instrument", "") not in searched:
                _log.warning("position adopted: %s", event, extra={"event": "foreign_position"})
                core.step(event)
        return core.steps - begin

    def _differ(self, books: VenueBooks) -> list[BooksDiffer]:
        core, settings = self._core, self._settings
        return differences(core.state, books, settings.foreign, wallet_tolerance_e8=settings.wallet_tolerance_e8, ts_ns=core.now_ns())

    def _is_known(self, found: list[BooksDiffer], steady: _Steady) -> bool:
        """Whether these very differences are reported and trading is halted already: they need no further proof."""
        return steady.readings > 0 and self._is_stopped() and all(_key(report) in self._reported for report in found)

    def _conclude(self, why: str, readings: int, booked: int, reports: tuple[BooksDiffer, ...], data_ts_ns: int) -> Reconciled:
        core = self._core
        for report in reports:
            if not self._is_stopped() or _key(report) not in self._reported:
                self._reported.add(_key(report))
                _log.error("books differ: %s", report, extra={"event": "books_differ", "code": report.code})
                core.step(report)
                core.kill.reach("reconcile_mid_events")
        if not reports:
            self._reported.clear()
            core.seen.agreed(data_ts_ns)
        for report in reports:
            if report.code == ORDER_ALIVE:
                self._desk.cancel_over(report.instrument, report.client_order_id, lambda: self._want("order alive"))
        self._no_order_rests_while_halted()
        core.kill.reach("reconcile_end")
        self.count += 1
        self.last = Reconciled(core.now_ns(), why, readings, booked, reports)
        return self.last

    def _is_stopped(self) -> bool:
        """Whether nothing is sent but what closes positions: a difference that was reported needs no second report until that ends."""
        return self._core.state.risk_state is RiskState.HALTED or self._core.state.halt_code == FLATTEN

    def _no_order_rests_while_halted(self) -> None:
        """An order that arrived after all while trading was halted is cancelled; its cancel is recorded like any other."""
        state = self._core.state
        resting = any(order.status is Status.OPEN for slot in state.by_index for order in state.orders.of(slot.instrument).values())
        if state.risk_state is RiskState.HALTED and resting:
            self._core.step(CommandGiven(self._core.now_ns(), Command.CANCEL_ALL, "trader", "no order rests while trading is halted"))


def _key(report: BooksDiffer) -> tuple[str, str, str, int, int]:
    return report.code, report.instrument, report.client_order_id, report.ours, report.theirs
