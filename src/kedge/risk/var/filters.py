"""Filters of variance: what was known of tomorrow's variance at each close. No entry sees the return it is for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.laws.filters import garch_variances
from kedge.risk.var.measure import VARIANCE_FLOOR, Float64Array, checked_number, checked_returns

DECAY: Final = 0.94
"""RiskMetrics' for daily returns."""
FIRST_ROWS: Final = 20
"""The first variance is the mean of this many first squares."""
BREAK_5PCT: Final = 1.358
"""95 % of the largest |Brownian bridge|."""


def ewma_variance(returns: Sequence[float] | Float64Array, decay: float = DECAY, *, first: float | None = None) -> Float64Array:
    """`s2[t+1] = L s2[t] + (1 - L) r[t]^2`, shape (n + 1,): entry t is known before return t, the last is for the day to come.

    Parameters
    ----------
    decay : float
        L, strictly between 0 and 1.
    first : float, optional
        The variance before the first return; None: the mean of the first 20 squares, so that the first 20 entries know their own
        sample: backtests begin after them.
    """
    values = checked_returns(returns)
    if not 0.0 < decay < 1.0:
        raise InvalidInput(f"decay is {decay!r}", why="a decay lies between 0 and 1", fix="pass one such as 0.94")
    start = float(np.square(values[:FIRST_ROWS]).mean()) if first is None else checked_number(first, "first", least=0.0)
    return _filtered(values, 0.0, 1.0 - decay, decay, start)


def ewma_sigma(returns: Sequence[float] | Float64Array, decay: float = DECAY, *, first: float | None = None) -> Float64Array:
    """The standard deviations of `ewma_variance`, shape (n + 1,); `[-1]` is the forecast."""
    return np.sqrt(ewma_variance(returns, decay, first=first))


def garch_filter(
    returns: Sequence[float] | Float64Array, omega: float, alpha: float, beta: float, *, first: float | None = None
) -> Float64Array:
    """GARCH(1,1) variances (Bollerslev 1986), shape (n + 1,): entry t is known before return t, the last is for the day to come.

    `first` None: `omega + (alpha + beta) * mean square`. A parameter that is negative or not finite raises `InvalidInput`;
    `alpha + beta >= 1` filters, though it has no long run.
    """
    values = checked_returns(returns)
    for name, value in (("omega", omega), ("alpha", alpha), ("beta", beta)):
        checked_number(value, name, least=0.0)
    start = omega + (alpha + beta) * float(np.square(values).mean()) if first is None else checked_number(first, "first", least=0.0)
    return _filtered(values, omega, alpha, beta, start)


def long_run_variance(omega: float, alpha: float, beta: float) -> float:
    """`omega / (1 - alpha - beta)`; `InvalidInput` where there is none."""
    _check_persistence(alpha, beta)
    return omega / (1.0 - alpha - beta)


def half_life_days(alpha: float, beta: float) -> float:
    """Days after which half of a shock to variance is gone: `ln 0.5 / ln(alpha + beta)`."""
    _check_persistence(alpha, beta)
    return math.log(0.5) / math.log(alpha + beta)


def garch_forecast(next_variance: float, omega: float, alpha: float, beta: float, days: int) -> Float64Array:
    """Variances of the next 1 to `days` days, shape (days,); a horizon's variance is their sum."""
    level = long_run_variance(omega, alpha, beta)
    checked_number(next_variance, "next_variance", above=0.0)
    if days < 1:
        raise InvalidInput(f"days is {days}", why="a horizon has a day", fix="pass 1 or more")
    ahead: Float64Array = level + np.power(alpha + beta, np.arange(days, dtype=np.float64)) * (next_variance - level)
    return ahead


def variance_break(residuals: Sequence[float] | Float64Array) -> bool:
    """Whether the level of variance broke within these residuals, at 5 %.

    Cumulative sums of squares against a straight line, scaled by the fourth moment, so that fat tails alone raise no alarm
    (Sanso, Arago and Carrion 2004, kappa 1, after Inclan and Tiao 1994). Ask it of standardised returns.
    """
    squares = np.square(checked_returns(residuals, least=FIRST_ROWS))
    spread = float(squares.std())
    if spread == 0.0:
        return False
    bridge = np.cumsum(squares - squares.mean())
    return bool(np.abs(bridge).max() / (spread * math.sqrt(squares.size)) > BREAK_5PCT)


def _filtered(values: Float64Array, omega: float, alpha: float, beta: float, first: float) -> Float64Array:
    out = np.empty(values.size + 1)
    garch_variances(values, float(omega), float(alpha), float(beta), float(first), VARIANCE_FLOOR, out)
    return out


def _check_persistence(alpha: float, beta: float) -> None:
    if not 0.0 < alpha + beta < 1.0:
        raise InvalidInput(f"alpha + beta is {alpha + beta!r}", why="variance returns to a level only below 1", fix="use EWMA")
