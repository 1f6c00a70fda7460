"""From closes of UTC days to returns, aligned by day; what is not there is NaN and never 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_DAY
from kedge.risk.var.measure import Float64Array

DAYS_MAX: Final = 1_000


def aligned_returns(series: Sequence[tuple[int, Sequence[int]]], *, days: int = DAYS_MAX) -> Float64Array:
    """Simple daily returns, shape (days or fewer, n), oldest first; the last row ends at the newest day that any series has.

    Parameters
    ----------
    series : sequence of (last_day_ts_ns, closes)
        One per instrument: the start of the UTC day of its last close, and closes of consecutive days, oldest first, in
        whole ticks; 0 where a day is missing. An empty series has no history: its column is NaN.
    days : int
        Rows at most.

    Raises
    ------
    InvalidInput
        A day that does not start at midnight UTC, or a negative close.
    """
    for last_ns, closes in series:
        if last_ns % NS_PER_DAY:
            raise InvalidInput(f"last day {last_ns}", why="a UTC day starts at midnight", fix="pass the start of the day")
        if any(close < 0 for close in closes):
            raise InvalidInput("a close is negative", why="no price is", fix="pass ticks, 0 for a missing day")
    ends = [last_ns // NS_PER_DAY for last_ns, closes in series if len(closes)]
    if not ends:
        return np.full((0, len(series)), np.nan)
    newest = max(ends)
    prices = np.full((days + 1, len(series)), np.nan)
    for column, (last_ns, closes) in enumerate(series):
        behind = newest - last_ns // NS_PER_DAY
        told = np.asarray(closes[-(days + 1) :], dtype=np.float64)
        told[told == 0.0] = np.nan
        rows = min(told.size, days + 1 - behind)
        if rows > 0:
            stop = days + 1 - behind
            prices[stop - rows : stop, column] = told[told.size - rows :]
    returns = prices[1:] / prices[:-1] - 1.0
    known = np.flatnonzero(~np.isnan(returns).all(axis=1))
    return returns[known[0] :] if known.size else np.full((0, len(series)), np.nan)
