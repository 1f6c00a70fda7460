"""Laws of validation, snapshots' input and the crossing to the grid, for any table."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kedge.market.bars import NO_TS, BarTable, RawBars
from kedge.market.gaps import coverage, find_gaps
from kedge.market.steps import decimals, floor_steps, nearest_steps
from kedge.market.validation import validate

MINUTE_MS = 60_000
prices = st.one_of(st.integers(1, 10**6).map(lambda ticks: ticks / 10), st.sampled_from([0.0, -1.0, float("nan"), float("inf"), 1.05]))
times = st.one_of(st.integers(0, 40).map(lambda n: n * MINUTE_MS), st.sampled_from([NO_TS, 1, MINUTE_MS + 1]))
rows = st.lists(st.tuples(times, prices, prices, prices, prices, st.one_of(prices, st.just(0.0))), min_size=1, max_size=30)


def table_of(cells: list[tuple[int, float, float, float, float, float]]) -> BarTable:
    return BarTable.of(*zip(*cells, strict=True), interval_ms=MINUTE_MS, symbol="T")


def breaks_a_rule(cell: tuple[int, float, float, float, float, float]) -> bool:
    """The rules again, one row at a time, in plain Python."""
    ts, open_, high, low, close, volume = cell
    numbers = (open_, high, low, close, volume)
    finite = all(value == value and abs(value) != float("inf") for value in numbers)
    if ts == NO_TS or ts % MINUTE_MS or not finite:
        return True
    return min(numbers[:4]) <= 0 or volume < 0 or high < max(open_, close, low) or low > min(open_, close)


@given(rows)
def test_every_row_is_accepted_or_quarantined_and_none_is_changed(cells):
    result = validate(RawBars.from_table(table_of(cells)))
    assert len(result.accepted) + len(result.quarantine) == result.rows == len(cells)
    quarantined = {row.row_number - 1 for row in result.quarantine}
    left = sorted(cell for at, cell in enumerate(cells) if at not in quarantined)
    assert [tuple(row) for row in zip(*(column.tolist() for column in result.accepted.columns), strict=True)] == left
    assert {at for at, cell in enumerate(cells) if breaks_a_rule(cell)} <= quarantined


@given(rows)
def test_what_was_accepted_breaks_no_rule_and_ascends(cells):
    accepted = validate(RawBars.from_table(table_of(cells))).accepted
    assert bool((np.diff(accepted.ts_ms) > 0).all())
    again = validate(RawBars.from_table(accepted), keep_outliers=True)
    assert again.quarantine == () or all(row.first_code == "MIXED_INTERVAL" for row in again.quarantine)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_gaps_and_bars_make_the_span(present):
    ts_ms = np.array(sorted(present), dtype=np.int64) * MINUTE_MS
    gaps = find_gaps(ts_ms, MINUTE_MS)
    missing = {gap.start_ms // MINUTE_MS + n for gap in gaps for n in range(gap.count)}
    assert missing == set(range(min(present), max(present) + 1)) - present
    assert coverage(ts_ms, MINUTE_MS).bars == len(present)


@given(st.sets(st.integers(0, 100)), st.sets(st.integers(0, 100)))
def test_merged_coverage_is_the_union(left, right):
    parts = [coverage(np.array(sorted(part), dtype=np.int64) * MINUTE_MS, MINUTE_MS) for part in (left, right)]
    merged = parts[0].merged(parts[1])
    assert merged.bars == len(left | right)
    assert sum(gap.count for gap in merged.gaps()) == (max(left | right) - min(left | right) + 1 - len(left | right) if left | right else 0)


@given(st.integers(1, 10**9), st.sampled_from([1, 10, 50, 1_000, 25_000, 10_000_000, 10**8]))
def test_every_float_that_is_the_nearest_to_a_tick_is_exactly_that_tick(ticks, tick_e8):
    value = float(Decimal(ticks * tick_e8) / 10**8)
    steps, exact = nearest_steps(np.array([value]), tick_e8, field="price")
    assert (steps[0], exact[0]) == (ticks, True)
    if ticks * tick_e8 < 2**50:  # beyond, the next float may be nearest to the same decimal
        _, exact = nearest_steps(np.array([np.nextafter(value, np.inf)]), tick_e8, field="price")
        assert not exact[0]


@given(st.integers(0, 10**15), st.sampled_from([1, 1_000, 100_000, 10**8]))
def test_volumes_round_down_never_up(volume_e8, lot_e8):
    lots, _ = floor_steps(np.array([volume_e8 / 10**8]), lot_e8, field="volume")
    whole = volume_e8 // lot_e8
    assert lots[0] == whole or (lots[0] == whole + 1 and (whole + 1) * lot_e8 - volume_e8 <= 1e-9 * volume_e8 + 1)


@given(st.integers(1, 10**12), st.integers(0, 8))
def test_decimals_agree_with_the_text_of_the_number(number, places):
    value = float(Decimal(number).scaleb(-places))
    text = format(Decimal(repr(value)).normalize(), "f")
    assert decimals(np.array([value]))[0] == (len(text.partition(".")[2]) if "." in text else 0)
