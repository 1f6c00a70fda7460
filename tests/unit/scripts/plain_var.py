"""VaR and ES by plain loops, written from the formulas alone: a second opinion on what the study forecasts.

Losses are positive. The quantile is the inverse CDF: the worst return at which the weights reach alpha; ES is Acerbi and Tasche's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def tail(returns: Sequence[float], weights: Sequence[Fraction], alpha: Fraction) -> tuple[float, float]:
    """VaR and ES of a weighted sample."""
    rest, var, weighted = alpha, None, 0.0
    for value, weight in sorted(zip(returns, weights, strict=True)):
        used = min(weight, rest)
        weighted += float(used) * value
        rest -= used
        if var is None and rest == 0:
            var = -value
            break
    assert var is not None
    return var, -weighted / float(alpha)


def historical(returns: Sequence[float], alpha: Fraction) -> tuple[float, float]:
    return tail(returns, [Fraction(1, len(returns))] * len(returns), alpha)


def age_weighted(returns: Sequence[float], decay: Fraction, alpha: Fraction) -> tuple[float, float]:
    """Boudoukh, Richardson and Whitelaw: the newest return weighs most."""
    n = len(returns)
    raw = [decay ** (n - 1 - i) for i in range(n)]
    whole = sum(raw)
    return tail(returns, [weight / whole for weight in raw], alpha)


def ewma(returns: Sequence[float], decay: float, start_rows: int) -> list[float]:
    """Sigma known before each return, and last the one for the return to come; the first is of the mean of the first squares."""
    variance = sum(r * r for r in returns[:start_rows]) / start_rows
    found = []
    for r in returns:
        found.append(math.sqrt(variance))
        variance = decay * variance + (1 - decay) * r * r
    return [*found, math.sqrt(variance)]


def garch(returns: Sequence[float], omega: float, a: float, b: float, start: float) -> list[float]:
    """The same by GARCH(1,1) from the variance `start`."""
    variance, found = start, []
    for r in returns:
        found.append(math.sqrt(variance))
        variance = omega + a * r * r + b * variance
    return [*found, math.sqrt(variance)]


def filtered(returns: Sequence[float], sigmas: Sequence[float], alpha: Fraction) -> tuple[float, float]:
    """Filtered historical simulation: returns in units of their own sigma, scaled to the sigma to come."""
    z = [r / s for r, s in zip(returns, sigmas[:-1], strict=True)]
    var, es = historical(z, alpha)
    return var * sigmas[-1], es * sigmas[-1]
