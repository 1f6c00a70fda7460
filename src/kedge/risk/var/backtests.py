"""Backtests of VaR and ES: Kupiec, Christoffersen, the traffic light, Acerbi and Szekely.

Rules: 0 * ln 0 is 0, so that no count of exceptions gives NaN; p-values are two-sided where the field's are; what a test
cannot tell (no exception, too few days) is None, never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import Float64Array, checked_number, checked_returns

CHI2_1_5PCT: Final = 3.841458820694124
"""Likelihood ratios with 1 degree of freedom above it reject at 5 %."""
YELLOW_FROM: Final = 0.95
RED_FROM: Final = 0.9999
ADD_ON_1996: Final = {5: 0.40, 6: 0.50, 7: 0.65, 8: 0.75, 9: 0.85, 10: 1.00}
"""On a multiplier of 3, by exceptions of 250 days at 99 %; below 5 none, from 10 as at 10 (Basel Committee 1996)."""
MAR32: Final = {5: 1.70, 6: 1.76, 7: 1.83, 8: 1.88, 9: 1.92, 10: 2.00}
"""The multiplier itself, 1.5 below 5 exceptions (MAR32)."""


class Colour(StrEnum):
    """The traffic light. The words stand in records: none is ever renamed."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    UNKNOWN = "unknown"


class Kupiec(msgspec.Struct, frozen=True, kw_only=True):
    """Proportion of failures: too many exceptions, or too few.

    Attributes
    ----------
    days, exceptions : int
    expected : float
    lr, p_value : float
        Likelihood ratio, chi-square with 1 degree of freedom.
    exact_p_value : float
        Two-sided, by the binomial: the sum over all counts no likelier than the one seen.
    p_at_least : float
        P(X >= exceptions) under the claim: the side that hurts.
    """

    days: int
    exceptions: int
    expected: float
    lr: float
    p_value: float
    exact_p_value: float
    p_at_least: float


class KupiecPower(msgspec.Struct, frozen=True, kw_only=True):
    """What the 5 % test of `days` can see: it accepts `accept_from` to `accept_to` exceptions."""

    accept_from: int
    accept_to: int
    actual_size: float
    power: float


class Christoffersen(msgspec.Struct, frozen=True, kw_only=True):
    """Do exceptions come in runs, and is their number right?

    Attributes
    ----------
    n00, n01, n10, n11 : int
        Transitions from no exception (0) or one (1) to none or one.
    lr_ind, p_ind : float
        Independence, chi-square with 1 degree of freedom.
    lr_pof, lr_cc, p_cc : float
        Coverage on the T - 1 transitions, and both together, 2 degrees of freedom (the exact form).
    lr_pof_all_days, lr_cc_all_days, p_cc_all_days : float
        The same with the coverage test on all T days (the common shortcut).
    """

    n00: int
    n01: int
    n10: int
    n11: int
    lr_ind: float
    p_ind: float
    lr_pof: float
    lr_cc: float
    p_cc: float
    lr_pof_all_days: float
    lr_cc_all_days: float
    p_cc_all_days: float


class TrafficLight(msgspec.Struct, frozen=True, kw_only=True):
    """Zones of the binomial: yellow from the smallest count with P(X <= count) >= 95 %, red at 99.99 %."""

    days: int
    exceptions: int
    yellow_from: int
    red_from: int
    colour: Colour


class AcerbiSzekely(msgspec.Struct, frozen=True, kw_only=True):
    """Acerbi and Szekely (2014): near 0 where ES holds, negative where it was understated.

    Attributes
    ----------
    days, exceptions : int
    z1 : float, optional
        Over the exceptions; None where there is none. Needs a VaR that passed its own test.
    z2 : float
        Over all days; exactly 1 without an exception.
    """

    days: int
    exceptions: int
    z1: float | None
    z2: float


