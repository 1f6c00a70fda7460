"""Outliers: bars that jump away from the market and back, told apart from crashes.

Rule: a crash is continuous (a bar opens where the last one closed), a bad print is not. A run of at most `RUN_MAX` bars is an
outlier when its price jumps across the edge of the run by more than the band and the market outside goes on where it was.
The band is `max(BAND_MIN_LOG, BAND_SCALES x robust scale)`, the scale being 1.4826 x MAD of log returns in blocks of
`WINDOW_BARS` bars, the largest of a bar's own block and its two neighbours. Long wicks are reported, never quarantined:
a wick of a real liquidation looks the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kedge.market.bars import BarTable, Floats, Mask

WINDOW_BARS: Final = 288
BAND_MIN_LOG: Final = 0.10
BAND_SCALES: Final = 30.0
RUN_MAX: Final = 3
WICK_MIN_LOG: Final = 0.693
_MAD_TO_SIGMA: Final = 1.4826


def robust_scale(close: Floats) -> Floats:
    """Robust scale of log returns around each bar.

    Parameters
    ----------
    close : float64 array, shape (n,)
        Positive.

    Returns
    -------
    float64 array, shape (n,)
        1.4826 x median absolute deviation, per bar; the largest of three neighbouring blocks.
    """
    returns = np.diff(np.log(close), prepend=np.log(close[:1]))
    n_blocks = -(-len(close) // WINDOW_BARS)
    scales = np.zeros(n_blocks + 2)
    for block in range(n_blocks):
        part = returns[block * WINDOW_BARS : (block + 1) * WINDOW_BARS]
        scales[block + 1] = _MAD_TO_SIGMA * float(np.median(np.abs(part - np.median(part))))
    widest = np.maximum(np.maximum(scales[:-2], scales[1:-1]), scales[2:])
    return np.repeat(widest, WINDOW_BARS)[: len(close)]


def band_log(table: BarTable) -> Floats:
    """The largest log step, per bar, that is not looked at further; float64 array, shape (n,)."""
    return np.maximum(BAND_MIN_LOG, BAND_SCALES * robust_scale(table.close))


def outlier_mask(table: BarTable) -> Mask:
    """Bars to quarantine; `table` is sorted, unique and clean. Bool array, shape (n,)."""
    outlier = np.zeros(len(table), dtype=np.bool_)
    if len(table) < 3:
        return outlier
    band, log_open, log_close = band_log(table), np.log(table.open), np.log(table.close)
    joined = np.diff(table.ts_ms) == table.interval_ms
    for length in range(1, RUN_MAX + 1):
        starts = _away_and_back(log_open, log_close, band, length) & _joined_run(joined, length)
        for position in np.flatnonzero(starts) + 1:
            outlier[position : position + length] = True
    return outlier


def _away_and_back(log_open: Floats, log_close: Floats, band: Floats, length: int) -> Mask:
    """For runs starting at 1, 2, ...: does the price leave at an edge and the market go on where it was?"""
    n_runs = max(len(log_open) - length - 1, 0)
    first, last, after = slice(1, n_runs + 1), slice(length, length + n_runs), slice(length + 1, length + 1 + n_runs)
    before = log_close[:n_runs]
    gap_in, gap_out, across = log_open[first] - before, log_open[after] - log_close[last], log_open[after] - before
    jump_in, jump_out = np.abs(gap_in), np.abs(gap_out)
    edge = np.maximum(jump_in, jump_out) if length == 1 else np.minimum(jump_in, jump_out)
    opposite = (gap_in * gap_out <= 0) if length > 1 else np.ones(n_runs, dtype=np.bool_)
    return np.asarray((edge > band[first]) & (np.abs(across) < 0.25 * edge) & opposite)


def _joined_run(joined: Mask, length: int) -> Mask:
    n_runs = max(len(joined) - length, 0)
    whole = np.ones(n_runs, dtype=np.bool_)
    for offset in range(length + 1):
        whole &= joined[offset : offset + n_runs]
    return whole


def wick_mask(table: BarTable) -> Mask:
    """Bars whose high or low lies further than a factor of two from the body; bool array, shape (n,)."""
    top = np.log(table.high / np.maximum(table.open, table.close))
    bottom = np.log(np.minimum(table.open, table.close) / table.low)
    return np.asarray(np.maximum(top, bottom) > WICK_MIN_LOG)
