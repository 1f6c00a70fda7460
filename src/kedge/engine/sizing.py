"""From what a strategy asks for to what the caps allow, and which of them bound it.

Rules: a target is cut when it is decided, and not again while it stays: a larger allowance is used by the next decision only, and a smaller
one when what is held and wanted exceeds it by more than `RESIZE_BAND_E2` per cent. Less of what is wanted already, and nothing at all, is
never held up. Everything follows from the folded state, so whoever folds a journal sizes as it was sized.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from kedge.domain.units import E8
from kedge.engine.book_after import Histories
from kedge.engine.book_times import is_book_time
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot, has_given_up
from kedge.engine.vetoes import is_too_small
from kedge.kernel.account import EQUITY, GROSS
from kedge.risk.gate_account import UNKNOWN
from kedge.risk.sizing import target_lots
from kedge.risk.sizing_caps import Cap, Wanted, size
from kedge.risk.sizing_policy import RESIZE_BAND_E2, SizingPolicy
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_trade_risk import notional_frac
from kedge.risk.states import percent
from kedge.risk.var.book import VarBook

OK: Final = "OK"
RESIZED: Final = "RESIZED"
"""Reason of a decision that cuts what is wanted back to its cap."""
SIZE_CAPPED: Final = "SIZE_CAPPED"
"""Code of a target of which a cap leaves less than the venue's smallest order."""
ES_UNKNOWN: Final = "ES_UNKNOWN"
ES_SPENT: Final = "ES_SPENT"
ES_NOT_POSITIVE: Final = "ES_NOT_POSITIVE"
NO_STOP: Final = "NO_STOP"
SIZING_CODES: Final = frozenset({SIZE_CAPPED, ES_UNKNOWN, ES_SPENT, ES_NOT_POSITIVE, NO_STOP})
"""Vetoes of sizing: the position stays as it is."""


class Capped(NamedTuple):
    """What becomes of a wish.

    Attributes
    ----------
    exposure_e8 : int
        Signed; what the caps leave of it, and the wish itself where `code` is not 'OK'.
    bound_by : str
        The cap ('signal' where none cut it); '' where none was asked.
    code, observed, limit : str
        Why it is not sized. A wish that turns a position round and is refused comes out as 0 and 'OK': the old side is closed all the same.
    """

    exposure_e8: int
    bound_by: str = ""
    code: str = OK
    observed: str = ""
    limit: str = ""


class Cut(NamedTuple):
    """A position that has come to exceed its cap, and the target that it may have."""

    slot: Slot
    lots: int
    allowed_e8: int
    bound_by: str
    observed: str
    limit: str


class PlannedBook:
    """Expected shortfall of what the decisions in force want, or of what is held of it."""

    def __init__(self, state: EngineState, histories: Histories, attempts_max: int) -> None:
        self._state, self._histories, self._attempts_max = state, histories, attempts_max
        self._book: VarBook | None = None
        self._units: list[tuple[float, float]] = []
        self._version = -1
        self._told = [0] * len(state.by_index)

    def unit_es(self, slot: Slot, *, is_long: bool) -> float:
        """ES of a position in this instrument alone, 97.5 %, one day, per unit of notional."""
        self._renewed()
        return self._units[slot.index][not is_long]

    def es_without(self, slot: Slot) -> float:
        """ES of all else that is wanted, as a fraction of equity; infinite without equity.

        An instrument whose decision has been given up counts as what it holds.
        """
        book = self._synced([self.wanted_lots(one) for one in self._state.by_index])
        return book.after_e8(slot.index, -self._told[slot.index])[1]

    def es_kept(self) -> float:
        """ES of what is held and wanted, as a fraction of equity."""
        return self._synced([self.kept_lots(one) for one in self._state.by_index]).var_es()[1]

    def wanted_lots(self, slot: Slot) -> int:
        """What the decision in force wants, signed; what is held where it has been given up."""
        return slot.position_lots if has_given_up(slot, self._attempts_max) else slot.target_lots

    def kept_lots(self, slot: Slot) -> int:
        """The part of a position that is wanted still, signed; all of it where the decision to have less of it has been given up."""
        kept = kept_lots(slot)
        return slot.position_lots if kept and has_given_up(slot, self._attempts_max) else kept

    def _synced(self, lots: list[int]) -> VarBook:
        book, marks = self._renewed(), self._state.marks
        for index, slot in enumerate(self._state.by_index):
            notional_e8 = lots[index] * int(marks[index]) * slot.spec.tick_value_e8
            if notional_e8 != self._told[index]:
                book.set_notional_e8(index, notional_e8)
                self._told[index] = notional_e8
        equity_e8 = self._state.account_view[EQUITY]
        if book.equity_e8 != equity_e8:
            book.set_equity_e8(equity_e8)
        return book

    def _renewed(self) -> VarBook:
        version = self._histories.renew()
        if self._book is None or version != self._version:
            book, _ = self._histories.book()
            count = len(self._told)
            self._units = [(book.after_e8(index, E8)[1], book.after_e8(index, -E8)[1]) for index in range(count)]
            self._book, self._version, self._told = book, version, [0] * count
        return self._book