def kupiec(days: int, exceptions: int, p: float) -> Kupiec:
    """Kupiec's (1995) test of `exceptions` in `days` against the claimed rate `p`."""
    _check_counts(days, exceptions, p)
    lr = _pof(days, exceptions, p)
    mass = _binomial_mass(days, p)
    return Kupiec(
        days=days,
        exceptions=exceptions,
        expected=days * p,
        lr=lr,
        p_value=_chi2_1(lr),
        exact_p_value=min(1.0, float(mass[mass <= mass[exceptions] * (1 + 1e-7)].sum())),
        p_at_least=min(1.0, float(mass[exceptions:].sum())),
    )


def kupiec_power(days: int, p: float, true_p: float) -> KupiecPower:
    """Exact size and power of the 5 % test: the chance of leaving its region at the claimed and at another rate."""
    _check_counts(days, 0, true_p)
    accepted = [x for x in range(days + 1) if _pof(days, x, p) <= CHI2_1_5PCT]
    first, last = accepted[0], accepted[-1]
    inside = [float(_binomial_mass(days, rate)[first : last + 1].sum()) for rate in (p, true_p)]
    return KupiecPower(accept_from=first, accept_to=last, actual_size=1 - inside[0], power=1 - inside[1])


def christoffersen(hits: Sequence[int] | Sequence[bool], p: float) -> Christoffersen:
    """Christoffersen's (1998) tests on a series of hits (1 an exception), oldest first, against the claimed rate `p`."""
    series = [int(hit) for hit in hits]
    if len(series) < 2 or set(series) - {0, 1}:
        raise InvalidInput(f"hits: {len(series)} of {sorted(set(series))}", why="two or more of 0 and 1", fix="pass one a day")
    _check_counts(len(series), sum(series), p)
    n = [[0, 0], [0, 0]]
    for before, after in zip(series, series[1:], strict=False):
        n[before][after] += 1
    (n00, n01), (n10, n11) = n
    moves, came = len(series) - 1, n01 + n11
    lr_ind = max(0.0, 2 * (_loglik(n00, n01) + _loglik(n10, n11) - _loglik(moves - came, came)))
    lr_pof, whole = _pof(moves, came, p), _pof(len(series), sum(series), p)
    return Christoffersen(
        n00=n00,
        n01=n01,
        n10=n10,
        n11=n11,
        lr_ind=lr_ind,
        p_ind=_chi2_1(lr_ind),
        lr_pof=lr_pof,
        lr_cc=lr_pof + lr_ind,
        p_cc=_chi2_2(lr_pof + lr_ind),
        lr_pof_all_days=whole,
        lr_cc_all_days=whole + lr_ind,
        p_cc_all_days=_chi2_2(whole + lr_ind),
    )


def traffic_light(days: int, exceptions: int, p: float) -> TrafficLight:
    """The colour of `exceptions` in `days` at the claimed rate `p`; at 250 days and 1 %: green to 4, yellow to 9, red from 10."""
    _check_counts(days, exceptions, p)
    cumulative = np.cumsum(_binomial_mass(days, p))
    yellow, red = (int(np.argmax(cumulative >= bound)) for bound in (YELLOW_FROM, RED_FROM))
    colour = Colour.RED if exceptions >= red else Colour.YELLOW if exceptions >= yellow else Colour.GREEN
    return TrafficLight(days=days, exceptions=exceptions, yellow_from=yellow, red_from=red, colour=colour)


def add_on_1996(exceptions: int) -> float:
    """What 250 days at 99 % add to the multiplier of 3."""
    return 0.0 if exceptions < 5 else ADD_ON_1996[min(10, exceptions)]


def mar32_multiplier(exceptions: int) -> float:
    """The multiplier of today's rule for 250 days at 99 %."""
    return 1.5 if exceptions < 5 else MAR32[min(10, exceptions)]


