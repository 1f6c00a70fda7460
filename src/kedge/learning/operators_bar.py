"""Laws of the operators that read the whole bar: ranges, bodies, volume. See `operators_price` for how a law is called."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.kernel.compiling import law
from kedge.learning.feature_rows import CLOSE, HIGH, LOW, OPEN, VOLUME
from kedge.learning.operators_price import OPERATOR_LAW, ring_sum, ring_zscore

Float64Array = npt.NDArray[np.float64]

PARKINSON_SCALE: Final = 4.0 * float(np.log(2.0))
CLOSE_WEIGHT: Final = 2.0 * float(np.log(2.0)) - 1.0


@law("float64(float64[::1], int64, int64, int64, float64)")
def _mean_of(state: Float64Array, at: int, window: int, pushed: int, value: float) -> float:
    """Push `value` and give the mean of the last `window`; NaN while they are fewer."""
    state[at + (pushed - 1) % window] = value
    return ring_sum(state, at, window, pushed) / window if pushed >= window else np.nan


@law("float64(float64[::1], int64, int64, int64, float64, float64)")
def _share_of(state: Float64Array, at: int, window: int, count: int, part: float, whole: float) -> float:
    """Push both and give the parts' sum over the wholes' of the last `window`; cells: parts, then wholes."""
    cell = at + (count - 1) % window
    state[cell], state[cell + window] = part, whole
    if count < window:
        return np.nan
    total = ring_sum(state, at + window, window, count)
    return ring_sum(state, at, window, count) / total if total > 0.0 else 0.0


@law(OPERATOR_LAW)
def _parkinson(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    span = np.log(row[HIGH] / row[LOW])
    return float(np.sqrt(_mean_of(state, at, window, count, span * span) / PARKINSON_SCALE))


@law(OPERATOR_LAW)
def _garman_klass(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    span, body = np.log(row[HIGH] / row[LOW]), np.log(row[CLOSE] / row[OPEN])
    mean = _mean_of(state, at, window, count, 0.5 * span * span - CLOSE_WEIGHT * body * body)
    return 0.0 if mean < 0.0 else np.sqrt(mean)


@law(OPERATOR_LAW)
def _true_range(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: last close, then the ranges."""
    before, state[at] = state[at], row[CLOSE]
    if count == 1:
        return np.nan
    span = max(row[HIGH], before) - min(row[LOW], before)
    return _mean_of(state, at + 1, window, count - 1, span / row[CLOSE])


@law(OPERATOR_LAW)
def _range_position(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: highs, then lows."""
    cell = at + (count - 1) % window
    state[cell], state[cell + window] = row[HIGH], row[LOW]
    if count < window:
        return np.nan
    highest, lowest = row[HIGH], row[LOW]
    for k in range(at, at + window):
        highest = max(highest, state[k])
        lowest = min(lowest, state[k + window])
    return (row[CLOSE] - lowest) / (highest - lowest) if highest > lowest else 0.5


@law(OPERATOR_LAW)
def _volume_ratio(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    mean = _mean_of(state, at, window, count, row[VOLUME])
    return np.log((row[VOLUME] + mean) / (2.0 * mean)) if mean != 0.0 else 0.0


@law(OPERATOR_LAW)
def _volume_zscore(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    state[at + (count - 1) % window] = row[VOLUME]
    return ring_zscore(state, at, window, count, row[VOLUME]) if count >= window else np.nan


@law(OPERATOR_LAW)
def _signed_volume(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    signed = row[VOLUME] * np.sign(row[CLOSE] - row[OPEN])
    return _share_of(state, at, window, count, signed, row[VOLUME])


@law("float64(float64[::1], int64, int64, int64, int64, int64, float64[::1])")
def bar_feature(state: Float64Array, kind: int, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Operators 8 to 16."""
    if kind == 8:
        return _parkinson(state, at, window, second, count, row)
    if kind == 9:
        return _garman_klass(state, at, window, second, count, row)
    if kind == 10:
        return _true_range(state, at, window, second, count, row)
    if kind == 11:
        return _range_position(state, at, window, second, count, row)
    if kind == 12:
        return _share_of(state, at, window, count, row[CLOSE] - row[OPEN], row[HIGH] - row[LOW])
    if kind == 13:
        shadows = (row[HIGH] + row[LOW]) - (row[OPEN] + row[CLOSE])
        return _share_of(state, at, window, count, shadows, row[HIGH] - row[LOW])
    if kind == 14:
        return _volume_ratio(state, at, window, second, count, row)
    if kind == 15:
        return _volume_zscore(state, at, window, second, count, row)
    return _signed_volume(state, at, window, second, count, row)
