"""The synthetic market: the same integers for ever, valid bars, and the habits of crypto."""

from __future__ import annotations

import hashlib
import math
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.market import synthetic_profile as shape
from kedge.market.catalogue import CATALOGUE, instrument_at, midnight_ns
from kedge.market.grid import derive_instrument
from kedge.market.grid_bars import GridBars
from kedge.market.synthetic import LABEL, SyntheticMarket, funding_rate_e8
from kedge.market.synthetic_model import BLOCK, season
from kedge.market.synthetic_noise import BlockNoise, exp, filtered, stream_key

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
START_NS = midnight_ns("2026-01-01")
BTC, ETH, SOL = (instrument_at(f"bybit-linear:{base}USDT", START_NS) for base in ("BTC", "ETH", "SOL"))


def market(*instruments: Instrument, seed: int = 1, interval_ns: int = 15 * MINUTE_NS, **options: Any) -> SyntheticMarket:
    return SyntheticMarket(instruments or (BTC, ETH), seed, interval_ns, START_NS, **options)


def same(a: GridBars, b: GridBars) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.columns, b.columns, strict=True))


def part(bars: GridBars, first: int, stop: int) -> GridBars:
    close, opened, *rest = (column[first:stop] for column in bars.columns)
    return GridBars(opened, close, *rest)


def returns(bars: GridBars) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.diff(np.log(bars.close_ticks.astype(np.float64)))


def test_the_same_arguments_give_the_recorded_bytes() -> None:
    """A golden digest: another machine, NumPy or Python must give the same integers."""
    body = b"".join(column.astype("<i8").tobytes() for bars in market(BTC, ETH, SOL).bars(3_000).values() for column in bars.columns)
    funding = b"".join(paid.rate_e8.astype("<i8").tobytes() for paid in market(BTC, ETH, SOL).funding(3_000).values())
    assert hashlib.sha256(body + funding).hexdigest() == "8762e7da2e1df1307f7c22ea837fea35637aa48ec238f6129da34f5e08142b46"


def test_another_seed_gives_another_market() -> None:
    assert not np.array_equal(
        market(seed=1).bars(50)[BTC.instrument_id].close_ticks, market(seed=2).bars(50)[BTC.instrument_id].close_ticks
    )


@settings(max_examples=15)
@given(st.lists(st.integers(1, 1_500), min_size=1, max_size=4), st.integers(0, 2_500))
def test_portions_in_any_order_equal_one_request(sizes: list[int], first: int) -> None:
    whole = market().bars(first + sum(sizes))
    asked = market()
    spans = []
    for size in sizes:
        spans.append((first, size))
        first += size
    for start, size in reversed(spans):
        portion = asked.bars(size, first=start)
        assert all(same(portion[name], part(whole[name], start, start + size)) for name in whole)


def test_chunks_joined_are_the_whole() -> None:
    whole = market().bars(2_100)[ETH.instrument_id]
    joined = [
        np.concatenate(columns) for columns in zip(*(c[ETH.instrument_id].columns for c in islice(market().chunks(700), 3)), strict=True)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(joined, whole.columns, strict=True))


def test_asking_for_more_changes_nothing_before() -> None:
    asked = market()
    short = asked.bars(10)[BTC.instrument_id]
    long = asked.bars(5_000)[BTC.instrument_id]
    assert same(short, part(long, 0, 10))


def test_an_instrument_does_not_depend_on_its_company() -> None:
    alone = market(ETH).bars(1_200)[ETH.instrument_id]
    among = market(SOL, ETH, BTC).bars(1_200)[ETH.instrument_id]
    assert same(alone, among)


@pytest.mark.parametrize("interval_ns", [MINUTE_NS, HOUR_NS, 24 * HOUR_NS])
@pytest.mark.parametrize("seed", [0, 7])
def test_every_bar_is_sound_and_continues_the_last(seed: int, interval_ns: int) -> None:
    instruments = tuple(records[-1] for records in CATALOGUE.values())
    for instrument, bars in zip(instruments, market(*instruments, seed=seed, interval_ns=interval_ns).bars(3_000).values(), strict=True):
        assert all(column.dtype == np.int64 for column in bars.columns)
        assert np.array_equal(np.diff(bars.open_ts_ns), np.full(2_999, interval_ns))
        assert np.array_equal(bars.close_ts_ns - bars.open_ts_ns, np.full(3_000, interval_ns))
        assert (bars.high_ticks >= np.maximum(bars.open_ticks, bars.close_ticks)).all()
        assert (bars.low_ticks <= np.minimum(bars.open_ticks, bars.close_ticks)).all()
        assert bars.low_ticks.min() >= 1
        assert bars.high_ticks.max() <= instrument.price_max_ticks
        assert bars.volume_lots.min() >= 1
        assert np.array_equal(bars.open_ticks[1:], bars.close_ticks[:-1])


