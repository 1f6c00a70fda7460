"""Comparing the books with the venue's: when a run begins or goes on, after every interruption, and every so often.

Evidence is booked at once. A difference counts only when it stays over several readings in which nothing else moved, since the venue
answers five questions at five moments.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from kedge.domain.brake import BrakeLevel
from kedge.domain.events import BooksAgreed, BooksDiffer, Command, CommandGiven, OrderAccepted, OrderAmended
from kedge.domain.venue import TradingVenue, VenuePosition
from kedge.engine.lifecycle import Status
from kedge.risk.states import FLATTEN, RiskState
from kedge.services.ledger import UNKNOWN_LEDGER, cash_of, not_understood
from kedge.services.live_clock import WallClock
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_settings import LiveSettings
from kedge.services.reconcile import (
    CLOCK_BEYOND_LIMIT,
    ORDER_ALIVE,
    WALLET_DIFFERS,
    Agreed,
    Foreign,
    VenueBooks,
    adoptions,
    agreed,
    amended,
    differences,
    foreign_orders,
    missed,
    not_shown,
    read_books,
    restatements,
    shown,
    still_open,
)

READINGS_MAX: Final = 10
"""So often the books are read; when they have not stood still until then, nothing is concluded and it is tried again later."""

STEADY: Final = 3
"""So many readings in a row with the same difference, nothing else moving, make it a fact."""

STEADY_MONEY: Final = 5
"""So many where the wallet alone differs: a deposit is in it at once, and in the ledger when the venue comes to it."""

_log: Final = logging.getLogger("kedge.live")

_Key = tuple[str, str, str, int, int, str]


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
        self._keys: list[object] = []

    def count(self, found: list[BooksDiffer], terms: list[OrderAmended], *, moved: bool) -> int:
        keys: list[object] = [_key(report) for report in found]
        keys += [(order.client_order_id, order.qty_lots, order.limit_ticks) for order in terms]
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

    Attributes
    ----------
    on_positions : callable
        Told of the venue's positions after each reading.
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
        self.on_positions: Callable[[Sequence[VenuePosition]], None] = _nobody
        self._lock = asyncio.Lock()
        self._known_foreign: set[str] = set()
        self._reported: set[_Key] = set()
        self._for_people: set[str] = set()
        self._agreed: Agreed | None = None
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
                found, terms = self._differ(books), amended(self._core.state, books, self._core.now_ns())
                if not found and not terms:
                    return self._conclude(why, reading, booked, books, (), data_ts_ns)
                moved = self._drain() != news or bool(self._desk.under_way)
                if steady.count(found, terms, moved=moved) >= _wanted(found, terms) or (not terms and self._is_known(found, steady)):
                    booked += self._take_over(books, terms)
                    return self._conclude(why, reading, booked, books, tuple(self._differ(books)), data_ts_ns)
                await asyncio.sleep(self._settings.reading_gap_s * reading)
            self._core.kill.reach("reconcile_end")
            return Reconciled(self._core.now_ns(), why, READINGS_MAX, booked, (), False)

    async def check_clock(self, clock: WallClock) -> None:
        """Halt where this machine's clock is beyond its limit.

        Raises
        ------
        VenueUnavailable
            The venue's clock could not be asked.
        """
        reading = await clock.beyond()
        if reading is not None and not self._is_stopped():
            _log.error("clock beyond its limit: %.3f s", reading.off_ns / 1e9, extra={"event": "clock_beyond_limit"})
            detail = f"{reading.off_ns / 1e9:.3f} s apart at least"
            self._core.step(BooksDiffer(self._core.now_ns(), CLOCK_BEYOND_LIMIT, "", "", reading.ours_ns, reading.theirs_ns, detail))

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
        self._book_what_a_person_saw(books)
        for event in shown(state, books, core.now_ns()):
            if isinstance(event, OrderAccepted):
                self._desk.accepted(event)
                core.kill.reach("reconcile_mid_events")
        for theirs in books.orders:
            ours = state.orders.by_id.get(theirs.client_order_id)
            if ours is not None and ours.status is Status.WAITING:
                self._desk.shown_open(ours, theirs)
        for order in not_shown(state, books):
            if order.order.client_order_id not in self._desk.placing:
                self._desk.unanswered(order)
        self._desk.settle_amends()
        for order in still_open(state, books):
            self._desk.cancel(order.order.client_order_id)
        self.on_positions(books.positions)
        if self._settings.foreign is Foreign.ADOPT:
            self._note_foreign(books)
        return core.steps - begin

    def _book_what_a_person_saw(self, books: VenueBooks) -> None:
        """Ledger rows of no known kind are booked when they were reported and a person has resumed since."""
        core = self._core
        for entry in not_understood(books.ledger, core.seen):
            cash = cash_of(entry)
            if cash is not None and entry.entry_id in self._for_people and not self._is_stopped():
                _log.warning("unknown ledger row booked after a resume: %s", cash, extra={"event": "unknown_ledger_booked"})
                core.step(cash)

    def _take_over(self, books: VenueBooks, terms: list[OrderAmended]) -> int:
        """Book what is no difference for people: changed terms of our orders and, where that is allowed, positions; how many."""
        core = self._core
        begin = core.steps
        for order in terms:
            _log.warning("order amended by somebody: %s", order, extra={"event": "order_amended", "client_order_id": order.client_order_id})
            core.step(order)
        if self._settings.foreign is Foreign.ADOPT:
            self._adopt(books)
        for restated in restatements(core.state, books, core.seen, core.now_ns(), self._agreed):
            _log.warning("cost of a position restated: %s", restated, extra={"event": "cost_restated"})
            core.step(restated)
        return core.steps - begin

    def _note_foreign(self, books: VenueBooks) -> None:
        for order in foreign_orders(self._core.state, books):
            if order.venue_order_id not in self._known_foreign:
                self._known_foreign.add(order.venue_order_id)
                _log.warning("foreign order adopted", extra={"event": "foreign_order", "venue_order_id": order.venue_order_id})

    def _adopt(self, books: VenueBooks) -> None:
        """Take over positions whose difference has stayed."""
        core = self._core
        searched = {core.state.orders.by_id[name].order.instrument for name in self._desk.searching if name in core.state.orders.by_id}
        for event in adoptions(core.state, books, core.now_ns()):
            if getattr(event, "instrument", "") not in searched:
                _log.warning("position adopted: %s", event, extra={"event": "foreign_position"})
                core.step(event)

    def _differ(self, books: VenueBooks) -> list[BooksDiffer]:
        core, settings = self._core, self._settings
        tolerance_e8, now_ns = settings.wallet_tolerance_e8, core.now_ns()
        return differences(core.state, books, core.seen, settings.foreign, wallet_tolerance_e8=tolerance_e8, ts_ns=now_ns)

    def _is_known(self, found: list[BooksDiffer], steady: _Steady) -> bool:
        """Whether these very differences are reported and trading is halted already: they need no further proof."""
        return steady.readings > 0 and self._is_stopped() and all(_key(report) in self._reported for report in found)

    def _conclude(
        self, why: str, readings: int, booked: int, books: VenueBooks, reports: tuple[BooksDiffer, ...], data_ts_ns: int
    ) -> Reconciled:
        core = self._core
        for report in reports:
            if not self._is_stopped() or _key(report) not in self._reported:
                self._reported.add(_key(report))
                _log.error("books differ: %s", report, extra={"event": "books_differ", "code": report.code})
                core.step(report)
                core.kill.reach("reconcile_mid_events")
        if any(report.code == UNKNOWN_LEDGER for report in reports):
            self._for_people.update(entry.entry_id for entry in not_understood(books.ledger, core.seen))
        if not reports:
            self._reported.clear()
            core.seen.agreed(data_ts_ns)
            self._agreed = agreed(books)
            if core.state.limits.position_age_max_ns and self._settings.speed == 1:  # a market that plays faster waits for us
                core.step(BooksAgreed(core.now_ns()))
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
        is_the_guards = state.brake_level is not BrakeLevel.RUNNING  # it takes back what rests
        if state.risk_state is RiskState.HALTED and resting and not is_the_guards:
            self._core.step(CommandGiven(self._core.now_ns(), Command.CANCEL_ALL, "trader", "no order rests while trading is halted"))


def _wanted(found: list[BooksDiffer], terms: list[OrderAmended]) -> int:
    """How many readings in a row make a fact of this."""
    is_money = not terms and all(report.code == WALLET_DIFFERS for report in found)
    return STEADY_MONEY if is_money else STEADY


def _key(report: BooksDiffer) -> _Key:
    return report.code, report.instrument, report.client_order_id, report.ours, report.theirs, report.detail


def _nobody(_: Sequence[VenuePosition]) -> None:
    """Nobody wants to know."""
