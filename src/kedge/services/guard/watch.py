"""The guard's eyes: reads the venue, keeps the books, and says what it sees as a `GuardView`.

Rules: with risk every tenth of a second, without it twice a second, and sooner where the private stream stirs; a read that fails makes the
view older, never better; what is known is judged even where the rest is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.errors import KedgeError
from kedge.domain.events import OrderFilled, OrderRejected
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.units import NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.domain.venue import ActionNeeded, DailyCloses, GuardVenue, StreamDown, StreamUp, VenueNews, VenuePosition
from kedge.risk.brake.measures import Held, measured
from kedge.risk.brake.view import GuardView, PositionView
from kedge.services.guard.accounting import Accounting
from kedge.services.guard.numbers import Figures, RiskNumbers
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.waiting import Bell

_LOG: Final = logging.getLogger(__name__)

NEVER_NS: Final = -(1 << 62)
HISTORY_AGAIN_NS: Final = 30 * NS_PER_S
"""Between two questions for a history that did not come."""
HISTORY_OLD_NS: Final = 4 * NS_PER_DAY
"""A history whose newest day ended longer ago than this counts as none."""
MINUTE_NS: Final = 60 * NS_PER_S
CLOCK_WITHIN_NS: Final = NS_PER_S
"""An answer that took longer tells nothing of the clock."""


class Watch:
    """Reads one account.

    Attributes
    ----------
    heard_ns : int or None
        When a trader was last heard, on the monotonic clock; None before the first time.
    judged_ns : int or None
        When the oldest read began of what was judged last; None before anything was.
    strange_e8 : int
        As much of equity no trade can have done and no row of the ledger explains, as it was judged last.
    """

    def __init__(
        self,
        settings: GuardSettings,
        truth: Truth,
        accounting: Accounting,
        numbers: RiskNumbers,
        recorder: Recorder,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings, self._truth, self._accounting, self._numbers = settings, truth, accounting, numbers
        self._recorder, self._wall_ns, self._monotonic_ns = recorder, wall_ns, monotonic_ns
        self._started_ns = monotonic_ns()
        self.heard_ns: int | None = None
        self.judged_ns: int | None = None
        self._trader_rejects = 0
        self.clock_off_ms: int | None = None
        self.figures: Figures | None = None
        self.strange_e8 = 0
        self.streams: dict[str, str] = {}
        self.stirred = Bell()
        self._reading = asyncio.Lock()
        self._rejected_ns: deque[int] = deque(maxlen=1_000)
        self._unstopped_ns: dict[InstrumentId, int] = {}
        self._orders_ns = self._wallet_ns = self._ledger_ns = self._clock_ns = NEVER_NS
        self._history_ns: dict[InstrumentId, int] = {}
        self._measured: tuple[list[Held], int, tuple[PositionView, ...]] = ([], 0, ())

    # reading ------------------------------------------------------------------------------------------------------------

    async def read(self, venue: GuardVenue, level: BrakeLevel, *, whole: bool = False) -> bool:
        """One round of reading, and the books after it; whether positions and orders both came in it. One round at a time."""
        async with self._reading:
            return await self._read(venue, level, whole=whole)

    async def _read(self, venue: GuardVenue, level: BrakeLevel, *, whole: bool) -> bool:
        now_ns, settings = self._monotonic_ns(), self._settings
        is_closing = SEVERITY[level] >= SEVERITY[BrakeLevel.FLATTENING]
        orders = whole or now_ns - self._orders_ns >= _ns(settings.orders_every_s)
        wallet = whole or not is_closing or now_ns - self._wallet_ns >= 3 * _ns(settings.poll_risk_s)
        if orders:
            self._orders_ns = now_ns
        if wallet:
            self._wallet_ns = now_ns
        await self._truth.read(venue, orders=orders, wallet=wallet)
        self._see_stops()
        ask_ledger = now_ns - self._ledger_ns >= _ns(settings.ledger_every_s)
        if ask_ledger:
            self._ledger_ns = now_ns
        if wallet:
            await self._accounting.follow(venue, ask_ledger=ask_ledger)
        stamps = (self._truth.positions_ns, self._truth.orders_ns)
        return all(at is not None and at >= now_ns for at in stamps)

    def period_s(self, level: BrakeLevel) -> float:
        """How long until the next round."""
        is_on = level is not BrakeLevel.RUNNING and level is not BrakeLevel.HALTED_FLAT
        return self._settings.poll_risk_s if is_on or self.has_risk else self._settings.poll_flat_s

    @property
    def has_risk(self) -> bool:
        """Whether the account has a position, or an order that could make one; before the first read nobody knows, so it has."""
        return self._truth.seen_ns is None or bool(self._truth.positions) or bool(self._truth.adding)

    @property
    def has_begun(self) -> bool:
        """Whether there are books to judge losses by."""
        return self._accounting.marks is not None

    @property
    def silent_ns(self) -> int:
        """Since a trader was last heard; since the guard's start before the first time."""
        return self._monotonic_ns() - (self._started_ns if self.heard_ns is None else self.heard_ns)

    @property
    def bare(self) -> list[InstrumentId]:
        """Positions that were seen without a working stop for longer than they may be; none where nothing says how long that is."""
        if not self._unstopped_ns:
            return []
        limit_ns, now_ns = _ns(self._settings.triggers.stop_missing_s), self._monotonic_ns()
        due = {name for name, since_ns in self._unstopped_ns.items() if limit_ns and now_ns - since_ns > limit_ns}
        positions = self._truth.positions  # they may have been read again, while the rest of that round is still awaited
        return [one.instrument for one in positions if one.instrument in due and not self._is_stopped(one)]

    def heard(self, rejects: int | None) -> None:
        """A trader is alive; `rejects` is how many of its orders were refused in the last minute, where it counts them."""
        self.heard_ns = self._monotonic_ns()
        self._trader_rejects = rejects or 0

    async def slow_round(self, venue: GuardVenue) -> None:
        """What need not be known at once: the clock, and the history of each instrument, once a UTC day."""
        now_ns = self._monotonic_ns()
        if now_ns - self._clock_ns >= _ns(self._settings.clock_every_s):
            self._clock_ns = now_ns
            await self._see_clock(venue)
            await self._accounting.see_time(venue)
        names = {*self._settings.instruments, *(position.instrument for position in self._truth.positions)}
        for name in sorted(names):
            if self._history_is_due(name):
                await self._ask_history(venue, name)

    def hear(self, news: VenueNews) -> None:
        """Something that the private stream tells by itself."""
        now_ns = self._monotonic_ns()
        if isinstance(news, OrderFilled):
            self._accounting.heard(news)
        elif isinstance(news, OrderRejected) and not news.client_order_id.startswith(GUARD_PREFIX):
            self._rejected_ns.append(now_ns)
        elif isinstance(news, ActionNeeded):
            self._recorder.page("VENUE", f"the venue refuses the guard ({news.code}): {news.what}; {news.fix}")
        elif isinstance(news, StreamDown):
            self.streams[news.stream] = news.why
        elif isinstance(news, StreamUp):
            self.streams[news.stream] = ""
        self.stirred.ring()

    # seeing -------------------------------------------------------------------------------------------------------------

    def view(self) -> GuardView | None:
        """The account as it is known now; None before everything was read once and the books have begun."""
        truth, marks, now_ns = self._truth, self._accounting.marks, self._monotonic_ns()
        equity_e8, seen_ns = truth.equity_e8(), truth.seen_ns
        if marks is None or equity_e8 is None or seen_ns is None:
            return None
        positions = self._positions(equity_e8, now_ns)
        self.figures = self._measure(positions, equity_e8)
        unexplained_ns, unexplained = self._accounting.unexplained()
        estimate = self._accounting.estimate(equity_e8)
        self.strange_e8 = estimate.strange_e8 if estimate.is_strange else 0
        return GuardView(
            view_age_ns=now_ns - seen_ns,
            equity_e8=equity_e8,
            loss_equity_e8=estimate.equity_e8,
            high_water_e8=marks.high_water_e8,
            day_start_e8=marks.day_start_e8,
            positions=positions,
            unmarked=len(self._truth.positions) - len(positions),
            var99_e8=None if self.figures is None else self.figures.var99_e8,
            var_method="" if self.figures is None else self.figures.method,
            open_orders=len(truth.orders),
            risk_orders=len(truth.adding),
            heartbeat_ns=self.silent_ns,
            clock_off_ms=self.clock_off_ms,
            rejects=max(self._rejects(now_ns), self._trader_rejects if self.silent_ns < MINUTE_NS else 0),
            unexplained_ns=unexplained_ns,
            unexplained=unexplained,
            strange_e8=self.strange_e8,
        )

    # within -------------------------------------------------------------------------------------------------------------

    def _positions(self, equity_e8: int, now_ns: int) -> tuple[PositionView, ...]:
        book = []
        for position in self._truth.positions:
            name, mark_e8 = position.instrument, self._truth.mark_e8(position)
            if mark_e8 is None:  # the read counts as failed, so that the view grows old
                continue
            since_ns = self._unstopped_ns.get(name)
            unstopped_ns = 0 if since_ns is None else now_ns - since_ns
            book.append(
                Held(
                    spec=self._truth.records[name], position=position, mark_e8=mark_e8, sigma_e8=self._numbers.sigma_e8(name),
                    unstopped_ns=unstopped_ns,
                )
            )  # fmt: skip
        if self._measured[:2] != (book, equity_e8):  # the venue is read more often than marks move there
            self._measured = (book, equity_e8, measured(book, equity_e8))
        return self._measured[2]

    def _measure(self, positions: tuple[PositionView, ...], equity_e8: int) -> Figures | None:
        try:
            return self._numbers.measure({one.instrument: one.notional_e8 for one in positions}, equity_e8)
        except (KedgeError, ArithmeticError, ValueError) as error:  # losses and leverage are judged all the same
            self._recorder.page("VAR", f"VaR cannot be worked out: {error.what if isinstance(error, KedgeError) else error}")
            return None

    def _see_stops(self) -> None:
        now_ns = self._monotonic_ns()
        bare = [position.instrument for position in self._truth.positions if not self._is_stopped(position)]
        self._unstopped_ns = {name: self._unstopped_ns.get(name, now_ns) for name in bare}

    def _is_stopped(self, position: VenuePosition) -> bool:
        """Whether a stop lies at the venue that may still fire: one that the mark has passed should have closed the position."""
        ticks, spec = position.stop_loss_ticks, self._truth.records.get(position.instrument)
        mark_e8 = None if spec is None else self._truth.mark_e8(position)
        if not ticks or spec is None or mark_e8 is None:
            return bool(ticks)
        stop_e8 = ticks * spec.tick_e8
        return mark_e8 > stop_e8 if position.lots > 0 else mark_e8 < stop_e8

    def _rejects(self, now_ns: int) -> int:
        while self._rejected_ns and now_ns - self._rejected_ns[0] > MINUTE_NS:
            self._rejected_ns.popleft()
        return len(self._rejected_ns)

    async def _see_clock(self, venue: GuardVenue) -> None:
        """How far this machine's clock is from the venue's; what the way there and back may explain is not counted."""
        begun_ns, wall_ns = self._monotonic_ns(), self._wall_ns()
        try:
            venue_ns = await self._truth.within(venue.wall_time_ns())
        except KedgeError as error:
            _LOG.warning("the venue's clock cannot be had: %s", error)
            return
        took_ns = self._monotonic_ns() - begun_ns
        if took_ns <= CLOCK_WITHIN_NS:
            off_ns = wall_ns + took_ns // 2 - venue_ns
            beyond_ns = max(0, abs(off_ns) - took_ns // 2)
            self.clock_off_ms = (beyond_ns if off_ns > 0 else -beyond_ns) // NS_PER_MS

    def _history_is_due(self, name: InstrumentId) -> bool:
        last_ns = self._numbers.last_day_ns(name)
        is_new_day = last_ns is None or self._accounting.data_ns - last_ns >= NS_PER_DAY
        return is_new_day and self._monotonic_ns() - self._history_ns.get(name, NEVER_NS) >= HISTORY_AGAIN_NS

    async def _ask_history(self, venue: GuardVenue, name: InstrumentId) -> None:
        known_ns, self._history_ns[name] = self._numbers.last_day_ns(name), self._monotonic_ns()
        try:
            closes = await venue.daily_closes(name, self._settings.history_days)
            self._numbers.take(self._unless_old(name, closes.last_day_ts_ns) or closes)
            if self._numbers.last_day_ns(name) != known_ns:
                del self._history_ns[name]  # the next day is asked for as soon as it has ended
        except KedgeError as error:
            words = f"the daily closes of {name} cannot be had: {error.what}; without them it comes to stand at the stated loss"
            self._recorder.page("HISTORY", words)
            if (nothing := self._unless_old(name, known_ns or 0)) is not None:
                self._numbers.take(nothing)

    def _unless_old(self, name: InstrumentId, last_day_ns: int) -> DailyCloses | None:
        """No closes at all where the newest are too old: they say nothing of the risk now, and would hold back the days of the others."""
        is_old = self._accounting.data_ns - last_day_ns > HISTORY_OLD_NS
        return DailyCloses(instrument=name, last_day_ts_ns=0, closes_ticks=()) if is_old else None


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
