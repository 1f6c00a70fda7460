"""Age-weighted historical VaR and ES (Boudoukh, Richardson and Whitelaw 1998): the older a return, the less it counts.

Convention: the weighted inverse CDF, without the paper's interpolation; ES counts the last weight in part. One fresh crash
whose own weight reaches alpha is the VaR by itself; a crash that ages out makes a jump.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import C_ES, C_VAR, INSUFFICIENT_TAIL, THIN_TAIL, Float64Array, VarEs, alpha_of, checked_returns

METHOD: Final = "age-weighted"
CONVENTION: Final = "weighted inverse CDF; ES with the last weight in part"
DECAY: Final = 0.98
DECAY_MIN: Final = 0.9
ONE_DAY_DECIDES: Final = "one_day_decides"
"""The newest return's own weight reaches alpha: one fresh crash would be the VaR by itself."""


def age_weights(n: int, decay: float = DECAY) -> Float64Array:
    """`(1 - L) L^age / (1 - L^n)`, shape (n,), oldest first, age 0 the newest; they sum to 1."""
    if n < 1 or not DECAY_MIN <= decay < 1.0:
        raise InvalidInput(f"decay {decay!r} over {n} rows", why=f"a decay lies within {DECAY_MIN} to 1, over a row", fix="pass 0.98")
    ages = np.arange(n - 1, -1, -1, dtype=np.float64)
    weights: Float64Array = (1.0 - decay) * np.power(decay, ages) / (1.0 - decay**n)
    return weights


def effective_size(n: int, decay: float = DECAY) -> float:
    """`(sum w)^2 / sum w^2`: how many equally weighted returns these are worth."""
    return 1.0 / float(np.square(age_weights(n, decay)).sum())


def weighted_index(returns: Sequence[float] | Float64Array, weights: Float64Array, confidence: float) -> tuple[int, float]:
    """Where the cumulative weight from the worst reaches alpha: the index into ascending returns, and that weight."""
    _, cumulative = _ordered(checked_returns(returns, least=1), weights)
    index = _index(cumulative, confidence)
    return index, float(cumulative[index])


def value_at_risk(returns: Sequence[float] | Float64Array, confidence: float, decay: float = DECAY) -> float:
    """VaR as a positive loss."""
    values = checked_returns(returns, least=1)
    ordered, cumulative = _ordered(values, age_weights(values.size, decay))
    return -float(ordered[_index(cumulative, confidence)])


def expected_shortfall(returns: Sequence[float] | Float64Array, confidence: float, decay: float = DECAY) -> float:
    """Weighted mean loss of the worst `alpha`, the last weight counted in part."""
    values = checked_returns(returns, least=1)
    ordered, cumulative = _ordered(values, age_weights(values.size, decay))
    alpha, index = float(alpha_of(confidence)), _index(cumulative, confidence)
    inside = np.diff(cumulative[:index], prepend=0.0)
    rest = alpha - (float(cumulative[index - 1]) if index else 0.0)
    return -(float((inside * ordered[:index]).sum()) + rest * float(ordered[index])) / alpha


def var_es(returns: Sequence[float] | Float64Array, decay: float = DECAY, c_var: float = C_VAR, c_es: float = C_ES) -> VarEs:
    """VaR and ES with weights that fade with age.

    `thin_tail` and `insufficient_tail` go by the effective size, not by the rows. No standard error is told.
    """
    values = checked_returns(returns)
    tightest = min(alpha_of(c_var), alpha_of(c_es))
    size = effective_size(values.size, decay)
    flags = [INSUFFICIENT_TAIL] if tightest * math.floor(size) < 1 else [THIN_TAIL] if size < 10 / tightest else []
    if float(age_weights(values.size, decay)[-1]) >= float(tightest):
        flags.append(ONE_DAY_DECIDES)
    var_at_es = value_at_risk(values, c_es, decay)
    return VarEs(
        method=METHOD,
        convention=CONVENTION,
        confidence_var=c_var,
        confidence_es=c_es,
        var_frac=value_at_risk(values, c_var, decay),
        es_frac=max(expected_shortfall(values, c_es, decay), var_at_es),
        var_at_es_frac=var_at_es,
        n=values.size,
        flags=tuple(flags),
    )


def _ordered(values: Float64Array, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def _index(cumulative: Float64Array, confidence: float) -> int:
    return min(int(np.searchsorted(cumulative, float(alpha_of(confidence)), side="left")), cumulative.size - 1)
