"""A book walked through a path: lows and highs, funding, tiers, collateral, liquidation without a way back."""

from __future__ import annotations

import pytest
from tests.unit.risk.stress.makers import CALM, QUIET, book, perp, position, scenario, tiers

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.risk.stress import SCENARIOS, revalue_all
from kedge.risk.stress.revalue import revalue, shock
from kedge.risk.stress.types import Assumptions, Collateral, Settlement

FREE = QUIET
"""Half a tick of ten thousand: 1 bps to leave."""


def test_the_loss_is_the_worst_moments_with_everything_closed_there() -> None:
    fall = scenario({"BTC": "0,10,-50,-40 -40,0,-2000,-1000 -1000,500,-1000,500"})
    result = revalue(book(1_000, position(depth=FREE)), fall, CALM)
    assert not result.liquidated
    assert result.equity_before_e8 == 1_000 * E8
    assert result.minutes == 60
    assert result.positions[0].mark_ticks == 8_000
    assert result.equity_e8 == 800 * E8
    assert result.exit_cost_e8 == 800 * E8 // 10_000
    assert result.equity_after_e8 == 800 * E8 - result.exit_cost_e8
    assert result.loss_e8 == 200 * E8 + result.exit_cost_e8
    assert result.loss_frac_e8 == result.loss_e8 // 1_000
    assert result.equity_end_e8 == 1_050 * E8 - 1_050 * E8 // 10_000
    assert result.margin_ratio_e8 == 8 * E8 // 800
    assert result.shortfall_e8 == 0
    assert result.flags == ()


def test_a_low_inside_a_bar_liquidates_and_nothing_bounces_back() -> None:
    spike = scenario({"BTC": "0,900,-2000,900 900,5000,900,5000"})
    result = revalue(book(205, position(depth=FREE)), spike, CALM)
    assert result.liquidated
    assert result.minutes == 0
    assert 0 < result.equity_e8 <= result.maintenance_e8
    assert result.equity_after_e8 == result.equity_end_e8 == 0
    assert result.loss_e8 == result.equity_before_e8
    assert result.loss_frac_e8 == E8


def test_a_gap_past_bankruptcy_is_owed() -> None:
    gap = scenario({"BTC": "-3000,-2900,-3000,-2950"})
    result = revalue(book(205, position(depth=FREE)), gap, CALM)
    assert result.liquidated
    assert result.equity_e8 == -95 * E8
    assert result.shortfall_e8 == 95 * E8 + result.exit_cost_e8
    assert result.equity_after_e8 == -result.shortfall_e8
    assert result.loss_frac_e8 > E8
    assert result.margin_ratio_e8 is None


def test_a_short_is_judged_at_highs_and_by_the_tier_its_value_grows_into() -> None:
    rally = scenario({"BTC": "0,900,0,0"})
    one_tier = perp(tiers=tiers((1e6, 0.01)))
    two_tiers = perp(tiers=tiers((1_050, 0.01), (1e6, 0.5)))
    held = {"lots": -1_000, "depth": FREE}
    assert not revalue(book(110, position(instrument=one_tier, **held)), rally, CALM).liquidated
    assert revalue(book(110, position(instrument=two_tiers, **held)), rally, CALM).liquidated
    assert not revalue(book(110, position(instrument=two_tiers, **held)), scenario({"BTC": "0,400,0,0"}), CALM).liquidated


def test_funding_is_paid_at_its_settlements_at_the_opening_mark() -> None:
    still = {"BTC": "0,0,0,0 -1000,-1000,-1000,-1000 -1000,-1000,-1000,-1000 0,0,0,0"}
    paid = {"BTC": (Settlement(60, 1_000_000), Settlement(90, -500_000))}
    result = revalue(book(1_000, position(depth=FREE)), scenario(still, settlements=paid), CALM)
    assert result.funding_e8 == 9 * E8
    assert result.equity_end_e8 == 1_000 * E8 - 9 * E8 + 4.5 * E8 - 10 * E8 // 100
    short = revalue(book(1_000, position(lots=-1_000, depth=FREE)), scenario(still, settlements=paid), CALM)
    assert short.equity_end_e8 == 1_000 * E8 + 9 * E8 - 4.5 * E8 - 10 * E8 // 100


@pytest.mark.parametrize("lots", [1_000, -1_000])
def test_where_no_funding_is_known_the_shock_is_paid_whichever_side_and_flagged(lots: int) -> None:
    still = scenario({"BTC": " ".join(["0,0,0,0"] * 24)}, settlements={})
    assumed = Assumptions(slip_multiplier_e2=100, margin_closing_fee=False)
    result = revalue(book(1_000, position(lots=lots, depth=FREE)), still, assumed)
    assert result.funding_e8 == 9 * E8
    assert result.minutes == 23 * 60
    assert result.flags == ("funding-assumed:BTC",)
    never = position(lots=lots, depth=FREE, instrument=perp(funding_interval_ns=0))
    assert revalue(book(1_000, never), still, assumed).funding_e8 == 0


