"""Wire text to integers: exact on the grid, unknown is never zero, and the quick path equals `Decimal`."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import instrument

from kedge.venues.bybit import codec_numbers as numbers
from kedge.venues.bybit.codec_numbers import UnreadablePayload

BTC = instrument("bybit-linear:BTCUSDT")
"""Tick 0.1, lot 0.001."""

decimals = st.decimals(min_value=Decimal("-90000000000"), max_value=Decimal("90000000000"), allow_nan=False, allow_infinity=False, places=8)
NONSENSE = ["", " ", "abc", "1,5", "1_000", "--1", "+-1", "NaN", "Infinity", "0x10", "١٢", "1.2.3", ".", "1e", " 1"]


@given(decimals)
def test_money_equals_the_exact_decimal(value: Decimal) -> None:
    expected = int(value.scaleb(8))
    assert numbers.money_e8(f"{value:f}", "x") == expected
    assert numbers.money_e8(f"{value:e}", "x") == expected


@given(st.integers(min_value=-(10**10), max_value=10**10), st.integers(min_value=0, max_value=10**12 - 1))
def test_money_past_the_eighth_decimal_is_rounded_half_to_even(whole: int, fraction: int) -> None:
    text = f"{whole}.{fraction:012d}"
    expected = int(Decimal(text).scaleb(8).to_integral_value(ROUND_HALF_EVEN))
    assert numbers.money_e8(text, "x") == expected


@pytest.mark.parametrize("rounding", [ROUND_HALF_UP, ROUND_DOWN])
def test_money_is_rounded_alike_whatever_a_library_set_for_the_thread(rounding: str) -> None:
    with localcontext() as theirs:
        theirs.rounding = rounding
        assert numbers.money_e8("0.123456785", "x") == 12_345_678
        assert numbers.money_e8("0.123456775", "x") == 12_345_678


@given(st.integers(min_value=1, max_value=10**7), st.integers(min_value=0, max_value=4))
def test_a_price_on_the_grid_is_its_ticks_however_many_zeros_follow(ticks: int, zeros: int) -> None:
    text = f"{Decimal(ticks) * Decimal('0.1'):f}" + "0" * zeros
    assert numbers.price_ticks(text, BTC, "price") == ticks


@pytest.mark.parametrize(("text", "step"), [("61020.05", "0.1"), ("0.123456789", "0.1"), ("1e-9", "0.1")])
def test_a_price_off_the_grid_is_refused_with_field_value_and_tick(text: str, step: str) -> None:
    with pytest.raises(UnreadablePayload, match=f"price is '{text}'.*multiple of the tick {step}"):
        numbers.price_ticks(text, BTC, "price")


def test_a_quantity_off_the_grid_names_the_lot() -> None:
    with pytest.raises(UnreadablePayload, match=r"qty is '0\.0005'.*multiple of the lot 0\.001"):
        numbers.qty_lots("0.0005", BTC, "qty")
    assert numbers.qty_lots("0.500", BTC, "qty") == 500
    assert numbers.qty_lots("5E-1", BTC, "qty") == 500


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_no_number_is_refused_everywhere(text: str) -> None:
    with pytest.raises(UnreadablePayload, match="x is"):
        numbers.money_e8(text, "x")
    with pytest.raises(UnreadablePayload, match="x is"):
        numbers.price_ticks(text, BTC, "x")


@pytest.mark.parametrize("text", ["99999999999999", "-99999999999999", "1e300"])
def test_numbers_past_64_bits_are_refused(text: str) -> None:
    with pytest.raises(UnreadablePayload, match="past 2"):
        numbers.money_e8(text, "x")


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_is_unknown_and_not_zero(blank: str | None) -> None:
    assert numbers.is_blank(blank)
    assert numbers.optional_money_e8(blank, "x") is None
    assert numbers.optional_price_ticks(blank, BTC, "x") is None
    assert numbers.optional_qty_lots(blank, BTC, "x") is None


def test_a_zero_is_zero_and_not_unknown() -> None:
    assert not numbers.is_blank("0")
    assert numbers.optional_money_e8("0", "x") == 0
    assert numbers.optional_price_ticks("0.0", BTC, "x") == 0
    assert numbers.optional_qty_lots("0.000", BTC, "x") == 0


@pytest.mark.parametrize("text", ["", None, "0", "0.00"])
def test_every_spelling_of_an_unset_stop_is_zero_ticks(text: str | None) -> None:
    assert numbers.unset_price_ticks(text, BTC, "stopLoss") == 0
    assert numbers.unset_price_ticks("60000.1", BTC, "stopLoss") == 600_001


def test_milliseconds_become_nanoseconds() -> None:
    assert numbers.ns_from_ms(1_767_000_071_000) == 1_767_000_071_000_000_000
