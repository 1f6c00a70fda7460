from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.market.bars import NO_TS, BarTable, RawBars
from kedge.market.findings import Rule, by_code, count_by_code
from kedge.market.validation import Validated, validate

from .bar_examples import MINUTE_MS, START_MS, calm, changed


def judge(table: BarTable, **options: object) -> Validated:
    return validate(RawBars.from_table(table), **options)


def only_row(result: Validated) -> tuple[int, tuple[Rule, ...]]:
    (row,) = result.quarantine
    return row.row_number, row.codes


def test_a_clean_series_is_accepted_whole_and_says_nothing():
    table = calm(500)
    result = judge(table, tick_e8=10_000_000, lot_e8=100_000, as_of_ms=START_MS + 500 * MINUTE_MS)
    assert (len(result.accepted), result.quarantine, result.findings) == (500, (), ())
    assert all(np.array_equal(a, b) for a, b in zip(result.accepted.columns, table.columns, strict=True))


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"close": np.nan}, (Rule.NOT_FINITE,)),
        ({"volume": np.inf}, (Rule.NOT_FINITE,)),
        ({"ts_ms": NO_TS}, (Rule.NOT_FINITE,)),
        ({"low": 0.0}, (Rule.NON_POSITIVE_PRICE,)),
        ({"low": -1.0}, (Rule.NON_POSITIVE_PRICE,)),
        ({"volume": -0.001}, (Rule.NEGATIVE_VOLUME,)),
        ({"high": 900.0}, (Rule.HIGH_BELOW_BODY,)),
        ({"low": 1_100.0}, (Rule.HIGH_BELOW_BODY, Rule.LOW_ABOVE_BODY)),
        ({"high": 1_100.05}, (Rule.OFF_TICK,)),
        ({"volume": 0.0005}, (Rule.OFF_LOT,)),
        ({"ts_ms": START_MS + 20 * MINUTE_MS + 1}, (Rule.OFF_INTERVAL,)),
    ],
)
def test_each_kind_of_broken_bar_goes_to_quarantine_with_its_rules(values: dict[str, float], codes: tuple[Rule, ...]):
    result = judge(changed(calm(40), 20, **values), tick_e8=10_000_000, lot_e8=100_000)
    assert only_row(result) == (21, codes)
    assert len(result.accepted) == 39
    assert by_code(result.findings)["MISSING_BARS"].count == 1


def test_a_bar_that_breaks_two_rules_names_the_first_and_all():
    result = judge(changed(calm(40), 20, high=1.0, volume=-1.0))
    assert result.quarantine[0].first_code is Rule.NEGATIVE_VOLUME
    assert result.quarantine[0].codes == (Rule.NEGATIVE_VOLUME, Rule.HIGH_BELOW_BODY)


def test_quarantine_keeps_the_values_as_they_came():
    table = changed(calm(40), 20, volume=-0.5)
    (row,) = judge(table).quarantine
    assert row.values == tuple(str(column[20].item()) for column in table.columns)


def test_a_repeated_row_stays_once_but_rows_that_disagree_all_go():
    table = calm(30)
    twice = table.take(np.array([*range(30), 7, 9]))
    disputed = changed(twice, 31, volume=123.0)
    result = judge(disputed)
    assert [(row.row_number, row.first_code) for row in result.quarantine] == [
        (10, Rule.DUPLICATE_TS),
        (31, Rule.DUPLICATE_TS),
        (32, Rule.DUPLICATE_TS),
    ]
    assert len(result.accepted) == 29


def test_a_broken_row_does_not_take_its_good_twin_along():
    table = changed(calm(30).take(np.array([*range(30), 7])), 30, close=np.nan)
    result = judge(table)
    assert only_row(result) == (31, (Rule.NOT_FINITE,))
    assert len(result.accepted) == 30


def test_an_open_bar_is_not_accepted_as_closed():
    table = calm(30)
    assert only_row(judge(table, as_of_ms=START_MS + 30 * MINUTE_MS - 1)) == (30, (Rule.UNCONFIRMED,))
    flags = RawBars.from_table(table)
    confirmed = np.arange(30) != 29
    raw = RawBars(flags.table, flags.missing, flags.row_number, flags.texts, confirmed=confirmed)
    assert only_row(validate(raw)) == (30, (Rule.UNCONFIRMED,))


def test_rows_of_another_instrument_and_missing_fields_are_quarantined():
    flags = RawBars.from_table(calm(30))
    missing = flags.missing.copy()
    missing[3, 5] = True
    raw = RawBars(flags.table, missing, flags.row_number, flags.texts, foreign=np.arange(30) == 4, malformed=((99, "torn"),))
    result = validate(raw)
    assert count_by_code(result.quarantine) == {"MISSING_FIELD": 2, "MIXED_INSTRUMENTS": 1}
    assert result.rows == len(result.accepted) + len(result.quarantine) == 31
    assert result.quarantine[-1].values == ("torn",)


def test_a_stream_quarantines_late_rows_where_a_file_is_sorted():
    late = calm(30).take(np.array([*range(10), 11, 10, *range(12, 30)]))
    assert only_row(judge(late, strict_order=True)) == (12, (Rule.OUT_OF_ORDER,))
    as_file = judge(late)
    assert not as_file.quarantine
    assert by_code(as_file.findings)["ORDER_JUMPS"].count == 2


def test_a_stretch_of_another_interval_is_not_taken_for_holes():
    fine, coarse = calm(100), calm(40, interval_ms=5 * MINUTE_MS, start_ms=START_MS + 100 * MINUTE_MS)
    columns = [np.concatenate(pair) for pair in zip(fine.columns, coarse.columns, strict=True)]
    result = judge(BarTable("TESTUSDT", MINUTE_MS, *columns))
    assert count_by_code(result.quarantine) == {"MIXED_INTERVAL": 40}


def test_columns_of_unequal_length_and_empty_intervals_are_refused():
    with pytest.raises(InvalidInput, match="lengths"):
        BarTable.of([1, 2], [1.0], [1.0], [1.0], [1.0], [1.0], interval_ms=1)
    with pytest.raises(InvalidInput, match="interval_ms is 0"):
        BarTable.of([], [], [], [], [], [], interval_ms=0)


def test_a_table_with_nothing_good_is_empty_not_an_error():
    result = judge(changed(calm(1), 0, close=np.nan))
    assert (len(result.accepted), len(result.quarantine), result.findings) == (0, 1, ())
