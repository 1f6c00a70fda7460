"""Folding what happens to our orders, and the money that their trades move.

What the life-cycle table forbids, and what is not ours, is told as trouble; money is booked all the same, since it has moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedge.domain.errors import IllegalTransition
from kedge.domain.events import (
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    Request,
)
from kedge.domain.orders import BY_VENUE, FillCause, Liquidity, OrderKind, Side
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent
from kedge.engine import costs
from kedge.engine.lifecycle import Report, Status
from kedge.engine.orders import OrderState
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import book_fill, revalue
from kedge.kernel.fees import fee_e8
from kedge.strategy.execution import Style

LIFE_OVER = "LIFE_OVER"
"""Why a resting order is cancelled when its time is up; it counts as a try of its decision."""

NOT_SENT = "NOT_SENT"
"""Code of a request that never left, so that the venue did not refuse it: it uses up no try of its decision."""

VENUE_ACTED = {FillCause.LIQUIDATION: "LIQUIDATED", FillCause.ADL: "DELEVERAGED", FillCause.STOP: "STOP_FIRED"}
"""Codes of the halt that follows when the venue traded on our account by itself."""


class OrderFold:
    """The writer of orders and of what they fill.

    Parameters
    ----------
    trouble : callable
        Told of what cannot be understood: a code and a detail.

    Attributes
    ----------
    observers, absorbers : dict
        What to call for each type of event and of output.
    """

    def __init__(self, state: EngineState, settings: EngineSettings, trouble: Callable[[str, str], None]) -> None:
        self.state, self.settings, self._trouble = state, settings, trouble
        self._slots = state.slots
        self._slices = settings.execution.working_style in (Style.TWAP, Style.PARTICIPATION)
        self.observers: dict[type, Callable[[Any], None]] = {
            OrderAccepted: self._accepted,
            OrderWaits: self._accepted,
            OrderTriggered: self._triggered,
            OrderRejected: self._rejected,
            OrderFilled: self._fill,
            OrderAmended: self._amended,
            OrderAmendRefused: self._amend_refused,
            OrderCanceled: self._canceled,
            OrderUnanswered: self._unanswered,
            OrderProvenAbsent: self._absent,
        }
        self.absorbers: dict[type, Callable[[Any], None]] = {
            OrderSent: self._sent,
            AmendSent: self._amend_sent,
            CancelSent: self._cancel_sent,
        }

    # events ------------------------------------------------------------------------------------------------

    def _accepted(self, event: OrderAccepted | OrderWaits) -> None:
        """A conditional order that is acknowledged waits for its trigger, whichever way that is told."""
        known = self.state.orders.by_id.get(event.client_order_id)
        waits = known is not None and known.order.trigger_ticks > 0
        order = self._report(event.client_order_id, Report.WAITS if waits else Report.ACCEPTED)
        if order is not None and event.venue_order_id:
            order.venue_order_id = event.venue_order_id

    def _triggered(self, event: OrderTriggered) -> None:
        self._report(event.client_order_id, Report.TRIGGERED)

    def _rejected(self, event: OrderRejected) -> None:
        before = self._status(event.client_order_id)
        order = self._report(event.client_order_id, Report.REFUSED)
        if order is not None and order.status is not before:
            refused = self.state.funnel.refused
            refused[event.code] = refused.get(event.code, 0) + 1
            if event.code != NOT_SENT:
                self._next_attempt(order)

    def _amended(self, event: OrderAmended) -> None:
        orders = self.state.orders
        self._moved(event.client_order_id, "amended", lambda name: orders.amended(name, event.qty_lots, event.limit_ticks, event.ts_ns))

    def _amend_refused(self, event: OrderAmendRefused) -> None:
        self._moved(event.client_order_id, "amend refused", self.state.orders.amend_refused)

    def _canceled(self, event: OrderCanceled) -> None:
        before = self._status(event.client_order_id)
        orders = self.state.orders
        order = self._moved(event.client_order_id, Report.CANCELED, lambda name: orders.canceled(name, event.cum_lots))
        if order is not None and order.status is not before and before is not Status.PENDING_CANCEL:
            self._tried(order)

    def _tried(self, order: OrderState) -> None:
        """A passive order of the present decision came to nothing, by its life or by the venue."""
        slot = self._slots[order.order.instrument]
        slot.tries += int(order.order.kind is OrderKind.LIMIT and order.order.decision_id == slot.decision_id)

    def _unanswered(self, event: OrderUnanswered) -> None:
        orders, is_creation = self.state.orders, event.request is Request.CREATE
        self._moved(event.client_order_id, "unanswered", lambda name: orders.unanswered(name, is_creation=is_creation))

    def _absent(self, event: OrderProvenAbsent) -> None:
        before = self._status(event.client_order_id)
        order = self._report(event.client_order_id, Report.PROVEN_ABSENT)
        if order is not None and order.status is not before:
            self._next_attempt(order)

    def _fill(self, fill: OrderFilled) -> None:
        orders = self.state.orders
        if fill.cause is FillCause.TRADE:
            try:
                filled = orders.fill(fill)
                if filled is None:
                    return
                costs.book_slippage(self.state, self._slots[fill.instrument], filled, fill)
            except (KeyError, IllegalTransition) as error:
                if not orders.is_new_strange(fill.fill_id):
                    return
                self._trouble("FILL_NOT_UNDERSTOOD", f"{fill.fill_id} of {fill.client_order_id}: {error}")
        elif not orders.is_new_strange(fill.fill_id):
            return
        elif fill.cause in BY_VENUE:
            self._trouble(VENUE_ACTED[fill.cause], f"{fill.fill_id}: {fill.side} {fill.qty_lots} lots of {fill.instrument}")
        if fill.instrument not in self._slots:
            self._trouble("FOREIGN_INSTRUMENT", f"fill {fill.fill_id} of {fill.instrument}, which we do not trade")
            return
        slot = self._slots[fill.instrument]
        self._book(fill, slot)
        if fill.cause is FillCause.TRADE:
            self._note_deviation(fill, slot)
        self.state.gate.note_fill(fill.ts_ns)
        self.state.funnel.filled += 1

    def _note_deviation(self, fill: OrderFilled, slot: Slot) -> None:
        mark = int(self.state.marks[slot.index])
        if mark:
            away = fill.price_ticks - mark if fill.side is Side.BUY else mark - fill.price_ticks
            self.state.gate.note_deviation(fill.ts_ns, away * 1_000_000 // mark, self.state.limits.fill_deviation_window_ns)

    def _book(self, fill: OrderFilled, slot: Slot) -> None:
        """Money moved, so it is booked, also when the order's story makes no sense."""
        state, spec = self.state, slot.spec
        signed = fill.qty_lots if fill.side is Side.BUY else -fill.qty_lots
        before = slot.position_lots
        book_fill(state.account, slot.index, signed, fill.price_ticks, fill.fee_e8, state.lots, state.costs, state.tick_values)
        after = slot.position_lots
        state.round_trips += int(before != 0 and (after == 0 or (after > 0) != (before > 0)))
        rate = spec.maker_fee_e8 if fill.liquidity is Liquidity.MAKER else spec.taker_fee_e8
        state.differences += int(fee_e8(spec.notional_e8(fill.price_ticks, fill.qty_lots), rate) != fill.fee_e8)
        revalue(state.account, state.lots, state.costs, state.marks, state.tick_values)  # peak and losses wait for a true mark

    # outputs -----------------------------------------------------------------------------------------------

    def _sent(self, sent: OrderSent) -> None:
        state, order = self.state, sent.approved.order
        state.orders.add(order)
        slot, held = self._slots[order.instrument], state.orders.by_id[order.client_order_id]
        held.arrival2_ticks, held.arrival_is_mid = slot.arrival2_ticks, slot.arrival_is_mid
        limits = state.limits
        state.gate.note_sent(order, state.ts_ns, limits.duplicate_window_ns, limits.decisions_window_ns if limits.decisions_max else 0)
        if sent.approved.override_id:
            state.gate.use(sent.approved.override_id)
        state.funnel.sent += 1
        slot.leg = order.slice_no + 1
        slot.seen_lots = 0
        if order.kind is OrderKind.LIMIT:
            slot.moved_ts_ns = state.ts_ns
        elif self._slices:
            slot.tries = 0  # the next slice may rest again

    def _amend_sent(self, amend: AmendSent) -> None:
        orders = self.state.orders
        self._moved(amend.client_order_id, "amend", lambda name: orders.amend_sent(name, amend.qty_lots, amend.limit_ticks))
        self.state.gate.note_message(self.state.ts_ns)
        order = self.state.orders.by_id.get(amend.client_order_id)
        if order is not None:
            self._slots[order.order.instrument].moved_ts_ns = self.state.ts_ns

    def _cancel_sent(self, cancel: CancelSent) -> None:
        order = self._report(cancel.client_order_id, Report.CANCEL_SENT)
        if order is not None and cancel.reason == LIFE_OVER:
            self._tried(order)
        self.state.gate.note_message(self.state.ts_ns)

    # within ------------------------------------------------------------------------------------------------

    def _next_attempt(self, order: OrderState) -> None:
        """The venue refused it or never had it, so its decision may try again, under another id; a later decision counts its own."""
        slot = self._slots[order.order.instrument]
        slot.attempt += int(slot.decision_id == order.order.decision_id)

    def _status(self, client_order_id: str) -> Status | None:
        order = self.state.orders.by_id.get(client_order_id)
        return order.status if order is not None else None

    def _report(self, client_order_id: str, report: Report) -> OrderState | None:
        return self._moved(client_order_id, report, lambda name: self.state.orders.report(name, report))

    def _moved(self, client_order_id: str, what: str, move: Callable[[str], OrderState]) -> OrderState | None:
        """Move an order, or tell why that cannot be."""
        try:
            return move(client_order_id)
        except KeyError:
            self._trouble("FOREIGN_ORDER", f"{what} for {client_order_id}, which we did not send")
        except IllegalTransition as error:
            self._trouble("ILLEGAL_TRANSITION", f"{client_order_id}: {error.what}")
        return None
