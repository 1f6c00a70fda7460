"""The guard's VaR: the house's chain of methods over the venue's own daily closes, worked out anew with every reading.

Rules: the incremental book that the trader's gate uses, over the same history; an instrument without history stands at a stated loss; what
cannot be worked out is None, and said. Fits that take long are not made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import numpy as np

from kedge.domain.errors import KedgeError
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import E8, NS_PER_DAY
from kedge.domain.venue import DailyCloses
from kedge.risk.var.backtests import Colour
from kedge.risk.var.book import VarBook
from kedge.risk.var.choice import Choice, ChoiceSettings, chosen_book
from kedge.risk.var.history import aligned_returns
from kedge.risk.var.measure import Float64Array

FRAC_MAX_E8: Final = 1_000 * E8
"""What stands for a fraction that is not finite."""

Colours = Callable[[], Mapping[str, Colour]]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement, as fractions of equity in 1e-8, rounded up."""

    var99_e8: int
    es975_e8: int
    method: str
    flags: tuple[str, ...] = ()


class RiskNumbers:
    """Keeps one book over the instruments that have been seen.

    Parameters
    ----------
    prior_sigma_e8 : int
        Stated daily volatility where there is no history, in 1e-8.
    days : int
        Days of history at most.
    colours : callable, optional
        Backtest colours by method; a red method is left.
    """

    def __init__(self, prior_sigma_e8: int, days: int, colours: Colours | None = None) -> None:
        self._prior_e8, self._days = prior_sigma_e8, days
        self._colours: Colours = colours or dict
        self._closes: dict[InstrumentId, DailyCloses] = {}
        self._book: VarBook | None = None
        self._choice: Choice | None = None
        self._sigmas_e8: dict[InstrumentId, int] = {}
        self._last: tuple[Mapping[InstrumentId, int], int, Figures] | None = None

    def take(self, closes: DailyCloses) -> None:
        """The history of one instrument; where it is another one, the book is made anew when it is next asked."""
        if self._closes.get(closes.instrument) == closes:
            return
        self._closes[closes.instrument] = closes
        self._book = self._last = None

    def last_day_ns(self, instrument: InstrumentId) -> int | None:
        """The end of the newest day that is known; None where no history of it was taken."""
        found = self._closes.get(instrument)
        return None if found is None else found.last_day_ts_ns

    def sigma_e8(self, instrument: InstrumentId) -> int:
        """Daily volatility to come; the stated one where too little is known."""
        try:
            self._made()
        except KedgeError:  # `measure` says what it is; what else is judged must not wait for it
            return self._prior_e8
        return self._sigmas_e8.get(instrument, self._prior_e8)

    def measure(self, notionals_e8: Mapping[InstrumentId, int], equity_e8: int) -> Figures:
        """VaR and ES of positions given by signed notional, as fractions of equity; what has not moved is not worked out again."""
        if self._last is not None and self._last[1] == equity_e8 and self._last[0] == notionals_e8:
            return self._last[2]
        for name in notionals_e8:
            if name not in self._closes:  # nothing was learnt of it yet: it stands at the stated loss
                self.take(DailyCloses(instrument=name, last_day_ts_ns=0, closes_ticks=()))
        if not any(notionals_e8.values()):
            return Figures(var99_e8=0, es975_e8=0, method="flat")
        book, choice = self._made()
        assert book is not None
        assert choice is not None
        book.set_equity_e8(equity_e8)
        for index, name in enumerate(book.instruments):
            book.set_notional_e8(index, notionals_e8.get(name, 0))
        var, es = book.var_es()
        found = Figures(var99_e8=_rounded_e8(var), es975_e8=_rounded_e8(es), method=choice.method, flags=choice.flags)
        self._last = (dict(notionals_e8), equity_e8, found)
        return found

    def _made(self) -> tuple[VarBook | None, Choice | None]:
        if self._book is None and self._closes:
            names = sorted(self._closes)
            series = [_series(self._closes[name]) for name in names]
            settings = ChoiceSettings(prior_sigma_frac=self._prior_e8 / E8)
            history = aligned_returns(series, days=self._days)
            self._book, self._choice = self._usable(names, history, settings)
            sigmas = self._choice.sigmas
            to_come = {} if sigmas is None else dict(zip(self._choice.known, sigmas[-1].tolist(), strict=True))
            self._sigmas_e8 = {names[n]: _rounded_e8(sigma) for n, sigma in to_come.items()}
        return self._book, self._choice

    def _usable(self, names: list[InstrumentId], history: Float64Array, settings: ChoiceSettings) -> tuple[VarBook, Choice]:
        """The book of what can be used: a history that no book takes, such as one with a decimal shift, counts as none."""
        colours, left = self._colours(), []
        while True:
            try:
                book, choice = chosen_book(names, history, colours=colours, settings=settings)
            except KedgeError:
                moves = np.where(np.isnan(history), -1.0, np.abs(history))
                if not moves.size or moves.max() < 0.0:
                    raise
                worst = int(moves.max(axis=0).argmax())
                history[:, worst] = np.nan
                left.append(f"history_left:{names[worst]}")
            else:
                return book, msgspec.structs.replace(choice, flags=(*choice.flags, *left))


def _series(closes: DailyCloses) -> tuple[int, tuple[int, ...]]:
    """As `aligned_returns` takes one: by the start of the last day."""
    return (closes.last_day_ts_ns - NS_PER_DAY if closes.closes_ticks else 0, closes.closes_ticks)


def _rounded_e8(frac: float) -> int:
    """The crossing from statistics to whole numbers: never less than it was."""
    return min(FRAC_MAX_E8, math.ceil(frac * E8)) if math.isfinite(frac) else FRAC_MAX_E8
