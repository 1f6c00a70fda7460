"""Parametric VaR and ES: normal, Student-t, and Cornish and Fisher where their expansion is a quantile at all.

`sigma` is always the standard deviation, also for the t, whose scale is `sigma * sqrt((nu - 2) / nu)`. At 95 % a t of the
same sigma gives a smaller VaR than the normal, at 99 % a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import C_ES, C_VAR, Float64Array, NotUsable, VarEs, alpha_of, checked_number, checked_returns

NORMAL: Final = "normal"
STUDENT_T: Final = "student-t"
CORNISH_FISHER: Final = "cornish-fisher"
Z_RANGE: Final = 5.0
"""Cornish and Fisher's quantile must rise over [-5, 5]."""
_STANDARD: Final = NormalDist()


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Mean, sample standard deviation (n - 1), skewness and excess kurtosis (population moments) of a series."""

    mu: float
    sigma: float
    skew: float
    excess_kurtosis: float


def moments(returns: Sequence[float] | Float64Array) -> Moments:
    """The moments a parametric measure takes; `NotUsable` where returns do not vary."""
    values = checked_returns(returns, least=4)
    if values.max() == values.min():
        raise NotUsable("returns do not vary", why="no distribution has a shape without width", fix="use the historical method")
    apart = values - values.mean()
    spread = float(np.square(apart).mean())
    return Moments(
        mu=float(values.mean()),
        sigma=float(values.std(ddof=1)),
        skew=float((apart**3).mean()) / spread**1.5,
        excess_kurtosis=float((apart**4).mean()) / spread**2 - 3.0,
    )


def normal_quantile(confidence: float) -> float:
    """`z_alpha`, below 0 for confidences above one half."""
    return _STANDARD.inv_cdf(float(alpha_of(confidence)))


def student_t_quantile(nu: float, confidence: float) -> float:
    """`t_{nu, alpha}` of the unscaled t."""
    special: Any = _special()
    return float(special.stdtrit(checked_number(nu, "nu", above=0.0), float(alpha_of(confidence))))


def student_t_density(nu: float, x: float) -> float:
    """Density of the unscaled t."""
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    return math.exp(constant - (nu + 1) / 2 * math.log1p(x * x / nu))


def student_t_scale(sigma: float, nu: float) -> float:
    """`sigma * sqrt((nu - 2) / nu)`; nu must be above 2, or there is no sigma."""
    checked_number(nu, "nu", above=2.0)
    return sigma * math.sqrt((nu - 2) / nu)


def normal(mu: float, sigma: float, c_var: float = C_VAR, c_es: float = C_ES, *, n: int = 0, flags: tuple[str, ...] = ()) -> VarEs:
    """`VaR = -(mu + sigma z)`, `ES = -mu + sigma phi(z) / alpha`."""
    _check(mu, sigma)

    def var(confidence: float) -> float:
        return -(mu + sigma * normal_quantile(confidence))

    es = -mu + sigma * _STANDARD.pdf(normal_quantile(c_es)) / float(alpha_of(c_es))
    return _answer(NORMAL, "closed form", (c_var, c_es), (var(c_var), es, var(c_es)), n, flags)


def student_t(
    mu: float, sigma: float, nu: float, c_var: float = C_VAR, c_es: float = C_ES, *, n: int = 0, flags: tuple[str, ...] = ()
) -> VarEs:
    """`VaR = -(mu + s t)`, `ES = -mu + s f(t) / alpha (nu + t^2) / (nu - 1)` with the scale `s` of `student_t_scale`."""
    _check(mu, sigma)
    scale, t = student_t_scale(sigma, nu), student_t_quantile(nu, c_es)
    es = -mu + scale * student_t_density(nu, t) / float(alpha_of(c_es)) * (nu + t * t) / (nu - 1)
    var, var_at_es = (-(mu + scale * student_t_quantile(nu, c)) for c in (c_var, c_es))
    return _answer(STUDENT_T, f"closed form, nu {nu:g}", (c_var, c_es), (var, es, var_at_es), n, flags)


def cornish_fisher_quantile(z: float, skew: float, excess_kurtosis: float) -> float:
    """`z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36`."""
    s, k = skew, excess_kurtosis
    return z + (z * z - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s * s / 36


def cornish_fisher_is_monotone(skew: float, excess_kurtosis: float) -> bool:
    """Whether the expansion rises everywhere over [-5, 5]: its derivative, a parabola, is positive at its ends and its bottom."""
    s, k = skew, excess_kurtosis
    square, linear, constant = k / 8 - s * s / 6, s / 3, 1 - k / 8 + 5 * s * s / 36
    at = [-Z_RANGE, Z_RANGE]
    if square > 0 and abs(linear) < 2 * square * Z_RANGE:
        at.append(-linear / (2 * square))
    return all(square * z * z + linear * z + constant > 0 for z in at)


def cornish_fisher(
    mu: float,
    sigma: float,
    skew: float,
    excess_kurtosis: float,
    c_var: float = C_VAR,
    c_es: float = C_ES,
    *,
    n: int = 0,
    flags: tuple[str, ...] = (),
) -> VarEs:
    """The normal's with a quantile corrected for skewness and excess kurtosis; ES integrates that quantile over the tail.

    Raises
    ------
    NotUsable
        The expansion falls somewhere over [-5, 5] (Maillard 2012): it is no quantile there. Use a t or filtered history.
    """
    _check(mu, sigma)
    if not cornish_fisher_is_monotone(skew, excess_kurtosis):
        raise NotUsable(
            f"Cornish-Fisher with skewness {skew:.4g} and excess kurtosis {excess_kurtosis:.4g}",
            why="its quantile falls somewhere in [-5, 5]",
            fix="use student-t or filtered historical simulation",
        )
    z, s, k = normal_quantile(c_es), skew, excess_kurtosis
    lifted = 1 + z * s / 6 + (z * z - 1) * k / 24 - (2 * z * z - 1) * s * s / 36
    es = -mu + sigma * _STANDARD.pdf(z) / float(alpha_of(c_es)) * lifted
    var, var_at_es = (-(mu + sigma * cornish_fisher_quantile(normal_quantile(c), s, k)) for c in (c_var, c_es))
    return _answer(CORNISH_FISHER, "expansion, monotone on [-5, 5]", (c_var, c_es), (var, es, var_at_es), n, flags)


def _answer(
    method: str, convention: str, confidences: tuple[float, float], told: tuple[float, float, float], n: int, flags: tuple[str, ...]
) -> VarEs:
    (c_var, c_es), (var, es, var_at_es) = confidences, told
    if es < var_at_es - 1e-12 * abs(var_at_es):
        raise InvalidInput(f"{method}: ES {es!r} below VaR {var_at_es!r}", why="a tail's mean is past its edge", fix="report this defect")
    return VarEs(
        method=method,
        convention=convention,
        confidence_var=c_var,
        confidence_es=c_es,
        var_frac=var,
        es_frac=max(es, var_at_es),
        var_at_es_frac=var_at_es,
        n=n,
        flags=flags,
    )


def _check(mu: float, sigma: float) -> None:
    checked_number(mu, "mu")
    checked_number(sigma, "sigma", least=0.0)


def _special() -> Any:
    from scipy import special

    return special
