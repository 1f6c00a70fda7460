"""What leaving costs: the visible book walked, thinned, multiplied, and the collar where nothing is seen."""

from __future__ import annotations

from fractions import Fraction

import pytest
from tests.unit.risk.stress.makers import perp, position

from kedge.risk.stress.exit_cost import exit_cost_e8, slippage
from kedge.risk.stress.types import Assumptions, Depth, Level

BIDS = (Level(9_990, 400), Level(9_980, 600))
ASKS = (Level(10_010, 500), Level(10_020, 500))
BOOK = Depth(bids=BIDS, asks=ASKS)
ONCE = Assumptions(slip_multiplier_e2=100)


@pytest.mark.parametrize(
    ("lots", "share"),
    [
        (400, Fraction(10, 10_000)),
        (1_000, Fraction(400 * 10 + 600 * 20, 1_000 * 10_000)),
        (-500, Fraction(10, 10_000)),
        (-1_000, Fraction(15, 10_000)),
    ],
)
def test_slippage_is_against_mid_and_positive_on_both_sides(lots: int, share: Fraction) -> None:
    assert slippage(position(lots=lots, depth=BOOK), ONCE) == (share, 0, True)


def test_what_the_book_does_not_take_goes_at_the_collar_and_is_counted() -> None:
    found = slippage(position(lots=1_500, depth=BOOK), ONCE)
    assert found.unfilled_lots == 500
    assert found.share == Fraction(400 * 10 + 600 * 20 + 500 * 100, 1_500 * 10_000)
    short = slippage(position(lots=-1_500, depth=BOOK), ONCE)
    assert short.share == Fraction(500 * 10 + 500 * 20 + 500 * 100, 1_500 * 10_000)


def test_a_liquidity_shock_divides_every_level() -> None:
    found = slippage(position(lots=500, depth=BOOK), Assumptions(slip_multiplier_e2=100, depth_divisor=2))
    assert found.share == Fraction(200 * 10 + 300 * 20, 500 * 10_000)
    assert slippage(position(lots=500, depth=BOOK), Assumptions(depth_divisor=1_000)).unfilled_lots == 500


def test_the_multiplier_multiplies() -> None:
    assert slippage(position(lots=400, depth=BOOK), Assumptions(slip_multiplier_e2=250)).share == Fraction(25, 10_000)


@pytest.mark.parametrize("depth", [Depth(), Depth(bids=BIDS), Depth(asks=ASKS)])
def test_without_both_sides_the_collar_stands_in_and_says_so(depth: Depth) -> None:
    found = slippage(position(instrument=perp(price_collar_bps=300), depth=depth), ONCE)
    assert (found.share, found.known) == (Fraction(3, 100), False)


def test_a_long_never_loses_more_than_its_value_but_a_short_may() -> None:
    wild = Assumptions(slip_multiplier_e2=100_000)
    assert slippage(position(lots=1_000, depth=BOOK), wild).share == 1
    assert slippage(position(lots=-1_000, depth=BOOK), wild).share > 1


def test_no_position_costs_nothing_to_leave() -> None:
    assert slippage(position(lots=0, depth=BOOK), ONCE) == (0, 0, True)


def test_cost_is_slippage_and_fee_each_rounded_up() -> None:
    assert exit_cost_e8(1_000_001, Fraction(1, 1_000), 55_000) == 1_001 + 551
    assert exit_cost_e8(-1_000_001, Fraction(1, 1_000), 55_000) == 1_001 + 551
