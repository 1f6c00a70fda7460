"""Validation of bars: every row is accepted or quarantined with the rules it broke, and the series is described.

Rules: `len(accepted) + len(quarantine)` is the number of rows that came; no value is changed. Rows are put in time order, and
that is reported (`DESCENDING`, `ORDER_JUMPS`); with `strict_order`, for streams, a late row is quarantined instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kedge.market.bars import BarTable, Ints, Mask, RawBars
from kedge.market.findings import Finding, QuarantinedRow, Report, Rule, mask_runs, spans_of
from kedge.market.outliers import outlier_mask
from kedge.market.rules import row_masks
from kedge.market.series_checks import order_findings, series_findings

COARSE_RUN_MIN: Final = 12
"""So many equal steps of several intervals in a row are bars of another interval, not holes."""


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """The result: `accepted` in time order, `quarantine` in the source's order, `findings` that only report."""

    accepted: BarTable
    quarantine: tuple[QuarantinedRow, ...]
    findings: tuple[Finding, ...]
    rows: int


def validate(
    raw: RawBars,
    *,
    tick_e8: int | None = None,
    lot_e8: int | None = None,
    as_of_ms: int | None = None,
    strict_order: bool = False,
    keep_outliers: bool = False,
) -> Validated:
    """Judge every row and describe the series.

    Parameters
    ----------
    raw : RawBars
        Rows as the source wrote them.
    tick_e8, lot_e8 : int, optional
        The instrument's grid in 1e-8; adds OFF_TICK and OFF_LOT.
    as_of_ms : int, optional
        Time of the reading; bars that end later are UNCONFIRMED.
    strict_order : bool
        Quarantine rows older than one already seen instead of sorting them.
    keep_outliers : bool
        Report outliers as OUTLIER_KEPT instead of quarantining them.
    """
    masks = row_masks(raw, tick_e8=tick_e8, lot_e8=lot_e8, as_of_ms=as_of_ms)
    clean = ~np.logical_or.reduce(list(masks.values()))
    table = raw.table
    masks[Rule.DUPLICATE_TS] = _scatter(len(table), np.flatnonzero(clean), _duplicates(table, np.flatnonzero(clean)))
    clean &= ~masks[Rule.DUPLICATE_TS]
    if strict_order:
        masks[Rule.OUT_OF_ORDER] = _late(table.ts_ms, clean)
        clean &= ~masks[Rule.OUT_OF_ORDER]
    rows = _in_time_order(table, clean)
    rows, masks[Rule.MIXED_INTERVAL] = _without(table, rows, _coarse_runs(table.take(rows)))
    outliers = outlier_mask(table.take(rows))
    kept = _kept_outliers(table.take(rows), outliers) if keep_outliers else []
    if not keep_outliers:
        rows, masks[Rule.OUTLIER] = _without(table, rows, outliers)
    accepted = table.take(rows)
    findings = (*_source_findings(raw), *series_findings(accepted), *kept)
    return Validated(accepted, _quarantine(raw, masks), findings, len(table) + len(raw.malformed))


def _scatter(size: int, positions: Ints, part: Mask) -> Mask:
    whole = np.zeros(size, dtype=np.bool_)
    whole[positions] = part
    return whole


def _without(table: BarTable, rows: Ints, out: Mask) -> tuple[Ints, Mask]:
    return rows[~out], _scatter(len(table), rows, out)


def _in_time_order(table: BarTable, clean: Mask) -> Ints:
    rows = np.flatnonzero(clean)
    return rows[np.argsort(table.ts_ms[rows], kind="stable")]


def _duplicates(table: BarTable, rows: Ints) -> Mask:
    """Of rows with one timestamp the first stays if all are equal; if they disagree none is known to be right."""
    order = np.argsort(table.ts_ms[rows], kind="stable")
    sorted_table = table.take(rows[order])
    same_ts = np.diff(sorted_table.ts_ms) == 0
    if not same_ts.any():
        return np.zeros(len(rows), dtype=np.bool_)
    differs = np.zeros(len(same_ts), dtype=np.bool_)
    for column in sorted_table.columns[1:]:
        differs |= column[1:] != column[:-1]
    out = np.concatenate(([False], same_ts))
    group = np.cumsum(~out) - 1
    disputed = np.zeros(int(group[-1]) + 1, dtype=np.bool_)
    disputed[group[1:][same_ts & differs]] = True
    return _scatter(len(rows), order, out | disputed[group])


def _late(ts_ms: Ints, clean: Mask) -> Mask:
    """Rows older than the newest clean row before them."""
    rows = np.flatnonzero(clean)
    seen = np.maximum.accumulate(ts_ms[rows]) if len(rows) else rows
    return _scatter(len(ts_ms), rows, ts_ms[rows] < seen)


def _coarse_runs(table: BarTable) -> Mask:
    """Rows of a stretch whose steps are all the same multiple of the interval."""
    steps = np.diff(table.ts_ms)
    out = np.zeros(len(table), dtype=np.bool_)
    same = np.concatenate(([False], (steps[1:] == steps[:-1]) & (steps[1:] > table.interval_ms)))
    starts, lengths = mask_runs(same)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if length + 1 >= COARSE_RUN_MIN:
            out[start - 1 : start + length + 1] = True
    return out


def _kept_outliers(table: BarTable, outliers: Mask) -> list[Finding]:
    if not outliers.any():
        return []
    text = f"{int(outliers.sum())} bars jump away from the market and back; kept as asked"
    return [Finding(Report.OUTLIER_KEPT, int(outliers.sum()), text, spans_of(outliers, table.ts_ms))]


def _source_findings(raw: RawBars) -> list[Finding]:
    found = order_findings(raw.table.ts_ms)
    if raw.other_instrument_rows:
        text = f"{raw.other_instrument_rows} rows name other instruments and were left out, as asked"
        found.append(Finding(Report.OTHER_INSTRUMENTS, raw.other_instrument_rows, text))
    return found


def _quarantine(raw: RawBars, masks: dict[Rule, Mask]) -> tuple[QuarantinedRow, ...]:
    ordered = [(rule, masks[rule]) for rule in Rule if rule in masks]
    bad = np.flatnonzero(np.logical_or.reduce([mask for _, mask in ordered]))
    rows = [
        QuarantinedRow(int(raw.row_number[at]), tuple(rule for rule, mask in ordered if mask[at]), raw.texts(at)) for at in bad.tolist()
    ]
    rows += [QuarantinedRow(number, (Rule.MISSING_FIELD,), (text,)) for number, text in raw.malformed]
    return tuple(sorted(rows, key=lambda row: row.row_number))
