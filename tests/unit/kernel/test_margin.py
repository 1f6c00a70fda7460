"""Margin and liquidation against published examples and independently solved ones."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.margin import (
    book_maintenance_e8,
    initial_margin_e8,
    isolated_liquidation_e8,
    liquidation_ticks,
    maintenance_margin_e8,
    tier_of,
)

TIERS = np.array(
    [
        [2_000_000 * E8, 500_000, 0],
        [10_000_000 * E8, 560_000, 1_200 * E8],
        [20_000_000 * E8, 620_000, 7_200 * E8],
        [40_000_000 * E8, 1_000_000, 83_200 * E8],
    ],
    dtype=np.int64,
)
TICK_E8, VALUE = 10_000_000, 10_000  # 0.1 USDT, 0.001 BTC: 1,000 lots are 1 BTC


@pytest.mark.parametrize(
    ("value", "margin"),
    [(50_000, 250), (2_000_000, 10_000), (2_600_000, 13_360), (10_000_000, 54_800), (15_000_000, 85_800), (40_000_000, 316_800)],
)
def test_maintenance_by_marginal_brackets(value: int, margin: int) -> None:
    assert maintenance_margin_e8(value * E8, 1_000, 1, 0, TIERS) == margin * E8


def test_a_value_above_the_last_limit_uses_the_last_tier() -> None:
    assert tier_of(40_000_000 * E8 + 1, TIERS, 4) == tier_of(30_000_000 * E8, TIERS, 4) == 3
    assert tier_of(40_000_000 * E8, TIERS, 2) == 1
    assert maintenance_margin_e8(50_000_000 * E8, 1_000, 1, 0, TIERS) == 416_800 * E8


def test_the_closing_fee_is_smaller_for_longs() -> None:
    # 20,000 at 50 times and 0.055 %: initial margin 410.78 long, 411.22 short
    assert initial_margin_e8(20_000 * E8, 5_000, 1, 55_000) == 41_078_000_000
    assert initial_margin_e8(20_000 * E8, 5_000, 0, 55_000) == 41_122_000_000
    # 50,000 at 10 times: 5,000 + 24.75
    assert initial_margin_e8(50_000 * E8, 1_000, 1, 55_000) == 502_475_000_000


def test_margins_of_a_recorded_short_agree_to_one_part_in_ten_thousand() -> None:
    # ETHUSDT, value 36.42075 at 30 times: the venue showed 1.23480936 and 0.20281586
    value = 3_642_075_000
    assert initial_margin_e8(value, 3_000, 0, 55_000) == pytest.approx(123_480_936, rel=1e-4)
    assert maintenance_margin_e8(value, 3_000, 0, 55_000, TIERS) == pytest.approx(20_281_586, rel=1e-4)


@pytest.mark.parametrize(
    ("side", "entry", "size", "leverage", "rate", "deduction", "extra", "price"),
    [
        (1, 20_000, 1_000, 50, 500_000, 0, 0, 19_698.49246231156),
        (-1, 20_000, 1_000, 50, 500_000, 0, 0, 20_298.507462686568),
        (1, 60_000, 500, 10, 500_000, 0, 500, 53_266.331658291456),
        (-1, 3_000, 20_000, 20, 1_000_000, 50, 0, 3_121.2871287128714),
        (1, 60_000, 50_000, 10, 560_000, 1_200, 0, 54_279.96781979083),
        (1, 50_000, 1_000, 10, 500_000, 0, 0, 45_226.1306532663),
        (-1, 50_000, 1_000, 10, 500_000, 0, 0, 54_726.3681592040),
    ],
)
def test_isolated_liquidation_price(
    side: int, entry: int, size: int, leverage: int, rate: int, deduction: int, extra: int, price: float
) -> None:
    tiers = np.array([[10**17, rate, deduction * E8]], dtype=np.int64)
    found = isolated_liquidation_e8(entry * E8, side * size, leverage * 100, extra * E8, TICK_E8, VALUE, tiers)
    # The references are floats with 1e-6 tolerance; ours rounds towards the entry by at most a few units of 1e-8.
    assert found / E8 == pytest.approx(price, abs=2e-6)


def test_the_tier_at_the_liquidation_price_is_found_without_guessing() -> None:
    # A short of 3,000,000 sits in the second tier where it is liquidated, whatever the tier at entry was.
    alone = isolated_liquidation_e8(60_000 * E8, -50_000, 1_000, 0, TICK_E8, VALUE, TIERS[1:2].copy())
    assert isolated_liquidation_e8(60_000 * E8, -50_000, 1_000, 0, TICK_E8, VALUE, TIERS) == alone
    # With ample margin a long is never liquidated.
    assert isolated_liquidation_e8(60_000 * E8, 1_000, 100, 0, TICK_E8, VALUE, TIERS) == 0


POSITIONS = ((1, 60_000, 59_000), (20, 3_000, 2_950), (-100, 150, 148))
"""Coins, entry and mark of a cross account with a wallet of 20,000 USDT; 1 lot is 0.001 coin, 1 tick 0.0001 USDT."""
SHOCKS = (1.0, 1.2, 1.5)


def cross_book(shock: float = 0.0) -> dict[str, np.ndarray]:
    lots = np.array([coins * 1_000 for coins, _, _ in POSITIONS], dtype=np.int64)
    tick_values = np.full(3, 10, dtype=np.int64)
    entries = np.array([entry * 10_000 for _, entry, _ in POSITIONS], dtype=np.int64)
    marks = np.array(
        [round(mark * 10_000 * (1 + beta * shock)) for (_, _, mark), beta in zip(POSITIONS, SHOCKS, strict=True)], dtype=np.int64
    )
    return {
        "lots": lots,
        "costs": lots * entries * tick_values,
        "marks": marks,
        "tick_values": tick_values,
        "leverages_e2": np.full(3, 1_000, dtype=np.int64),
        "taker_fees_e8": np.zeros(3, dtype=np.int64),
        "tiers3d": np.stack([TIERS] * 3),
        "tier_counts": np.full(3, 4, dtype=np.int64),
    }


def equity_and_margin(book: dict[str, np.ndarray]) -> tuple[int, int]:
    equity = 20_000 * E8 + int((book["lots"] * book["marks"] * book["tick_values"] - book["costs"]).sum())
    return equity, book_maintenance_e8(*(book[name] for name in book if name != "costs"))


def test_cross_margin_of_three_positions() -> None:
    assert equity_and_margin(cross_book()) == (18_200 * E8, 664 * E8)


def test_a_common_shock_liquidates_where_the_root_finder_says() -> None:
    equity, margin = equity_and_margin(cross_book(-0.16413328341445152))
    assert equity / E8 == pytest.approx(539.2587046050126, abs=0.02)  # marks here are whole ticks of 0.0001
    assert margin / E8 == pytest.approx(539.2587046050169, abs=0.001)
    assert equity_and_margin(cross_book(-0.1641))[0] > margin
    lower_equity, lower_margin = equity_and_margin(cross_book(-0.1642))
    assert lower_equity < lower_margin


def test_the_walk_stops_at_the_first_tick_and_not_before() -> None:
    book = cross_book()
    mark = int(book["marks"][0])
    found = liquidation_ticks(0, mark, 1, 20_000 * E8, *book.values())
    for ticks, bankrupt in ((found, True), (found + 1, False)):
        book["marks"][0] = ticks
        equity, margin = equity_and_margin(book)
        assert bool(equity <= margin) is bankrupt
    assert liquidation_ticks(0, mark, found + 1, 20_000 * E8, *book.values()) == 0
    assert liquidation_ticks(0, found - 7, 1, 20_000 * E8, *book.values()) == found - 7
    assert liquidation_ticks(0, mark, mark * 2, 20_000 * E8, *book.values()) == 0


def test_a_flat_slot_liquidates_only_with_the_rest() -> None:
    book = cross_book()
    book["lots"][0] = book["costs"][0] = 0
    assert liquidation_ticks(0, 10, 500, 20_000 * E8, *book.values()) == 0
    assert liquidation_ticks(0, 10, 500, 0, *book.values()) == 10


@pytest.mark.parametrize(("value", "leverage"), [(-1, 1_000), (1, 99), (1, 0), (1, -5)])
def test_a_negative_value_or_a_leverage_below_one_is_refused(value: int, leverage: int) -> None:
    with pytest.raises(InvalidInput, match="margin"):
        initial_margin_e8(value, leverage, 1, 0)
    with pytest.raises(InvalidInput, match="margin"):
        maintenance_margin_e8(value, leverage, 1, 0, TIERS)


def test_a_book_with_an_unknown_mark_or_no_tiers_is_refused() -> None:
    book = cross_book()
    book["marks"][1] = 0
    with pytest.raises(InvalidInput, match="unknown"):
        equity_and_margin(book)
    with pytest.raises(InvalidInput, match="unknown"):
        liquidation_ticks(0, 10, 20, 0, *book.values())
    with pytest.raises(InvalidInput, match="tier_of"):
        maintenance_margin_e8(1, 1_000, 1, 0, TIERS[:0])
    with pytest.raises(InvalidInput, match="tier_of"):
        tier_of(1, TIERS, 5)


@pytest.mark.parametrize(("slot", "start", "stop"), [(3, 1, 2), (-1, 1, 2), (0, 0, 2), (0, 2, 0)])
def test_a_walk_that_cannot_be_is_refused(slot: int, start: int, stop: int) -> None:
    with pytest.raises(InvalidInput, match="liquidation_ticks"):
        liquidation_ticks(slot, start, stop, 0, *cross_book().values())


@pytest.mark.parametrize(
    ("lots", "leverage", "extra", "rate"), [(0, 100, 0, 0), (1, 99, 0, 0), (1, 100, -1, 0), (1, 100, 0, E8), (1, 100, 0, -1)]
)
def test_an_isolated_position_that_cannot_be_is_refused(lots: int, leverage: int, extra: int, rate: int) -> None:
    with pytest.raises(InvalidInput, match="isolated_liquidation"):
        isolated_liquidation_e8(E8, lots, leverage, extra, 1, 1, np.array([[1, rate, 0]], dtype=np.int64))
