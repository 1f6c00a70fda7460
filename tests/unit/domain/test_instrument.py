from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import RATE_MAX_E8, Instrument, RiskTier, prove_bounds, tick_value_e8
from kedge.domain.units import CEILING, E8, FLOOR, INT64_MAX

from ...builders import TIERS, instrument


def tier(notional: int, rate_e8: int, deduction_e8: int = 0) -> RiskTier:
    return RiskTier(notional_max_e8=notional * E8, maintenance_rate_e8=rate_e8, deduction_e8=deduction_e8, leverage_max_e2=1_000)


def test_text_and_grid_go_there_and_back() -> None:
    i = instrument()
    assert (i.tick_size, i.lot_size, i.venue_symbol) == (Decimal("0.1"), Decimal("0.001"), "AAAUSDT")
    assert (i.price_ticks("100.5"), i.qty_lots("0.25")) == (1_005, 250)
    assert (i.price_text(1_005), i.qty_text(250)) == ("100.5", "0.250")
    assert (i.price_ticks("100.55", rounding=FLOOR), i.price_ticks("100.55", rounding=CEILING)) == (1_005, 1_006)
    assert i.notional_e8(1_005, 250) == 2_512_500_000  # 100.5 x 0.25 = 25.125
    for read, field in ((i.price_ticks, "price"), (i.qty_lots, "qty")):
        with pytest.raises(InvalidInput, match=f"{field} is 0.00001"):
            read("0.00001")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"instrument_id": "BTCUSDT"}, "instrument_id"),
        ({"instrument_id": ":BTCUSDT"}, "instrument_id"),
        ({"instrument_id": "bybit:"}, "instrument_id"),
        ({"maker_fee_e8": RATE_MAX_E8 + 1}, "maker_fee_e8"),
        ({"maker_fee_e8": -RATE_MAX_E8 - 1}, "maker_fee_e8"),
        ({"taker_fee_e8": RATE_MAX_E8 + 1}, "taker_fee_e8"),
        ({"order_qty_min_lots": 500_001}, "order_qty_min_lots"),
        ({"grid": "guess"}, "grid"),
        ({"tiers": ()}, "tiers"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as told:
        instrument(**changes)
    assert f"{field} is {changes[field]!r}" in told.value.what
    assert field in told.value.fix


def test_the_largest_fees_and_the_smallest_order_are_taken() -> None:
    made = instrument(maker_fee_e8=-RATE_MAX_E8, taker_fee_e8=RATE_MAX_E8, order_qty_min_lots=500_000)
    assert made.taker_fee_e8 == RATE_MAX_E8


def test_the_tick_value_is_what_tick_and_lot_give() -> None:
    assert tick_value_e8(10_000_000, 100_000, name="x") == 10_000
    assert tick_value_e8(E8, 1, name="x") == 1
    for tick_e8, lot_e8 in ((1, 1), (3, E8 // 2)):
        with pytest.raises(InvalidInput, match="not a whole number"):
            tick_value_e8(tick_e8, lot_e8, name="x")
    with pytest.raises(InvalidInput, match="tick_value_e8 is 9999"):
        msgspec.structs.replace(instrument(), tick_value_e8=9_999)


@pytest.mark.parametrize(
    ("tiers", "word"),
    [
        ((tier(100, 1_000_000), tier(100, 2_000_000)), "limits must rise"),
        ((tier(100, 2_000_000), tier(200, 1_000_000)), "rates may not fall"),
        ((tier(100, RATE_MAX_E8 + 1),), "limits must rise"),
        ((tier(100, 1_000_000, 1),), "marginal brackets give 0"),
        ((tier(100, 1_000_000), tier(200, 2_000_000)), "marginal brackets give 100000000"),
    ],
)
def test_tiers_must_rise_and_be_marginal(tiers: tuple[RiskTier, ...], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        instrument(tiers=tiers)


def test_marginal_tiers_are_taken() -> None:
    rising = (tier(100, 1_000_000), tier(200, 2_000_000, E8), tier(400, 5_000_000, 7 * E8))  # 100 x 1 % = 1, and 200 x 3 % = 6 more
    assert instrument(tiers=rising).tiers == rising
    assert instrument(tiers=TIERS).tiers == TIERS


def test_the_overflow_proof_holds_at_its_bound_and_refuses_beyond() -> None:
    bounds = prove_bounds(instrument())
    assert max(bounds.values()) <= INT64_MAX
    assert bounds["two notionals added"] == 2 * 10_000_000 * (2_000_000 + 1_000_000) * 10_000
    largest = _largest_price()
    assert prove_bounds(instrument(price_max_ticks=largest))["two notionals added"] <= INT64_MAX
    with pytest.raises(InvalidInput, match="wrap silently") as told:
        instrument(price_max_ticks=largest + 1)
    assert str(2 * (largest + 1) * 3_000_000 * 10_000) in told.value.what


def _largest_price() -> int:
    return INT64_MAX // (2 * 3_000_000 * 10_000)


@pytest.mark.parametrize("field", ["position_max_lots", "order_qty_max_lots", "market_qty_max_lots"])
def test_quantities_are_part_of_the_proof(field: str) -> None:
    with pytest.raises(InvalidInput, match="wrap silently"):
        instrument(**{field: 10**10})


def test_a_record_that_is_read_is_proved_too() -> None:
    plain = msgspec.to_builtins(instrument())
    assert msgspec.convert(plain, Instrument) == instrument()
    for field, value in (("tick_e8", 0), ("order_qty_min_lots", 0), ("grid", "guess"), ("price_max_ticks", 10**15)):
        with pytest.raises((msgspec.ValidationError, InvalidInput)):
            msgspec.convert({**plain, field: value}, Instrument)
