"""Figures of a running engine for people and machines; money as decimal text, fractions as text, counts as integers."""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.units import E8, money_text
from kedge.engine.costs import costs_of
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import (
    DAY_LOSS_E8,
    DRAWDOWN_E8,
    DRAWDOWN_MAX_E8,
    EQUITY,
    FEES,
    FLOWS,
    FUNDING,
    GROSS,
    NET,
    PEAK,
    REALISED,
    UNREALISED,
    WALLET,
)
from kedge.kernel.positions import unrealised_e8

MONEY_CELLS: Final = {
    "equity": EQUITY,
    "wallet": WALLET,
    "unrealised": UNREALISED,
    "realised": REALISED,
    "fees": FEES,
    "funding_paid": FUNDING,
    "flows": FLOWS,
    "peak_equity": PEAK,
    "gross_notional": GROSS,
    "net_notional": NET,
}
"""Where the account keeps each amount, by the name it goes by in answers and on pages."""


def frac_text(frac_e8: int) -> str:
    """A fraction in 1e-8 as decimal text with eight places."""
    return money_text(frac_e8)


def summarise(state: EngineState) -> dict[str, Any]:
    """Books, risk state, funnel, positions and live orders."""
    account = state.account_view
    return {
        **{name: money_text(account[cell]) for name, cell in MONEY_CELLS.items()},
        "drawdown": frac_text(account[DRAWDOWN_MAX_E8]),
        "drawdown_now": frac_text(account[DRAWDOWN_E8]),
        "daily_loss": frac_text(account[DAY_LOSS_E8]),
        "risk_state": str(state.risk_state),
        "halt_code": state.halt_code,
        "bars": state.funnel.bars,
        "orders": state.funnel.sent,
        "fills": state.funnel.filled,
        **costs_of(state),
        "round_trips": state.round_trips,
        "differences": state.differences,
        "funnel": state.funnel.as_plain(),
        "positions": [_position(state, slot) for slot in state.by_index if slot.position_lots],
        "live_orders": [_order(state, slot, client_id) for slot in state.by_index for client_id in state.orders.of(slot.instrument)],
        "ts_ns": state.ts_ns,
    }


def _position(state: EngineState, slot: Slot) -> dict[str, str]:
    lots, cost, mark = slot.position_lots, int(state.costs[slot.index]), int(state.marks[slot.index])
    entry = abs(cost) / (abs(lots) * slot.spec.tick_value_e8) * slot.spec.tick_e8 / E8
    return {
        "instrument": slot.instrument,
        "qty": slot.spec.qty_text(lots),
        "entry": f"{entry:.8g}",
        "mark": slot.spec.price_text(mark),
        "stop": _stop(slot),
        "notional": money_text(slot.spec.notional_e8(mark, lots)),
        "unrealised": money_text(int(unrealised_e8(lots, cost, mark, slot.spec.tick_value_e8))),
    }


def _stop(slot: Slot) -> str:
    """Where the stop of a position lies; where it is wanted, with a question mark, while the venue shows none there; '' for none."""
    if not slot.stop_wanted_ticks:
        return ""
    text = slot.spec.price_text(slot.stop_wanted_ticks)
    return text if slot.stop_placed_ticks == slot.stop_wanted_ticks else f"{text}?"


def _order(state: EngineState, slot: Slot, client_id: str) -> dict[str, str]:
    held = state.orders.by_id[client_id]
    order = held.order
    return {
        "client_order_id": client_id,
        "instrument": order.instrument,
        "side": order.side.value,
        "kind": order.kind.value,
        "qty": slot.spec.qty_text(held.qty_lots),
        "leaves": slot.spec.qty_text(held.leaves_lots),
        "limit": slot.spec.price_text(held.limit_ticks) if held.limit_ticks else "",
        "status": held.status.value,
    }
