"""What a trade loses at its stop, and how much may be traded for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_trade_risk import loss_at_stop_e8, lots_within_trade_risk, notional_frac, trade_risk_frac_e8


def test_the_loss_counts_the_way_to_the_stop_the_gap_beyond_and_both_fees() -> None:
    assert loss_at_stop_e8(100, 10_000, 9_900, 0, 10_000, 0) == 100 * 100 * 10_000
    assert loss_at_stop_e8(-100, 10_000, 10_100, 0, 10_000, 0) == 100 * 100 * 10_000
    assert loss_at_stop_e8(100, 10_000, 9_900, 100, 10_000, 0) == 100 * 199 * 10_000
    assert loss_at_stop_e8(-100, 10_000, 10_100, 100, 10_000, 0) == 100 * 201 * 10_000
    fees = (10_000 + 9_900) * 100 * 10_000 * 55_000 // E8
    assert loss_at_stop_e8(100, 10_000, 9_900, 0, 10_000, 55_000) == 100 * 100 * 10_000 + fees


def test_a_stop_past_the_entry_locks_in_a_profit_and_loses_nothing() -> None:
    assert loss_at_stop_e8(100, 10_000, 10_100, 0, 10_000, 0) == 0
    assert loss_at_stop_e8(100, 10_000, 50, 20_000, 10_000, 0) == 100 * 9_999 * 10_000


@pytest.mark.parametrize("wrong", [(0, 9_900, 0), (10_000, 0, 0), (10_000, 9_900, -1)])
def test_a_stop_that_cannot_be_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="loss at the stop"):
        loss_at_stop_e8(1, *wrong, 10_000, 0)


def test_the_fraction_rounds_up_and_without_equity_no_loss_is_small() -> None:
    assert trade_risk_frac_e8(1, 3) == 33_333_334
    assert trade_risk_frac_e8(0, 0) == 0
    assert trade_risk_frac_e8(1, 0) == 2**63 - 1


@given(
    budget=st.integers(0, 10**12),
    side=st.sampled_from([1, -1]),
    stop_bps=st.integers(1, 5_000),
    gap=st.integers(0, 1_000),
    fee=st.integers(0, 100_000),
)
def test_one_lot_more_than_allowed_would_lose_more_than_the_budget(budget: int, side: int, stop_bps: int, gap: int, fee: int) -> None:
    entry, most = 60_000, 50_000
    stop = entry - side * entry * stop_bps // 10_000
    lots = lots_within_trade_risk(budget, side, entry, stop, gap, 10_000, fee, most)
    assert lots * side >= 0
    assert abs(lots) <= most
    assert loss_at_stop_e8(lots, entry, stop, gap, 10_000, fee) <= budget
    if abs(lots) < most:
        assert loss_at_stop_e8(lots + side, entry, stop, gap, 10_000, fee) > budget


@pytest.mark.parametrize(("side", "most"), [(0, 1), (2, 1), (1, -1)])
def test_a_side_that_is_none_is_refused(side: int, most: int) -> None:
    with pytest.raises(InvalidInput, match="lots within"):
        lots_within_trade_risk(1, side, 10_000, 9_900, 0, 10_000, 0, most)


def test_the_notional_spends_exactly_the_cap() -> None:
    found = notional_frac(0.03, 0.01, 0.001)
    assert isinstance(found, float)
    assert found * 0.041 == pytest.approx(0.02)


def test_without_a_stop_no_size_follows() -> None:
    refused = notional_frac(0.0, 0.01, 0.001)
    assert isinstance(refused, SizingRefused)
    assert refused.code == "NO_STOP"


@pytest.mark.parametrize(
    "wrong", [(-0.1, 0, 0, 0.02), (0.1, float("nan"), 0, 0.02), (0.1, 0, -1, 0.02), (0.1, 0, 0, 0.0), (0.1, 0, 0, 1.1)]
)
def test_a_fraction_that_cannot_be_is_refused(wrong: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidInput, match="sizing"):
        notional_frac(*wrong)