def acerbi_szekely(
    returns: Sequence[float] | Float64Array,
    var: float | Sequence[float] | Float64Array,
    es: float | Sequence[float] | Float64Array,
    alpha: float,
) -> AcerbiSzekely:
    """Z1 and Z2 of forecasts made before each return.

    Parameters
    ----------
    returns : shape (n,)
    var, es : number or shape (n,)
        Positive losses at `1 - alpha`, one a day or one for all days. ES must be above 0.
    alpha : float
        Such as 0.025.
    """
    x = checked_returns(returns, least=1)
    limits, tails = (np.broadcast_to(np.asarray(v, dtype=np.float64), x.shape) for v in (var, es))
    checked_returns(limits, least=1, name="var")
    if not (np.isfinite(tails).all() and (tails > 0).all()):
        raise InvalidInput("es holds a value at or below 0, or none", why="Z divides by it", fix="drop days without a forecast")
    checked_number(alpha, "alpha", above=0.0)
    hit = x < -limits
    count = int(hit.sum())
    ratios = x[hit] / tails[hit]
    z1 = float(ratios.mean()) + 1 if count else None
    return AcerbiSzekely(days=x.shape[0], exceptions=count, z1=z1, z2=float(ratios.sum()) / (x.shape[0] * alpha) + 1)


def acerbi_critical(days: int, alpha: float, level: float, *, paths: int, seed: int, nu: float | None = None) -> float:
    """The `level` quantile of Z2 where the forecasts are right, by simulation: normal returns, or Student-t with `nu`.

    Under 5 % about -0.70 at 250 days and 2.5 %; it moves with the days, so it is simulated for each number of them.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((paths, days)) if nu is None else rng.standard_t(nu, (paths, days))
    var, es = _standard_var_es(alpha, nu)
    z2 = np.where(x < -var, x, 0.0).sum(axis=1) / (es * days * alpha) + 1
    return float(np.quantile(z2, level))


def _standard_var_es(alpha: float, nu: float | None) -> tuple[float, float]:
    special: Any = _special()
    if nu is None:
        z = float(special.ndtri(alpha))
        return -z, math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / alpha
    q = float(special.stdtrit(nu, alpha))
    density = math.exp(math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)) / math.sqrt(nu * math.pi) * (1 + q * q / nu) ** (-(nu + 1) / 2)
    return -q, density / alpha * (nu + q * q) / (nu - 1)


def _special() -> Any:
    from scipy import special

    return special


def _check_counts(days: int, exceptions: int, p: float) -> None:
    if days < 1 or not 0 <= exceptions <= days:
        raise InvalidInput(f"{exceptions} exceptions in {days} days", why="at least one day, and no more exceptions", fix="count again")
    if not 0.0 < p < 1.0:
        raise InvalidInput(f"p is {p!r}", why="a claimed rate lies between 0 and 1", fix="pass one such as 0.01")


def _xlogy(x: float, y: float) -> float:
    return x * math.log(y) if x else 0.0


def _loglik(misses: int, hits: int) -> float:
    """Of a row of transitions at its own rate."""
    total = misses + hits
    return _xlogy(misses, misses / total) + _xlogy(hits, hits / total) if total else 0.0


def _pof(days: int, exceptions: int, p: float) -> float:
    claimed = _xlogy(days - exceptions, 1 - p) + _xlogy(exceptions, p)
    return max(0.0, 2 * (_loglik(days - exceptions, exceptions) - claimed))


def _chi2_1(lr: float) -> float:
    """P(chi-square with 1 degree of freedom > lr)."""
    return math.erfc(math.sqrt(lr / 2))


def _chi2_2(lr: float) -> float:
    return math.exp(-lr / 2)


def _binomial_mass(days: int, p: float) -> Float64Array:
    """P(X = 0) to P(X = days), by logarithms."""
    x = np.arange(days + 1)
    choose: Any = _special().gammaln
    log_mass = choose(days + 1) - choose(x + 1) - choose(days - x + 1) + x * math.log(p) + (days - x) * math.log1p(-p)
    mass: Float64Array = np.exp(log_mass)
    return mass
