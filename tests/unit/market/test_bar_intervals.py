from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.market.intervals import check_interval, infer_interval, interval_text, parse_interval, phase_ms, utc_text


@pytest.mark.parametrize(
    ("text", "ms"), [("1m", 60_000), ("5M", 300_000), ("1h", 3_600_000), ("1d", 86_400_000), ("1w", 604_800_000), ("30s", 30_000)]
)
def test_intervals_are_read_and_written(text: str, ms: int):
    assert parse_interval(text) == ms
    assert interval_text(ms) == text.lower()


@pytest.mark.parametrize("text", ["", "m", "0m", "-5m", "5", "5 minutes", "1.5h", "5x"])
def test_what_is_no_interval_is_refused(text: str):
    with pytest.raises(InvalidInput, match="interval is"):
        parse_interval(text)


def test_the_interval_is_the_common_step_whatever_the_order_and_holes():
    ts = np.array([0, 60_000, 120_000, 300_000, 360_000, 420_000], dtype=np.int64)
    assert infer_interval(ts[::-1]) == 60_000
    with pytest.raises(InvalidInput, match="--interval"):
        infer_interval(ts[:1])


def test_a_wrong_interval_is_refused_with_the_right_one():
    ts = np.arange(10, dtype=np.int64) * 60_000
    check_interval(ts, 60_000)
    check_interval(ts[:1], 300_000)
    with pytest.raises(InvalidInput, match="use --interval 1m"):
        check_interval(ts, 300_000)


def test_weeks_begin_on_monday_and_times_read_well():
    assert utc_text(phase_ms(604_800_000)) == "1970-01-05 00:00"
    assert phase_ms(86_400_000) == 0
    assert utc_text(1_700_006_401_000) == "2023-11-15 00:00:01"
    assert interval_text(1_500) == "1500ms"
