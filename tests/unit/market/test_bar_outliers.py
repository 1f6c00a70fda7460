from __future__ import annotations

import numpy as np
import pytest

from kedge.market.bars import BarTable, RawBars
from kedge.market.findings import Rule, by_code
from kedge.market.outliers import BAND_MIN_LOG, WINDOW_BARS, outlier_mask, robust_scale
from kedge.market.validation import validate

from .bar_examples import calm, changed


def scaled(table: BarTable, rows: slice, factor: float) -> BarTable:
    columns = [column.copy() for column in table.columns]
    for column in columns[1:5]:
        column[rows] = np.round(column[rows] * factor, 1)
    return BarTable(table.symbol, table.interval_ms, *columns)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.1, 0.8, 1.3, 10.0])
def test_bars_that_jump_away_and_back_are_outliers(length: int, factor: float):
    table = scaled(calm(600), slice(300, 300 + length), factor)
    assert np.flatnonzero(outlier_mask(table)).tolist() == list(range(300, 300 + length))


def test_a_misprinted_close_alone_is_the_outlier_not_its_neighbour():
    table = changed(calm(600), 300, close=100.0, low=100.0)
    assert np.flatnonzero(outlier_mask(table)).tolist() == [300]


def test_a_crash_and_its_recovery_are_not_outliers():
    table = calm(600)
    crash = changed(changed(table, 300, close=800.0, low=780.0), 301, open=800.0, low=790.0)
    assert not outlier_mask(crash).any()


def test_a_lasting_jump_is_a_break_and_stays():
    table = scaled(calm(600), slice(300, 600), 10.0)
    result = validate(RawBars.from_table(table))
    assert not result.quarantine
    assert by_code(result.findings)["PRICE_BREAK"].spans[0].start_ms == table.ts_ms[300]


def test_beside_a_hole_nothing_is_called_an_outlier():
    table = scaled(calm(600), slice(300, 301), 2.0)
    assert not outlier_mask(table.take(np.array([*range(299), *range(300, 600)]))).any()


def test_outliers_may_be_kept_but_are_reported():
    raw = RawBars.from_table(scaled(calm(600), slice(300, 302), 2.0))
    assert [row.codes for row in validate(raw).quarantine] == [(Rule.OUTLIER,), (Rule.OUTLIER,)]
    kept = validate(raw, keep_outliers=True)
    assert not kept.quarantine
    assert by_code(kept.findings)["OUTLIER_KEPT"].count == 2


def test_the_scale_is_the_median_deviation_of_the_widest_neighbouring_block():
    close = calm(3 * WINDOW_BARS).close
    returns = np.concatenate(([0.0], np.log(close[1:] / close[:-1])))
    blocks = returns.reshape(3, WINDOW_BARS)
    expected = [1.4826 * np.median(np.abs(block - np.median(block))) for block in blocks]
    got = robust_scale(close)[[0, WINDOW_BARS, 2 * WINDOW_BARS]]
    np.testing.assert_allclose(got, [max(expected[:2]), max(expected), max(expected[1:])], rtol=1e-9)  # both sum logs in another order
    assert (30 * robust_scale(close)).max() < BAND_MIN_LOG


def test_a_long_wick_is_reported_and_kept():
    result = validate(RawBars.from_table(changed(calm(600), 300, low=100.0)))
    assert not result.quarantine
    assert by_code(result.findings)["LONG_WICK"].count == 1
