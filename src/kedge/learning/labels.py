"""Labels: which barrier would have been touched first, had one bought at the next bar's open.

Rules: the signal is at the close of bar i, the entry at the open of bar i + 1; barriers lie `barrier_vols` volatilities above and below,
volatility per bar (known at the signal) times the square root of the horizon; the label ends at the first touch or after `horizon_bars`.
A bar that opens past a barrier leaves at its open. Both barriers inside one bar: which came first is not known; the adverse one is
written down and the row flagged. A label whose whole horizon is not in the data, or that would span a hole, is no label, even if a
barrier was touched before: to keep only the quick ones would choose rows by their outcome.
Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 3; bars and ambiguity are ours.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.kernel.compiling import law
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import CLOSE, HIGH, LOW, OPEN, BoolArray, Float64Array, Int64Array
from kedge.learning.features import FeatureSet
from kedge.learning.model import LabelSpec
from kedge.learning.operators import Operator


class Outcome(IntEnum):
    """How a label ended, or why there is none. Only the first three are learnt from."""

    UPPER = 1
    LOWER = 2
    VERTICAL = 3
    """Neither barrier within the horizon: the sign of the return decides."""
    AMBIGUOUS = 4
    """Both barriers inside one bar."""
    FLAT = 5
    """Neither barrier, and the price came back to the entry exactly."""
    NO_FUTURE = 6
    """The horizon leaves the data, or a hole lies in it."""
    NO_VOLATILITY = 7
    """Still warming up, or nothing has moved: barriers have no width."""


LABELLED: Final = (Outcome.UPPER, Outcome.LOWER, Outcome.VERTICAL)


class Labels(NamedTuple):
    """One entry per bar, arrays of shape (n_bars,).

    Attributes
    ----------
    label : int64
        +1 rise, -1 fall, 0 none.
    last : int64
        Index of the bar in which the label ended; -1 where there is none.
    outcome : int64
        `Outcome`.
    return_frac : float64
        From the entry to the barrier, the open past it, or the last close; before costs. NaN where there is none.
    barrier_frac : float64
        Distance of each barrier from the entry, as a fraction; NaN while volatility warms up.
    """

    label: Int64Array
    last: Int64Array
    outcome: Int64Array
    return_frac: Float64Array
    barrier_frac: Float64Array


@law("Tuple((int64, int64, float64))(float64[:, ::1], int64, int64, float64, float64)")
def first_touch(prices: Float64Array, first: int, last: int, lower: float, upper: float) -> tuple[int, int, float]:
    """Walk bars `first`..`last` (rows open, high, low, close) until a barrier is touched (>= upper, <= lower).

    Returns (`Outcome` UPPER, LOWER, AMBIGUOUS or VERTICAL; index of that bar; price at which one leaves).
    """
    for at in range(first, last + 1):
        if prices[at, 0] >= upper:
            return 1, at, prices[at, 0]
        if prices[at, 0] <= lower:
            return 2, at, prices[at, 0]
        above, below = prices[at, 1] >= upper, prices[at, 2] <= lower
        if above and below:
            return 4, at, lower
        if above:
            return 1, at, upper
        if below:
            return 2, at, lower
    return 3, last, prices[last, 3]


@law("void(float64[:, ::1], float64[::1], int64[::1], int64, int64[:, ::1], float64[::1])")
def label_bars(prices: Float64Array, widths: Float64Array, ends: Int64Array, horizon: int, out: Int64Array, returns: Float64Array) -> None:
    """Fill `out` (rows label, last, outcome) and `returns`; `ends[i]` is the last bar that follows bar i without a hole."""
    for at in range(prices.shape[0]):
        out[at, 0], out[at, 1], out[at, 2], returns[at] = 0, -1, 7, np.nan
        if not widths[at] > 0.0:
            continue
        if at + horizon > ends[at]:
            out[at, 2] = 6
            continue
        entry = prices[at + 1, 0]
        outcome, last, price = first_touch(prices, at + 1, at + horizon, entry * (1.0 - widths[at]), entry * (1.0 + widths[at]))
        change = price / entry - 1.0
        if outcome == 3 and change == 0.0:
            outcome = 5
        if outcome == 1 or (outcome == 3 and change > 0.0):
            out[at, 0] = 1
        elif outcome != 5:
            out[at, 0] = -1
        out[at, 1], out[at, 2], returns[at] = last, outcome, change


def triple_barrier(rows: Float64Array, resets: BoolArray, holes: BoolArray, spec: LabelSpec) -> Labels:
    """Labels of a whole series.

    Parameters
    ----------
    rows : float64 array, shape (n_bars, ROW_SIZE)
        As `feature_rows.rows_of` gives them.
    resets : bool array, shape (n_bars,)
        Where features start again (`resets_of`); volatility does too.
    holes : bool array, shape (n_bars,)
        Where a bar is missing before this one, however short the hole.

    Raises
    ------
    InvalidInput
        A horizon or volatility window below 1, or barriers without width.
    """
    check_label_spec(spec)
    widths = spec.barrier_vols * np.sqrt(float(spec.horizon_bars)) * volatility(rows, resets, spec.volatility_bars)
    prices = np.ascontiguousarray(rows[:, [OPEN, HIGH, LOW, CLOSE]])
    out, returns = np.empty((len(rows), 3), np.int64), np.empty(len(rows))
    label_bars(prices, widths, _segment_ends(holes), spec.horizon_bars, out, returns)
    return Labels(out[:, 0].copy(), out[:, 1].copy(), out[:, 2].copy(), returns, widths)


def volatility(rows: Float64Array, resets: BoolArray, bars: int) -> Float64Array:
    """`Operator.VOLATILITY` per bar, shape (n_bars,): the labels' width is a feature's number."""
    return np.ascontiguousarray(FeatureSet((Feature("volatility", Operator.VOLATILITY, bars),)).batch(rows, resets)[:, 0])


def check_label_spec(spec: LabelSpec) -> None:
    """Refuse a label that means nothing."""
    for name, value, least in (("horizon_bars", spec.horizon_bars, 1), ("volatility_bars", spec.volatility_bars, 1)):
        if value < least:
            raise InvalidInput(f"label: {name} is {value}", why=f"at least {least}", fix="name a number of bars")
    if not 0.0 < spec.barrier_vols < np.inf:
        raise InvalidInput(f"label: barrier_vols is {spec.barrier_vols}", why="a barrier lies some way off", fix="use a number such as 1.0")


def _segment_ends(holes: BoolArray) -> Int64Array:
    """Index of the last bar of each bar's stretch without holes."""
    breaks = np.flatnonzero(holes[1:])
    lasts = np.append(breaks, len(holes) - 1)
    return lasts[np.searchsorted(breaks, np.arange(len(holes)))].astype(np.int64)
