"""Historical VaR and ES: order statistics of the returns as they came.

House convention: the inverse CDF for VaR, because it never understates, and Acerbi and Tasche's (2002) ES, which equals
Rockafellar and Uryasev's CVaR. The other conventions of Hyndman and Fan (1996) are here to compare with other people's
numbers. All positions are computed in fractions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

import numpy as np

from kedge.risk.var.measure import (
    C_ES,
    C_VAR,
    HOUSE_CONVENTION,
    Float64Array,
    VarEs,
    alpha_of,
    checked_returns,
    merged_flags,
    tail_flags,
)

METHOD: Final = "historical"


class Convention(StrEnum):
    """How a quantile lies between two order statistics."""

    NAIVE_FLOOR = "naive floor"
    INVERSE_CDF = "inverse CDF"
    LOWER = "lower"
    LINEAR = "linear"
    HIGHER = "higher"
    HAZEN = "hazen"
    WEIBULL = "weibull"
    MEDIAN_UNBIASED = "median unbiased"


def naive_floor_index(confidence: float, n: int) -> int:
    """`floor(alpha n)`, 0-based into ascending returns, exactly; at most the last row."""
    return min(n - 1, math.floor(alpha_of(confidence) * n))


def inverse_cdf_index(confidence: float, n: int) -> int:
    """`ceil(alpha n) - 1`, 0-based into ascending returns."""
    return math.ceil(alpha_of(confidence) * n) - 1


def quantile(returns: Sequence[float] | Float64Array, confidence: float, convention: Convention = Convention.INVERSE_CDF) -> float:
    """The return that `alpha` of the returns lie below, as a signed return: VaR is its negative. O(n) by selection."""
    values = checked_returns(returns, least=1)
    position = _position(confidence, values.size, convention)
    low = math.floor(position)
    high = min(low + 1, values.size - 1)
    ordered = np.partition(values, sorted({low, high}))
    below, above, part = float(ordered[low]), float(ordered[high]), float(position - low)
    return below + part * (above - below)


def value_at_risk(returns: Sequence[float] | Float64Array, confidence: float, convention: Convention = Convention.INVERSE_CDF) -> float:
    """VaR as a positive loss."""
    return -quantile(returns, confidence, convention)


def expected_shortfall(returns: Sequence[float] | Float64Array, confidence: float) -> float:
    """ES by Acerbi and Tasche: mean of the worst `alpha n` returns, the last of them counted in part."""
    values = checked_returns(returns, least=1)
    rows = alpha_of(confidence) * values.size
    whole = math.floor(rows)
    ordered = np.sort(np.partition(values, min(whole, values.size - 1))[: whole + 1])
    beyond = float(ordered[:whole].sum())
    if rows > whole:
        beyond += float(rows - whole) * float(ordered[whole])
    return -beyond / float(rows)


def mean_of_worst(returns: Sequence[float] | Float64Array, confidence: float) -> float | None:
    """Mean loss of the worst `floor(alpha n)` returns; None where that is no row. Not the house's ES."""
    values = checked_returns(returns, least=1)
    whole = math.floor(alpha_of(confidence) * values.size)
    return -float(np.sort(values)[:whole].mean()) if whole else None


def mean_beyond(returns: Sequence[float] | Float64Array, confidence: float, convention: Convention = Convention.LINEAR) -> float:
    """Mean loss of returns at or below the quantile; it moves with the convention and with ties. Not the house's ES."""
    values = checked_returns(returns, least=1)
    return -float(values[values <= quantile(values, confidence, convention)].mean())


def standard_error(returns: Sequence[float] | Float64Array, confidence: float) -> float | None:
    """Of the VaR: `sqrt(a (1 - a) / n) / f(q)`, the density by a Gaussian kernel (Silverman's width); None where returns do not vary.

    Independent returns are assumed; clusters of volatility make it too small.
    """
    values = checked_returns(returns)
    if values.max() == values.min():
        return None
    middle = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.349
    spread = min(float(values.std(ddof=1)), middle or math.inf)  # no middle where most days did not move
    width = 0.9 * spread * float(values.size) ** -0.2
    at = (quantile(values, confidence) - values) / width
    density = float(np.exp(-0.5 * at * at).mean()) / (float(width) * math.sqrt(2 * math.pi))
    alpha = float(alpha_of(confidence))
    return math.sqrt(alpha * (1 - alpha) / values.size) / density


def interval(returns: Sequence[float] | Float64Array, confidence: float, level: float = 0.95) -> tuple[float | None, float | None]:
    """Losses between which the true VaR lies with at least `level`: order statistics by the binomial, no density needed.

    An end that the sample cannot reach is None: with few rows nobody knows how bad the worst can be.
    """
    values = np.sort(checked_returns(returns, least=1))
    n, alpha, half = values.size, float(alpha_of(confidence)), float(alpha_of(level)) / 2
    special: Any = _special()
    below = special.bdtr(np.arange(n), n, alpha)  # P(X <= i): the quantile lies at or below row i (0-based) unless X <= i
    first = int(np.searchsorted(below, half, side="right")) - 1
    last = int(np.searchsorted(below, 1 - half, side="left")) + 1
    high = -float(values[first]) if first >= 0 else None
    low = -float(values[last]) if last < n else None
    return low, high


def var_es(returns: Sequence[float] | Float64Array, c_var: float = C_VAR, c_es: float = C_ES, *, method: str = METHOD) -> VarEs:
    """VaR and ES of a series by the house's conventions, with standard error and interval.

    Raises
    ------
    InvalidInput
        Fewer than two returns, one that is not finite, or a confidence outside 0 to 1.
    """
    values = checked_returns(returns)
    es, var_at_es = expected_shortfall(values, c_es), value_at_risk(values, c_es)
    return VarEs(
        method=method,
        convention=HOUSE_CONVENTION,
        confidence_var=c_var,
        confidence_es=c_es,
        var_frac=value_at_risk(values, c_var),
        es_frac=max(es, var_at_es),  # equal up to the last bit where all tail returns are equal
        var_at_es_frac=var_at_es,
        n=values.size,
        flags=merged_flags(tail_flags(values.size, c_var), tail_flags(values.size, c_es)),
        standard_error_frac=standard_error(values, c_var),
        interval_frac=interval(values, c_var),
    )


def _position(confidence: float, n: int, convention: Convention) -> Fraction:
    """0-based position among ascending returns, within the sample."""
    alpha = alpha_of(confidence)
    linear = alpha * (n - 1)
    raw = {
        Convention.NAIVE_FLOOR: Fraction(naive_floor_index(confidence, n)),
        Convention.INVERSE_CDF: Fraction(inverse_cdf_index(confidence, n)),
        Convention.LOWER: Fraction(math.floor(linear)),
        Convention.LINEAR: linear,
        Convention.HIGHER: Fraction(math.ceil(linear)),
        Convention.HAZEN: alpha * n - Fraction(1, 2),
        Convention.WEIBULL: alpha * (n + 1) - 1,
        Convention.MEDIAN_UNBIASED: alpha * (n + Fraction(1, 3)) + Fraction(1, 3) - 1,
    }[convention]
    return min(max(raw, Fraction(0)), Fraction(n - 1))


def _special() -> Any:
    from scipy import special

    return special
