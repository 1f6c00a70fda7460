"""How good probabilities are: proper scores, ranking, calibration error; weighted, each beside what knows nothing.

Inputs are float64 arrays of one shape: `p` in [0, 1], `y` 0 or 1, `weight` positive (ones where none is given).
Sources: Brier (1950), Murphy (1973); expected calibration error as 10 equal bins, p = 1 in the last.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.features import Float64Array

LOG_LOSS_CLIP: Final = 1e-15
ECE_BINS: Final = 10


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a set of out-of-sample predictions is worth.

    Attributes
    ----------
    rows : int
    effective_rows : float
        Sum of the weights; with uniqueness weights, how many independent labels there are worth of.
    base_rate : float
        Weighted share of rises.
    brier, brier_base : float
        Mean squared error of the probability, and of always saying the base rate; less is better.
    brier_skill : float
        1 - brier / brier_base; 0 knows nothing, below 0 is worse than nothing. NaN where only one class was seen.
    log_loss, log_loss_base : float
        Natural logarithm, p clipped at 1e-15; and of always saying the base rate.
    auc : float
        Chance that a rise is ranked above a fall, ties half; 0.5 knows nothing. NaN where only one class was seen.
    ece : float
        Mean gap between said and seen over 10 equal bins of p; biased upward for few rows.
    hit_rate : float
        Share of rows where p > 0.5 says the side that came; p = 0.5 counts half.
    """

    rows: int
    effective_rows: float
    base_rate: float
    brier: float
    brier_base: float
    brier_skill: float
    log_loss: float
    log_loss_base: float
    auc: float
    ece: float
    hit_rate: float


def evaluate(p: Float64Array, y: Float64Array, weight: Float64Array | None = None) -> Metrics:
    """All measures of one set of predictions.

    Raises
    ------
    InvalidInput
        No rows, lengths that differ, a probability outside [0, 1] or NaN, an outcome that is neither 0 nor 1, a weight not positive.
    """
    w = np.ones(len(p)) if weight is None else weight
    _check(p, y, w)
    base = np.full(len(p), np.average(y, weights=w))
    of_model, of_base = brier(p, y, w), brier(base, y, w)
    return Metrics(
        rows=len(p),
        effective_rows=float(w.sum()),
        base_rate=float(base[0]),
        brier=of_model,
        brier_base=of_base,
        brier_skill=1.0 - of_model / of_base if of_base > 0.0 else float("nan"),
        log_loss=log_loss(p, y, w),
        log_loss_base=log_loss(base, y, w),
        auc=auc(p, y, w),
        ece=float(np.dot(*calibration_gaps(p, y, w))),
        hit_rate=float(np.average(np.where(p == 0.5, 0.5, (p > 0.5) == (y > 0.5)), weights=w)),
    )


def brier(p: Float64Array, y: Float64Array, weight: Float64Array) -> float:
    """Weighted mean of (p - y)^2."""
    return float(np.average((p - y) ** 2, weights=weight))


def log_loss(p: Float64Array, y: Float64Array, weight: Float64Array) -> float:
    """Weighted mean of -ln of the probability given to what came, p clipped at 1e-15."""
    clipped = np.clip(p, LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP)
    return float(-np.average(np.where(y > 0.5, np.log(clipped), np.log1p(-clipped)), weights=weight))


def auc(p: Float64Array, y: Float64Array, weight: Float64Array) -> float:
    """Weighted chance that a row with y = 1 has the higher p, a tie counting half; NaN where one class is missing."""
    values, group = np.unique(p, return_inverse=True)
    rises = np.bincount(group, weight * y, len(values))
    falls = np.bincount(group, weight * (1.0 - y), len(values))
    pairs = rises.sum() * falls.sum()
    below = np.cumsum(falls) - 0.5 * falls
    return float(np.dot(rises, below) / pairs) if pairs > 0.0 else float("nan")


def calibration_gaps(p: Float64Array, y: Float64Array, weight: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Share of the weight, and |said - seen|, of each bin of p that holds rows; shape (n_bins_used,)."""
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    total = np.bincount(bins, weight, ECE_BINS)
    used = total > 0.0
    said = np.bincount(bins, weight * p, ECE_BINS)[used] / total[used]
    seen = np.bincount(bins, weight * y, ECE_BINS)[used] / total[used]
    return total[used] / weight.sum(), np.abs(said - seen)


def _check(p: Float64Array, y: Float64Array, w: Float64Array) -> None:
    if not len(p) or not len(p) == len(y) == len(w):
        raise InvalidInput(f"{len(p)} probabilities, {len(y)} outcomes, {len(w)} weights", why="one each", fix="pass one row set")
    if not bool(((p >= 0.0) & (p <= 1.0)).all()):
        raise InvalidInput("a probability is outside 0 .. 1, or NaN", why="it cannot be scored", fix="drop rows without a prediction")
    if not bool(((y == 0.0) | (y == 1.0)).all()) or not bool((w > 0.0).all()):
        raise InvalidInput("an outcome is neither 0 nor 1, or a weight not positive", why="it cannot be scored", fix="label the rows first")
