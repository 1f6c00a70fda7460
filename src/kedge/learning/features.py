"""Feature sets: one compiled `update_features(ops, state, out, row)` serves batch and stream.

Batch is a loop over the call, stream is one call, so they are equal by construction. An operator's whole memory
is its slice of `state`; its output is NaN until its warm-up has passed. Sums run oldest to newest, always.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.kernel.compiling import law
from kedge.learning.feature import WINDOW_MAX, Feature
from kedge.learning.feature_rows import CLOSE, FUNDING_RATE, FUNDING_TS_S, HIGH, LEADER_CLOSE, LOW, OPEN, ROW_SIZE
from kedge.learning.operators import OPERATORS, ROW_CELLS
from kedge.learning.operators_bar import bar_feature
from kedge.learning.operators_outer import outer_feature
from kedge.learning.operators_price import price_feature

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

VALUE_MAX = 1e30
"""No price or volume is near this; beyond it squares would leave float64."""


class FeatureSet:
    """A fixed composition of features.

    Attributes
    ----------
    ops : int64 array, shape (n_features, 4)
        Operator, window, second window, first cell of its state.
    state_size : int
        float64 cells that one instrument needs.
    warmup_bars : int
        Bars until every output is a number, but those of optional features.
    leader : str
        Instrument id of the leader; empty where no feature reads one.
    uses_funding : bool
        Whether a feature reads funding, so that `FundingKnown` must be told.
    closes_only : bool
        Whether the close is all that any feature reads.

    Raises
    ------
    InvalidInput
        Two features of one name, windows that the operator does not take, no leader where one is read, or two leaders.
    """

    def __init__(self, features: tuple[Feature, ...]) -> None:
        names = [f.name for f in features]
        if len(set(names)) != len(names):
            raise InvalidInput(f"features are named {names}", why="names must differ", fix="rename one")
        self.features = features
        self.ops: Int64Array = np.zeros((len(features), 4), np.int64)
        offset = 0
        for n, feature in enumerate(features):
            _check(feature)
            self.ops[n] = (feature.operator, feature.window, feature.second, offset)
            offset += feature.state_size
        self.state_size = offset
        self.warmup_bars = max((f.warmup_bars for f in features if not f.optional), default=0)
        cells: frozenset[int] = frozenset().union(*(f.cells for f in features))
        self.leader = _leader(features)
        self.uses_funding = FUNDING_RATE in cells
        self.closes_only = cells <= {CLOSE}

    def batch(self, rows: Float64Array, resets: BoolArray | None = None) -> Float64Array:
        """Features of a whole series, shape (n_bars, n_features): a loop over the streaming call.

        Parameters
        ----------
        rows : float64 array, shape (n_bars, ROW_SIZE)
            As `feature_rows.rows_of` builds them.
        resets : bool array, shape (n_bars,), optional
            Where memory starts again before the bar, as `feature_rows.resets_of` finds them.

        Raises
        ------
        InvalidInput
            Another shape, or a cell that no bar can have; only funding and leader may be NaN.
        """
        again = np.zeros(len(rows), np.bool_) if resets is None else resets
        _check_rows(rows, again)
        out, state = np.full((len(rows), len(self.features)), np.nan), np.zeros(max(1, self.state_size))
        for starts_again, row, seen in zip(again.tolist(), np.ascontiguousarray(rows), out, strict=True):
            if starts_again:
                state[:] = 0.0
            update_features(self.ops, state, seen, row)
        return out


def _check(feature: Feature) -> None:
    traits = OPERATORS[feature.operator]
    told, n, m = f"feature {feature.name!r} ({feature.operator.name})", feature.window, feature.second
    if not (traits.least <= n <= WINDOW_MAX) or (traits.windows == 0 and n != 1):
        allowed = "1" if traits.windows == 0 else f"{traits.least} to {WINDOW_MAX:,}"
        raise InvalidInput(f"{told}: window is {n}", why=f"it takes {allowed}", fix="choose one of those")
    if (m != 0) if traits.windows < 2 else not 1 <= m <= WINDOW_MAX:
        allowed = f"1 to {WINDOW_MAX:,}" if traits.windows == 2 else "0: it has one window at most"
        raise InvalidInput(f"{told}: second window is {m}", why=f"it takes {allowed}", fix="choose one of those")
    if traits.ordered and n >= m:
        raise InvalidInput(f"{told}: windows are {n} and {m}", why="the first must be the shorter", fix="swap them, or part them")
    if bool(feature.of) != (LEADER_CLOSE in feature.cells):
        raise InvalidInput(f"{told}: of is {feature.of!r}", why="operators that read the leader name it, no others", fix="set or drop it")


def _leader(features: tuple[Feature, ...]) -> str:
    leaders = sorted({f.of for f in features} - {""})
    if len(leaders) > 1:
        raise InvalidInput(f"features are led by {', '.join(leaders)}", why="a row holds one leader's close", fix="choose one")
    return leaders[0] if leaders else ""


def _check_rows(rows: Float64Array, resets: BoolArray) -> None:
    if rows.ndim != 2 or rows.shape[1] != ROW_SIZE or rows.dtype != np.float64 or resets.shape != (len(rows),):
        raise InvalidInput(
            f"rows of shape {rows.shape} and {rows.dtype}, resets of {resets.shape}",
            why=f"float64 rows of {ROW_SIZE} cells and one reset each are read",
            fix="build them with rows_of and resets_of",
        )
    for cell, name in enumerate(ROW_CELLS):
        column = rows[:, cell]
        known = column if cell not in (FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE) else column[~np.isnan(column)]
        least = -VALUE_MAX if cell == FUNDING_RATE else 0.0
        bad = ~(np.isfinite(known) & (known >= least) & (known <= VALUE_MAX))
        if cell in (OPEN, HIGH, LOW, CLOSE, LEADER_CLOSE):
            bad |= known == 0.0
        if bad.any():
            raise InvalidInput(
                f"rows: {name} is {known[bad][0]!r}", why="a bar has positive finite prices and volume", fix="validate the bars first"
            )
    high, low = rows[:, HIGH], rows[:, LOW]
    if (np.minimum(rows[:, OPEN], rows[:, CLOSE]) < low).any() or (np.maximum(rows[:, OPEN], rows[:, CLOSE]) > high).any():
        raise InvalidInput("rows: an open or close lies outside its high and low", why="no bar is so", fix="validate the bars first")


@law("void(int64[:,::1], float64[::1], float64[::1], float64[::1])")
def update_features(ops: Int64Array, state: Float64Array, out: Float64Array, row: Float64Array) -> None:
    """Feed one row to every operator; `out[n]` becomes feature n, NaN while it warms up."""
    for n in range(ops.shape[0]):
        kind, window, second, at = ops[n, 0], ops[n, 1], ops[n, 2], ops[n, 3]
        count = int(state[at]) + 1
        state[at] = count
        if kind <= 7:
            out[n] = price_feature(state, kind, at + 1, window, second, count, row)
        elif kind <= 16:
            out[n] = bar_feature(state, kind, at + 1, window, second, count, row)
        else:
            out[n] = outer_feature(state, kind, at + 1, window, second, count, row)
