"""Kelly's fraction: discrete bets with unequal odds, continuous returns, several assets, and what estimation error leaves of it.

Rules: a fraction of equity *at risk* and a fraction of equity as *notional* are different things and named so. Fractions are float64,
never negative for a single bet, and full Kelly is never what is traded: the multiple is the lower confidence bound's, at most 0.25.
Sources: Kelly 1956; Baker and McHale 2013; standard error of a Sharpe ratio by Lo 2002; bound of a rate by Clopper and Pearson.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_refused import SizingRefused

Floats = npt.NDArray[np.float64]

KELLY_MULTIPLE_MAX: Final = 0.25
"""Largest share of full Kelly that is ever traded by default."""

CONFIDENCE: Final = 0.95


class DiscreteKelly(NamedTuple):
    """A bet that wins `win_frac` of notional with chance `win_prob`, else loses `loss_frac` of it.

    Attributes
    ----------
    odds : float
        Win over loss.
    equity_frac_at_risk, notional_frac : float
        What to lose at most and what to hold, as fractions of equity, full Kelly; 0 where the edge is not positive.
    raw_frac_at_risk, raw_notional_frac : float
        The same by the formula alone, negative where the edge is.
    growth : float
        Expected log growth per bet at `notional_frac`.
    tradeable : bool
        Whether the edge is positive.
    """

    odds: float
    equity_frac_at_risk: float
    notional_frac: float
    raw_frac_at_risk: float
    raw_notional_frac: float
    growth: float
    tradeable: bool


def discrete(win_prob: float, win_frac: float, loss_frac: float) -> DiscreteKelly:
    """Full Kelly of a bet; `f_risk = p - q / b` with `b = win / loss`, `f_notional = f_risk / loss = p / loss - q / win`.

    Raises
    ------
    InvalidInput
        A chance outside 0 .. 1, or a win or loss that is not positive.
    """
    if not 0.0 <= win_prob <= 1.0:
        raise _wrong("win_prob", win_prob, "a chance lies within 0 .. 1")
    for name, value in (("win_frac", win_frac), ("loss_frac", loss_frac)):
        if not (math.isfinite(value) and value > 0.0):
            raise _wrong(name, value, "a fraction of notional above 0")
    odds = win_frac / loss_frac
    at_risk = win_prob - (1.0 - win_prob) / odds
    traded = max(0.0, at_risk)
    notional = traded / loss_frac
    return DiscreteKelly(
        odds, traded, notional, at_risk, at_risk / loss_frac, _growth(win_prob, win_frac, loss_frac, notional), at_risk > 0.0
    )


def discrete_sized(
    wins: int,
    bets: int,
    win_frac: float,
    loss_frac: float,
    *,
    gap_loss_frac: float,
    multiple_max: float = KELLY_MULTIPLE_MAX,
    confidence: float = CONFIDENCE,
) -> float | SizingRefused:
    """Notional as a fraction of equity for a bet whose chance was estimated from `wins` of `bets`.

    The chance is its lower Clopper-Pearson bound, the loss the larger of the usual one and `gap_loss_frac` (what a gap through the stop
    costs, as a fraction of notional), and the answer `multiple_max` of that bet's Kelly.

    Returns
    -------
    float or SizingRefused
        0 where even the bound leaves no edge; refused (`KELLY_RUIN`) where one gap would take all equity.
    """
    from scipy.special import betaincinv

    if not (0 <= wins <= bets and bets > 0):
        raise _wrong("wins", wins, f"a count within 0 .. bets ({bets})")
    _check_multiple(multiple_max)
    _check_confidence(confidence)
    bound = float(betaincinv(wins, bets - wins + 1, 1.0 - confidence)) if wins else 0.0
    notional_frac = multiple_max * discrete(bound, win_frac, loss_frac).notional_frac
    return survives_gap(notional_frac, gap_loss_frac)


def survives_gap(notional_frac: float, gap_loss_frac: float) -> float | SizingRefused:
    """The same notional where a gap of this size leaves some equity, else a refusal (`KELLY_RUIN`)."""
    lost = notional_frac * gap_loss_frac
    if not math.isfinite(lost) or gap_loss_frac < 0.0:
        raise _wrong("gap_loss_frac", gap_loss_frac, "a fraction of notional, at least 0")
    if lost >= 1.0:
        return SizingRefused("KELLY_RUIN", lost, 1.0, "one gap would take all equity (fraction of equity)")
    return notional_frac


def continuous(mean: float, sigma: float) -> float:
    """Full Kelly for returns of this excess mean and standard deviation per period: `mean / sigma^2` of equity, signed."""
    if not (math.isfinite(mean) and math.isfinite(sigma) and sigma > 0.0):
        raise _wrong("sigma", sigma, "a standard deviation above 0, and a finite mean")
    return mean / sigma**2


def continuous_growth(notional_frac: float, mean: float, sigma: float) -> float:
    """Expected log growth per period when holding this notional: `f mean - f^2 sigma^2 / 2`."""
    return notional_frac * mean - 0.5 * (notional_frac * sigma) ** 2


def continuous_many(means: Floats, cov: Floats) -> Floats:
    """Full Kelly of several assets, `Sigma^-1 mean`, shape (n_assets,); signed fractions of equity.

    Raises
    ------
    InvalidInput
        Shapes that do not fit, or a covariance that is not positive definite: regularise it first.
    """
    mean, sigma = np.asarray(means, np.float64), np.asarray(cov, np.float64)
    if sigma.shape != (mean.size, mean.size) or not (np.isfinite(mean).all() and np.isfinite(sigma).all()):
        raise _wrong("cov", sigma.shape, "one finite row and column per mean")
    try:
        root = np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise _wrong("cov", "singular", "a positive definite covariance; shrink it towards its diagonal") from None
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, mean)), np.float64)


def shrink(sharpe: float, periods: int) -> float:
    """What estimation error leaves of Kelly: `SR^2 / (SR^2 + 1 / T)`, SR per period. 0 for a Sharpe ratio at or below 0."""
    if not math.isfinite(sharpe) or periods < 1:
        raise _wrong("periods", periods, "at least 1, and a finite Sharpe ratio")
    return sharpe**2 / (sharpe**2 + 1.0 / periods) if sharpe > 0.0 else 0.0


def sharpe_lower(sharpe: float, periods: int, confidence: float = CONFIDENCE) -> float:
    """Lower bound of a Sharpe ratio per period, for returns independent and near normal: `SR - z * sqrt((1 + SR^2 / 2) / T)` (Lo 2002)."""
    from scipy.special import ndtri

    _check_confidence(confidence)
    if not math.isfinite(sharpe) or periods < 1:
        raise _wrong("periods", periods, "at least 1, and a finite Sharpe ratio")
    return sharpe - float(ndtri(confidence)) * math.sqrt((1.0 + 0.5 * sharpe**2) / periods)


def continuous_sized(
    mean: float, sigma: float, periods: int, *, multiple_max: float = KELLY_MULTIPLE_MAX, confidence: float = CONFIDENCE
) -> float:
    """Notional as a fraction of equity, signed as the mean: full Kelly times what the lower bound of the Sharpe ratio leaves of it.

    The multiple is at most `multiple_max`; 0 where the bound is not positive.
    """
    _check_multiple(multiple_max)
    full = continuous(mean, sigma)
    return full * min(multiple_max, shrink(sharpe_lower(abs(mean) / sigma, periods, confidence), periods))


def _growth(win_prob: float, win_frac: float, loss_frac: float, notional_frac: float) -> float:
    if notional_frac * loss_frac >= 1.0:  # a sure win: the fraction at risk is one
        return math.log1p(notional_frac * win_frac)
    return win_prob * math.log1p(notional_frac * win_frac) + (1.0 - win_prob) * math.log1p(-notional_frac * loss_frac)


def _check_multiple(multiple_max: float) -> None:
    if not 0.0 < multiple_max <= 1.0:
        raise _wrong("multiple_max", multiple_max, "a share of full Kelly within 0 .. 1")


def _check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1.0:
        raise _wrong("confidence", confidence, "a lower bound needs at least 0.5, below 1")


def _wrong(name: str, value: object, why: str) -> InvalidInput:
    return InvalidInput(f"sizing: {name} is {value}", why=why, fix=f"correct {name}")
