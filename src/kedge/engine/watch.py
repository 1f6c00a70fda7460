"""Soft levels: people are told once when a measure crosses one, and again when it is well below.

Rules: measures of the account are judged at bars, those of an order when it is sent. What takes the whole book (margin, VaR and ES) is
judged four times a day, and whenever an order is sent. An alert is over when its measure is a twentieth below the level, so that one which
hovers is not told of all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kedge.domain.outputs import AlertRaised, Output
from kedge.domain.units import E8
from kedge.engine.book_after import BookOfEngine
from kedge.engine.book_times import is_book_time
from kedge.engine.fold_rules import OVER, SOFT, alert_name
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, EQUITY, GROSS
from kedge.risk.gate_facts import Crossing
from kedge.risk.gate_rules import OF_ONE_ORDER
from kedge.risk.margin_after import maintenance_e8
from kedge.risk.states import percent

CALM_E2: Final = 95
"""Per cent of a level below which an alert is over."""


class Watch:
    """Says which soft levels are crossed.

    Parameters
    ----------
    emit : callable
        Takes an output; it is absorbed before the call returns.
    interval_ns : int
        Length of a bar.
    """

    def __init__(self, state: EngineState, book: BookOfEngine, emit: Callable[[Output], None], interval_ns: int) -> None:
        self._state, self._book, self._emit = state, book, emit
        self._account = state.account_view
        self._interval_ns = interval_ns

    def bar(self, slot: Slot) -> None:
        """Judge the account after a bar of this instrument."""
        limits, account = self._state.limits, self._account
        self._level("DRAWDOWN", account[DRAWDOWN_E8], limits.drawdown_soft_e8)
        self._level("DAILY_LOSS", account[DAY_LOSS_E8], limits.daily_loss_soft_e8)
        equity = account[EQUITY]
        if equity <= 0:
            return
        if limits.gross_leverage_soft_e8:
            self._level("GROSS_EXPOSURE", account[GROSS] * E8 // equity, limits.gross_leverage_soft_e8)
        if limits.position_notional_frac_soft_e8:
            held = abs(slot.spec.notional_e8(int(self._state.marks[slot.index]), slot.position_lots))
            self._level("POSITION_NOTIONAL", held * E8 // equity, limits.position_notional_frac_soft_e8, slot.instrument)
        if slot.index == 0 and is_book_time(slot.ts_ns, self._interval_ns):
            if limits.margin_ratio_soft_e8:
                self._level("MARGIN_RATIO", self._maintenance_e8() * E8 // equity, limits.margin_ratio_soft_e8)
            if limits.var99_soft_e8 or limits.es975_soft_e8:
                self._tail(limits.var99_soft_e8, limits.es975_soft_e8)

    def order(self, crossed: Sequence[Crossing], instrument: str) -> None:
        """Tell of the soft levels that an order which goes takes measures above, and end those of single orders that it does not."""
        names = {one.code for one in crossed}
        for one in crossed:
            self._raise(one.code, one.observed, one.limit, instrument if one.code in _OF_INSTRUMENT else "")
        if self._state.alerts:
            for code in OF_ONE_ORDER - names:
                self._end(code, "an order within it", "", instrument)

    def _tail(self, var_soft_e8: int, es_soft_e8: int) -> None:
        found = self._book.held() if self._account[GROSS] else None
        self._level("VAR99", found.var99_e8 if found is not None else 0, var_soft_e8)
        self._level("ES975", found.es975_e8 if found is not None else 0, es_soft_e8)

    def _maintenance_e8(self) -> int:
        marks = self._state.marks
        held = ((slot.spec, slot.spec.notional_e8(int(marks[slot.index]), abs(slot.position_lots))) for slot in self._state.by_index)
        return sum(maintenance_e8(spec, notional) for spec, notional in held if notional)

    def _level(self, code: str, observed_e8: int, soft_e8: int, instrument: str = "") -> None:
        if soft_e8 and observed_e8 > soft_e8:
            self._raise(code, percent(observed_e8), percent(soft_e8), instrument)
        elif self._state.alerts and observed_e8 * 100 < soft_e8 * CALM_E2:
            self._end(code, percent(observed_e8), percent(soft_e8), instrument)

    def _raise(self, code: str, observed: str, limit: str, instrument: str) -> None:
        if alert_name(code, instrument) not in self._state.alerts:
            self._emit(AlertRaised(code=code, severity=SOFT, observed=observed, limit=limit, instrument=instrument))

    def _end(self, code: str, observed: str, limit: str, instrument: str) -> None:
        if alert_name(code, instrument) in self._state.alerts:
            self._emit(AlertRaised(code=code, severity=OVER, observed=observed, limit=limit, instrument=instrument))


_OF_INSTRUMENT: Final = OF_ONE_ORDER | {"POSITION_NOTIONAL"}
