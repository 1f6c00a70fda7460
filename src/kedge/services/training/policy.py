"""What a model document freezes beside its learner: the thresholds it trades at, and the features it was shown."""

from __future__ import annotations

import numpy as np

from kedge.learning.features import Float64Array
from kedge.learning.model import Policy
from kedge.services.training.settings import TrainSettings

EVEN = 0.5
"""The probability at which the expected return changes its sign."""


def policy_of(probabilities: Float64Array, settings: TrainSettings) -> Policy:
    """Thresholds as quantiles of calibrated out-of-fold probabilities, shape (n,), linear between ranks.

    Where the quantile is the outermost probability itself (isotonic calibration says one number for many scores), the threshold moves
    half-way to the next one, so that something lies beyond it. A calibration that says one number for all gives equal thresholds, which
    no probability is beyond: such a model does not trade. No threshold crosses one half: where rises are rare the outer quantile lies
    below it, and to buy there would be to buy what is likelier to fall.
    """
    asked = (settings.long_quantile, settings.short_quantile, settings.exit_quantile)
    long_above, short_below, exit_at = (float(one) for one in np.quantile(probabilities, asked))
    levels = np.unique(probabilities)
    if len(levels) > 1:
        if long_above >= levels[-1]:
            long_above = float(levels[-2] + levels[-1]) / 2.0
        if short_below <= levels[0]:
            short_below = float(levels[0] + levels[1]) / 2.0
        long_above, short_below = max(long_above, EVEN), min(short_below, EVEN)
    return Policy(long_above=long_above, short_below=short_below, exit_at=min(max(exit_at, short_below), long_above))


def is_flat(probabilities: Float64Array) -> bool:
    """Whether a calibration says one number for all: it found nothing in the scores."""
    return bool(probabilities.min() == probabilities.max())


def feature_domain(x: Float64Array, quantile: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Outer quantiles of each column's known cells, (low, high); 0 and 0 for a column that was never known: any number is news to it."""
    low, high = [], []
    for column in x.T:
        known = column[np.isfinite(column)]
        low.append(float(np.quantile(known, quantile)) if len(known) else 0.0)
        high.append(float(np.quantile(known, 1.0 - quantile)) if len(known) else 0.0)
    return tuple(low), tuple(high)
