"""Fills, profit and off-grid values by example; figures from venue fixtures and closed forms."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.positions import apply_fill, unrealised_e8, value_at_e8

TICK_E8, LOT_E8, VALUE = 10_000_000, 100_000, 10_000  # 0.1 USDT, 0.001 BTC


def test_adding_keeps_the_cost_of_both_fills() -> None:
    assert apply_fill(*apply_fill(0, 0, 2, 100, 1)[:2], 1, 130, 1) == (3, 330, 0)


def test_reducing_releases_a_share_and_the_last_share_takes_the_rest() -> None:
    lots, cost, first = apply_fill(3, 100, -1, 50, 1)
    assert (lots, cost, first) == (2, 67, 17)
    assert apply_fill(lots, cost, -2, 50, 1) == (0, 0, 33)


def test_a_share_of_a_half_goes_to_the_even_side_for_longs_and_shorts_alike() -> None:
    assert apply_fill(2, 5, -1, 10, 1) == (1, 3, 8)
    assert apply_fill(-2, -5, 1, 10, 1) == (-1, -3, -8)


def test_crossing_zero_closes_then_opens_at_the_fill() -> None:
    assert apply_fill(10, 1_000, -15, 120, 1) == (-5, -600, 200)
    assert apply_fill(-10, -1_000, 15, 120, 1) == (5, 600, -200)


@pytest.mark.parametrize(("side", "earned"), [(1, 750), (-1, -750)])
def test_profit_of_a_round_trip_equals_the_closed_form(side: int, earned: int) -> None:
    size, entry, leave = 500, 600_000, 615_000  # 0.5 BTC from 60,000 to 61,500
    lots, cost, _ = apply_fill(0, 0, side * size, entry, VALUE)
    assert unrealised_e8(lots, cost, leave, VALUE) == earned * E8
    assert apply_fill(lots, cost, -side * size, leave, VALUE) == (0, 0, earned * E8)


def test_unrealised_profit_of_a_recorded_short() -> None:
    # ETHUSDT: 0.01 short from 3641.075, marked at 3641.33, shown as -0.00255; tick 0.005, lot 0.01
    lots, cost, _ = apply_fill(0, 0, -1, 728_215, 5_000)
    assert unrealised_e8(lots, cost, 728_266, 5_000) == -255_000


@pytest.mark.parametrize(("fill", "price", "value"), [(0, 1, 1), (1, 0, 1), (1, -5, 1), (1, 1, 0), (1, 1, -1)])
def test_a_fill_of_nothing_or_at_no_price_is_refused(fill: int, price: int, value: int) -> None:
    with pytest.raises(InvalidInput, match="apply_fill"):
        apply_fill(1, 1, fill, price, value)


def test_a_value_off_the_grid_rounds_half_even_alike_on_both_sides() -> None:
    assert value_at_e8(15, 1, 10, 1) == 2
    assert value_at_e8(25, 1, 10, 1) == 2
    assert value_at_e8(25, -1, 10, 1) == -2
    assert value_at_e8(6_000_012_345_678, 1_000, TICK_E8, VALUE) == 6_000_012_345_678


@pytest.mark.parametrize(("price", "tick"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_an_unknown_price_has_no_value(price: int, tick: int) -> None:
    with pytest.raises(InvalidInput, match="value_at_e8"):
        value_at_e8(price, 1, tick, 1)
