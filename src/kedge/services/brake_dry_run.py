"""What engaging the brake would do now, from the followed run's books: which orders go, which positions, and what that costs at most.

Rules: nothing is sent for it; the cost is a range, since the depth of the book at that moment is not known: from fees and half the spread
to fees and the whole collar, beyond which the guard never closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kedge.kernel.fees import fee_e8
from kedge.services.guard_seen import GuardSeen
from kedge.services.replica_text import e8_text, time_text

if TYPE_CHECKING:
    from kedge.engine.state import Slot
    from kedge.services.replica import Replica

BPS: Final = 10_000


def no_run(seen: GuardSeen) -> dict[str, Any]:
    """The answer where no run is followed: only the guard knows then what is there."""
    status = seen.status
    told = "no run is followed here"
    if status is not None and seen.is_current:
        told += f"; the guard sees {status.orders.resting} open orders and {len(status.positions)} positions at the venue"
    return {
        "as_of": None,
        "source": "none",
        "cancels": [],
        "closes": [],
        "cost_min": None,
        "cost_max": None,
        "collar_bps": {},
        "why": told,
    }


def dry_run(replica: Replica, seen: GuardSeen) -> dict[str, Any]:
    """What would be cancelled and closed, and what that costs."""
    state = replica.state
    cancels = [
        {
            "instrument": held.order.instrument,
            "client_order_id": held.order.client_order_id,
            "side": held.order.side.value,
            "leaves": replica.views.grid(held.order.instrument).qty(held.leaves_lots),
            "adds_risk": not held.order.reduce_only,
        }
        for held in state.orders.by_id.values()
        if held.is_live
    ]
    held = [slot for slot in state.by_index if slot.position_lots and state.marks[slot.index]]
    closes = [_close(replica, slot) for slot in held]
    low = sum(one["fee_e8"] + (one["spread_e8"] or 0) for one in closes)
    high = sum(one["fee_e8"] + one["slippage_e8"] for one in closes)
    return {
        "as_of": time_text(state.ts_ns),
        "source": "trader",
        "cancels": cancels,
        "closes": [_told(one) for one in closes],
        "cost_min": e8_text(low),
        "cost_max": e8_text(max(low, high)),
        "collar_bps": {slot.instrument: slot.spec.price_collar_bps for slot in held},
        "why": _beside(len(cancels), len(held), seen),
    }


def _close(replica: Replica, slot: Slot) -> dict[str, Any]:
    mark = int(replica.state.marks[slot.index])
    lots = abs(slot.position_lots)
    value_e8 = slot.spec.notional_e8(mark, lots)
    quote = slot.quote_ts_ns and slot.ask_ticks > slot.bid_ticks > 0
    return {
        "instrument": slot.instrument,
        "side": "long" if slot.position_lots > 0 else "short",
        "qty": replica.views.grid(slot.instrument).qty(lots),
        "value_e8": value_e8,
        "fee_e8": int(fee_e8(value_e8, slot.spec.taker_fee_e8)),
        "spread_e8": slot.spec.notional_e8(slot.ask_ticks - slot.bid_ticks, lots) // 2 if quote else None,
        "slippage_e8": -(-value_e8 * slot.spec.price_collar_bps // BPS),
    }


def _told(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "instrument": one["instrument"],
        "side": one["side"],
        "qty": one["qty"],
        "notional": e8_text(one["value_e8"]),
        "fee": e8_text(one["fee_e8"]),
        "spread": None if one["spread_e8"] is None else e8_text(one["spread_e8"]),
        "slippage_max": e8_text(one["slippage_e8"]),
    }


def _beside(orders: int, positions: int, seen: GuardSeen) -> str:
    """What the guard sees at the venue, where that differs from the run's books: the guard acts on what it sees."""
    status = seen.status
    if status is None or not seen.is_current:
        return "as the run's books say; the guard acts on what the venue shows"
    there = (status.orders.resting, len(status.positions))
    if there == (orders, positions):
        return ""
    return f"the guard sees {there[0]} open orders and {there[1]} positions at the venue, and acts on those"
