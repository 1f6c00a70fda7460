"""The guard's own gate: the last look at a closing order before it is signed. Pure.

Rules: reduce-only, immediate or cancel, against the position, never larger than it, within the collar. An order that breaks one is a defect
of ours and is not sent. The strategy's limits do not apply here: an exit is never refused for being an exit.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import IntegrityError
from kedge.domain.instrument import Instrument
from kedge.domain.orders import GUARD_PREFIX, ApprovedOrder, OrderKind, Side, TimeInForce
from kedge.risk.brake.flatten import Closing, Slice, collar_bps, collar_ticks

GATE_VERSION: Final = "guard-gate-1"


def approved(one: Slice, generation: int, spec: Instrument, mark_e8: int, closing: Closing) -> ApprovedOrder:
    """The slice as an order that may be sent.

    Raises
    ------
    IntegrityError
        It is not what a closing order must be.
    """
    order = one.order(generation)
    worst = collar_ticks(order.side, mark_e8, spec.tick_e8, collar_bps(spec, closing))
    beyond = order.limit_ticks > worst if order.side is Side.BUY else order.limit_ticks < worst
    held = (
        (order.reduce_only, "it must be reduce-only"),
        (order.kind is OrderKind.LIMIT and order.time_in_force is TimeInForce.IOC, "it must be a limit order, immediate or cancel"),
        (order.client_order_id.startswith(GUARD_PREFIX), "its id must carry the guard's prefix"),
        (order.side is (Side.SELL if one.held_lots > 0 else Side.BUY), "it must be against the position"),
        (0 < order.qty_lots <= abs(one.held_lots), "it must not be larger than the position"),
        (not beyond and order.limit_ticks > 0, "it must lie within the collar"),
    )
    for holds, rule in held:
        if not holds:
            raise IntegrityError(f"closing order {order} of {one.held_lots} lots is not sent", why=rule, fix="report this defect")
    return ApprovedOrder(order=order, limits_version=GATE_VERSION)