class Sizer:
    """The caps of one engine at work."""

    def __init__(self, state: EngineState, histories: Histories, policy: SizingPolicy, settings: EngineSettings) -> None:
        self._state, self._policy, self._caps = state, policy, policy.caps()
        self._book = PlannedBook(state, histories, settings.attempts_max)
        self._interval_ns = settings.interval_ns

    def cap(self, slot: Slot, exposure_e8: int) -> Capped:
        """What becomes of a wish; the instrument has a mark, the account has equity."""
        if not exposure_e8:
            return Capped(0)
        unit, others = self._book.unit_es(slot, is_long=exposure_e8 > 0), self._book.es_without(slot)
        if not (math.isfinite(unit) and math.isfinite(others)):
            return self._refused(slot, exposure_e8, Cap.BOOK_ES, ES_UNKNOWN, UNKNOWN, percent(self._policy.book_es_975_frac_e8))
        stop, gap, cost = self._policy.lost_fracs(slot.spec.taker_fee_e8)
        answer = size(Wanted(exposure_e8 / E8, stop, gap, cost, unit, max(0.0, others)), self._caps)
        if isinstance(answer, SizingRefused):
            cap = Cap.TRADE_RISK if answer.code == NO_STOP else Cap.BOOK_ES
            told, limit = percent(towards_zero_e8(answer.observed)), percent(towards_zero_e8(answer.limit))
            return self._refused(slot, exposure_e8, cap, answer.code, told, limit)
        if answer.bound_by is Cap.SIGNAL:
            return Capped(exposure_e8, Cap.SIGNAL)
        allowed_e8 = towards_zero_e8(answer.notional_frac)
        lots = abs(self._lots(slot, allowed_e8))
        mark, asked = int(self._state.marks[slot.index]), abs(self._lots(slot, exposure_e8))
        if is_too_small(slot.spec, lots, mark) and not is_too_small(slot.spec, asked, mark):
            left = f"{lots} lots by {answer.bound_by}"
            return self._refused(slot, exposure_e8, answer.bound_by, SIZE_CAPPED, left, f"{slot.spec.order_qty_min_lots} lots")
        return Capped(allowed_e8, answer.bound_by)

    def too_large(self, slot: Slot) -> Iterator[Cut]:
        """Positions that have come to exceed their caps by more than the band, after a bar of this instrument, one after the other."""
        account = self._state.account_view
        if account[EQUITY] <= 0 or not account[GROSS]:
            return
        is_due = is_book_time(slot.ts_ns, self._interval_ns)
        kept = self._book.kept_lots(slot) if is_due else kept_lots(slot)  # what was given up is tried again, but not at every bar
        if kept:
            yield from self._alone(slot, kept, account[EQUITY])
        if is_due:
            yield from self._together()

    def _alone(self, slot: Slot, kept: int, equity_e8: int) -> Iterator[Cut]:
        """A position whose own loss at the stop, or leverage, has come to be too much."""
        by_stop = notional_frac(*self._policy.lost_fracs(slot.spec.taker_fee_e8), self._caps.trade_risk_frac)
        if isinstance(by_stop, SizingRefused):
            return
        mark = int(self._state.marks[slot.index])
        rows = ((Cap.TRADE_RISK, towards_zero_e8(by_stop)), (Cap.LEVERAGE, self._policy.leverage_max_e8))
        bound_by, most_e8 = min(rows, key=lambda row: row[1])
        held_e8 = slot.spec.notional_e8(mark, abs(kept)) * E8 // equity_e8
        if held_e8 * 100 > most_e8 * (100 + RESIZE_BAND_E2):
            yield self._cut(slot, self._lots(slot, most_e8), bound_by, percent(held_e8), percent(most_e8))

    def _together(self) -> Iterator[Cut]:
        """Every position, in the same proportion, where the book's expected shortfall has come to be too much."""
        es, most = self._book.es_kept(), self._caps.book_es_975_frac
        if not math.isfinite(es) or es * 100 <= most * (100 + RESIZE_BAND_E2):
            return
        left_e8 = towards_zero_e8(most / es)
        told, limit = percent(towards_zero_e8(es)), percent(self._policy.book_es_975_frac_e8)
        for one in self._state.by_index:
            kept = self._book.kept_lots(one)
            if kept:
                yield self._cut(one, abs(kept) * left_e8 // E8, Cap.BOOK_ES, told, limit)

    def _cut(self, slot: Slot, most_lots: int, bound_by: Cap, observed: str, limit: str) -> Cut:
        """Never more than what is wanted already."""
        lots, side = min(most_lots, abs(slot.target_lots)), 1 if slot.target_lots > 0 else -1
        notional_e8 = slot.spec.notional_e8(int(self._state.marks[slot.index]), lots)
        allowed_e8 = notional_e8 * E8 // self._state.account_view[EQUITY]
        return Cut(slot, side * lots, side * allowed_e8, bound_by, observed, limit)

    def _refused(self, slot: Slot, exposure_e8: int, cap: Cap, code: str, observed: str, limit: str) -> Capped:
        """The position stays as it is, but for what a wish takes off it."""
        lots, before = self._lots(slot, exposure_e8), self._book.wanted_lots(slot)
        if before and (exposure_e8 > 0) != (before > 0):
            return Capped(0, cap, OK, f"{code} {observed}", limit)
        if abs(lots) <= abs(before):
            return Capped(exposure_e8, Cap.SIGNAL)
        return Capped(exposure_e8, cap, code, observed, limit)

    def _lots(self, slot: Slot, exposure_e8: int) -> int:
        equity_e8 = self._state.account_view[EQUITY]
        return target_lots(exposure_e8, equity_e8, int(self._state.marks[slot.index]), slot.spec.tick_value_e8)


def kept_lots(slot: Slot) -> int:
    """The part of a position that the decision in force wants to keep, signed."""
    held, wanted = slot.position_lots, slot.target_lots
    if held > 0 and wanted > 0:
        return min(held, wanted)
    return max(held, wanted) if held < 0 and wanted < 0 else 0


def towards_zero_e8(frac: float) -> int:
    """A fraction of the statistics as an integer in 1e-8, rounded towards zero: the one way from what was estimated into a size."""
    return math.trunc(frac * E8)
