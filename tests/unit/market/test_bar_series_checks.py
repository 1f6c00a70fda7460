from __future__ import annotations

import numpy as np
import pytest

from kedge.market.bars import BarTable, RawBars
from kedge.market.findings import Finding, Span, by_code
from kedge.market.gaps import coverage, find_gaps
from kedge.market.validation import validate

from .bar_examples import MINUTE_MS, START_MS, calm, changed


def findings(table: BarTable) -> dict[str, Finding]:
    return by_code(validate(RawBars.from_table(table)).findings)


def with_columns(table: BarTable, **columns: np.ndarray) -> BarTable:
    values = {name: columns.get(name, getattr(table, name)) for name in ("ts_ms", "open", "high", "low", "close", "volume")}
    return BarTable(table.symbol, table.interval_ms, *values.values())


def test_gaps_are_named_with_start_and_count():
    table = calm(100)
    kept = table.take(np.array([*range(10), *range(11, 50), *range(60, 100)]))
    assert find_gaps(kept.ts_ms, MINUTE_MS) == (Span(START_MS + 10 * MINUTE_MS, 1), Span(START_MS + 50 * MINUTE_MS, 10))
    assert findings(kept)["MISSING_BARS"].count == 11


def test_coverage_counts_bars_merges_and_survives_emptiness():
    ts_ms = calm(100).ts_ms
    left, right = coverage(ts_ms[:60], MINUTE_MS), coverage(ts_ms[40:], MINUTE_MS)
    assert left.merged(right).bars == 100
    assert left.merged(right).gaps() == ()
    apart = coverage(ts_ms[:10], MINUTE_MS).merged(coverage(ts_ms[20:], MINUTE_MS))
    assert apart.gaps() == (Span(int(ts_ms[10]), 10),)
    empty = coverage(ts_ms[:0], MINUTE_MS)
    assert (empty.bars, empty.gaps(), empty.merged(left).bars, empty.merged(empty).bars) == (0, (), 60, 0)


def test_zero_volume_and_flat_bars_are_counted_with_their_runs():
    table = calm(60)
    volume, high, low, open_, close = (column.copy() for column in (table.volume, table.high, table.low, table.open, table.close))
    volume[[5, 6, 30]] = 0.0
    for column in (high, low, open_, close):
        column[30] = 1_000.0
    found = findings(with_columns(table, volume=volume, high=high, low=low, open=open_, close=close))
    assert found["ZERO_VOLUME"].count == 3
    assert found["ZERO_VOLUME"].spans == (Span(int(table.ts_ms[5]), 2), Span(int(table.ts_ms[30]), 1))
    assert found["FLAT"].spans == (Span(int(table.ts_ms[30]), 1),)


def test_a_file_without_any_volume_says_so_once():
    found = findings(with_columns(calm(60), volume=np.zeros(60)))
    assert list(found) == ["NO_VOLUME"]


def test_a_stuck_price_is_found_with_its_run():
    table = calm(60)
    columns = {
        name: np.where((np.arange(60) >= 20) & (np.arange(60) < 35), 1_000.0, getattr(table, name))
        for name in ("open", "high", "low", "close")
    }
    found = findings(with_columns(table, **columns))["STUCK_PRICE"]
    assert (found.count, found.spans, found.data["longest_price"]) == (15, (Span(int(table.ts_ms[20]), 15),), 1_000.0)


def test_a_descending_file_is_sorted_and_reported():
    table = calm(60)
    result = validate(RawBars.from_table(table.take(slice(None, None, -1))))
    assert by_code(result.findings)["DESCENDING"].count == 60
    assert np.array_equal(result.accepted.ts_ms, table.ts_ms)
    assert "ORDER_JUMPS" not in by_code(result.findings)


def test_scrambled_rows_are_counted_with_their_steps():
    order = [*range(59, 40, -1), 36, 40, 37, 39, 38, *range(35, -1, -1)]
    found = findings(calm(60).take(np.array(order)))["ORDER_JUMPS"]
    assert found.count == 5
    assert found.data["irregular_steps"] == 5


def test_a_stray_first_print_is_reported():
    table = changed(calm(60), 0, open=4_000.0, high=4_000.0)
    assert findings(table)["FIRST_BAR"].spans == (Span(START_MS, 1),)


@pytest.mark.parametrize("later", [300, 100])
def test_a_finer_grid_from_some_bar_on_is_named_only_when_it_lasts(later: int):
    table = calm(600)
    at = 600 - later
    close = table.close.copy()
    close[at:] += 0.01
    high = table.high + 0.1
    found = findings(with_columns(table, close=np.round(close, 2), high=np.round(high, 1)))
    assert found["GRID_CHANGE"].spans == (Span(int(table.ts_ms[at]), later),)
    assert (found["GRID_CHANGE"].data["decimals_before"], found["GRID_CHANGE"].data["decimals_after"]) == (1, 2)
    once = changed(table, 300, close=round(float(table.close[300]) + 0.01, 2))
    assert "GRID_CHANGE" not in findings(once)
