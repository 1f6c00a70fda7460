"""The rolling record of daily forecasts against what came: a pure fold, and what it says of each method.

Rules: a forecast is kept before its day begins and judged once by the day's P&L of the portfolio as it stood when it was
made, as a fraction of equity then; ints and text only are kept, in 1e-8; a day is judged once, days only go forward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, to_float, to_grid
from kedge.risk.var.backtests import (
    AcerbiSzekely,
    Christoffersen,
    Colour,
    Kupiec,
    TrafficLight,
    acerbi_szekely,
    christoffersen,
    kupiec,
    traffic_light,
)
from kedge.risk.var.measure import C_ES, C_VAR, VarEs, alpha_of

WINDOW_DAYS: Final = 250
LEAST_DAYS: Final = 20
"""Below it a colour is UNKNOWN."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one method.

    Attributes
    ----------
    day : int
        UTC days since 1970 of the day on which the P&L came.
    method : str
    var_e8, es_e8 : int
        Forecast losses as fractions of equity in 1e-8, positive; VaR at 99 %, ES at 97.5 % unless the record says otherwise.
    es_var_e8 : int
        VaR at the confidence of the ES, which its own backtest needs.
    realised_e8 : int
        The day's P&L of the frozen portfolio as a fraction of equity in 1e-8, negative for a loss.
    """

    day: int
    method: str
    var_e8: int
    es_e8: int
    es_var_e8: int
    realised_e8: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the last `days` say of a method; a test that cannot be made is None."""

    method: str
    days: int
    first_day: int
    last_day: int
    exceptions: int
    light: TrafficLight
    kupiec: Kupiec
    christoffersen: Christoffersen | None
    acerbi_szekely: AcerbiSzekely | None
    colour: Colour


def judged(day: int, forecast: VarEs, realised_frac: float) -> Judged:
    """A row of the record: the crossing from statistics (fractions, float64) to what is kept (1e-8)."""
    return Judged(
        day=day,
        method=forecast.method,
        var_e8=to_grid(forecast.var_frac, E8),
        es_e8=to_grid(forecast.es_frac, E8),
        es_var_e8=to_grid(forecast.var_at_es_frac, E8),
        realised_e8=to_grid(realised_frac, E8),
    )


class BacktestRecord:
    """Rolling rows of each method, the newest `window` days.

    Parameters
    ----------
    rows : iterable of Judged
        What was kept before, oldest first.
    window : int
        Days that the colour looks at.
    confidence_var, confidence_es : float
        Those of the forecasts kept.
    """

    def __init__(
        self, rows: Iterable[Judged] = (), *, window: int = WINDOW_DAYS, confidence_var: float = C_VAR, confidence_es: float = C_ES
    ) -> None:
        if window < LEAST_DAYS:
            raise InvalidInput(f"window is {window}", why=f"at least {LEAST_DAYS} days make a colour", fix="pass 250")
        self.window = window
        self.p_var, self.p_es = float(alpha_of(confidence_var)), float(alpha_of(confidence_es))
        self._rows: dict[str, deque[Judged]] = {}
        for row in rows:
            self.add(row)

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that have rows, in the order they came."""
        return tuple(self._rows)

    def add(self, row: Judged) -> None:
        """Keep one judged day.

        Raises
        ------
        InvalidInput
            The day is not after the last one kept for this method.
        """
        kept = self._rows.setdefault(row.method, deque(maxlen=self.window))
        if kept and row.day <= kept[-1].day:
            raise InvalidInput(f"{row.method}: day {row.day}", why=f"day {kept[-1].day} is kept already", fix="judge a day once")
        kept.append(row)

    def rows(self, method: str) -> tuple[Judged, ...]:
        """The rows kept for a method, oldest first; none where it has none."""
        return tuple(self._rows.get(method, ()))

    def colour(self, method: str) -> Colour:
        """Traffic light over at most `window` days; UNKNOWN below 20 days."""
        kept = self._rows.get(method, ())
        if len(kept) < LEAST_DAYS:
            return Colour.UNKNOWN
        return traffic_light(len(kept), sum(_exceeds(row) for row in kept), self.p_var).colour

    def colours(self) -> Mapping[str, Colour]:
        """The colour of every method that has rows."""
        return {method: self.colour(method) for method in self._rows}

    def standing(self, method: str) -> Standing | None:
        """All tests over the rows kept; None where there are none."""
        kept = self.rows(method)
        if not kept:
            return None
        hits = [_exceeds(row) for row in kept]
        light = traffic_light(len(kept), sum(hits), self.p_var)
        return Standing(
            method=method,
            days=len(kept),
            first_day=kept[0].day,
            last_day=kept[-1].day,
            exceptions=sum(hits),
            light=light,
            kupiec=kupiec(len(kept), sum(hits), self.p_var),
            christoffersen=christoffersen(hits, self.p_var) if len(kept) > 1 else None,
            acerbi_szekely=self._acerbi_szekely(kept),
            colour=self.colour(method),
        )

    def _acerbi_szekely(self, kept: tuple[Judged, ...]) -> AcerbiSzekely | None:
        at_risk = [row for row in kept if row.es_e8 > 0]
        if not at_risk:
            return None
        realised, var, es = (
            [to_float(value, 1 / E8) for value in column]
            for column in zip(*((row.realised_e8, row.es_var_e8, row.es_e8) for row in at_risk), strict=True)
        )
        return acerbi_szekely(realised, var, es, self.p_es)


def _exceeds(row: Judged) -> bool:
    return row.realised_e8 < -row.var_e8
