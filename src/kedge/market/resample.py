"""Coarser bars from finer ones. Rule: only whole groups become bars; a bar with a part missing is left out, never guessed."""

from __future__ import annotations

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.market.bars import BarTable
from kedge.market.intervals import interval_text, phase_ms


def resample(table: BarTable, interval_ms: int) -> BarTable:
    """Bars of `interval_ms` from a sorted, unique table of a finer interval.

    Raises
    ------
    InvalidInput
        `interval_ms` is not a multiple of the table's interval.
    """
    if interval_ms % table.interval_ms:
        raise InvalidInput(
            f"interval is {interval_text(interval_ms)}",
            why=f"not a multiple of {interval_text(table.interval_ms)}",
            fix="resample to a multiple",
        )
    if interval_ms == table.interval_ms or len(table) == 0:
        return BarTable(table.symbol, interval_ms, *table.columns)
    phase = phase_ms(interval_ms)
    group, start, count = np.unique((table.ts_ms - phase) // interval_ms, return_index=True, return_counts=True)
    whole = BarTable(
        table.symbol,
        interval_ms,
        group * interval_ms + phase,
        table.open[start],
        np.maximum.reduceat(table.high, start),
        np.minimum.reduceat(table.low, start),
        table.close[start + count - 1],
        np.add.reduceat(table.volume, start),
    )
    return whole.take(count == interval_ms // table.interval_ms)
