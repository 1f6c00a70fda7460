"""Rows of orders as plain documents, and what a fill cost: text on the instrument's grid, at the time of the fact."""

from __future__ import annotations

from typing import Any

from kedge.domain.events import OrderFilled
from kedge.domain.orders import ApprovedOrder, FillCause
from kedge.engine.costs import MARK, MID, bps_text, half_text, slippage2_e8
from kedge.engine.orders import OrderState
from kedge.engine.state import EngineState
from kedge.services.replica_text import Grid


def sent_row(approved: ApprovedOrder, seq: int, at: str, grid: Grid, prediction_id: str | None) -> dict[str, Any]:
    """The row of an order that leaves in record `seq`, at the venue time `at`."""
    order = approved.order
    qty, limit = grid.qty(order.qty_lots), grid.price(order.limit_ticks) if order.limit_ticks else None
    return {
        "seq": seq,
        "updated_seq": seq,
        "sent_at": at,
        "updated_at": at,
        "client_order_id": order.client_order_id,
        "venue_order_id": None,
        "decision_id": order.decision_id,
        "prediction_id": prediction_id,
        "instrument": order.instrument,
        "side": order.side.value,
        "kind": order.kind.value,
        "time_in_force": order.time_in_force.value,
        "qty": qty,
        "filled": grid.qty(0),
        "leaves": qty,
        "limit_price": limit,
        "sent_qty": qty,
        "sent_limit_price": limit,
        "asked_qty": None,
        "asked_limit_price": None,
        "amends": 0,
        "trigger_price": grid.price(order.trigger_ticks) if order.trigger_ticks else None,
        "trigger_when": ("rises" if order.trigger_rises else "falls") if order.trigger_ticks else None,
        "average_price": None,
        "reduce_only": order.reduce_only,
        "status": "pending_new",
        "is_open": True,
        "code": None,
        "reason": None,
        "slice_no": order.slice_no,
        "attempt": order.attempt,
        "limits_version": approved.limits_version,
    }


def bring_up(body: dict[str, Any], held: OrderState, grid: Grid) -> None:
    """Bring an order's row up to what the engine holds of it."""
    terms = (grid.qty(held.qty_lots), grid.price(held.limit_ticks) if held.limit_ticks else None)
    is_asking = held.is_amending
    body.update(
        venue_order_id=held.venue_order_id or None,
        qty=terms[0],
        limit_price=terms[1],
        asked_qty=grid.qty(held.asked_lots) if is_asking and held.asked_lots is not None else None,
        asked_limit_price=grid.price(held.asked_ticks) if is_asking and held.asked_ticks is not None else None,
        amends=body["amends"] + int(terms != (body["qty"], body["limit_price"])),
        filled=grid.qty(held.filled_lots),
        leaves=grid.qty(held.leaves_lots),
        status=held.status.value,
        is_open=held.is_live,
    )


def slippage_of(state: EngineState, fill: OrderFilled) -> dict[str, str | None]:
    """What a fill cost against the price that its decision saw; null where no decision of the run ordered it."""
    held = state.orders.by_id.get(fill.client_order_id) if fill.cause is FillCause.TRADE else None
    if held is None or not held.arrival2_ticks or held.order.instrument != fill.instrument:
        return {"slippage": None, "slippage_bps": None, "slippage_against": None}
    value = state.slots[fill.instrument].spec.tick_value_e8
    cost2 = slippage2_e8(fill, held.arrival2_ticks, value)
    return {
        "slippage": half_text(cost2),
        "slippage_bps": bps_text(cost2, held.arrival2_ticks * fill.qty_lots * value),
        "slippage_against": MID if held.arrival_is_mid else MARK,
    }
