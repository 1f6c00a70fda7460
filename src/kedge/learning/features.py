"""Feature operators: one compiled `update_features(ops, state, out, row...)` serves batch and stream.

Batch is a loop over the call, stream is one call, so they are equal by construction. An operator's whole memory
is its slice of `state`; its output is NaN until its warm-up has passed. Sums run oldest to newest, always.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.kernel.compiling import law

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

WINDOW_MAX = 5_000


class Operator(IntEnum):
    """What a feature computes from the closes of one instrument."""

    EMA = 0
    """Exponential mean, alpha 2/(n+1), seeded with the first close; ready after n bars."""
    ZSCORE = 1
    """(close - mean) / population standard deviation over the last n closes; 0 where they are all equal."""
    VOLATILITY = 2
    """Square root of the exponentially weighted mean of squared log returns, alpha 2/(n+1), per bar."""
    MOMENTUM = 3
    """Log return over the last n bars."""


_MEMORY = {Operator.EMA: 1, Operator.ZSCORE: 0, Operator.VOLATILITY: 2, Operator.MOMENTUM: 0}
_KEEPS_WINDOW = {Operator.ZSCORE, Operator.MOMENTUM}


class Feature(msgspec.Struct, frozen=True):
    """One operator with its window, by name."""

    name: str
    operator: Operator
    window: Annotated[int, msgspec.Meta(ge=1, le=WINDOW_MAX)]

    @property
    def state_size(self) -> int:
        """float64 cells of memory: a counter, the operator's own, and its window if it keeps one."""
        return 1 + _MEMORY[self.operator] + (self.window if self.operator in _KEEPS_WINDOW else 0)

    @property
    def warmup_bars(self) -> int:
        """Bars before the output is a number."""
        return self.window if self.operator in (Operator.EMA, Operator.ZSCORE) else self.window + 1


class FeatureSet:
    """A fixed composition of features.

    Attributes
    ----------
    ops : int64 array, shape (n_features, 3)
        Operator, window, first cell of its state.
    state_size : int
        float64 cells that one instrument needs.
    warmup_bars : int
        Bars until every output is a number.
    """

    def __init__(self, features: tuple[Feature, ...]) -> None:
        names = [f.name for f in features]
        if len(set(names)) != len(names):
            raise InvalidInput(f"features are named {names}", why="names must differ", fix="rename one")
        self.features = features
        self.ops: Int64Array = np.zeros((len(features), 3), np.int64)
        offset = 0
        for n, feature in enumerate(features):
            self.ops[n] = (feature.operator, feature.window, offset)
            offset += feature.state_size
        self.state_size = offset
        self.warmup_bars = max((f.warmup_bars for f in features), default=0)

    def batch(self, closes: Float64Array) -> Float64Array:
        """Features of a whole series, shape (n_bars, n_features): a loop over the streaming call."""
        if closes.ndim != 1 or not np.all(np.isfinite(closes)) or np.any(closes <= 0):
            raise InvalidInput("closes", why="must be a 1-d array of positive finite prices", fix="validate the bars first")
        state, out = np.zeros(self.state_size), np.full(len(self.features), np.nan)
        rows = np.empty((len(closes), len(self.features)))
        for n, close in enumerate(closes):
            update_features(self.ops, state, out, float(close))
            rows[n] = out
        return rows


@law("float64(float64[::1], int64, int64, int64, float64)")
def _zscore(state: Float64Array, at: int, window: int, count: int, close: float) -> float:
    state[at + (count - 1) % window] = close
    if count < window:
        return np.nan
    total = 0.0
    for k in range(window):
        total += state[at + (count + k) % window]
    mean = total / window
    squares = 0.0
    for k in range(window):
        gap = state[at + (count + k) % window] - mean
        squares += gap * gap
    return (close - mean) / np.sqrt(squares / window) if squares > 0.0 else 0.0


@law("float64(float64[::1], int64, int64, int64, float64)")
def _volatility(state: Float64Array, at: int, window: int, count: int, close: float) -> float:
    if count > 1:
        change = np.log(close / state[at])
        alpha = 2.0 / (window + 1.0)
        state[at + 1] = change * change if count == 2 else state[at + 1] + alpha * (change * change - state[at + 1])
    state[at] = close
    return np.sqrt(state[at + 1]) if count > window else np.nan


@law("float64(float64[::1], int64, int64, int64, float64)")
def _momentum(state: Float64Array, at: int, window: int, count: int, close: float) -> float:
    cell = at + (count - 1) % window
    before = state[cell]
    state[cell] = close
    return np.log(close / before) if count > window else np.nan


@law("void(int64[:,::1], float64[::1], float64[::1], float64)")
def update_features(ops: Int64Array, state: Float64Array, out: Float64Array, close: float) -> None:
    """Feed one close to every operator; `out[n]` becomes feature n, NaN while it warms up."""
    for n in range(ops.shape[0]):
        kind, window, at = ops[n, 0], ops[n, 1], ops[n, 2]
        count = int(state[at]) + 1
        state[at] = count
        if kind == 0:
            state[at + 1] = close if count == 1 else state[at + 1] + 2.0 / (window + 1.0) * (close - state[at + 1])
            out[n] = state[at + 1] if count >= window else np.nan
        elif kind == 1:
            out[n] = _zscore(state, at + 1, window, count, close)
        elif kind == 2:
            out[n] = _volatility(state, at + 1, window, count, close)
        else:
            out[n] = _momentum(state, at + 1, window, count, close)