def test_collateral_counts_after_its_haircut_and_falls_with_its_coin() -> None:
    held = (Collateral(asset="BTC", value_e8=1_000 * E8, haircut_e8=E8 // 10),)
    fall = scenario({"BTC": "0,0,-5000,-5000", "USD": "0,0,0,0"})
    result = revalue(book(100, collateral=held), fall, CALM)
    assert result.equity_before_e8 == 1_000 * E8
    assert result.equity_after_e8 == 550 * E8
    assert not result.liquidated
    assert result.positions == ()


def test_a_book_of_nothing_loses_nothing() -> None:
    result = revalue(book(100), scenario({"BTC": "0,0,-5000,-5000"}), CALM)
    assert (result.loss_e8, result.liquidated, result.minutes, result.flags) == (0, False, 0, ())


def test_a_hedge_is_judged_together_and_a_coincidence_of_extremes_is_flagged() -> None:
    both = scenario({"BTC": "0,0,-2000,-1000", "ETH": "0,0,-2000,-1000"})
    hedged = book(150, position("BTC", depth=FREE), position("ETH", -1_000, depth=FREE))
    result = revalue(hedged, both, CALM)
    assert not result.liquidated
    assert result.flags == ("liquidated-if-extremes-coincide",)
    assert revalue(book(2_000, *hedged.positions), both, CALM).flags == ()


def test_an_asset_without_a_bar_stands_at_its_last_close() -> None:
    gaps = scenario({"BTC": "0,0,-500,-500 - 0,0,0,0", "ETH": "0,0,0,0 0,0,-500,-500 0,0,0,0"})
    result = revalue(book(1_000, position("BTC", depth=FREE), position("ETH", depth=FREE)), gaps, CALM)
    assert result.minutes == 60
    assert [one.move_bps for one in result.positions] == [-500, -500]


def test_guesses_are_flagged_and_give_a_short_less_than_they_take_from_a_long() -> None:
    fall = SCENARIOS["mar-2020"]
    long = revalue(book(10_000, position("NEWCOIN", depth=FREE)), fall, CALM)
    short = revalue(book(10_000, position("NEWCOIN", -1_000, depth=FREE)), fall, CALM)
    assert "default-beta:NEWCOIN" in long.flags
    assert long.positions[0].origin == "default-beta"
    assert long.loss_e8 > 600 * E8
    assert short.equity_end_e8 - short.equity_before_e8 < 300 * E8
    assert "by-beta:SOL" in revalue(book(10_000, position("SOL", depth=FREE)), fall, CALM).flags


def test_a_book_without_depth_says_so_and_a_thin_one_too() -> None:
    fall = scenario({"BTC": "0,0,-500,-500"})
    assert "no-depth:BTC" in revalue(book(1_000, position()), fall, CALM).flags
    thin = Assumptions(depth_divisor=100_000, funding_shock_e8=0)
    assert "thin-book:BTC" in revalue(book(1_000, position(depth=FREE)), fall, thin).flags


def test_profitable_positions_stand_in_the_queue_of_deleveraging_by_leveraged_return() -> None:
    held = (position("BTC", -1_000, leverage_e2=500), position("ETH", -1_000, leverage_e2=2_000), position("SOL", 1_000))
    result = shock(book(10_000, *held), dict.fromkeys(("BTC", "ETH", "SOL"), -E8 // 10), CALM)
    assert result.loss_e8 < 0
    assert [one.adl_rank for one in result.positions] == [2, 1, 0]


def test_results_come_with_the_largest_loss_first() -> None:
    results = revalue_all(book(10_000, position("BTC", depth=FREE), position("DOGE", depth=FREE)), SCENARIOS)
    losses = [one.loss_e8 for one in results]
    assert losses == sorted(losses, reverse=True)
    assert {one.scenario_id for one in results} == set(SCENARIOS)


def test_the_closing_fee_is_part_of_the_margin_unless_told() -> None:
    spec = perp(taker_fee_e8=55_000)
    with_fee = shock(book(1_000, position(instrument=spec)), {"BTC": 0}, Assumptions())
    without = shock(book(1_000, position(instrument=spec)), {"BTC": 0}, Assumptions(margin_closing_fee=False))
    assert with_fee.maintenance_e8 - without.maintenance_e8 == 1_000 * E8 * 9 // 10 * 55_000 // E8
    assert sum(one.maintenance_e8 for one in with_fee.positions) == with_fee.maintenance_e8


@pytest.mark.parametrize(
    ("moves", "words"),
    [({}, "BTC is not named"), ({"BTC": -E8}, "cannot fall by all"), ({"BTC": 10_000 * E8}, "past the highest price")],
)
def test_a_shock_that_cannot_be_is_refused(moves: dict[str, int], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        shock(book(1_000, position()), moves)


@pytest.mark.parametrize(
    "change", [{"funding_shock_e8": -1}, {"funding_intervals": 1_001}, {"slip_multiplier_e2": 99}, {"depth_divisor": 0}]
)
def test_an_assumption_outside_its_range_is_refused_by_name(change: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(change))):
        Assumptions(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"mark_ticks": 0, "entry_ticks": 1}, {"leverage_e2": 99}])
def test_a_position_that_cannot_be_stressed_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(change))):
        position(**change)


@pytest.mark.parametrize(("value", "haircut"), [(-1, 0), (1, -1), (1, E8 + 1)])
def test_collateral_that_cannot_be_is_refused(value: int, haircut: int) -> None:
    with pytest.raises(InvalidInput, match="collateral BTC"):
        Collateral(asset="BTC", value_e8=value, haircut_e8=haircut)
