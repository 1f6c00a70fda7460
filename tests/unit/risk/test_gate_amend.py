"""Moving an order that rests: the gate judges it as it would stand, without itself in the way, and keeps half of the messages free."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.orders import ApprovedOrder, Side, TimeInForce
from kedge.domain.units import NS_PER_S
from kedge.risk.gate import Gate
from kedge.risk.gate_state import GateState, Refusal, Situation
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

from ...builders import MINUTE, T0, WALLET_E8, instrument, order

CALM = Situation(
    ts_ns=T0, state=RiskState.RUNNING, halt_code="", instrument=instrument(), mark_ticks=1_000, mark_age_ns=0, interval_ns=MINUTE,
    volume_avg_lots=1_000_000, equity_e8=WALLET_E8, position_lots=0, open_buy_lots=0, open_sell_lots=0, gross_other_e8=0, net_other_e8=0,
    open_orders_instrument=20, open_orders_total=100, best_own_bid_ticks=999, best_own_ask_ticks=0,
    bid_ticks=0, ask_ticks=0, quote_age_ns=0, quote_age_max_ns=0,
)  # fmt: skip


def code(lots: int = 10_000, limit: int = 1_001, *, leaves: int | None = None, recent: GateState | None = None, **changes: Any) -> str:
    side = changes.pop("side", Side.BUY)
    limits = changes.pop("limits", Limits())
    moved = order("o1", side, lots, limit, time_in_force=TimeInForce.POST_ONLY, reduce_only=changes.pop("reduce_only", False))
    answer = Gate(limits).check_amend(moved, lots if leaves is None else leaves, CALM._replace(**changes), recent or GateState())
    if isinstance(answer, ApprovedOrder):
        assert (answer.order, answer.limits_version) == (moved, limits.version)
        return "OK"
    assert isinstance(answer, Refusal)
    return answer.code


def test_a_move_passes_where_a_new_order_would_be_one_too_many_a_duplicate_or_too_fast() -> None:
    recent = GateState()
    for _ in range(7):
        recent.note_sent(order("o1", Side.BUY, 10_000, 1_001), T0, NS_PER_S)
    assert code(recent=recent) == "OK"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"state": RiskState.HALTED, "halt_code": "COMMAND"}, "HALTED"),
        ({"state": RiskState.REDUCE_ONLY, "halt_code": "DRAWDOWN"}, "REDUCE_ONLY"),
        ({"mark_age_ns": 2 * MINUTE}, "STALE_PRICE"),
        ({"limit": 1_011}, "PRICE_COLLAR"),
        ({"lots": 16_000}, "ORDER_NOTIONAL"),
        ({"lots": 40}, "NOTIONAL_MIN"),
        ({"position_lots": 20_000}, "POSITION_NOTIONAL"),
        ({"open_buy_lots": 20_000}, "POSITION_NOTIONAL"),
        ({"gross_other_e8": 2 * WALLET_E8}, "GROSS_EXPOSURE"),
        ({"best_own_ask_ticks": 1_001}, "SELF_TRADE"),
        ({"equity_e8": 1.5}, "GATE_FAILED"),
        ({"leaves": -1}, "GATE_FAILED"),
        ({"position_lots": 0, "interval_ns": -1}, "GATE_FAILED"),
    ],
)
def test_a_move_is_refused_as_an_order_would_be(changes: dict[str, Any], refusal: str) -> None:
    assert code(**changes) == refusal


def test_exposure_counts_what_is_left_and_size_the_whole_order() -> None:
    assert code(leaves=4_900, position_lots=20_000) == "OK"
    assert code(15_500, leaves=100) == "ORDER_NOTIONAL"
    assert code(side=Side.SELL, limit=1_002, position_lots=10_000, reduce_only=True, state=RiskState.REDUCE_ONLY) == "OK"


def test_what_a_rule_cannot_digest_is_refused() -> None:
    nothing = CALM._replace(instrument=None)  # type: ignore[arg-type]
    answer = Gate(Limits()).check_amend(order("o1", Side.BUY, 10_000, 1_001), 10_000, nothing, GateState())
    assert isinstance(answer, Refusal)
    assert answer.code == "GATE_FAILED"


def test_moves_use_half_of_the_messages_and_leave_the_rest_to_orders_and_cancels() -> None:
    recent, limits = GateState(), Limits(messages_per_3s_max=10, messages_window_min=40, messages_per_fill_max=10)
    for _ in range(4):
        recent.note_message(T0)
    assert code(recent=recent, limits=limits) == "OK"
    recent.note_message(T0)
    assert code(recent=recent, limits=limits) == "MESSAGE_RATE"
    slow = GateState()
    for n in range(20):
        slow.note_message(T0 - (100 - n) * NS_PER_S)
    assert code(recent=slow, limits=limits) == "ORDER_TO_TRADE"
    for _ in range(5):
        slow.note_fill(T0)
    assert code(recent=slow, limits=limits) == "OK", "twenty of twenty-five"
    room = CALM._replace(open_orders_instrument=0, open_orders_total=0)
    assert isinstance(Gate(limits).check(order("o2", Side.BUY, 10_000, 1_001), room, slow), ApprovedOrder)
