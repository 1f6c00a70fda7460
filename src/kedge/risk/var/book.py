"""The book's VaR and ES, kept up on every mark: one P&L per scenario, of which a change touches one column only.

Rules: scenarios are whole days of returns, so dependence is kept; sums are exact integers (see `laws.scenarios`), so the
answer is a function of what the book holds and never of the order in which it came to hold it: a book rebuilt from
closes and positions answers the same to the bit. VaR is the inverse CDF, ES Acerbi and Tasche's, as in `historical`.
An instrument without history has no column: its stated loss is added for its gross notional, as if correlation were one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, to_grid
from kedge.risk.var.book_parts import (
    QUANTA_SPARE,
    SHOCK_BITS,
    Ranks,
    checked_priors,
    checked_sigmas,
    filtered,
    quanta_of,
    shift_for,
    shocks_of,
)
from kedge.risk.var.laws.scenarios import add, rebuild, smallest
from kedge.risk.var.measure import C_ES, C_VAR, Float64Array, Int64Array


class VarBook:
    """Incremental historical-simulation VaR and ES of a book.

    Parameters
    ----------
    instruments : sequence of str
        Names, for the reader; calls take their index.
    returns : float64 array, shape (days, n)
        Simple returns, oldest first. A column that is NaN throughout has no history and needs a prior; any other NaN is refused.
    sigmas : float64 array, shape (days + 1, n), optional
        Daily standard deviations known before each return, the last row for the day to come: each return is rescaled by
        `sigma to come / sigma then` (filtered historical simulation). None: returns as they were.
    priors : sequence of (VaR, ES) or None, optional
        Stated losses of one unit of notional, for columns without history.
    equity_e8 : int
        Money that fractions refer to, in 1e-8; the default of one whole unit makes notionals fractions themselves.
    confidence_var, confidence_es : float

    Raises
    ------
    InvalidInput
        Shapes that do not fit, NaN within a history, a column without history or prior, no rows while a column has history.

    Notes
    -----
    Fractions are inf where equity is not positive and something could be lost. A call costs O(days), a new equity O(1)
    unless its power of two changes. The state is numbers and arrays only, so the book pickles.
    """

    def __init__(
        self,
        instruments: Sequence[str],
        returns: Float64Array,
        *,
        sigmas: Float64Array | None = None,
        priors: Sequence[tuple[float, float] | None] | None = None,
        equity_e8: int = E8,
        confidence_var: float = C_VAR,
        confidence_es: float = C_ES,
    ) -> None:
        self.instruments = tuple(instruments)
        count = len(self.instruments)
        values = np.ascontiguousarray(returns, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != count or count == 0:
            raise InvalidInput(f"returns have shape {values.shape}", why=f"{count} instruments, a column each", fix="pass (days, n)")
        self._z, self._sigmas = filtered(values, sigmas, [n for n in range(count) if not np.isnan(values[:, n]).all()])
        self._priors = checked_priors(self.instruments, values, priors)
        self._bare = [(n, prior) for n, prior in enumerate(self._priors) if prior is not None]
        self._shocks = shocks_of(self._z, self._sigmas)
        self.days = self._shocks.shape[1]
        self._equity_e8 = equity_e8
        self._ranks = Ranks(self.days, confidence_var, confidence_es)
        self._held_e8, self._buys_e8, self._sells_e8 = [0] * count, [0] * count, [0] * count
        self._lots, self._tick_value_e8 = [0] * count, [0] * count
        self._gross_e8 = 0
        self._shift = shift_for(equity_e8)
        self._pnl, self._worst = np.zeros(self.days, np.int64), np.zeros(self.days, np.int64)
        self._quanta = [(0, 0, 0)] * count

    @property
    def equity_e8(self) -> int:
        """Money that fractions refer to, in 1e-8."""
        return self._equity_e8

    def notional_e8(self, index: int) -> int:
        """Signed notional of a position, in 1e-8."""
        return self._held_e8[index]

    def set_equity_e8(self, equity_e8: int) -> None:
        """New equity; notionals stay as they are."""
        self._equity_e8 = equity_e8
        self._settle()

    def set_notional_e8(self, index: int, notional_e8: int) -> None:
        """A position is now worth this, signed, in 1e-8: one column is updated."""
        self.set_column_e8(index, notional_e8, self._buys_e8[index], self._sells_e8[index])

    def set_notional(self, index: int, notional_frac: float) -> None:
        """The same, as a signed fraction of equity as it is now."""
        self.set_notional_e8(index, self._money_e8(notional_frac))

    def set_position(self, index: int, lots: int, mark_ticks: int, tick_value_e8: int) -> None:
        """A position of signed lots at a mark; `tick_value_e8` is what one lot gains by one tick."""
        self._lots[index], self._tick_value_e8[index] = lots, tick_value_e8
        self.set_notional_e8(index, lots * mark_ticks * tick_value_e8)

    def set_mark(self, index: int, mark_ticks: int) -> None:
        """The mark of a position told by `set_position` has moved."""
        self.set_notional_e8(index, self._lots[index] * mark_ticks * self._tick_value_e8[index])

    def set_open_e8(self, index: int, buy_e8: int, sell_e8: int) -> None:
        """Open and unacknowledged orders of an instrument, as notionals of at least 0: `worst` and `worst_after_e8` count them."""
        self.set_column_e8(index, self._held_e8[index], buy_e8, sell_e8)

    def set_column_e8(self, index: int, notional_e8: int, buy_e8: int, sell_e8: int) -> None:
        """`set_notional_e8` and `set_open_e8` at once."""
        if buy_e8 < 0 or sell_e8 < 0:
            raise InvalidInput(f"open orders of {buy_e8} and {sell_e8}", why="notionals of a side are not negative", fix="pass sizes")
        held, buys, sells = self._held_e8[index], self._buys_e8[index], self._sells_e8[index]
        self._held_e8[index], self._buys_e8[index], self._sells_e8[index] = notional_e8, buy_e8, sell_e8
        self._gross_e8 += abs(notional_e8) + buy_e8 + sell_e8 - abs(held) - buys - sells
        if self._settle() or self._priors[index] is not None:
            return
        shift, before = self._shift, self._quanta[index]
        now = self._quanta[index] = (quanta_of(notional_e8, shift), quanta_of(buy_e8, shift), quanta_of(sell_e8, shift))
        if now != before:
            add(self._shocks, index, now[0] - before[0], now[1] - before[1], now[2] - before[2], self._pnl, self._worst)

    def var_es(self) -> tuple[float, float]:
        """VaR and ES of the positions, as positive fractions of equity."""
        return self._answer(self._pnl, 0, 0, 0, 0, worst=False)

    def worst(self) -> tuple[float, float]:
        """The same, if every open order fills in just those scenarios in which it hurts: never below any way they may fill."""
        return self._answer(self._worst, 0, 0, 0, 0, worst=True)

    def after_e8(self, index: int, delta_e8: int) -> tuple[float, float]:
        """`var_es` if the position of `index` grew by `delta_e8` (signed); the book stays as it is."""
        return self._answer(self._pnl, index, delta_e8, 0, 0, worst=False)

    def after(self, index: int, delta_frac: float) -> tuple[float, float]:
        """`after_e8` for a signed fraction of equity."""
        return self.after_e8(index, self._money_e8(delta_frac))

    def worst_after_e8(self, index: int, delta_e8: int) -> tuple[float, float]:
        """`worst` if one more order of signed notional `delta_e8` were open; the book stays as it is."""
        if delta_e8 < 0:
            return self._answer(self._worst, index, 0, 0, -delta_e8, worst=True)
        return self._answer(self._worst, index, 0, delta_e8, 0, worst=True)

    def rescale(self, sigmas_next: Sequence[float]) -> None:
        """New standard deviations for the day to come, one per instrument; only for a book that was given `sigmas`.

        Raises
        ------
        InvalidInput
            The book is unfiltered, or a sigma of a column with history is not a positive number.
        """
        if self._sigmas is None:
            raise InvalidInput("the book holds unfiltered returns", why="they have no sigma", fix="build it with sigmas")
        self._sigmas = checked_sigmas(np.asarray(sigmas_next, dtype=np.float64), self._priors)
        self._shocks = shocks_of(self._z, self._sigmas)
        self._rebuild()

    def renewed(
        self,
        returns: Float64Array,
        *,
        sigmas: Float64Array | None = None,
        priors: Sequence[tuple[float, float] | None] | None = None,
    ) -> VarBook:
        """A book of the same positions, orders and equity over another history of the same instruments."""
        book = VarBook(self.instruments, returns, sigmas=sigmas, priors=priors, equity_e8=self._equity_e8)
        book._ranks = Ranks(book.days, self._ranks.confidence_var, self._ranks.confidence_es)
        book._held_e8, book._buys_e8, book._sells_e8 = list(self._held_e8), list(self._buys_e8), list(self._sells_e8)
        book._lots, book._tick_value_e8 = list(self._lots), list(self._tick_value_e8)
        book._gross_e8 = self._gross_e8
        book._shift = shift_for(max(book._equity_e8, book._gross_e8))
        book._rebuild()
        return book

    def _money_e8(self, frac: float) -> int:
        return to_grid(frac * self._equity_e8, 1)

    def _settle(self) -> bool:
        """Choose the quantum anew; True where that made the sums anew."""
        shift = shift_for(max(self._equity_e8, self._gross_e8))
        if shift == self._shift:
            return False
        self._shift = shift
        self._rebuild()
        return True

    def _rebuild(self) -> None:
        self._quanta = self._all_quanta(self._shift)
        held, buys, sells = _columns(self._quanta)
        rebuild(self._shocks, held, buys, sells, self._pnl, self._worst)

    def _all_quanta(self, shift: int) -> list[tuple[int, int, int]]:
        """Position, open buys and open sells of each column; nothing of one that states its loss."""
        columns = zip(self._held_e8, self._buys_e8, self._sells_e8, self._priors, strict=True)
        return [
            (0, 0, 0) if prior else (quanta_of(held, shift), quanta_of(buys, shift), quanta_of(sells, shift))
            for held, buys, sells, prior in columns
        ]

    def _answer(self, sums: Int64Array, index: int, change_e8: int, buy_e8: int, sell_e8: int, *, worst: bool) -> tuple[float, float]:
        shift, ranks, change, buy, sell = self._shift, self._ranks, 0, 0, 0
        more_e8 = abs(change_e8) + buy_e8 + sell_e8
        if more_e8 and self._priors[index] is None:
            needed = shift_for(self._gross_e8 + more_e8) - QUANTA_SPARE
            if needed > shift:
                shift, sums = needed, self._sums_at(needed, worst)
            change, buy, sell = quanta_of(change_e8, shift), quanta_of(buy_e8, shift), quanta_of(sell_e8, shift)
        smallest(sums, self._shocks, index, change, buy, sell, ranks.near, ranks.tail)
        var, es = ranks.losses()
        var_e8, es_e8 = math.ldexp(var, shift - SHOCK_BITS), math.ldexp(es, shift - SHOCK_BITS)
        if self._bare:
            stated_var, stated_es = self._stated(index, change_e8, buy_e8, sell_e8, worst)
            var_e8, es_e8 = var_e8 + stated_var, es_e8 + stated_es
        if self._equity_e8 > 0:
            return var_e8 / self._equity_e8, es_e8 / self._equity_e8
        return math.inf if var_e8 else 0.0, math.inf if es_e8 else 0.0

    def _sums_at(self, shift: int, worst: bool) -> Int64Array:
        """The sums in coarser quanta, for an order many times as large as the book."""
        pnl, with_open = np.zeros(self.days, np.int64), np.zeros(self.days, np.int64)
        held, buys, sells = _columns(self._all_quanta(shift))
        rebuild(self._shocks, held, buys, sells, pnl, with_open)
        return with_open if worst else pnl

    def _stated(self, index: int, change_e8: int, buy_e8: int, sell_e8: int, worst: bool) -> tuple[float, float]:
        """Money lost by columns without history: each against us, whatever the others do."""
        var = es = 0.0
        for n, prior in self._bare:
            held, here = self._held_e8[n], n == index
            buy = sell = held + (change_e8 if here else 0)
            if worst:
                buy += self._buys_e8[n] + (buy_e8 if here else 0)
                sell -= self._sells_e8[n] + (sell_e8 if here else 0)
            exposed = max(abs(buy), abs(sell))
            var += exposed * prior[0]
            es += exposed * prior[1]
        return var, es


def _columns(quanta: list[tuple[int, int, int]]) -> Int64Array:
    """A row each of positions, buys and sells."""
    return np.ascontiguousarray(np.array(quanta, np.int64).T)
