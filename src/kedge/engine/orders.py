"""Our own orders: state, reserved exposure, and what was filled. Folded from events and outputs only."""

from __future__ import annotations

from collections import deque

import msgspec

from kedge.domain.errors import IllegalTransition
from kedge.domain.events import OrderFilled
from kedge.domain.orders import OrderIntent, Side
from kedge.engine.lifecycle import LIVE, Report, Status, advance

FINISHED_KEPT = 1_000
"""Finished orders remembered, so that a late report still finds its order."""

STRANGE_KEPT = 1_000
"""Ids remembered of what belongs to no order of ours: liquidations, fills that the table refuses, settlements, cash."""


class OrderState(msgspec.Struct):
    """One order as we know it."""

    order: OrderIntent
    status: Status
    leaves_lots: int
    venue_order_id: str = ""
    fill_ids: list[str] = []
    filled_lots: int = 0

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def signed_leaves(self) -> int:
        return self.leaves_lots if self.order.side is Side.BUY else -self.leaves_lots


class Orders:
    """Orders by client id: all live ones, and the last `FINISHED_KEPT` finished ones."""

    def __init__(self) -> None:
        self.by_id: dict[str, OrderState] = {}
        self.live: dict[str, dict[str, OrderState]] = {}
        self.finished: deque[str] = deque()
        self.strange: deque[str] = deque(maxlen=STRANGE_KEPT)

    def add(self, order: OrderIntent) -> None:
        """A new order, sent and not yet answered; it reserves its whole quantity from now on."""
        state = OrderState(order=order, status=Status.PENDING_NEW, leaves_lots=order.qty_lots)
        self.by_id[order.client_order_id] = state
        self.live.setdefault(order.instrument, {})[order.client_order_id] = state

    def report(self, client_order_id: str, report: Report) -> OrderState:
        """Move an order along its table.

        Raises
        ------
        KeyError
            The order is not ours, or was forgotten.
        IllegalTransition
            The table has no such move; nothing is changed.
        """
        state = self.by_id[client_order_id]
        was_live = state.is_live
        state.status = advance(state.status, report)
        if was_live and not state.is_live:
            self._finish(state)
        return state

    def fill(self, fill: OrderFilled) -> OrderState | None:
        """Apply a fill to its order; None when this fill was seen before.

        Raises
        ------
        KeyError
            The order is not ours, or was forgotten.
        IllegalTransition
            The table has no such move, or the fill is of another instrument or side; nothing is changed.
        """
        state = self.by_id[fill.client_order_id]
        if fill.fill_id in state.fill_ids or fill.fill_id in self.strange:
            return None
        if fill.instrument != state.order.instrument or fill.side is not state.order.side:
            raise IllegalTransition(
                f"fill {fill.fill_id}: {fill.side} {fill.instrument}",
                why=f"the order is to {state.order.side} {state.order.instrument}",
                fix="stop new risk and reconcile",
            )
        is_late = state.status is Status.FILLED and state.filled_lots + fill.qty_lots <= state.order.qty_lots
        if not is_late:  # a part that was missed may be told after the last one
            self.report(fill.client_order_id, Report.PART_FILL if fill.leaves_lots else Report.LAST_FILL)
        state.fill_ids.append(fill.fill_id)
        state.filled_lots += fill.qty_lots
        state.leaves_lots = min(state.leaves_lots, fill.leaves_lots)  # parts can arrive out of order; what is left only shrinks
        return state

    def is_new_strange(self, fill_id: str) -> bool:
        """Whether this id of no order of ours is seen for the first time; it is remembered."""
        if fill_id in self.strange:
            return False
        self.strange.append(fill_id)
        return True

    def of(self, instrument: str) -> dict[str, OrderState]:
        """Live orders on one instrument."""
        return self.live.get(instrument, {})

    def open_lots(self, instrument: str) -> tuple[int, int]:
        """Lots still reserved by live buys and by live sells."""
        buys = sells = 0
        held = self.live.get(instrument)
        if not held:
            return 0, 0
        for state in held.values():
            if state.order.side is Side.BUY:
                buys += state.leaves_lots
            else:
                sells += state.leaves_lots
        return buys, sells

    def best_resting(self, instrument: str) -> tuple[int, int]:
        """Our highest resting buy and lowest resting sell, in ticks; 0 where there is none."""
        resting = [s.order for s in self.live.get(instrument, {}).values() if s.order.limit_ticks]
        if not resting:
            return 0, 0
        bids = [order.limit_ticks for order in resting if order.side is Side.BUY]
        asks = [order.limit_ticks for order in resting if order.side is Side.SELL]
        return max(bids, default=0), min(asks, default=0)

    @property
    def live_count(self) -> int:
        return sum(len(orders) for orders in self.live.values())

    def _finish(self, state: OrderState) -> None:
        client_order_id = state.order.client_order_id
        del self.live[state.order.instrument][client_order_id]
        self.finished.append(client_order_id)
        if len(self.finished) > FINISHED_KEPT:
            self.by_id.pop(self.finished.popleft(), None)
