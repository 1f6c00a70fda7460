"""The venue's contract rules to an instrument, and its bars to events."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.builders import instrument
from tests.unit.venues.bybit import wire_examples as wire

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import prove_bounds
from kedge.domain.units import E8
from kedge.venues.bybit.bars import bar_from_kline, interval_word
from kedge.venues.bybit.codec import FeeRateData, InstrumentData, KlineData, RiskLimitData, UnreadablePayload, decode
from kedge.venues.bybit.instruments import instrument_from, instrument_id_of, symbol_of

MINUTE = 60_000_000_000


def deep(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return base | {name: base[name] | value if isinstance(value, dict) else value for name, value in changes.items()}


def made(tiers: list[dict[str, Any]] | None = None, price: str | None = "61021.70", **changes: Any) -> Any:
    data = decode(json.dumps(deep(wire.INSTRUMENT, changes)).encode(), InstrumentData, "instruments-info")
    ladder = decode(json.dumps(wire.TIERS if tiers is None else tiers).encode(), list[RiskLimitData], "risk-limit")
    fees = decode(json.dumps(wire.FEES).encode(), FeeRateData, "fee-rate")
    return instrument_from(data, ladder, fees, reference_price=price)


def test_a_contract_becomes_an_instrument_on_its_grid() -> None:
    found = made()
    assert (found.instrument_id, found.base, found.quote) == ("bybit-linear:BTCUSDT", "BTC", "USDT")
    assert (found.tick_e8, found.lot_e8, found.tick_value_e8) == (10_000_000, 100_000, 10_000)
    assert (found.order_qty_min_lots, found.order_qty_max_lots, found.market_qty_max_lots) == (1, 1_190_000, 500_000)
    assert (found.maker_fee_e8, found.taker_fee_e8) == (20_000, 55_000)
    assert (found.notional_min_e8, found.price_collar_bps, found.leverage_max_e2) == (5 * E8, 100, 10_000)
    assert found.funding_interval_ns == 480 * MINUTE


def test_tiers_are_sorted_and_their_deductions_computed() -> None:
    low, high = made().tiers
    assert (low.notional_max_e8, low.maintenance_rate_e8, low.deduction_e8, low.leverage_max_e2) == (2_000_000 * E8, 500_000, 0, 10_000)
    assert (high.notional_max_e8, high.maintenance_rate_e8, high.deduction_e8) == (2_600_000 * E8, 560_000, 1_200 * E8)


def test_a_deduction_that_contradicts_the_tiers_is_refused_by_row() -> None:
    with pytest.raises(UnreadablePayload, match="risk-limit 2 mmDeduction.*give 1200"):
        made([wire.TIERS[0] | {"mmDeduction": "1500"}, wire.TIERS[1]])


def test_a_larger_tier_that_asks_for_less_is_refused() -> None:
    with pytest.raises(UnreadablePayload, match="asks for less"):
        made([wire.TIERS[0] | {"maintenanceMargin": "0.004", "mmDeduction": ""}, wire.TIERS[1]])


def test_no_tiers_are_refused_and_not_assumed() -> None:
    with pytest.raises(UnreadablePayload, match="at least one margin tier"):
        made([])


@pytest.mark.parametrize("changes", [{"contractType": "LinearFutures"}, {"settleCoin": "USDC"}, {"status": "PreLaunch"}])
def test_what_is_no_trading_linear_usdt_perpetual_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="only linear USDT perpetuals"):
        made(**changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priceFilter": {"tickSize": "0"}}, "tickSize"),
        ({"lotSizeFilter": {"qtyStep": ""}}, "qtyStep"),
        ({"priceFilter": {"maxPrice": "-1"}}, "maxPrice"),
    ],
)
def test_a_size_that_is_no_positive_number_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(UnreadablePayload, match=f"BTCUSDT {field}"):
        made(**changes)


def test_a_contract_without_prices_or_market_limit_or_collar_is_still_bounded() -> None:
    found = made(price=None, lotSizeFilter={"maxMktOrderQty": "", "minNotionalValue": ""}, riskParameters={"priceLimitRatioX": ""})
    assert found.market_qty_max_lots == found.order_qty_max_lots
    assert (found.notional_min_e8, found.price_collar_bps) == (0, 100)
    assert found.price_max_ticks == 19_999_998


def test_limits_too_large_for_64_bits_are_lowered_and_proved() -> None:
    found = made(
        price=None, priceFilter={"maxPrice": "1999999.80"}, lotSizeFilter={"maxOrderQty": "90000000000", "maxMktOrderQty": "90000000000"}
    )
    prove_bounds(found)
    assert found.order_qty_max_lots < 90_000_000_000 * 1_000
    assert found.order_qty_max_lots > 1_000_000


def test_a_tiny_coin_with_a_huge_lot_is_bounded_too() -> None:
    found = made(
        price="0.00000812",
        priceFilter={"tickSize": "0.00000001", "maxPrice": "1.99999998"},
        lotSizeFilter={"qtyStep": "100", "minOrderQty": "100", "maxOrderQty": "9000000000", "maxMktOrderQty": "3000000000"},
    )
    assert found.tick_value_e8 == 100
    assert found.order_qty_max_lots == 90_000_000


def test_a_record_read_at_another_price_is_the_same_record_until_the_price_doubles() -> None:
    record = made(price="60000.0")
    assert [made(price=price) for price in ("60123.4", "57000", "65000.1")] == [record] * 3
    assert made(price="130000").price_max_ticks > 130_000 * 10
    assert made(price="0.5") != record


@pytest.mark.parametrize("price", ["0.00000001", "1", "3.7", "60000.1", "1999999.8"])
def test_the_bounds_of_a_record_hold_the_price_that_they_were_made_at(price: str) -> None:
    found = made(price=price)
    prove_bounds(found)
    assert found.price_max_ticks * found.tick_e8 >= min(Decimal(price).scaleb(8), Decimal("1999999.80").scaleb(8)) - found.tick_e8
    assert found.position_max_lots * found.tick_value_e8 * (Decimal(price) / found.tick_size) <= found.tiers[-1].notional_max_e8


def test_names_cross_both_ways_and_a_foreign_one_is_refused() -> None:
    assert symbol_of(instrument_id_of("ETHUSDT")) == "ETHUSDT"
    for name in ("binance:ETHUSDT", "bybit-linear:", "ETHUSDT"):
        with pytest.raises(InvalidInput, match="not of bybit-linear"):
            symbol_of(name)


BTC = instrument("bybit-linear:BTCUSDT")
KLINE = KlineData(
    start_ms=1_767_000_000_000, open="60990.0", high="61015.5", low="60980.2", close="61010.1", volume="48.2019", confirm=True
)


def test_a_closed_kline_becomes_a_bar_and_its_volume_is_rounded_down_to_the_lot() -> None:
    bar = bar_from_kline(KLINE, BTC, MINUTE)
    assert bar is not None
    assert (bar.open_ts_ns, bar.ts_ns) == (1_767_000_000 * 10**9, 1_767_000_060 * 10**9)
    assert (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks, bar.volume_lots) == (609_900, 610_155, 609_802, 610_101, 48_201)


def test_an_open_kline_becomes_no_event() -> None:
    assert bar_from_kline(msgspec.structs.replace(KLINE, confirm=False), BTC, MINUTE) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"close": "61010.15"}, "close is '61010.15'"),
        ({"high": "60980.0"}, "low and high around"),
        ({"low": "0"}, "must be positive"),
        ({"volume": "-1"}, "not negative"),
        ({"volume": None}, "volume is ''"),
        ({"start_ms": 1_767_000_000_001}, "not on the interval"),
    ],
)
def test_a_kline_that_cannot_be_is_refused_by_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadablePayload, match=words):
        bar_from_kline(msgspec.structs.replace(KLINE, **changes), BTC, MINUTE)


def test_intervals_have_the_venues_words() -> None:
    assert [interval_word(n * MINUTE) for n in (1, 60, 720, 1_440, 10_080)] == ["1", "60", "720", "D", "W"]
    with pytest.raises(InvalidInput, match="choose one of these"):
        interval_word(7 * MINUTE)
