"""One order against one bar, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.matching import match_bar, taker_ticks

BAR = {"open_ticks": 100, "high_ticks": 110, "low_ticks": 90, "close_ticks": 105, "volume_lots": 1_000}
ORDER = {"side": 1, "is_market": 1, "limit_ticks": 0, "is_resting": 0, "leaves_lots": 50}
TERMS = {"participation_e8": E8 // 10, "half_spread_ticks": 1, "impact_bps": 0}


def match(**changes: int) -> tuple[int, int, int]:
    terms: dict[str, Any] = {**ORDER, **BAR, **TERMS, **changes}
    return match_bar(*terms.values())


def limit(price: int, **changes: int) -> tuple[int, int, int]:
    return match(is_market=0, limit_ticks=price, **changes)


def test_market_orders_take_at_the_open_plus_half_the_spread() -> None:
    assert match() == (50, 101, 0)
    assert match(side=-1) == (50, 99, 0)


def test_no_more_than_the_share_of_the_volume_and_nothing_from_an_empty_bar() -> None:
    assert match(leaves_lots=500) == (100, 101, 0)
    assert match(volume_lots=0) == match(volume_lots=9) == match(participation_e8=0) == (0, 0, 0)


def test_impact_grows_with_the_share_and_rounds_against_us() -> None:
    terms = {"open_ticks": 10_000, "high_ticks": 10_000, "low_ticks": 9_000, "close_ticks": 9_500, "impact_bps": 100}
    assert match(**terms, leaves_lots=100)[1] == 10_011  # 1 % x 10 % of 10,000, and the half spread
    assert match(**terms, leaves_lots=1)[1] == 10_002
    assert match(**terms, leaves_lots=100, side=-1)[1] == 9_989


def test_a_price_never_falls_below_one_tick() -> None:
    assert match(side=-1, half_spread_ticks=1_000)[1] == 1


def test_an_arriving_limit_takes_when_it_covers_the_takers_price() -> None:
    assert limit(101) == (50, 101, 0)
    assert limit(150) == (50, 101, 0)
    assert limit(99, side=-1) == (50, 99, 0)


def test_an_arriving_limit_that_does_not_cover_it_rests() -> None:
    assert limit(100) == (50, 100, 1)
    assert limit(90) == limit(80) == (0, 0, 0)


@pytest.mark.parametrize(("side", "touch", "through"), [(1, 90, 91), (-1, 110, 109)])
def test_a_touch_does_not_fill_and_trading_through_does(side: int, touch: int, through: int) -> None:
    assert limit(touch, side=side, is_resting=1) == (0, 0, 0)
    assert limit(through, side=side, is_resting=1) == (50, through, 1)


def test_a_gap_past_a_resting_limit_gives_no_better_price() -> None:
    assert limit(120, is_resting=1) == (50, 120, 1)
    assert limit(80, side=-1, is_resting=1) == (50, 80, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": 0}, {"side": 2}, {"leaves_lots": 0}, {"leaves_lots": -1}, {"is_market": 0}, {"low_ticks": 0}, {"low_ticks": 101},
        {"high_ticks": 104}, {"close_ticks": 111}, {"open_ticks": 89}, {"volume_lots": -1}, {"participation_e8": -1},
        {"participation_e8": E8 + 1}, {"half_spread_ticks": -1}, {"impact_bps": -1},
        {"impact_bps": 2**62, "open_ticks": 100}, {"impact_bps": 1, "volume_lots": 2**62},
    ],
)  # fmt: skip
def test_a_broken_order_bar_or_setting_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="match_bar"):
        match(**wrong)


def test_impact_is_exact_up_to_its_bound_and_refused_past_it() -> None:
    price, lots = 2**40, 2**10
    assert taker_ticks(1, price, lots, lots, 0, 2**13 - 1) == price + -(-price * (2**13 - 1) // 10_000)
    with pytest.raises(InvalidInput, match="2\\^63"):
        taker_ticks(1, price, lots, lots, 0, 2**13)
