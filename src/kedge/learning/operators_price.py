"""Laws of the operators that read closes, and the rings that all operators share.

Every law takes `(state, at, window, second, count, row)`: memory and the operator's first cell in it, its windows, bars seen with this
one, the bar. A ring holds the last `window` values pushed; when `pushed` are in, the oldest stands at `pushed % window`.
Error model: a division by zero would raise, so every divisor is tested.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.kernel.compiling import law
from kedge.learning.feature_rows import CLOSE

Float64Array = npt.NDArray[np.float64]

OPERATOR_LAW: Final = "float64(float64[::1], int64, int64, int64, int64, float64[::1])"


@law("float64(float64[::1], int64, int64, int64)")
def ring_sum(state: Float64Array, at: int, window: int, pushed: int) -> float:
    """Sum of a full ring, oldest to newest."""
    oldest = pushed % window
    total = 0.0
    for k in range(at + oldest, at + window):
        total += state[k]
    for k in range(at, at + oldest):
        total += state[k]
    return total


@law("float64(float64[::1], int64, int64, int64, float64)")
def ring_zscore(state: Float64Array, at: int, window: int, pushed: int, value: float) -> float:
    """(value - mean) / population standard deviation of a full ring; 0 where all are equal."""
    oldest = pushed % window
    mean = ring_sum(state, at, window, pushed) / window
    squares, first, differ = 0.0, state[at + oldest], False
    for k in range(at + oldest, at + window):
        gap = state[k] - mean
        squares += gap * gap
        differ = differ or state[k] != first
    for k in range(at, at + oldest):
        gap = state[k] - mean
        squares += gap * gap
        differ = differ or state[k] != first
    scale = np.sqrt(squares / window)
    return (value - mean) / scale if differ and scale > 0.0 else 0.0


@law("float64(float64, float64, int64, int64)")
def blend(before: float, value: float, window: int, seen: int) -> float:
    """Exponential mean, alpha 2/(window + 1), seeded with the first of the `seen` values."""
    return value if seen == 1 else before + 2.0 / (window + 1.0) * (value - before)


@law("float64(float64[::1], int64, int64, int64, float64)")
def _volatility_step(state: Float64Array, at: int, window: int, count: int, close: float) -> float:
    """Cells: last close, mean square."""
    if count > 1:
        change = np.log(close / state[at])
        state[at + 1] = blend(state[at + 1], change * change, window, count - 1)
    state[at] = close
    return np.sqrt(state[at + 1]) if count > window else np.nan


@law("float64(float64[::1], int64, int64, int64, float64)")
def _log_return(state: Float64Array, at: int, window: int, count: int, value: float) -> float:
    """ln(value / the value `window` calls ago); cells: the last `window` values."""
    cell = at + (count - 1) % window
    before = state[cell]
    state[cell] = value
    return np.log(value / before) if count > window else np.nan


@law(OPERATOR_LAW)
def _ema(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    state[at] = blend(state[at], row[CLOSE], window, count)
    return state[at] if count >= window else np.nan


@law(OPERATOR_LAW)
def _ema_gap(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    state[at] = blend(state[at], row[CLOSE], window, count)
    state[at + 1] = blend(state[at + 1], row[CLOSE], second, count)
    return np.log(state[at] / state[at + 1]) if count >= second else np.nan


@law(OPERATOR_LAW)
def _zscore(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    state[at + (count - 1) % window] = row[CLOSE]
    return ring_zscore(state, at, window, count, row[CLOSE]) if count >= window else np.nan


@law(OPERATOR_LAW)
def _scaled_return(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: two of the volatility, then the closes."""
    volatility = _volatility_step(state, at, second, count, row[CLOSE])
    change = _log_return(state, at + 2, window, count, row[CLOSE])
    if count <= max(window, second):
        return np.nan
    return change / (volatility * np.sqrt(window)) if volatility > 0.0 else 0.0


@law(OPERATOR_LAW)
def _volatility_ratio(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: last close, mean square over n, mean square over m."""
    if count > 1:
        change = np.log(row[CLOSE] / state[at])
        state[at + 1] = blend(state[at + 1], change * change, window, count - 1)
        state[at + 2] = blend(state[at + 2], change * change, second, count - 1)
    state[at] = row[CLOSE]
    if count <= second:
        return np.nan
    return 0.5 * np.log(state[at + 1] / state[at + 2]) if min(state[at + 1], state[at + 2]) > 0.0 else 0.0


@law(OPERATOR_LAW)
def _rsi(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: last close, then the log returns."""
    before, state[at] = state[at], row[CLOSE]
    if count == 1:
        return np.nan
    pushed = count - 1
    state[at + 1 + (pushed - 1) % window] = np.log(row[CLOSE] / before)
    if pushed < window:
        return np.nan
    signed, moved = 0.0, 0.0
    for k in range(pushed, pushed + window):
        change = state[at + 1 + k % window]
        signed += change
        moved += abs(change)
    return signed / moved if moved > 0.0 else 0.0


@law("float64(float64[::1], int64, int64, int64, int64, int64, float64[::1])")
def price_feature(state: Float64Array, kind: int, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Operators 0 to 7."""
    if kind == 0:
        return _ema(state, at, window, second, count, row)
    if kind == 1:
        return _zscore(state, at, window, second, count, row)
    if kind == 2:
        return _volatility_step(state, at, window, count, row[CLOSE])
    if kind == 3:
        return _log_return(state, at, window, count, row[CLOSE])
    if kind == 4:
        return _ema_gap(state, at, window, second, count, row)
    if kind == 5:
        return _scaled_return(state, at, window, second, count, row)
    if kind == 6:
        return _rsi(state, at, window, second, count, row)
    return _volatility_ratio(state, at, window, second, count, row)
