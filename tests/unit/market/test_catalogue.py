"""The shipped records: which there are, when they hold, and that their ladders are what the documentation says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.instrument import RiskTier, prove_bounds
from kedge.domain.units import E8, INT64_MAX
from kedge.market.catalogue import CATALOGUE, instrument_at, instruments_for, known_symbols, midnight_ns
from kedge.market.catalogue_tiers import BTC_TIERS, LARGE_TIERS, MAJOR_TIERS, STRICTEST_TIERS

BTC, SOL, BNB = "bybit-linear:BTCUSDT", "bybit-linear:SOLUSDT", "bybit-linear:BNBUSDT"


def maintenance_e8(tiers: tuple[RiskTier, ...], notional: int) -> int:
    """Marginal brackets summed one by one: written differently from the deductions, on purpose."""
    due, below = 0, 0
    for tier in tiers[:-1]:
        due += max(0, min(notional * E8, tier.notional_max_e8) - below) * tier.maintenance_rate_e8
        below = tier.notional_max_e8
    return (due + max(0, notional * E8 - below) * tiers[-1].maintenance_rate_e8) // E8


def test_common_symbols_ship() -> None:
    expected = {f"bybit-linear:{base}USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE")}
    assert expected <= set(known_symbols())
    assert list(known_symbols()) == sorted(known_symbols())


@pytest.mark.parametrize("name", known_symbols())
def test_every_record_proves_its_bounds_and_is_sorted(name: str) -> None:
    records = CATALOGUE[name]
    assert all(max(prove_bounds(record).values()) <= INT64_MAX for record in records)
    assert all(a.valid_from_ns < b.valid_from_ns for a, b in pairwise(records))
    assert all(record.instrument_id == name and record.grid == "venue" for record in records)


def test_fees_are_the_base_tier_and_funding_every_eight_hours() -> None:
    record = instrument_at(BTC, midnight_ns("2025-01-01"))
    assert (record.maker_fee_e8, record.taker_fee_e8) == (20_000, 55_000)
    assert record.funding_interval_ns == 28_800 * 10**9


def test_btc_deductions_are_the_venues() -> None:
    published = [0, 1_200, 3_020, 4_300, 5_820, 8_460, 15_460, 20_500, 46_000, 66_000, 80_000, 160_000, 300_000, 452_000]
    assert [tier.deduction_e8 for tier in BTC_TIERS[:14]] == [d * E8 for d in published]


def test_btc_asks_at_least_the_venue_above_fifty_million() -> None:
    top = BTC_TIERS[-1]
    venue_deduction = 1_482_000 * E8
    assert top.deduction_e8 < venue_deduction


@pytest.mark.parametrize("notional", [1, 20_000, 25_001, 180_000, 900_000, 3_000_000, 7_000_000, 15_000_000, 45_000_000, 79_000_000])
def test_ladders_grow_stricter(notional: int) -> None:
    due = [maintenance_e8(ladder, notional) for ladder in (BTC_TIERS, MAJOR_TIERS, LARGE_TIERS, STRICTEST_TIERS)]
    assert due == sorted(due)
    assert due[0] > 0


@pytest.mark.parametrize("ladder", [BTC_TIERS, MAJOR_TIERS, LARGE_TIERS, STRICTEST_TIERS])
def test_initial_margin_at_full_leverage_covers_maintenance(ladder: tuple[RiskTier, ...]) -> None:
    for tier in ladder:
        assert tier.leverage_max_e2 * tier.maintenance_rate_e8 <= 100 * E8


@pytest.mark.parametrize(("name", "switch", "ticks"), [(SOL, "2024-04-06", ("0.001", "0.01")), (BNB, "2025-07-29", ("0.05", "0.1"))])
def test_changed_grid_has_two_records(name: str, switch: str, ticks: tuple[str, str]) -> None:
    switch_ns = midnight_ns(switch)
    older, newer = instruments_for(name, switch_ns - 1, switch_ns)
    assert (f"{older.tick_size.normalize():f}", f"{newer.tick_size.normalize():f}") == ticks
    assert newer.valid_from_ns == switch_ns
    assert instruments_for(name, switch_ns, switch_ns + 1) == (newer,)
    assert instruments_for(name, switch_ns - 2, switch_ns - 1) == (older,)


def test_span_before_the_first_record_is_not_found() -> None:
    first = CATALOGUE[BTC][0].valid_from_ns
    assert len(instruments_for(BTC, first, first)) == 1
    with pytest.raises(NotFound, match="what held before it is not known"):
        instruments_for(BTC, first - 1, first + 1)


def test_unknown_instrument_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"did you mean bybit-linear:BTCUSDT\?"):
        instruments_for("bybit-linear:BTCUSD", 0, 1)
    with pytest.raises(NotFound, match="--instrument FILE"):
        instruments_for("elsewhere", 0, 1)


def test_backward_span_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ends before it begins"):
        instruments_for(BTC, 2, 1)
