"""Weights: overlapping labels say the same thing several times, so each counts for its share of uniqueness.

A label alive over bars [first, last], both included, shares bar t with the c_t labels alive then; its weight is the mean of 1 / c_t over
its life. The sum of the weights is how many independent labels the rows are worth. Counted within one instrument: what two instruments
have in common is not taken off.
Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 4.
"""

from __future__ import annotations

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.features import Float64Array, Int64Array


def concurrency(first: Int64Array, last: Int64Array, n_bars: int) -> Int64Array:
    """How many labels are alive at each bar, shape (n_bars,).

    Raises
    ------
    InvalidInput
        A life that ends before it begins, or leaves the bars.
    """
    if len(first) and (bool((last < first).any()) or int(first.min()) < 0 or int(last.max()) >= n_bars):
        raise InvalidInput(
            f"a label's life leaves bars 0..{n_bars - 1}, or ends before it begins", why="lives lie within the bars", fix="check the labels"
        )
    steps = np.bincount(first, minlength=n_bars + 1) - np.bincount(last + 1, minlength=n_bars + 1)
    return np.cumsum(steps)[:n_bars].astype(np.int64)


def average_uniqueness(first: Int64Array, last: Int64Array, n_bars: int) -> Float64Array:
    """Mean of 1 / concurrency over each life, in (0, 1], shape (n_labels,)."""
    alive = concurrency(first, last, n_bars)
    shares = np.divide(1.0, alive, out=np.zeros(n_bars), where=alive > 0)
    sums = np.concatenate(([0.0], np.cumsum(shares)))
    return np.asarray((sums[last + 1] - sums[first]) / (last + 1 - first), np.float64)
