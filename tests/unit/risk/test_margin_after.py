"""Margin and distance of a book that does not exist yet, beside the kernel's walk to the price of liquidation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.units import E8
from kedge.kernel.margin import liquidation_ticks, maintenance_margin_e8
from kedge.risk.margin_after import End, distance_to_liquidation, maintenance_e8, nearest

from ...builders import TIERS, instrument

MARK = 1_000


def end(lots: int, *, low: int | None = None, spec: Instrument | None = None) -> End:
    spec = spec or instrument()
    low, high = (lots if low is None else low), lots
    largest = spec.notional_e8(MARK, max(abs(low), abs(high)))
    return End(spec, low, high, MARK, largest, maintenance_e8(spec, largest))


def test_margin_follows_the_brackets_and_asks_for_more_than_the_venue() -> None:
    spec = instrument()
    tiers = np.array([[t.notional_max_e8, t.maintenance_rate_e8, t.deduction_e8] for t in TIERS], np.int64)
    for notional in (0, 1, 999 * E8, 20_000 * E8, 20_000 * E8 + 1, 150_000 * E8, 900_000 * E8):
        for is_long in (0, 1):
            venue = maintenance_margin_e8(notional, 100 if not is_long else 5_000, is_long, spec.taker_fee_e8, tiers)
            assert maintenance_e8(spec, notional) >= venue
    assert maintenance_e8(spec, 1_000 * E8) == 1_110_000_000, "1 % of 1,000 USDT, and twice 0.055 %"


def test_what_cannot_be_liquidated_is_all_of_the_way_off() -> None:
    assert distance_to_liquidation(end(1_000), 1_000, 10_000 * E8, 0) == E8
    assert distance_to_liquidation(end(-1_000), -1_000, 10_000 * E8, 0) > E8
    assert distance_to_liquidation(end(1_000), 1_000, 0, 0) == 0


@settings(max_examples=300)
@given(
    st.integers(min_value=1_000, max_value=1_900_000),
    st.sampled_from([1, -1]),
    st.integers(min_value=1, max_value=60_000),
    st.integers(min_value=0, max_value=3_000),
)
def test_the_distance_is_where_the_kernel_s_walk_ends(size: int, sign: int, equity: int, others: int) -> None:
    """With the same fees, the walk finds the first tick at which equity meets margin: within a tick of the distance."""
    spec = instrument(taker_fee_e8=0, price_max_ticks=10**8, position_max_lots=2_000_000)
    lots, equity_e8, others_e8 = sign * size, equity * E8, others * E8
    found = distance_to_liquidation(end(lots, spec=spec), lots, equity_e8, others_e8)
    one = np.array([lots], np.int64)
    wallet = equity_e8 - others_e8 - (lots * MARK * spec.tick_value_e8 - lots * MARK * spec.tick_value_e8)
    tiers = np.array([[[t.notional_max_e8, t.maintenance_rate_e8, t.deduction_e8] for t in TIERS]], np.int64)
    walked = int(
        liquidation_ticks(
            0, MARK, 1 if sign > 0 else 100_000, wallet, one, one * MARK * spec.tick_value_e8, np.array([MARK], np.int64),
            np.array([spec.tick_value_e8], np.int64), np.array([5_000], np.int64), np.array([0], np.int64), tiers, np.array([2], np.int64),
        )
    )  # fmt: skip
    if walked == 0:
        assert found >= E8 - E8 // MARK if sign > 0 else found > 90 * E8
    else:
        assert abs(found - abs(walked - MARK) * E8 // MARK) <= E8 // MARK + 1


def test_the_nearer_of_both_ends_counts() -> None:
    both = end(40_000, low=-60_000)
    long, short = (distance_to_liquidation(both, lots, 3_000 * E8, 0) for lots in (40_000, -60_000))
    assert nearest(both, 3_000 * E8, both.maintenance_e8) == min(long, short) < E8
    assert nearest(end(0), E8, 0) == E8


@pytest.mark.parametrize("lots", [50_000, -50_000])
def test_more_margin_of_others_and_less_equity_come_nearer(lots: int) -> None:
    one = end(lots)
    base = distance_to_liquidation(one, lots, 3_000 * E8, 100 * E8)
    assert distance_to_liquidation(one, lots, 2_900 * E8, 100 * E8) < base
    assert distance_to_liquidation(one, lots, 3_000 * E8, 200 * E8) < base


def test_a_bracket_of_a_hundred_per_cent_takes_the_whole_position() -> None:
    whole = (RiskTier(notional_max_e8=20_000 * E8, maintenance_rate_e8=E8, deduction_e8=0, leverage_max_e2=100),)
    assert distance_to_liquidation(end(1_000, spec=instrument(tiers=whole)), 1_000, 50 * E8, 0) == 0
