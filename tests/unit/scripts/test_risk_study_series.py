"""The study's series: a return spans exactly one bar, a day closes at midnight, and what a hole leaves out is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts.risk_study_series import DAY_MS, HOUR_MS, Closes, days_of, read_closes, returns_of, series_of, since

FIRST_2020_MS = 1_577_836_800_000


def hours(count: int, *, missing: tuple[int, ...] = ()) -> Closes:
    """Closes 100, 101, 102, ... of the hours from the first of 2020, without some."""
    kept = [n for n in range(count) if n not in missing]
    return Closes(np.array([FIRST_2020_MS + (n + 1) * HOUR_MS for n in kept]), np.array([100.0 + n for n in kept]), HOUR_MS, "")


def test_a_return_over_a_hole_is_left_out_and_counted() -> None:
    found = returns_of(hours(6, missing=(3,)))
    assert found.returns == pytest.approx([101 / 100 - 1, 102 / 101 - 1, 105 / 104 - 1])
    assert found.end_ms.tolist() == [FIRST_2020_MS + n * HOUR_MS for n in (2, 3, 6)]
    hole = (FIRST_2020_MS + 5 * HOUR_MS, 2, pytest.approx(104 / 102 - 1))  # the hour that is missing, and the one after it
    assert found.holes == (hole,)


def test_only_holes_since_the_first_tested_return_are_told() -> None:
    early, late = FIRST_2020_MS - 20 * HOUR_MS, FIRST_2020_MS
    ends = [early, early + HOUR_MS, early + 3 * HOUR_MS, late, late + HOUR_MS, late + 4 * HOUR_MS, late + 5 * HOUR_MS]
    series = series_of("BTC", "hour", Closes(np.array(ends), np.linspace(100, 106, 7), HOUR_MS, ""), 10)
    assert [hole.bars for hole in series.returns.holes] == [2, 17, 3]
    assert [hole.bars for hole in series.holes] == [3]


def test_a_day_closes_with_the_hour_that_ends_at_midnight() -> None:
    days = days_of(hours(50))
    assert days.end_ms.tolist() == [FIRST_2020_MS + DAY_MS, FIRST_2020_MS + 2 * DAY_MS]
    assert days.close.tolist() == [123.0, 147.0]


def test_a_hole_inside_a_day_costs_nothing_and_a_day_without_its_last_hour_costs_two_returns() -> None:
    whole = returns_of(days_of(hours(24 * 5, missing=(5, 6, 30))))
    assert len(whole.returns) == 4
    assert whole.holes == ()
    holed = returns_of(days_of(hours(24 * 5, missing=(47,))))
    assert len(holed.returns) == 2
    assert [hole.bars for hole in holed.holes] == [2]


def test_sessions_follow_each_other_whatever_lies_between() -> None:
    sessions = Closes(np.array([1, 2, 5]) * DAY_MS, np.array([100.0, 110.0, 99.0]), 0, "")
    assert returns_of(sessions).returns == pytest.approx([0.1, -0.1])


def test_crypto_is_tested_from_2020_and_sessions_from_their_own_history_on() -> None:
    before = Closes(np.arange(-30, 30) * HOUR_MS + FIRST_2020_MS, np.linspace(100, 160, 60), HOUR_MS, "")
    crypto = series_of("BTC", "hour", before, 10)
    assert crypto.returns.end_ms[crypto.first] == FIRST_2020_MS + HOUR_MS
    assert str(since(crypto)[0]) == "2020-01-01"
    sessions = series_of("SPY", "session", before._replace(step_ms=0), 10)
    assert sessions.first == 10
    assert sessions.tested == 49


def test_a_file_is_read_by_the_time_at_which_its_closes_are_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ts": [0, HOUR_MS], "close": [1.0, 2.0], "open": [9.0, 9.0]}), tmp_path / "bars.parquet")
    found = read_closes(tmp_path / "bars.parquet", HOUR_MS)
    assert found.end_ms.tolist() == [HOUR_MS, 2 * HOUR_MS]
    assert found.close.tolist() == [1.0, 2.0]
    assert len(found.sha256) == 64
