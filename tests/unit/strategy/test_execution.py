"""Plans: whatever is held and wanted, the children lead there, in slices, closing before opening."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.strategy.execution import DUST_DIVISOR, SLICES_MAX, Child, ExecutionPolicy, plan

MARKET, RESTING = ExecutionPolicy(), ExecutionPolicy(entry=OrderKind.LIMIT)
lots = st.integers(-60, 60)


def test_opening_closing_and_crossing() -> None:
    assert plan(5, 5, 100, 10, MARKET) == ()
    assert plan(0, 15, 100, 10, MARKET) == (
        Child(Side.BUY, OrderKind.MARKET, TimeInForce.IOC, 10, 0, False),
        Child(Side.BUY, OrderKind.MARKET, TimeInForce.IOC, 5, 0, False),
    )
    assert plan(8, -3, 100, 10, MARKET) == (
        Child(Side.SELL, OrderKind.MARKET, TimeInForce.IOC, 8, 0, True),
        Child(Side.SELL, OrderKind.MARKET, TimeInForce.IOC, 3, 0, False),
    )


def test_resting_entries_and_exits_at_market() -> None:
    assert plan(-4, 6, 100, 10, RESTING) == (
        Child(Side.BUY, OrderKind.MARKET, TimeInForce.IOC, 4, 0, True),
        Child(Side.BUY, OrderKind.LIMIT, TimeInForce.GTC, 6, 100, False),
    )


def test_a_last_slice_takes_its_dust_along() -> None:
    assert [c.qty_lots for c in plan(0, 31, 100, 10, MARKET)] == [10, 10, 11]
    assert [c.qty_lots for c in plan(0, 32, 100, 10, MARKET)] == [10, 10, 10, 2]


@given(lots, lots, st.integers(1, 70), st.sampled_from([MARKET, RESTING]))
def test_children_lead_from_held_to_wanted(held: int, wanted: int, slice_lots: int, policy: ExecutionPolicy) -> None:
    children = plan(held, wanted, 100, slice_lots, policy)
    at, opened = held, False
    for child in children:
        after = at + (child.qty_lots if child.side is Side.BUY else -child.qty_lots)
        assert 1 <= child.qty_lots <= slice_lots + slice_lots // DUST_DIVISOR
        assert child.reduce_only == (abs(after) < abs(at) and at * after >= 0)
        assert not (opened and child.reduce_only), "closing comes first"
        opened = opened or not child.reduce_only
        assert (child.kind is OrderKind.LIMIT) == (policy is RESTING and not child.reduce_only)
        at = after
    assert len(children) <= SLICES_MAX
    assert at == wanted or len(children) == SLICES_MAX
    assert min(held, wanted) <= at <= max(held, wanted)
