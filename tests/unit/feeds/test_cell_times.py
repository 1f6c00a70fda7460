from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from kedge.domain.errors import InvalidInput
from kedge.feeds.cells import to_floats, to_ts_ms
from kedge.feeds.mapping import ColumnMapping
from kedge.market.bars import NO_TS

T0 = 1_700_006_400_000  # 2023-11-15 00:00 UTC


def times(cells: list[object], kind: pa.DataType | None = None, **options: str) -> list[int]:
    return to_ts_ms(pa.chunked_array([pa.array(cells, type=kind)]), ColumnMapping(**options))[0].tolist()


@pytest.mark.parametrize("scale", [0.001, 1, 1_000, 1_000_000])
def test_the_unit_of_integers_is_told_by_their_size(scale: float):
    cells = [int(T0 * scale), int((T0 + 60_000) * scale)]
    assert times(cells) == [T0, T0 + 60_000]
    assert times([str(cell) for cell in cells]) == [T0, T0 + 60_000]
    assert times([float(cell) for cell in cells]) == [T0, T0 + 60_000]


def test_a_named_unit_wins_and_parts_of_a_millisecond_are_refused():
    assert times([86_400_000], unit="ms") == [86_400_000]
    assert times([T0 * 1_000 + 1], unit="us") == [NO_TS]
    assert times([T0 + 0.5]) == [NO_TS]
    assert times([T0 * 1_000_000, T0 * 1_000_000 + 1], pa.timestamp("ns", "UTC")) == [T0, NO_TS]
    assert times([date(2023, 11, 15)]) == [T0]


@pytest.mark.parametrize(
    "cell",
    [
        "2023-11-15 00:00:00",
        "2023-11-15T00:00:00",
        "2023-11-15 00:00:00+00:00",
        "2023-11-15T03:00:00+03:00",
        "2023-11-15 12-AM",
        "20231115 00:00:00",
        "2023-11-15",
    ],
)
def test_common_texts_are_read_as_utc(cell: str):
    assert times([cell]) == [T0]


def test_a_format_reads_what_is_not_guessed():
    assert times(["15/11/2023 00:00", "16/11/2023 00:00"], time_format="%d/%m/%Y %H:%M") == [T0, T0 + 86_400_000]
    assert times(["15/11/2023 00:00", "2023"], time_format="%d/%m/%Y %H:%M")[1] == NO_TS


def test_unreadable_and_empty_cells_are_told_apart():
    ts_ms, missing = to_ts_ms(pa.chunked_array([["2023-11-15 00:00:00", "", "soon", "null"]]), ColumnMapping())
    assert ts_ms.tolist() == [T0, NO_TS, NO_TS, NO_TS]
    assert missing.tolist() == [False, True, False, True]
    assert times([T0, None]) == [T0, NO_TS]


@pytest.mark.parametrize("tz", ["UTC+3", "utc+03:00", "+03:00", "+0300", "GMT+3", "Europe/Istanbul"])
def test_local_times_become_utc(tz: str):
    assert times(["2023-11-15 03:00:00"], tz=tz) == [T0]
    assert times([T0 + 3 * 3_600_000], tz=tz) == [T0]
    assert times([datetime(2023, 11, 15, 3)], pa.timestamp("us"), tz=tz) == [T0]


def test_summer_time_is_followed_and_an_hour_that_came_twice_is_refused():
    assert times(["2023-07-01 02:00:00", "2023-12-01 01:00:00"], tz="Europe/Berlin") == [1_688_169_600_000, 1_701_388_800_000]
    with pytest.raises(InvalidInput, match="Berlin") as caught:
        times(["2023-10-29 02:30:00"], tz="Europe/Berlin")
    assert "fixed offset" in caught.value.fix


@pytest.mark.parametrize("tz", ["Mars/Base", "UTC3", "+3h", ""])
def test_an_unknown_zone_is_refused(tz: str):
    with pytest.raises(InvalidInput, match="--tz"):
        times(["2023-11-15 03:00:00"], tz=tz)


@pytest.mark.parametrize("cells", [["2023-11-15 00:00:00+00:00"], ["2023-11-15 00:00:00+00:00", "2023-11-15 00:01:00"]])
def test_a_zone_for_times_that_name_their_own_is_refused(cells: list[str]):
    with pytest.raises(InvalidInput, match="name their own"):
        times(cells, tz="UTC+3")
    with pytest.raises(InvalidInput, match="name their own"):
        times([datetime(2023, 11, 15)], pa.timestamp("ns", "UTC"), tz="UTC+3")


def test_numbers_are_read_to_the_last_bit_and_bad_ones_become_nan():
    values, missing = to_floats(pa.chunked_array([["0.1", " 23143.82 ", "1e-8", "", "abc", "inf", "None"]]))
    np.testing.assert_array_equal(values[:3], [0.1, 23143.82, 1e-8])
    assert np.isnan(values[[3, 4, 6]]).all()
    assert values[5] == np.inf
    assert missing.tolist() == [False, False, False, True, False, False, True]
