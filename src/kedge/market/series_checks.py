"""Checks over a whole series that report and leave every row where it is.

Rule: `table` is sorted and unique here, except in `order_findings`, which looks at the file as it came.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kedge.market.bars import NO_TS, BarTable, Floats, Ints
from kedge.market.findings import Finding, Report, Span, mask_runs, spans_of
from kedge.market.gaps import gap_finding
from kedge.market.intervals import interval_text, utc_text
from kedge.market.outliers import wick_mask
from kedge.market.steps import decimals

BREAK_MIN_LOG: Final = 0.693
STUCK_MIN_BARS: Final = 10
FIRST_BAR_MIN_LOG: Final = 0.5
_GRID_BLOCK_BARS: Final = 12
_GRID_SIDE_BLOCKS: Final = 8


def order_findings(ts_ms: Ints) -> list[Finding]:
    """`DESCENDING` and `ORDER_JUMPS` of a file's own order; rows without a timestamp are left out."""
    ts_ms = ts_ms[ts_ms != NO_TS]
    unique, rank = np.unique(ts_ms, return_inverse=True)
    steps = np.diff(rank)
    if len(steps) == 0:
        return []
    descending = int((steps < 0).sum()) > int((steps > 0).sum())
    direction = -1 if descending else 1
    found = []
    if descending:
        found.append(Finding(Report.DESCENDING, len(ts_ms), "rows run from newest to oldest; they are sorted on import"))
    irregular = np.flatnonzero((steps != direction) & (steps != 0))
    if len(irregular):
        found.append(_jump_finding(ts_ms, np.sort(ts_ms)[::direction], irregular))
    return found


def _jump_finding(ts_ms: Ints, in_order: Ints, irregular: Ints) -> Finding:
    displaced = int((ts_ms != in_order).sum())
    jumps_ms = ts_ms[irregular + 1] - ts_ms[irregular]
    sizes, counts = np.unique(jumps_ms, return_counts=True)
    steps = list(zip(sizes.tolist(), counts.tolist(), strict=True))[:6]
    listed = ", ".join(f"{n} x {'+' if step > 0 else '-'}{interval_text(abs(step))}" for step, n in steps)
    first, last = int(ts_ms[irregular].min()), int(ts_ms[irregular + 1].max())
    text = f"{displaced} rows stand out of order, {len(irregular)} irregular steps ({listed})"
    text += f" between {utc_text(first)} and {utc_text(last)}"
    spans = tuple(Span(ts, 1) for ts in ts_ms[irregular + 1].tolist())
    return Finding(Report.ORDER_JUMPS, displaced, text, spans, {"irregular_steps": len(irregular), "step_ms": jumps_ms.tolist()})


def series_findings(table: BarTable) -> list[Finding]:
    """Every report-only finding of an accepted series, in a fixed order."""
    if len(table) == 0:
        return []
    return [
        *gap_finding(table.ts_ms, table.interval_ms),
        *_volume_findings(table),
        *_stuck_finding(table),
        *_break_finding(table),
        *_first_bar_finding(table),
        *_wick_finding(table),
        *_grid_finding(table),
    ]


def _volume_findings(table: BarTable) -> list[Finding]:
    zero = table.volume == 0
    n_zero = int(zero.sum())
    if n_zero == 0:
        return []
    if n_zero == len(table):
        return [Finding(Report.NO_VOLUME, n_zero, "no bar has volume: mark or index prices, or a source without volume")]
    found = [Finding(Report.ZERO_VOLUME, n_zero, f"{n_zero} of {len(table)} bars have zero volume", spans_of(zero, table.ts_ms))]
    flat = zero & (table.high == table.low)
    if flat.any():
        text = f"{int(flat.sum())} bars are flat with zero volume: nothing traded, or the source padded an outage"
        found.append(Finding(Report.FLAT, int(flat.sum()), text, spans_of(flat, table.ts_ms)))
    return found


