from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.market.bars import BarTable
from kedge.market.changes import change_point
from kedge.market.compare import compare
from kedge.market.findings import Span, by_code
from kedge.market.resample import resample

from .bar_examples import MINUTE_MS, START_MS, calm, changed


def test_a_source_agrees_with_itself_and_with_its_own_coarser_bars():
    table = calm(600)
    same = compare(table, table)
    assert (same.common_bars, same.findings, same.close_median_bps) == (600, (), 0.0)
    coarse = compare(table, resample(table, 5 * MINUTE_MS))
    assert (coarse.common_bars, coarse.interval_ms, coarse.findings) == (120, 5 * MINUTE_MS, ())
    assert not any(coarse.differ.values())


def test_resampling_is_open_max_min_close_sum_of_whole_groups_only():
    table = calm(17)
    got = resample(table, 5 * MINUTE_MS)
    assert got.ts_ms.tolist() == [START_MS, START_MS + 5 * MINUTE_MS, START_MS + 10 * MINUTE_MS]
    group = slice(5, 10)
    assert got.open[1] == table.open[5]
    assert got.close[1] == table.close[9]
    assert (got.high[1], got.low[1]) == (max(table.high[group]), min(table.low[group]))
    assert got.volume[1] == pytest.approx(sum(table.volume[group]), rel=1e-12)
    with pytest.raises(InvalidInput, match="not a multiple"):
        resample(got, 7 * MINUTE_MS)


def test_missing_and_made_up_bars_are_told_apart():
    table = calm(100)
    other = table.take(np.array([*range(20), *range(25, 100)]))
    found = by_code(compare(table, other).findings)
    assert found["MADE_UP_BARS"].spans == (Span(int(table.ts_ms[20]), 5),)
    back = by_code(compare(other, table).findings)
    assert back["MISSING_AGAINST"].spans == (Span(int(table.ts_ms[20]), 5),)


def test_prices_off_by_more_than_half_a_percent_are_counted_by_field():
    table = calm(100)
    wrong = changed(changed(table, 10, open=1_100.0, high=1_100.0), 11, open=round(float(table.open[11]) + 0.1, 1))
    result = compare(wrong, table)
    assert result.differ == {"open": 2, "high": 1, "low": 0, "close": 0, "volume": 0}
    assert result.off == {"open": 1, "high": 1, "low": 0, "close": 0}
    assert by_code(result.findings)["PRICE_DIFFERENCE"].count == 2


def test_bars_stored_before_they_closed_are_named_with_their_ratio():
    table = calm(600)
    partial = changed(table, 250, volume=float(table.volume[250]) / 4)
    found = by_code(compare(partial, table).findings)["PARTIAL_BARS"]
    assert found.spans == (Span(int(table.ts_ms[250]), 1),)
    assert found.data["bars"][0]["volume_ratio"] == pytest.approx(0.25)


def test_a_switch_of_venue_is_named_with_time_ratio_and_grid():
    table = calm(600)
    at = 400
    volume, close, high = table.volume.copy(), table.close.copy(), table.high + 0.1
    volume[at:] *= 0.16
    close[at:] += 0.03
    switched = BarTable("TESTUSDT", MINUTE_MS, table.ts_ms, table.open, np.round(high, 1), table.low, np.round(close, 2), volume)
    found = by_code(compare(switched, table).findings)["VENUE_SWITCH"]
    assert found.spans == (Span(int(table.ts_ms[at]), 200),)
    assert found.data["volume_ratio_after"] == pytest.approx(0.16, rel=1e-6)
    assert (found.data["decimals_before"], found.data["decimals_after"]) == (1, 2)


def test_two_venues_that_always_differed_are_no_switch():
    table = calm(600)
    random = np.random.default_rng(3)
    other = BarTable("TESTUSDT", MINUTE_MS, *table.columns[:5], table.volume * np.exp(random.normal(1.0, 0.3, 600)))
    assert set(by_code(compare(table, other).findings)) == {"VOLUME_DIFFERENCE"}


def test_sources_without_a_common_bar_or_interval_are_refused():
    table = calm(60)
    with pytest.raises(InvalidInput, match="share no bar"):
        compare(table, calm(60, start_ms=START_MS + 10**9 * 60))
    with pytest.raises(InvalidInput, match="intervals are"):
        compare(calm(60, interval_ms=2 * MINUTE_MS), calm(60, interval_ms=3 * MINUTE_MS))


def test_the_change_point_splits_two_levels():
    assert change_point(np.array([0.0] * 30 + [2.0] * 7)) == 30
