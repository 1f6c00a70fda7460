from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FeedGap
from kedge.market.bars import BarTable
from kedge.market.findings import Rule
from kedge.market.grid_bars import bar_events, to_grid_bars
from kedge.market.steps import decimals, floor_steps, nearest_steps

from .bar_examples import MINUTE_MS, START_MS, calm, changed, instrument

NS = 1_000_000


def test_prices_become_ticks_and_volumes_lots_exactly():
    table = calm(50)
    bars, report = to_grid_bars(table, instrument())
    assert (report.quarantine, report.volumes_rounded) == ((), 0)
    assert bars.close_ticks.tolist() == [round(price * 10) for price in table.close.tolist()]
    assert bars.volume_lots.tolist() == [round(volume * 1_000) for volume in table.volume.tolist()]
    assert bars.open_ts_ns[0] == START_MS * NS
    assert bars.close_ts_ns[0] - bars.open_ts_ns[0] == MINUTE_MS * NS


def test_a_price_off_the_tick_is_quarantined_and_fine_volume_rounds_down():
    table = changed(changed(calm(50), 10, high=1_100.05), 20, volume=1.0019)
    bars, report = to_grid_bars(table, instrument())
    (row,) = report.quarantine
    assert (row.row_number, row.codes, row.values[2]) == (11, (Rule.OFF_TICK,), "1100.05")
    assert (len(bars), report.volumes_rounded) == (49, 1)
    assert bars.volume_lots[19] == 1_001


def test_a_price_above_the_proved_bound_is_quarantined():
    _, report = to_grid_bars(changed(calm(50), 10, high=1_000_000.1), instrument())
    assert [row.row_number for row in report.quarantine] == [11]


def test_sums_of_floats_are_the_lots_they_mean():
    lots, rounded = floor_steps(np.array([0.1 + 0.2, 0.3, 0.0, 0.2999]), 100_000, field="volume")
    assert (lots.tolist(), rounded.tolist()) == ([300, 300, 0, 299], [False, False, False, True])


def test_steps_refuse_what_has_no_integer():
    for value in (np.nan, np.inf, 1e30):
        with pytest.raises(InvalidInput, match="close is"):
            nearest_steps(np.array([1.0, value]), 10_000_000, field="close")


def test_decimals_are_the_fewest_that_write_a_float():
    assert decimals(np.array([1.0, 0.5, 95_725.12, 0.00004999, 1 / 3])).tolist() == [0, 1, 2, 8, 9]


def test_negative_volume_and_disorder_are_refused():
    with pytest.raises(InvalidInput, match="negative"):
        to_grid_bars(changed(calm(5), 2, volume=-1.0), instrument())
    with pytest.raises(InvalidInput, match="do not ascend"):
        to_grid_bars(calm(5).take(slice(None, None, -1)), instrument())


def test_events_come_in_order_of_time_then_instrument():
    one, two = instrument("bybit-linear:AUSDT"), instrument("bybit-linear:BUSDT")
    bars, _ = to_grid_bars(calm(3), one)
    events = list(bar_events([(two, bars), (one, bars)]))
    assert [(event.ts_ns, event.instrument[-5:]) for event in events] == [
        (int(ts), name) for ts in bars.close_ts_ns for name in ("AUSDT", "BUSDT")
    ]
    assert events[0] == BarClosed(
        int(bars.close_ts_ns[0]),
        one.instrument_id,
        int(bars.open_ts_ns[0]),
        int(bars.open_ticks[0]),
        int(bars.high_ticks[0]),
        int(bars.low_ticks[0]),
        int(bars.close_ticks[0]),
        int(bars.volume_lots[0]),
    )
    assert all(type(value) is int for value in (events[0].ts_ns, events[0].open_ticks, events[0].volume_lots))


def test_a_hole_becomes_one_gap_in_the_place_of_its_last_missing_bar():
    one, two = instrument("bybit-linear:AUSDT"), instrument("bybit-linear:BUSDT")
    whole, _ = to_grid_bars(calm(6), one)
    holed, _ = to_grid_bars(calm(6).take(np.array([0, 1, 4, 5])), two)
    events = list(bar_events([(one, whole), (two, holed)]))
    gap = FeedGap(int(whole.open_ts_ns[4]), two.instrument_id, int(whole.close_ts_ns[1]))
    assert [event for event in events if isinstance(event, FeedGap)] == [gap]
    at = events.index(gap)
    assert events[at - 1].ts_ns == gap.ts_ns
    assert [event.ts_ns for event in events] == sorted(event.ts_ns for event in events)


def test_series_of_two_intervals_merge_by_close():
    fine, coarse = instrument("bybit-linear:AUSDT"), instrument("bybit-linear:BUSDT")
    minutes, _ = to_grid_bars(calm(4), fine)
    pairs, _ = to_grid_bars(calm(2, interval_ms=2 * MINUTE_MS), coarse)
    assert [event.instrument[-5] for event in bar_events([(fine, minutes), (coarse, pairs)])] == list("AABAAB")


def test_no_series_no_events_and_a_series_twice_or_overlapping_is_refused():
    bars, _ = to_grid_bars(calm(5), instrument())
    assert list(bar_events([])) == []
    assert list(bar_events([(instrument(), to_grid_bars(calm(5).take(slice(0, 0)), instrument())[0])])) == []
    with pytest.raises(InvalidInput, match="appears twice"):
        bar_events([(instrument(), bars), (instrument(), bars)])
    stretched = BarTable("T", 2 * MINUTE_MS, *calm(5).columns)
    with pytest.raises(InvalidInput, match="overlap"):
        bar_events([(instrument(), to_grid_bars(stretched, instrument())[0])])