def _stuck_finding(table: BarTable) -> list[Finding]:
    """Runs of rows that all print one price, whatever their volume: test bars, padding, or a dead market."""
    flat = table.high == table.low
    repeats = np.concatenate(([False], flat[1:] & flat[:-1] & (table.close[1:] == table.close[:-1])))
    starts, lengths = mask_runs(repeats)
    long = lengths + 1 >= STUCK_MIN_BARS
    if not long.any():
        return []
    starts, lengths = starts[long] - 1, lengths[long] + 1
    spans = tuple(Span(ts, n) for ts, n in zip(table.ts_ms[starts].tolist(), lengths.tolist(), strict=True))
    longest = int(np.argmax(lengths))
    price = float(table.close[starts[longest]])
    text = f"{int(lengths.sum())} bars in {len(spans)} runs repeat one price; the longest is {lengths[longest]} at {price!r} from "
    text += utc_text(spans[longest].start_ms)
    data = {"longest_price": price, "longest": int(lengths[longest]), "prices": table.close[starts].tolist()}
    return [Finding(Report.STUCK_PRICE, int(lengths.sum()), text, spans, data)]


def _break_finding(table: BarTable) -> list[Finding]:
    """A jump by a factor of two or more between one bar's close and the next bar's open: another coin, or a changed unit."""
    jump = np.abs(np.log(table.open[1:] / table.close[:-1]))
    at = np.flatnonzero(jump > BREAK_MIN_LOG) + 1
    if len(at) == 0:
        return []
    returns = np.log(table.close[at] / table.close[at - 1])
    holes = (np.diff(table.ts_ms)[at - 1] // table.interval_ms - 1).tolist()
    where = "; ".join(
        f"{utc_text(ts)} (log return {r:+.2f} after {hole} missing bars)"
        for ts, r, hole in list(zip(table.ts_ms[at].tolist(), returns.tolist(), holes, strict=True))[:5]
    )
    text = f"{len(at)} false returns, split the series there: {where}"
    spans = tuple(Span(ts, 1) for ts in table.ts_ms[at].tolist())
    return [Finding(Report.PRICE_BREAK, len(at), text, spans, {"log_returns": returns.tolist()})]


def _first_bar_finding(table: BarTable) -> list[Finding]:
    """The first bar has no bar before it to be judged by; its own extremes are."""
    reach = float(np.log(table.high[0] / table.low[0]))
    if reach <= FIRST_BAR_MIN_LOG:
        return []
    text = f"the first bar spans {float(table.low[0])!r} to {float(table.high[0])!r} (log {reach:.2f}): a stray print opens the series"
    return [Finding(Report.FIRST_BAR, 1, text, (Span(int(table.ts_ms[0]), 1),), {"log_range": reach})]


def _wick_finding(table: BarTable) -> list[Finding]:
    wicks = wick_mask(table)
    wicks[0] = False  # said by FIRST_BAR
    if not wicks.any():
        return []
    text = f"{int(wicks.sum())} bars have a wick of more than a factor of two; kept, a liquidation looks the same"
    return [Finding(Report.LONG_WICK, int(wicks.sum()), text, spans_of(wicks, table.ts_ms))]


def _grid_finding(table: BarTable) -> list[Finding]:
    """A finer price grid from some bar on: a changed tick, or another venue's bars."""
    places = price_decimals(table)
    at = grid_change(places)
    if at is None:
        return []
    before, after = int(places[:at].max()), int(places[at:].max())
    ts = int(table.ts_ms[at])
    text = f"prices have {before} decimals before {utc_text(ts)} and {after} after: a changed tick, or another venue (check with --against)"
    data = {"decimals_before": before, "decimals_after": after}
    return [Finding(Report.GRID_CHANGE, len(table) - at, text, (Span(ts, len(table) - at),), data)]


def price_decimals(table: BarTable) -> Ints:
    """Decimals that a bar's four prices need; int64 array, shape (n,)."""
    columns: tuple[Floats, ...] = (table.open, table.high, table.low, table.close)
    return np.asarray(np.max(np.stack([decimals(column) for column in columns]), axis=0), dtype=np.int64)


def grid_change(places: Ints) -> int | None:
    """First position from which prices need more decimals than ever before and keep needing them, or None."""
    peak = np.maximum.accumulate(places)
    for at in (np.flatnonzero(np.diff(peak) > 0) + 1)[::-1].tolist():
        before, after = places[:at], places[at:]
        n_blocks = len(after) // _GRID_BLOCK_BARS
        if len(before) < _GRID_SIDE_BLOCKS * _GRID_BLOCK_BARS or n_blocks < _GRID_SIDE_BLOCKS:
            continue
        blocks = after[: n_blocks * _GRID_BLOCK_BARS].reshape(n_blocks, -1).max(axis=1)
        if float((blocks > before.max()).mean()) > 0.9:
            return int(at)
    return None
