"""Laws of stress tests: exact against a plain twin, more wallet never hurts, and a path is at least as bad as its end."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.risk.stress.makers import book, perp, position, tiers

from kedge.domain.units import E8
from kedge.risk.stress import SCENARIOS
from kedge.risk.stress.revalue import revalue, shock
from kedge.risk.stress.reverse_book import Target, reverse
from kedge.risk.stress.types import Assumptions, Book, Collateral, Depth, Level, Position

COV = np.array([[9.0, 9.6, 9.9, 8.0], [9.6, 16.0, 15.4, 9.0], [9.9, 15.4, 30.25, 10.0], [8.0, 9.0, 10.0, 40.0]]) * 1e-4
ASSETS = ("BTC", "ETH", "SOL", "NEWCOIN")
BRACKETS = tiers((5_000, 0.01), (20_000, 0.025), (1e9, 0.1))
NAMES = st.sampled_from(sorted(SCENARIOS))


@st.composite
def ladders(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Levels by their distance from the mark in ticks, nearest first, and their lots."""
    steps = draw(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5_000)), max_size=4))
    return [(sum(step for step, _ in steps[: number + 1]), lots) for number, (_, lots) in enumerate(steps)]


@st.composite
def positions(draw: st.DrawFn, asset: str) -> Position:
    lots, mark = draw(st.integers(-20_000, 20_000)), draw(st.integers(100, 100_000))
    bids = tuple(Level(max(1, mark - away), size) for away, size in draw(ladders()))
    asks = tuple(Level(mark + away, size) for away, size in draw(ladders()))
    spec = perp(asset, tiers=BRACKETS, taker_fee_e8=draw(st.integers(0, 100_000)))
    return position(
        asset, lots, mark, instrument=spec, entry_ticks=draw(st.integers(100, 100_000)), leverage_e2=draw(st.integers(100, 5_000)),
        depth=Depth(bids, asks),
    )  # fmt: skip


@st.composite
def books(draw: st.DrawFn) -> Book:
    held = tuple(draw(positions(asset)) for asset in ASSETS[: draw(st.integers(1, len(ASSETS)))])
    other = Collateral(asset="BTC", value_e8=draw(st.integers(0, 10**12)), haircut_e8=draw(st.integers(0, E8)))
    return book(draw(st.integers(0, 100_000)), *held, collateral=(other,))


ASSUMED = st.builds(
    Assumptions,
    funding_shock_e8=st.integers(0, 1_000_000),
    funding_intervals=st.integers(0, 5),
    slip_multiplier_e2=st.integers(100, 1_000),
    depth_divisor=st.integers(1, 20),
    margin_closing_fee=st.booleans(),
)


def plain_maintenance(held: Position, value: Fraction, closing_fee: bool) -> Fraction:
    """By marginal brackets, without a deduction."""
    margin, below = Fraction(0), Fraction(0)
    for number, tier in enumerate(held.instrument.tiers):
        last = number == len(held.instrument.tiers) - 1
        top = value if last else min(value, Fraction(tier.notional_max_e8))
        margin += max(Fraction(0), top - below) * Fraction(tier.maintenance_rate_e8, E8)
        below = Fraction(tier.notional_max_e8)
    share = Fraction(held.leverage_e2 + (100 if held.lots < 0 else -100), held.leverage_e2)
    return margin + (value * share * Fraction(held.instrument.taker_fee_e8, E8) if closing_fee else 0)


@given(books(), ASSUMED, st.lists(st.integers(-90_000_000, 200_000_000), min_size=4, max_size=4))
def test_an_instant_shock_is_what_plain_fractions_say(account: Book, assumed: Assumptions, moves: list[int]) -> None:
    named = dict(zip(ASSETS, moves, strict=True))
    result = shock(account, named, assumed)
    rest = Fraction(assumed.funding_intervals * assumed.funding_shock_e8, E8)
    equity = Fraction(account.wallet_e8)
    equity += sum(Fraction(c.value_e8 * (E8 - c.haircut_e8), E8) * (1 + Fraction(named[c.asset], E8)) for c in account.collateral)
    margin = Fraction(0)
    ticks_off = 0
    for held in account.positions:
        value = held.lots * held.mark_ticks * held.instrument.tick_value_e8 * (1 + Fraction(named[held.asset], E8))
        equity += value - held.cost_e8 - abs(value) * rest
        margin += plain_maintenance(held, abs(value), assumed.margin_closing_fee)
        ticks_off += abs(held.lots) * held.instrument.tick_value_e8
    assert -2 * ticks_off - 100 <= result.equity_e8 - equity <= ticks_off * rest + 100
    assert abs(result.maintenance_e8 - margin) <= ticks_off + 100
    assert result.equity_after_e8 == (
        min(0, result.equity_e8 - result.exit_cost_e8) if result.liquidated else result.equity_e8 - result.exit_cost_e8
    )
    assert result.liquidated == (any(held.lots for held in account.positions) and result.equity_e8 <= result.maintenance_e8)


@given(books(), ASSUMED, NAMES, st.integers(1, 10**13))
def test_more_wallet_never_hurts_and_a_path_is_as_bad_as_its_end(account: Book, assumed: Assumptions, name: str, more: int) -> None:
    poor = revalue(account, SCENARIOS[name], assumed)
    rich = revalue(replace(account, wallet_e8=account.wallet_e8 + more), SCENARIOS[name], assumed)
    assert poor.equity_after_e8 <= poor.equity_end_e8
    assert poor.liquidated or rich.equity_after_e8 >= poor.equity_after_e8
    assert poor.liquidated or not rich.liquidated
    assert poor.loss_e8 == poor.equity_before_e8 - poor.equity_after_e8
    if poor.liquidated:
        assert poor.equity_end_e8 == poor.equity_after_e8 <= 0
        assert poor.shortfall_e8 == -poor.equity_after_e8


@given(books(), ASSUMED, st.sampled_from([(Target.LOSS, E8 // 4), (Target.LIQUIDATION, 0), (Target.MARGIN_RATIO, E8 // 2)]))
@settings(max_examples=25)
def test_the_smallest_shock_breaches_in_exact_integers_too(account: Book, assumed: Assumptions, asked: tuple[Target, int]) -> None:
    target, limit_e8 = asked
    assume(shock(account, dict.fromkeys(ASSETS, 0), assumed).equity_before_e8 > 0)
    found = reverse(account, ASSETS, COV, target, limit_e8, assumed)
    assert all(one.confirmed for one in found)
    assert all(one.distance == pytest.approx(mahalanobis(one.shocks_e8), rel=1e-3, abs=1e-3) for one in found)


def mahalanobis(shocks_e8: dict[str, int]) -> float:
    moves = np.array([shocks_e8[asset] for asset in ASSETS]) / E8
    return float(np.sqrt(moves @ np.linalg.solve(COV, moves)))
