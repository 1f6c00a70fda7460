"""Laws of the operators that read what is not this instrument's bar: funding, the clock, the leader. NaN there enters no sum.

See `operators_price` for how a law is called.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.kernel.compiling import law
from kedge.learning.feature_rows import CLOSE, FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE, TS_S
from kedge.learning.operators import FUNDING_VALID_HOURS
from kedge.learning.operators_price import OPERATOR_LAW, ring_sum, ring_zscore

Float64Array = npt.NDArray[np.float64]

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
WEEK_S: Final = 604_800.0
MONDAY_S: Final = 3.0 * DAY_S
"""1 January 1970 was a Thursday: with this much more, weeks begin on Monday."""
FUNDING_VALID_S: Final = FUNDING_VALID_HOURS * HOUR_S
TURN: Final = 2.0 * float(np.pi)


@law("float64(float64[::1])")
def _rate_now(row: Float64Array) -> float:
    """The last rate, or NaN where it is unknown or too old (a comparison with NaN is false)."""
    return row[FUNDING_RATE] if row[TS_S] - row[FUNDING_TS_S] <= FUNDING_VALID_S else np.nan


@law(OPERATOR_LAW)
def _funding_zscore(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: settlements seen, time of the last one, then the rates."""
    if row[FUNDING_TS_S] > state[at + 1]:
        state[at + 1] = row[FUNDING_TS_S]
        state[at + 2 + int(state[at]) % window] = row[FUNDING_RATE]
        state[at] += 1.0
    pushed, rate = int(state[at]), _rate_now(row)
    return ring_zscore(state, at + 2, window, pushed, rate) if pushed >= window and not np.isnan(rate) else np.nan


@law("float64(int64, int64, float64)")
def _clock(kind: int, window: int, ts_s: float) -> float:
    """Operators 19 to 23."""
    if kind == 19:
        return window - (ts_s % (window * HOUR_S)) / HOUR_S
    if kind == 20:
        return float(np.sin(TURN * (ts_s % DAY_S) / DAY_S))
    if kind == 21:
        return float(np.cos(TURN * (ts_s % DAY_S) / DAY_S))
    week_s = (ts_s + MONDAY_S) % WEEK_S
    return float(np.sin(TURN * week_s / WEEK_S) if kind == 22 else np.cos(TURN * week_s / WEEK_S))


@law("float64(float64[::1], int64, int64, int64, float64)")
def _known_return(state: Float64Array, at: int, window: int, count: int, value: float) -> float:
    """ln(value / the value `window` calls ago), NaN where either is; cells: the last `window` values."""
    cell = at + (count - 1) % window
    before = state[cell]
    state[cell] = value
    return np.log(value / before) if count > window and before > 0.0 else np.nan


@law(OPERATOR_LAW)
def _relative_momentum(state: Float64Array, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Cells: own last n + 1 closes, then the leader's last n."""
    led = _known_return(state, at + window + 1, window, count, row[LEADER_CLOSE])
    own = np.nan
    if count > window + 1:  # before this close is written over the oldest: C_{t-1} and C_{t-1-n}
        own = np.log(state[at + (count - 2) % (window + 1)] / state[at + (count - 1) % (window + 1)])
    state[at + (count - 1) % (window + 1)] = row[CLOSE]
    return own - led


@law("void(float64[::1], int64, int64, int64, float64[::1])")
def _push_pair(state: Float64Array, at: int, window: int, count: int, row: Float64Array) -> None:
    """Cells: pairs, last close, last return, last leader's close, last time, last step, n leader's returns, n own.

    At bar t the leader's return ends where our return of bar t-1 ended. Around a hole the two do not match: no pair.
    """
    pairs, close, own, led, ts_s, step_s = state[at], state[at + 1], state[at + 2], state[at + 3], state[at + 4], state[at + 5]
    state[at + 1], state[at + 3], state[at + 4] = row[CLOSE], row[LEADER_CLOSE], row[TS_S]
    if count > 1:
        state[at + 2], state[at + 5] = np.log(row[CLOSE] / close), row[TS_S] - ts_s
    if count > 2 and row[TS_S] - ts_s == step_s and led > 0.0 and row[LEADER_CLOSE] > 0.0:
        cell = at + 6 + int(pairs) % window
        state[cell], state[cell + window] = np.log(row[LEADER_CLOSE] / led), own
        state[at] = pairs + 1.0


@law("float64(float64[::1], int64, int64, int64, int64)")
def _pair_statistic(state: Float64Array, kind: int, at: int, window: int, pairs: int) -> float:
    """Beta or correlation of full rings; NaN where the leader (or, of a correlation, either) did not move."""
    mean_x, mean_y = ring_sum(state, at, window, pairs) / window, ring_sum(state, at + window, window, pairs) / window
    squares_x, squares_y, products = 0.0, 0.0, 0.0
    for k in range(pairs, pairs + window):
        x, y = state[at + k % window] - mean_x, state[at + window + k % window] - mean_y
        squares_x += x * x
        squares_y += y * y
        products += x * y
    if kind == 26:
        return products / squares_x if squares_x > 0.0 else np.nan
    scale = np.sqrt(squares_x) * np.sqrt(squares_y)
    return min(1.0, max(-1.0, products / scale)) if scale > 0.0 else np.nan


@law(OPERATOR_LAW)
def _paired(state: Float64Array, at: int, window: int, kind: int, count: int, row: Float64Array) -> float:
    """Operators 26 and 27; `kind` stands where others take their second window."""
    _push_pair(state, at, window, count, row)
    pairs = int(state[at])
    return _pair_statistic(state, kind, at + 6, window, pairs) if pairs >= window and row[LEADER_CLOSE] > 0.0 else np.nan


@law("float64(float64[::1], int64, int64, int64, int64, int64, float64[::1])")
def outer_feature(state: Float64Array, kind: int, at: int, window: int, second: int, count: int, row: Float64Array) -> float:
    """Operators 17 to 27."""
    if kind == 17:
        return _rate_now(row)
    if kind == 18:
        return _funding_zscore(state, at, window, second, count, row)
    if kind <= 23:
        return _clock(kind, window, row[TS_S])
    if kind == 24:
        return _known_return(state, at, window, count, row[LEADER_CLOSE])
    if kind == 25:
        return _relative_momentum(state, at, window, second, count, row)
    return _paired(state, at, window, kind, count, row)
