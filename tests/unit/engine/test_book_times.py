"""Whatever the length of a bar, the whole book is judged once after each of the four times of a day."""

from __future__ import annotations

import pytest

from kedge.domain.units import NS_PER_S
from kedge.engine.book_times import is_book_time

HOUR = 3_600 * NS_PER_S
DAY = 24 * HOUR


@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 120, 180, 240, 360])
def test_four_bars_of_a_day_are_times_of_judging(minutes: int) -> None:
    interval_ns = minutes * 60 * NS_PER_S
    closes = range(20_000 * DAY + interval_ns, 20_001 * DAY + 1, interval_ns)
    assert sum(is_book_time(close, interval_ns) for close in closes) == 4


@pytest.mark.parametrize("hours", [8, 12, 24])
def test_bars_longer_than_that_are_all_judged(hours: int) -> None:
    closes = range(20_000 * DAY, 20_003 * DAY, hours * HOUR)
    assert all(is_book_time(close, hours * HOUR) for close in closes)


@pytest.mark.parametrize(("close_h", "hours", "judged"), [(3, 1, True), (4, 1, False), (4, 2, True), (4, 4, True), (2, 2, False)])
def test_the_first_bar_at_or_after_the_time_is_the_one(close_h: int, hours: int, judged: bool) -> None:
    assert is_book_time(20_000 * DAY + close_h * HOUR, hours * HOUR) is judged
