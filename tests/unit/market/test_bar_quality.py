from __future__ import annotations

import numpy as np

from kedge.market.bars import BarTable, RawBars
from kedge.market.compare import compare
from kedge.market.quality import State, daily_coverage, quality, summary_text
from kedge.market.validation import validate

from .bar_examples import MINUTE_MS, START_MS, calm, changed


def validated(table: BarTable):
    return validate(RawBars.from_table(table))


def test_good_data_allows_risk_and_lists_what_one_file_cannot_show():
    result = quality(validated(calm(100)))
    assert (result.state, result.new_risk_allowed, result.coverage_frac) == (State.GOOD, True, 1.0)
    assert set(result.not_detectable) == {"VENUE_SWITCH", "PARTIAL_BARS", "PRICE_DIFFERENCE", "MADE_UP_BARS"}
    assert quality(validated(calm(100)), compare(calm(100), calm(100))).not_detectable == {}


def test_stale_data_allows_no_new_risk():
    end_ms = START_MS + 100 * MINUTE_MS
    fresh = quality(validated(calm(100)), as_of_ms=end_ms + 1_000, freshness_ms_max=1_000)
    stale = quality(validated(calm(100)), as_of_ms=end_ms + 1_001, freshness_ms_max=1_000)
    assert (fresh.state, fresh.age_ms) == (State.GOOD, 1_000)
    assert (stale.state, stale.new_risk_allowed) == (State.STALE, False)


def test_an_unknown_age_is_stale_not_fresh():
    assert quality(validated(calm(100)), freshness_ms_max=1_000).state is State.STALE


def test_holes_degrade_and_breaks_or_emptiness_stop():
    holed = calm(100).take(np.arange(100) != 50)
    assert quality(validated(holed)).state is State.DEGRADED
    assert quality(validated(holed)).coverage_frac == 0.99
    assert quality(validated(changed(calm(1), 0, close=np.nan))).state is State.BROKEN
    table = calm(100)
    broken = BarTable("T", MINUTE_MS, table.ts_ms, *(np.where(np.arange(100) < 50, c, c * 10) for c in table.columns[1:5]), table.volume)
    assert quality(validated(broken)).state is State.BROKEN


def test_daily_coverage_counts_only_what_the_span_asks_for():
    table = calm(2_880, start_ms=START_MS + 720 * MINUTE_MS)
    kept = table.take((np.arange(2_880) < 1_000) | (np.arange(2_880) >= 1_144))
    assert daily_coverage(table) == (("2023-11-15", 1.0), ("2023-11-16", 1.0), ("2023-11-17", 1.0))
    assert dict(daily_coverage(kept))["2023-11-16"] == 0.9


def test_the_summary_names_counts_and_state():
    text = summary_text(quality(validated(changed(calm(100), 5, volume=-1.0))), MINUTE_MS)
    assert text == "99 bars of 1m, 1 quarantined, coverage 99.00%: degraded"


def test_the_report_is_plain_data():
    import json

    report = quality(validated(changed(calm(100), 5, volume=-1.0))).as_dict()
    assert json.loads(json.dumps(report, allow_nan=False))["quarantined"] == {"NEGATIVE_VOLUME": 1}