def test_first_open_is_the_start_price() -> None:
    assert market().bars(1)[BTC.instrument_id].open_ticks[0] == BTC.price_ticks(shape.PROFILES["BTC"].start_price)


def test_an_instrument_without_a_profile_starts_within_its_range() -> None:
    unknown, _ = derive_instrument("x:ABCUSDT", np.array([0.1234]), np.array([1.0]))
    first = market(unknown).bars(100)["x:ABCUSDT"]
    assert first.open_ticks[0] == min(10_000, unknown.price_max_ticks // 100)
    assert first.high_ticks.max() <= unknown.price_max_ticks


def test_a_profile_off_the_instruments_range_is_refused() -> None:
    low, _ = derive_instrument("x:BTCUSDT", np.array([0.1234]), np.array([1.0]))
    with pytest.raises(InvalidInput, match="start price 60000"):
        market(low)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"instruments": ()}, "instruments is"),
        ({"instruments": (BTC, BTC)}, "each id once"),
        ({"seed": -1}, "seed is -1"),
        ({"interval_ns": 0}, "interval_ns is 0"),
        ({"start_ts_ns": -1}, "start_ts_ns is -1"),
        ({"correlation_frac": 1.01}, "correlation_frac is 1.01"),
        ({"correlation_frac": math.nan}, "correlation_frac is nan"),
    ],
)
def test_impossible_arguments_are_refused(change: dict[str, Any], match: str) -> None:
    arguments: dict[str, Any] = {"instruments": (BTC,), "seed": 1, "interval_ns": MINUTE_NS, "start_ts_ns": 0}
    with pytest.raises(InvalidInput, match=match):
        SyntheticMarket(**(arguments | change))


@pytest.mark.parametrize(("count", "first"), [(0, 0), (-1, 5), (1, -1), (2**62, 0)])
def test_impossible_ranges_are_refused(count: int, first: int) -> None:
    for request in (market().bars, market().funding, market().premiums):
        with pytest.raises(InvalidInput, match="bars "):
            request(count, first=first)


def test_it_is_labelled_synthetic() -> None:
    assert market().label == LABEL == "synthetic"
    assert {paid.label for paid in market().funding(100).values()} == {"synthetic"}


# Habits of crypto, over a year of 15-minute bars from fixed seeds. The bands are those of docs/synthetic-market.md.
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_habits_of_crypto(seed: int) -> None:
    bars = market(BTC, ETH, SOL, seed=seed).bars(35_040)
    moves = {name: returns(b) for name, b in bars.items()}
    for instrument in (BTC, ETH, SOL):
        r = moves[instrument.instrument_id]
        ratio = r.std() * math.sqrt(35_040) / shape.PROFILES[instrument.base].annual_vol_frac
        assert 0.65 < ratio < 1.5
        assert float(((r - r.mean()) ** 4).mean() / r.var() ** 2 - 3.0) > 3.0
        size = np.abs(r)
        near, far = (np.corrcoef(size[lag:], size[:-lag])[0, 1] for lag in (1, 96))
        assert 0.2 < near < 0.5
        assert 0.04 < far < 0.25
        assert abs(np.corrcoef(r[1:], r[:-1])[0, 1]) < 0.06
    assert 0.6 < np.corrcoef(moves[BTC.instrument_id], moves[ETH.instrument_id])[0, 1] < 0.85


@pytest.mark.parametrize(("wanted", "low", "high"), [(0.0, -0.02, 0.25), (0.5, 0.4, 0.65), (1.0, 0.9, 1.0)])
def test_correlation_is_what_was_asked(wanted: float, low: float, high: float) -> None:
    bars = market(correlation_frac=wanted).bars(20_000).values()
    assert low < np.corrcoef(*(returns(b) for b in bars))[0, 1] <= high


