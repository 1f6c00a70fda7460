"""A crash laid out as a market: its bars in order and in time, its past over before it begins, everything assumed said."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest
from tests.unit.services.drills.crashes import BTC, ETH, crash, instruments

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.services.drills.crash import (
    BAR_S_MAX,
    STEPS,
    Bar,
    Timing,
    compressed,
    deepest,
    market_of,
    rebased,
    synthetic_closes,
)
from kedge.services.drills.market_file import read_market, write_market
from kedge.services.drills.scenarios import SYMBOLS, crash_of


def test_the_deepest_fall_is_found_from_the_price_before_it() -> None:
    bars = [Bar(100, 101, 99, 100), Bar(100, 100, 95, 96), Bar(96, 97, 80, 90), Bar(90, 120, 90, 118)]
    assert deepest(bars, 1) == 2
    assert deepest(bars, 2) == 1
    assert deepest(bars, 4) == 0
    for wrong in (0, 5):
        with pytest.raises(InvalidInput):
            deepest(bars, wrong)


def test_a_market_plays_the_bars_in_their_time_after_a_calm_and_before_a_stillness() -> None:
    timing = Timing(calm_s=5, bar_s=10, still_s=20)
    market = market_of(crash(), instruments(), timing)
    for symbol in (BTC, ETH):
        bars = [bar for bar in market.played if bar.symbol == symbol]
        assert [(bar.ts_ns - bar.open_ts_ns) // NS_PER_S for bar in bars] == [5, 10, 10, 20]
        assert all(before.ts_ns == after.open_ts_ns for before, after in itertools.pairwise(bars))
        assert bars[0].open_ts_ns == market.start_ts_ns
        lowest, tick = min(bar.low_ticks for bar in bars), instruments()[symbol].tick_e8
        assert lowest * tick == pytest.approx(crash().price_e8[symbol] * 0.7, rel=1e-3)
    assert market.seconds == 45


def test_the_past_is_days_before_the_day_and_minutes_before_the_minute() -> None:
    market = market_of(crash(), instruments(), Timing())
    day_ns = market.start_ts_ns - market.start_ts_ns % NS_PER_DAY
    days = [bar for bar in market.past if bar.symbol == BTC and bar.ts_ns - bar.open_ts_ns == NS_PER_DAY]
    minutes = [bar for bar in market.past if bar.symbol == BTC and bar.ts_ns - bar.open_ts_ns == 60 * NS_PER_S]
    assert days[-1].ts_ns == day_ns
    assert [bar.close_ticks * instruments()[BTC].tick_e8 for bar in days] == list(crash().closes_e8[BTC])
    assert len(minutes) == 60
    assert minutes[0].open_ts_ns >= day_ns
    assert all(bar.open_ts_ns % (60 * NS_PER_S) == 0 for bar in minutes)
    assert max(bar.ts_ns for bar in market.past) <= market.start_ts_ns


def test_a_day_ends_after_the_bar_that_was_asked_for() -> None:
    market = market_of(crash(), instruments(), Timing(calm_s=5, bar_s=10, midnight_after=1))
    bars = [bar for bar in market.played if bar.symbol == BTC]
    assert bars[1].ts_ns % NS_PER_DAY == 0
    assert bars[1].ts_ns - NS_PER_DAY == crash().start_ts_ns - crash().start_ts_ns % NS_PER_DAY


def test_a_minute_ends_so_many_seconds_after_the_beginning() -> None:
    market = market_of(crash(), instruments(), Timing(minute_after_s=6))
    assert (market.start_ts_ns + 6 * NS_PER_S) % (60 * NS_PER_S) == 0


def test_what_cannot_be_played_is_refused() -> None:
    for timing in (Timing(bar_s=0), Timing(bar_s=BAR_S_MAX + 1), Timing(calm_s=0), Timing(still_s=0)):
        with pytest.raises(InvalidInput):
            market_of(crash(), instruments(), timing)
    with pytest.raises(InvalidInput, match="e8"):
        market_of(crash(price_e8=1), instruments(), Timing())


def test_the_same_seed_gives_the_same_market_and_another_one_another_wobble() -> None:
    assert market_of(crash(), instruments(), Timing(), seed=3) == market_of(crash(), instruments(), Timing(), seed=3)
    assert market_of(crash(), instruments(), Timing(), seed=3) != market_of(crash(), instruments(), Timing(), seed=4)


def test_made_up_closes_end_at_the_price_and_move_as_much_as_they_say() -> None:
    closes = synthetic_closes(50_000 * E8, 7, days=4_000)
    assert closes[-1] == 50_000 * E8
    assert len(closes) == 4_000
    moves = [after / before - 1 for before, after in itertools.pairwise(closes)]
    assert statistics.pstdev(moves) == pytest.approx(0.03, rel=0.2)
    assert closes == synthetic_closes(50_000 * E8, 7, days=4_000) != synthetic_closes(50_000 * E8, 8, days=4_000)


def test_the_report_says_what_was_done_to_time_and_prices() -> None:
    words = compressed(crash(), Timing(bar_s=10))
    assert "2 bars of 60 min played in 10 s each (360 times faster)" in words
    assert f"{STEPS} prices a bar" in words
    assert "open-low-high-close" in words


def test_rebased_bars_keep_their_shape() -> None:
    assert rebased([Bar(50, 60, 40, 45)], 50) == (Bar(1.0, 1.2, 0.8, 0.9),)


@pytest.mark.parametrize("name", ["mar-2020", "nov-2022", "oct-2025", "equities-2008"])
def test_every_scenario_of_the_product_can_be_played(name: str, tmp_path: Path) -> None:
    found = crash_of(name)
    assert set(found.bars) == set(SYMBOLS)
    assert all(found.fall_frac(symbol) > 0.05 for symbol in SYMBOLS)
    assert 1 <= found.lowest_after <= len(found.bars["BTCUSDT"])
    assert "made up" in " ".join(found.words)
    assert found.source
    market = market_of(found, instruments(), Timing(midnight_after=1))
    assert read_market(write_market(tmp_path / "market.json", market)) == market


def test_a_scenario_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="mar-2020"):
        crash_of("tulips-1637")
    with pytest.raises(InvalidInput):
        crash_of("mar-2020", bars=1_000)
