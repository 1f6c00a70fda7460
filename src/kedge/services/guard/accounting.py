"""The guard's books while it watches: wallet and positions explained, losses measured, and all of it remembered for the next process.

Rules: what is not explained is asked for at once and then again; of a change of the wallet that is not explained yet, losses count as much
as trading can have done, and no more; only explained books make a new high; a flow is taken once, and written down before anything is
judged by it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from kedge.domain.brake import Latch
from kedge.domain.errors import KedgeError
from kedge.domain.events import OrderFilled
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_DAY, NS_PER_S
from kedge.domain.venue import GuardVenue, LedgerEntry, LedgerKind
from kedge.risk.brake.books import PositionBook, WalletBook
from kedge.risk.brake.earnings import Earnings, Estimate, Shown
from kedge.risk.brake.losses import Jumps, Marks
from kedge.services.guard.asking import Questions
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import Baseline, Flowed, SeenPosition
from kedge.services.guard.timeline import Timeline

_LOG: Final = logging.getLogger(__name__)

BACK_NS: Final = 60 * NS_PER_S
"""How far back the lists are read when the books begin, to know what is in them already."""

TRIES: Final = 5
KEEP_EVERY_NS: Final = NS_PER_S
"""Between two baselines while only the high-water mark moves."""


class Accounting:
    """Books of one account.

    Parameters
    ----------
    generation : callable
        The latch's, now.

    Attributes
    ----------
    marks : Marks or None
        None until the books have begun.
    wallet_since_ns, positions_since_ns : int or None
        Since when the wallet, or positions, have not been explained.
    """

    def __init__(
        self,
        truth: Truth,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        generation: Callable[[], int],
    ) -> None:
        self._truth, self._recorder, self._timeline, self._generation = truth, recorder, timeline, generation
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self.marks: Marks | None = None
        self.data_ns = 0
        self.wallet_since_ns: int | None = None
        self.positions_since_ns: int | None = None
        self._words: list[str] = []
        self._wallet: WalletBook | None = None
        self._positions: PositionBook | None = None
        self._earnings, self._jumps = Earnings(), Jumps()
        self._questions = Questions(truth, self._earnings, monotonic_ns)
        self._kept_ns = -(1 << 62)
        self._is_between = False

    # the beginning ------------------------------------------------------------------------------------------------------

    async def begin(self, venue: GuardVenue, latch: Latch, baseline: Baseline | None) -> bool:
        """Begin the books, where an earlier process left them or here; False where the venue did not show a quiet moment."""
        truth, high_water_e8 = self._truth, latch.high_water_e8
        self.data_ns = max(self.data_ns, await truth.within(venue.data_time_ns()))
        if baseline is not None and baseline.ledger_ts_ns > self.data_ns + NS_PER_DAY:
            self._recorder.page("BASELINE", "the venue's time lies before the guard's books: another market, so losses count from now")
            baseline, high_water_e8 = None, 0
        for _ in range(TRIES):
            since_ns = max(0, self._since_ns(baseline))
            before = [row.entry_id for row in await truth.within(venue.ledger(since_ns))]
            listed = await truth.within(venue.executions(since_ns))
            if not await truth.read(venue, orders=True):
                return False
            after = await truth.within(venue.ledger(since_ns))
            equity_e8 = truth.equity_e8()
            if before != [row.entry_id for row in after] or truth.wallet is None or equity_e8 is None:
                continue
            fills = [fill for fill in listed if isinstance(fill, OrderFilled)]
            self._positions = PositionBook(self._lots(), self.data_ns, [fill.fill_id for fill in fills])
            if baseline is None:
                self._wallet = WalletBook(truth.wallet.wallet_e8, self.data_ns, before)
                self.marks = Marks(high_water_e8 or equity_e8, equity_e8, self.data_ns // NS_PER_DAY, equity_e8)
                self._earnings.know(row.fill_id for row in after)
            else:
                self._wallet = WalletBook(baseline.wallet_e8, baseline.ledger_ts_ns, baseline.ledger_ids)
                high_water_e8 = latch.high_water_e8 if was_reset(latch, baseline) else baseline.high_water_e8
                self.marks = Marks(high_water_e8, baseline.day_start_e8, baseline.day, baseline.equity_e8)
                await self._resume(venue, baseline, after, fills)
            return True
        return False

    def _since_ns(self, baseline: Baseline | None) -> int:
        """From when on lists are read at the beginning: at most a day, for what lies further back is in the wallet."""
        back_ns = self.data_ns - BACK_NS
        return back_ns if baseline is None else max(min(back_ns, baseline.ledger_ts_ns), self.data_ns - NS_PER_DAY)

    async def _resume(self, venue: GuardVenue, baseline: Baseline, rows: list[LedgerEntry], fills: list[OrderFilled]) -> None:
        """Measure from where the earlier process stood; without its positions every change of equity counts."""
        if baseline.positions is None:
            return
        known = {row.fill_id for row in rows if row.entry_id in baseline.ledger_ids}
        since = [fill for fill in fills if fill.ts_ns >= baseline.ledger_ts_ns and fill.fill_id not in known]
        marks_e8 = {one.instrument: one.mark_e8 for one in baseline.positions if one.mark_e8 is not None}
        lots = {one.instrument: one.lots for one in baseline.positions}
        self._earnings.resume(baseline.equity_e8, lots, marks_e8, since)
        await self._questions.know(venue, {*lots, *(fill.instrument for fill in since)})

    # each reading -------------------------------------------------------------------------------------------------------

    async def follow(self, venue: GuardVenue, *, ask_ledger: bool) -> None:
        """Take what was just read: explain it, asking the venue where that is needed, and mark the books."""
        truth, marks, book = self._truth, self.marks, self._wallet
        wallet, equity_e8 = truth.wallet, truth.equity_e8()
        if marks is None or book is None or wallet is None or equity_e8 is None:
            return
        self.data_ns = max(self.data_ns, wallet.ts_ns, *(position.ts_ns for position in truth.positions), 0)
        self._show()
        self._is_between = True
        try:
            rows = await self._explain(venue, book, wallet.wallet_e8, ask_ledger=ask_ledger)
        finally:
            self._is_between = False
        now_ns = self._monotonic_ns()
        if rows is None:
            if self.wallet_since_ns is None:
                self.wallet_since_ns = now_ns
            estimate = self.estimate(equity_e8)
            self._jumps.see(estimate.strange_e8, estimate.equity_e8)
            return
        self.wallet_since_ns = None
        has_flowed = self._take_rows(rows, equity_e8)
        before = (marks.high_water_e8, marks.day_start_e8)
        is_new_day = marks.mark(equity_e8, self.data_ns)
        self._agree(equity_e8)
        has_risen = (marks.high_water_e8, marks.day_start_e8) != before
        if has_flowed or is_new_day or (has_risen and now_ns - self._kept_ns >= KEEP_EVERY_NS):
            self.keep()

    async def see_time(self, venue: GuardVenue) -> None:
        """Follow the venue's data time, by which UTC days turn, through hours in which nothing happens."""
        try:
            self.data_ns = max(self.data_ns, await self._truth.within(venue.data_time_ns()))
        except KedgeError as error:
            _LOG.warning("the venue's data time cannot be had: %s", error)

    def heard(self, fill: OrderFilled) -> None:
        """The private stream told of a fill."""
        if self._positions is not None:
            self._earnings.take(self._positions.take([fill]))

    def keep(self) -> None:
        """Write down what losses are measured from."""
        marks, book = self.marks, self._wallet
        if marks is None or book is None or self._is_between:  # rows that the wallet's book took may not be in the marks yet
            return
        self._kept_ns = self._monotonic_ns()
        self._recorder.write(
            Baseline(
                wall_ns=self._wall_ns(), high_water_e8=marks.high_water_e8, day_start_e8=marks.day_start_e8, day=marks.day,
                wallet_e8=book.wallet_e8, equity_e8=marks.equity_e8, ledger_ts_ns=book.ts_ns, ledger_ids=book.ids_at,
                positions=self._held(), generation=self._generation(),
            )
        )  # fmt: skip

    def begin_anew(self) -> None:
        """Two people decided that losses count from now, and that what nothing explains is taken as it stands."""
        truth, marks, equity_e8 = self._truth, self.marks, self._truth.equity_e8()
        if marks is None or truth.wallet is None or equity_e8 is None:
            return
        strange_e8 = self.estimate(equity_e8).strange_e8
        marks.flow(equity_e8 - strange_e8, strange_e8)  # no loss of the day either
        marks.reset(equity_e8)
        if self._wallet is not None and self.wallet_since_ns is not None:
            self._wallet = WalletBook(truth.wallet.wallet_e8, self.data_ns, self._wallet.ids_at)
            self._earnings.settle([] if self._positions is None else self._positions.waiting)
        if self._positions is not None and self.positions_since_ns is not None:
            self._positions = PositionBook(self._lots(), self.data_ns)
        self.wallet_since_ns = self.positions_since_ns = None
        self._words = []
        self._jumps.clear()
        self._agree(equity_e8)
        self.keep()

    async def close(self) -> None:
        """Leave what is being asked."""
        await self._questions.close()

    # what it comes to ---------------------------------------------------------------------------------------------------

    @property
    def high_water_e8(self) -> int:
        return 0 if self.marks is None else self.marks.high_water_e8

    def estimate(self, equity_e8: int) -> Estimate:
        """What losses are judged on; see `GuardView`. All of equity while the wallet is explained."""
        if self.wallet_since_ns is None or self._positions is None:
            return Estimate(equity_e8=equity_e8, strange_e8=0, is_strange=False)
        shown = self._shown(equity_e8)
        return self._earnings.estimate(shown, self._positions.waiting, self._truth.records)

    def unexplained(self) -> tuple[int, str]:
        """How long something has not been explained, in nanoseconds, and what."""
        since = [at for at in (self.wallet_since_ns, self.positions_since_ns) if at is not None]
        if not since:
            return 0, ""
        words = list(self._words)
        if self.wallet_since_ns is not None and self._wallet is not None and self._truth.wallet is not None:
            gap_e8 = self._truth.wallet.wallet_e8 - self._wallet.wallet_e8
            words.append(f"the wallet moved by {gap_e8 / 1e8:.8f}, which the ledger does not explain")
        return self._monotonic_ns() - min(since), "; ".join(words)

    # within -------------------------------------------------------------------------------------------------------------

    def _lots(self) -> dict[InstrumentId, int]:
        return {position.instrument: position.lots for position in self._truth.positions}

    def _show(self) -> None:
        """What the venue shows: prices, and the stops at which it may close by itself."""
        stops = ((one.instrument, one.stop_loss_ticks) for one in self._truth.positions)
        stops_e8 = {name: ticks * self._truth.records[name].tick_e8 for name, ticks in stops if ticks}
        self._earnings.show(self._questions.prices_e8(), stops_e8)

    def _agree(self, equity_e8: int) -> None:
        book, shown = self._positions, self._shown(equity_e8)
        if book is not None:
            self._earnings.agree(shown, book.lots, book.waiting, self._truth.records, self.data_ns)

    def _shown(self, equity_e8: int) -> Shown:
        wallet, costs_e8 = self._truth.wallet, {one.instrument: one.cost_e8 for one in self._truth.positions}
        assert wallet is not None
        return Shown(
            equity_e8=equity_e8, wallet_e8=wallet.wallet_e8, lots=self._lots(), costs_e8=costs_e8, marks_e8=self._questions.prices_e8()
        )  # fmt: skip

    def _held(self) -> tuple[SeenPosition, ...] | None:
        """What is held in the equity that was agreed on last; None where nothing was."""
        if self._earnings.equity_e8 is None:
            return None
        marks_e8, stops = self._earnings.marks_e8, {one.instrument: one.stop_loss_ticks for one in self._truth.positions}
        return tuple(
            SeenPosition(instrument=name, lots=lots, mark_e8=marks_e8.get(name), stop_ticks=stops.get(name, 0))
            for name, lots in sorted(self._earnings.lots.items())
        )

    async def _explain(self, venue: GuardVenue, book: WalletBook, wallet_e8: int, *, ask_ledger: bool) -> list[LedgerEntry] | None:
        """Rows that lead to this wallet, and words about the positions; asks for what is missing."""
        positions = self._positions
        assert positions is not None
        words, rows = positions.explain(self._lots()), book.explain(wallet_e8)
        if words or rows is None or ask_ledger:
            open_e8 = wallet_e8 if rows is None else None
            await self._questions.ask(
                venue, book, positions, wallet_e8=open_e8, in_doubt=bool(words) or rows is None, anyway=ask_ledger
            )  # fmt: skip
            words, more = positions.explain(self._lots()), book.explain(wallet_e8)
            rows = more if rows is None else [*rows, *(more or [])]
        self._words = words
        if not words:
            self.positions_since_ns = None
        elif self.positions_since_ns is None:
            self.positions_since_ns = self._monotonic_ns()
        return rows

    def _take_rows(self, rows: list[LedgerEntry], equity_e8: int) -> bool:
        """Take rows that explain the wallet; whether there were flows among them."""
        marks = self.marks
        assert marks is not None
        self._earnings.know(entry.fill_id for entry in rows if entry.fill_id)
        for entry in rows:
            if entry.kind is LedgerKind.OTHER:
                self._recorder.page(
                    "LEDGER", f"a ledger row of an unknown kind: {entry.word} {entry.entry_id}, {entry.change_e8 / 1e8:.8f}"
                )
        flows = marks.flows(rows, equity_e8, self._jumps)
        self._jumps.clear()
        for entry in flows:
            self._timeline.flows_e8 += entry.change_e8
            self._recorder.write(
                Flowed(
                    wall_ns=self._wall_ns(), entry_id=entry.entry_id, word=entry.word, change_e8=entry.change_e8,
                    high_water_e8=marks.high_water_e8, day_start_e8=marks.day_start_e8,
                )
            )  # fmt: skip
        return bool(flows)


def was_reset(latch: Latch, baseline: Baseline) -> bool:
    """Whether the process that let go of the brake died between the latch and the baseline that a reset of the high-water mark writes.

    A flow lowers the mark too, and writes its baseline before anything else can move the latch.
    """
    is_newer = baseline.generation is not None and latch.generation > baseline.generation
    return is_newer and 0 < latch.high_water_e8 < baseline.high_water_e8