def test_busy_hours_move_and_trade_more() -> None:
    bars = market(interval_ns=HOUR_NS).bars(24 * 365)[BTC.instrument_id]
    hour, size = (bars.open_ts_ns[1:] // HOUR_NS) % 24, np.abs(returns(bars))
    assert size[hour == 14].mean() > 1.4 * size[hour == 10].mean()
    volume = bars.volume_lots[1:]
    assert volume[hour == 14].mean() > 1.4 * volume[hour == 10].mean()


def test_season_keeps_the_year_volatility() -> None:
    week = START_NS + np.arange(7 * 24 * 12, dtype=np.int64) * 5 * MINUTE_NS
    assert float((season(week) ** 2).mean()) == pytest.approx(1.0, abs=0.02)


def test_funding_settles_on_the_venues_hours_and_follows_the_premium() -> None:
    made = market(BTC, seed=4)
    paid, premium = made.funding(35_040)[BTC.instrument_id], made.premiums(35_040)[BTC.instrument_id]
    assert (paid.ts_ns % (8 * HOUR_NS) == 0).all()
    assert (len(paid.ts_ns), paid.ts_ns[0], paid.ts_ns[-1]) == (1_095, START_NS + 8 * HOUR_NS, START_NS + 365 * 24 * HOUR_NS)
    mean_premium = premium.reshape(1_095, 32).mean(axis=1)
    assert np.corrcoef(mean_premium, paid.rate_e8)[0, 1] > 0.8
    assert np.abs(paid.rate_e8).max() <= 500_000
    assert 0.2 < (paid.rate_e8 == 10_000).mean() < 0.8


def test_funding_of_a_settlement_is_the_rule_on_its_own_premiums() -> None:
    made = market(BTC)
    premiums = made.premiums(64)[BTC.instrument_id].tolist()
    assert made.funding(64)[BTC.instrument_id].rate_e8.tolist() == [
        funding_rate_e8(premiums[:32], 8 * HOUR_NS),
        funding_rate_e8(premiums[32:], 8 * HOUR_NS),
    ]


@settings(max_examples=15)
@given(st.integers(0, 3_000), st.integers(1, 800))
def test_funding_in_portions_equals_one_request(first: int, count: int) -> None:
    whole = market(BTC).funding(first + count)[BTC.instrument_id]
    portion = market(BTC).funding(count, first=first)[BTC.instrument_id]
    kept = whole.ts_ns > START_NS + first * 15 * MINUTE_NS
    assert np.array_equal(portion.ts_ns, whole.ts_ns[kept])
    assert np.array_equal(portion.rate_e8, whole.rate_e8[kept])


def test_daily_bars_settle_three_times_and_no_interval_means_none() -> None:
    assert len(market(BTC, interval_ns=24 * HOUR_NS).funding(10)[BTC.instrument_id].ts_ns) == 30
    assert len(market(BTC).funding(5)[BTC.instrument_id].ts_ns) == 0


@pytest.mark.parametrize(
    ("premiums", "rate"),
    [
        ([0], 10_000),
        ([60_000], 10_000),
        ([60_001], 10_001),
        ([-40_001], 9_999),
        ([90_000, 0], 10_000),
        ([0, 120_000], 30_000),
        ([10**7], 500_000),
    ],
)
def test_funding_rule(premiums: list[int], rate: int) -> None:
    assert funding_rate_e8(premiums, 8 * HOUR_NS) == rate


def test_funding_without_a_premium_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without a premium"):
        funding_rate_e8([], 8 * HOUR_NS)


def test_exponential_agrees_with_the_platform() -> None:
    x = np.linspace(-30.0, 30.0, 10_001)
    assert np.max(np.abs(exp(x) / np.exp(x) - 1.0)) < 2e-15


def test_normals_have_the_moments_of_a_normal() -> None:
    z = BlockNoise(5, stream_key("moments"), 0, 200_000).normal()
    assert abs(z.mean()) < 0.01
    assert z.std() == pytest.approx(1.0, abs=0.01)
    assert float((z**3).mean()) == pytest.approx(0.0, abs=0.03)
    assert float((z**4).mean()) == pytest.approx(2.9, abs=0.05)


def test_filter_is_its_recurrence() -> None:
    assert filtered(2.0, 0.5, np.array([1.0, 0.0, 4.0])).tolist() == [2.0, 1.0, 4.5]


def test_a_block_is_what_one_call_makes() -> None:
    assert len(market(BTC).bars(BLOCK)[BTC.instrument_id]) == BLOCK
