"""Random orders on random books: nothing that the gate lets through breaches anything, whatever else is still open."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.orders import ApprovedOrder, Side
from kedge.domain.outputs import OrderSent
from kedge.risk.gate_state import Refusal

from ..builders import AAA, Wish, bar, engine, order
from .gate_storm import PRODUCT, storm

EVERY_BOOK_ROW = {
    "ORDER_NOTIONAL", "POSITION_NOTIONAL", "GROSS_EXPOSURE", "NET_EXPOSURE", "MARGIN_RATIO", "LIQUIDATION_DISTANCE", "VAR99", "ES975",
    "TRADE_RISK", "PRICE_COLLAR", "SELF_TRADE", "OPEN_ORDERS", "ORDER_QTY", "POSITION_QTY", "FAT_FINGER",
}  # fmt: skip


def test_a_few_thousand_orders_breach_nothing() -> None:
    found = storm(2_500, seed=1)
    assert found.breaches == []
    assert found.silent == []
    assert found.accepted > 400
    assert found.shifted > 100


@pytest.mark.slow
def test_a_hundred_thousand_orders_breach_nothing_and_meet_every_row() -> None:
    found = storm(100_000, seed=2)
    assert found.breaches == []
    assert found.silent == []
    assert found.accepted > 20_000
    assert set(found.refusals) >= EVERY_BOOK_ROW


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Side.BUY, Side.SELL]), st.integers(min_value=0, max_value=15_000), st.integers(min_value=100, max_value=15_000))
def test_of_two_orders_that_breach_together_exactly_one_passes(side: Side, held: int, lots: int) -> None:
    """Neither is acknowledged: the second one sees what the first one reserved."""

    def answers(count: int) -> list[ApprovedOrder | Refusal]:
        run = engine(Wish(), limits=PRODUCT)
        run.step(bar(1, volume=10**9))
        run.state.lots[0], run.state.costs[0] = held, held * 1_000 * 10_000
        worker: Any = run._decide.__self__.worker  # type: ignore[attr-defined]
        found = []
        for n in range(count):
            one = order(f"o{n}", side=side, lots=lots, decision_id=f"d{n}")
            answer = worker.gate.check(one, worker._situation(run.state.slots[AAA], 1_000, side), run.state.gate)
            found.append(answer)
            if isinstance(answer, ApprovedOrder):
                run._fold.absorb(OrderSent(approved=answer))
        return found

    one, two = answers(2)
    together = isinstance(answers(1)[0], ApprovedOrder) and _fits(side, held, 2 * lots)
    assert isinstance(one, ApprovedOrder) is _fits(side, held, lots)
    assert isinstance(two, ApprovedOrder) is (together or (not isinstance(one, ApprovedOrder) and _fits(side, held, lots)))


def _fits(side: Side, held: int, lots: int) -> bool:
    """By hand, of 10,000 USDT at 100.0: a quarter in one instrument, and the tail at the prior's 5 % a day; what reduces is free."""
    signed = lots if side is Side.BUY else -lots
    if held > 0 and side is Side.SELL and lots <= held:
        return True
    worst = max(abs(held + max(0, signed)), abs(held + min(0, signed)))
    return worst <= 25_000 and worst * 0.1 * 0.05 * 2.6064635693842795 <= 350 and worst * 0.1 * 0.05 * 2.727802071641669 <= 400
