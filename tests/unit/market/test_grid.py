"""Records worked out from data, and records written by a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import prove_bounds
from kedge.market.catalogue import CATALOGUE, midnight_ns
from kedge.market.catalogue_tiers import STRICTEST_TIERS
from kedge.market.grid import decimals_of, derive_instrument, load_instrument_record, split_symbol

NAME = "binance-usdm:FETUSDT"
RECORD: dict[str, Any] = {
    "instrument_id": "bybit-linear:BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "tick_size": "0.1",
    "lot_size": "0.001",
    "price_max": "1000000",
    "order_qty_min": "0.001",
    "order_qty_max": "100",
    "market_qty_max": "50",
    "position_max": "4000",
    "notional_min": "5",
    "maker_fee": "0.0002",
    "taker_fee": "0.00055",
    "leverage_max": "100",
    "tiers": [
        {"limit": str(t.notional_max_e8 // 10**8), "rate": f"{t.maintenance_rate_e8 / 1e8:.4f}", "max_leverage": t.leverage_max_e2 // 100}
        for t in CATALOGUE["bybit-linear:BTCUSDT"][0].tiers
    ],
    "funding_interval_minutes": 480,
    "price_collar_bps": 100,
    "valid_from": "2023-11-29T00:00:00Z",
}


def derive(prices: list[float], volumes: list[float], name: str = NAME) -> tuple[str, str, dict[str, str]]:
    instrument, words = derive_instrument(name, np.array(prices), np.array(volumes))
    prove_bounds(instrument)
    assert instrument.grid == "derived"
    return f"{instrument.tick_size.normalize():f}", f"{instrument.lot_size.normalize():f}", words


def test_finest_grid_that_holds_every_value() -> None:
    tick, lot, words = derive([0.65, 0.6512, 0.7], [10.0, 12.5])
    assert (tick, lot) == ("0.0001", "0.1")
    assert "every volume" in words["lot_size"]
    assert "rounded" not in words["lot_size"]


def test_lot_too_fine_for_the_tick_is_coarsened_and_said() -> None:
    tick, lot, words = derive([100.123], [0.12345678])
    assert (tick, lot) == ("0.001", "0.00001")
    assert "rounded down" in words["lot_size"]


def test_volume_noise_is_said() -> None:
    _, lot, words = derive([60_000.1], [1 / 3])
    assert lot == "0.00001"
    assert "float noise" in words["lot_size"]


def test_volume_that_never_traded_is_said() -> None:
    _, lot, words = derive([60_000.1], [0.0, 0.0])
    assert lot == "0.00001"
    assert "no volume was traded" in words["lot_size"]


def test_tiny_prices_get_a_lot_in_which_positions_fit() -> None:
    tick, lot, words = derive([0.00001234], [123_456_789.0])
    assert (tick, lot) == ("0.00000001", "100")
    assert "rounded down" in words["lot_size"]


def test_round_prices_get_a_finer_tick_so_that_marks_stay_in_bounds() -> None:
    tick, _, words = derive([3.0, 4.0], [10.0])
    assert tick == "0.01"
    assert "made finer" in words["tick_size"]


def test_assumptions_are_the_dearest_that_ships() -> None:
    instrument, words = derive_instrument(NAME, np.array([0.65]), np.array([1.0]))
    assert instrument.tiers == STRICTEST_TIERS
    assert (instrument.maker_fee_e8, instrument.taker_fee_e8) == (20_000, 55_000)
    assert "maker 0.020%, taker 0.055%" in words["fees"]
    assert "2.5% to 50.0%" in words["tiers"]
    assert set(words) == {"grid", "hindsight", "tick_size", "lot_size", "fees", "tiers", "funding", "limits", "order_minimum"}


def test_position_limit_reaches_the_last_tier_at_the_lowest_price() -> None:
    instrument, _ = derive_instrument("x:BTCUSDT", np.array([3_782.1, 126_150.0]), np.array([0.001]))
    lowest = 37_821 * instrument.position_max_lots * instrument.tick_value_e8
    assert lowest >= instrument.tiers[-1].notional_max_e8


def test_without_a_dollar_quote_the_last_rung_holds_throughout() -> None:
    instrument, words = derive_instrument("x:ETHBTC", np.array([0.05]), np.array([1.5]))
    assert [t.maintenance_rate_e8 for t in instrument.tiers] == [50_000_000]
    assert instrument.notional_min_e8 == 0
    assert words["order_minimum"] == "one lot"
    assert "names no quote" in derive_instrument("x:SPY", np.array([400.5]), np.array([1.0]))[1]["quote"]


@pytest.mark.parametrize(
    ("prices", "volumes", "match"),
    [
        ([], [1.0], "price: no values"),
        ([1.0], [], "volume: no values"),
        ([1.0, float("nan")], [1.0], "price number 1 is nan"),
        ([1.0, float("inf")], [1.0], "price number 1 is inf"),
        ([0.0], [1.0], "price number 0 is 0.0"),
        ([-1.0], [1.0], "price number 0 is -1.0"),
        ([1.0], [float("nan")], "volume number 0 is nan"),
        ([1.0], [-0.5], "volume number 0 is -0.5"),
        ([1 / 3], [1.0], "1 prices, such as 0.333"),
        ([1e-9], [1.0], "not on a grid of 1e-8"),
        ([1e9 + 1e-7], [1.0], "not on a grid of 1e-8"),
        ([1e15 + 0.5, 1e-8], [1.0], "not on a grid of 1e-8"),
        ([1.0], [1e300], "more than 2\\^53 lots"),
        ([9e9, 0.001, 1e-6], [1.0], "one lot at ten times the highest price"),
    ],
)
def test_unusable_data_is_refused(prices: list[float], volumes: list[float], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        derive(prices, volumes)


def test_decimals_stop_where_floats_hold_any_step() -> None:
    assert decimals_of(np.array([2.0**53 - 1.0])) == 0
    assert decimals_of(np.array([2.0**53])) is None
    assert decimals_of(np.array([0.1, 0.25])) == 2
    assert decimals_of(np.array([0.1 + 0.2])) is None


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("1000PEPEUSDT", ("1000PEPE", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTC-USDC", ("BTC", "USDC")),
        ("btc/usdt", ("BTC", "USDT")),
        ("BTCUSD_PERP", ("BTC", "USD")),
        ("BTC_PERP", ("BTC", "QUOTE")),
        ("SPY", ("SPY", "QUOTE")),
        ("USDT", ("USDT", "QUOTE")),
    ],
)
def test_symbols_are_split(symbol: str, pair: tuple[str, str]) -> None:
    assert split_symbol(f"venue:{symbol}") == pair


def test_written_record_equals_the_shipped_one() -> None:
    assert load_instrument_record(RECORD) == CATALOGUE["bybit-linear:BTCUSDT"][0]


def test_valid_from_is_optional_and_utc() -> None:
    without = {key: value for key, value in RECORD.items() if key != "valid_from"}
    assert load_instrument_record(without).valid_from_ns == 0
    assert load_instrument_record(RECORD | {"valid_from": "2024-04-06"}).valid_from_ns == midnight_ns("2024-04-06")
    assert load_instrument_record(RECORD | {"valid_from": "2024-04-06T02:00:00+02:00"}).valid_from_ns == midnight_ns("2024-04-06")


@pytest.mark.parametrize("field", [field for field in RECORD if field != "valid_from"])
def test_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidInput, match=f"lacks {field}"):
        load_instrument_record({key: value for key, value in RECORD.items() if key != field})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"tick_sise": "0.1"}, "unknown field 'tick_sise'.*did you mean 'tick_size'"),
        ({"xyz": 1}, "unknown field 'xyz'.*remove it"),
        ({"tick_size": 0.1}, "tick_size is 0.1; why: a float"),
        ({"tick_size": "0"}, "tick_size is '0'; why: must be positive"),
        ({"tick_size": "nan"}, "tick_size is 'nan'; why: not finite"),
        ({"tick_size": "a"}, "tick_size is 'a'; why: not a decimal"),
        ({"tick_size": "0.000000001"}, "tick_size is 1E-9; why: not a multiple"),
        ({"lot_size": "0.00000001"}, "not a whole number of 1e-8"),
        ({"order_qty_max": "1.0005"}, "order_qty_max is 1.0005; why: not a multiple of 0.001"),
        ({"order_qty_min": "0"}, "order_qty_min is '0'; why: must be positive"),
        ({"notional_min": "-1"}, "notional_min is '-1'; why: must not be negative"),
        ({"taker_fee": "1.5"}, "taker_fee_e8 is 150000000; why: a rate above 100 %"),
        ({"base": ""}, "base is ''"),
        ({"quote": 5}, "quote is 5"),
        ({"instrument_id": "BTCUSDT"}, "must be VENUE:SYMBOL"),
        ({"price_collar_bps": "1.5"}, "price_collar_bps is 1.5"),
        ({"funding_interval_minutes": None}, "funding_interval_minutes is None"),
        ({"funding_interval_minutes": True}, "funding_interval_minutes is True"),
        ({"leverage_max": "0"}, "leverage_max is '0'"),
        ({"valid_from": "yesterday"}, "valid_from is 'yesterday'; why: not an ISO time"),
        ({"valid_from": 17}, "valid_from is 17"),
        ({"tiers": []}, "at least one tier"),
        ({"tiers": "none"}, "at least one tier"),
        ({"tiers": [5]}, "tier 1 is 5; why: not an object"),
        ({"tiers": [{"limit": "1", "rate": "0.1"}]}, "tier 1 lacks max_leverage"),
        ({"tiers": [{"limit": "1", "rate": "0.1", "max_leverage": 5, "deduction": 0}]}, "tier 1 has an unknown field 'deduction'"),
        ({"tiers": [RECORD["tiers"][1], RECORD["tiers"][0]]}, "limits must rise and rates may not fall"),
        ({"price_max": "1000000000000"}, "past 2\\^63"),
    ],
)
def test_wrong_field_is_refused_by_name(change: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        load_instrument_record(RECORD | change)


def test_record_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not an object"):
        load_instrument_record([1])  # type: ignore[arg-type]


def test_the_documented_record_loads(repository: Path) -> None:
    text = (repository / "docs" / "instruments.md").read_text(encoding="utf-8")
    instrument = load_instrument_record(json.loads(text.partition("```json\n")[2].partition("```")[0]))
    assert instrument.tiers[1].deduction_e8 == 6_000 * 10**8
    assert instrument.valid_from_ns == midnight_ns("2024-04-06")
