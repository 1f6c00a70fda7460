"""The rules that one row can break by itself, each as a mask over the whole column.

Rule: a mask is False where a value that the rule needs is missing; that row already broke another rule.
"""

from __future__ import annotations

import numpy as np

from kedge.market.bars import FIELDS, NO_TS, PRICES, BarTable, Mask, RawBars
from kedge.market.findings import Rule
from kedge.market.intervals import phase_ms
from kedge.market.steps import nearest_steps


def row_masks(raw: RawBars, *, tick_e8: int | None = None, lot_e8: int | None = None, as_of_ms: int | None = None) -> dict[Rule, Mask]:
    """Where each per-row rule is broken.

    Parameters
    ----------
    tick_e8, lot_e8 : int, optional
        The grid, in 1e-8; without one the grid rules say nothing.
    as_of_ms : int, optional
        The time of the reading; a bar that ends later is not closed yet.

    Returns
    -------
    dict
        Rule -> bool array, shape (n,).
    """
    table = raw.table
    return {
        Rule.MISSING_FIELD: raw.missing.any(axis=1),
        Rule.NOT_FINITE: _not_finite(raw),
        Rule.MIXED_INSTRUMENTS: np.zeros(len(table), dtype=np.bool_) if raw.foreign is None else raw.foreign,
        Rule.UNCONFIRMED: _unconfirmed(raw, as_of_ms),
        Rule.OFF_INTERVAL: (table.ts_ms != NO_TS) & ((table.ts_ms - phase_ms(table.interval_ms)) % table.interval_ms != 0),
        **_value_masks(table),
        **_grid_masks(table, tick_e8, lot_e8),
    }


def _not_finite(raw: RawBars) -> Mask:
    broken = np.zeros(len(raw.table), dtype=np.bool_)
    for number, name in enumerate(FIELDS):
        column = raw.table.columns[number]
        bad = column == NO_TS if name == "ts" else ~np.isfinite(column)
        broken |= bad & ~raw.missing[:, number]
    return broken


def _unconfirmed(raw: RawBars, as_of_ms: int | None) -> Mask:
    table = raw.table
    early = np.zeros(len(table), dtype=np.bool_)
    if raw.confirmed is not None:
        early |= ~raw.confirmed
    if as_of_ms is not None:
        early |= table.ts_ms > as_of_ms - table.interval_ms
    return early


def _value_masks(table: BarTable) -> dict[Rule, Mask]:
    with np.errstate(invalid="ignore"):  # comparisons with NaN are False, as wanted
        return {
            Rule.NON_POSITIVE_PRICE: (table.open <= 0) | (table.high <= 0) | (table.low <= 0) | (table.close <= 0),
            Rule.NEGATIVE_VOLUME: table.volume < 0,
            Rule.HIGH_BELOW_BODY: (table.high < table.open) | (table.high < table.close) | (table.high < table.low),
            Rule.LOW_ABOVE_BODY: (table.low > table.open) | (table.low > table.close),
        }


def _grid_masks(table: BarTable, tick_e8: int | None, lot_e8: int | None) -> dict[Rule, Mask]:
    masks = {}
    if tick_e8 is not None:
        off = np.zeros(len(table), dtype=np.bool_)
        for name in PRICES:
            off |= _off_grid(getattr(table, name), tick_e8, name)
        masks[Rule.OFF_TICK] = off
    if lot_e8 is not None:
        masks[Rule.OFF_LOT] = _off_grid(table.volume, lot_e8, "volume")
    return masks


def _off_grid(values: np.ndarray[tuple[int], np.dtype[np.float64]], step_e8: int, field: str) -> Mask:
    finite = np.isfinite(values)
    _, exact = nearest_steps(np.where(finite, values, 0.0), step_e8, field=field)
    return np.asarray(finite & ~exact)
