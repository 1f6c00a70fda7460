"""Conditional orders that fire, and the stops of a position: a take profit and a stop loss that close all of it at market.

Rules: a stop has the position's size and follows it; it is gone with the position. Of the two the first to fire cancels the other.
An order that fires and may only reduce is cut to the position; one that may open must pass the margin check then, not before.
"""

from __future__ import annotations

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.venue_account import Slot
from kedge.simulation.venue_dealing import Dealing
from kedge.simulation.venue_rules import money_refusal, order_price
from kedge.simulation.venue_triggers import FALL, RISE
from kedge.simulation.venue_types import CancelType, CreateType, OrderRow, RejectReason, Status, StopType, TriggerBy, VenueSettings


class Stops:
    """Fires conditional orders and keeps the stops of positions in step with them."""

    def __init__(self, dealing: Dealing, settings: VenueSettings) -> None:
        self.dealing, self.settings = dealing, settings
        dealing.on_fill = self.follow

    def follow(self, order: OrderRow, slot: Slot) -> None:
        """After a fill: set what the order brought along for its position, then resize or clear the position's stops."""
        if order.take_profit_ticks or order.stop_loss_ticks:
            self._attach(order, slot)
        if slot.take_profit is not None or slot.stop_loss is not None:
            self._resize(slot, slot.take_profit)
            self._resize(slot, slot.stop_loss)

    def set(self, slot: Slot, kind: StopType, trigger_ticks: int, trigger_by: TriggerBy) -> bool:
        """Set, move or (with 0 ticks) remove a stop of an open position; False when it stood so already."""
        old = slot.take_profit if kind is StopType.TAKE_PROFIT else slot.stop_loss
        if old is None:
            if not trigger_ticks:
                return False
            self._new(slot, kind, trigger_ticks, trigger_by)
            return True
        if (old.trigger_ticks, old.trigger_by) == (trigger_ticks, trigger_by):
            return False
        if not trigger_ticks:
            self.dealing.cancel(old, slot, CancelType.USER, RejectReason.NONE)
            return True
        slot.market.triggers.forget(old)
        old.trigger_ticks, old.trigger_by = trigger_ticks, trigger_by
        slot.market.triggers.wait(old)
        self.dealing.changed(old, slot)
        return True

    def fire(self, order: OrderRow, slot: Slot) -> None:
        """An order's trigger was reached: it enters the market, or ends when it may not."""
        self._cancel_other(order, slot)
        self.dealing.unwait(order, slot)
        order.status = Status.TRIGGERED
        order.reduce_only = order.reduce_only or order.close_on_trigger
        if order.reduce_only and not self._cut(order, slot):
            self.dealing.end(order, slot, Status.CANCELLED, CancelType.REDUCE_ONLY, RejectReason.NONE)
            return
        price = order_price(slot.market, order.kind, order.side, order.price_ticks, self.settings, False)
        lots = order.leaves_lots
        if not isinstance(price, int) or (not order.reduce_only and money_refusal(slot, order.side, lots, price) is not None):
            self.dealing.end(order, slot, Status.CANCELLED, CancelType.UNKNOWN, RejectReason.OTHERS)
            return
        order.price_ticks = price
        if order.kind is OrderKind.MARKET and order.time_in_force is not TimeInForce.FOK:
            order.time_in_force = TimeInForce.IOC
        self.dealing.enter(order, slot)

    def _attach(self, order: OrderRow, slot: Slot) -> None:
        if not slot.lots or (slot.lots > 0) != (order.side is Side.BUY):
            return
        if order.take_profit_ticks:
            self.set(slot, StopType.TAKE_PROFIT, order.take_profit_ticks, order.tp_trigger_by)
        if order.stop_loss_ticks:
            self.set(slot, StopType.STOP_LOSS, order.stop_loss_ticks, order.sl_trigger_by)

    def _new(self, slot: Slot, kind: StopType, trigger_ticks: int, trigger_by: TriggerBy) -> None:
        profit, is_long = kind is StopType.TAKE_PROFIT, slot.lots > 0
        create_type = CreateType.TAKE_PROFIT if profit else CreateType.STOP_LOSS
        order = self.dealing.make(slot, Side.SELL if is_long else Side.BUY, abs(slot.lots), create_type, kind)
        order.status = Status.UNTRIGGERED
        order.trigger_ticks, order.trigger_by = trigger_ticks, trigger_by
        order.trigger_direction = RISE if profit == is_long else FALL
        slot.market.triggers.wait(order)
        if profit:
            slot.take_profit = order
        else:
            slot.stop_loss = order
        self.dealing.changed(order, slot)

    def _resize(self, slot: Slot, stop: OrderRow | None) -> None:
        if stop is None:
            return
        if not slot.lots or (slot.lots > 0) != (stop.side is Side.SELL):
            self.dealing.cancel(stop, slot, CancelType.POSITION_CLOSED, RejectReason.NONE)
        elif stop.qty_lots != abs(slot.lots):
            stop.qty_lots = stop.leaves_lots = abs(slot.lots)
            self.dealing.changed(stop, slot)

    def _cancel_other(self, order: OrderRow, slot: Slot) -> None:
        if order is slot.take_profit and slot.stop_loss is not None:
            self.dealing.cancel(slot.stop_loss, slot, CancelType.PROFIT_TAKEN, RejectReason.NONE)
        elif order is slot.stop_loss and slot.take_profit is not None:
            self.dealing.cancel(slot.take_profit, slot, CancelType.STOPPED_OUT, RejectReason.NONE)

    def _cut(self, order: OrderRow, slot: Slot) -> bool:
        """Cut a reduce-only order to what it may close; one that closes on trigger goes before the reduce-only orders that rest."""
        if order.close_on_trigger:
            for resting in list(slot.reduce_only.values()):
                self.dealing.cancel(resting, slot, CancelType.REDUCE_ONLY, RejectReason.NONE)
        room = slot.room_to_reduce(order.side)
        if room < 1:
            return False
        order.qty_lots = order.leaves_lots = min(order.qty_lots, room)
        return True
