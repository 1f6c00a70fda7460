"""From the steps that mention an order to its node: its terms as they stand now, and its whole life in words.

Quantity and limit are those the venue confirmed last, as the engine folds them: what is older than the terms known is no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

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
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent
from kedge.domain.outputs import AmendSent, CancelSent, OrderRefused, OrderSent
from kedge.domain.record import Step
from kedge.governance.lineage import Moment, Node, NodeKind
from kedge.governance.lineage_find import fills_of
from kedge.governance.lineage_records import record_node
from kedge.governance.lineage_words import order_text, price_text, qty_text, terms_text, trigger_text

OVER: Final = ("canceled", "rejected", "absent")
"""What the venue says of an order that trades no more."""

STATUS_AFTER: Final = {
    "triggered": "accepted",
    "amended": "accepted",
    "amend refused": "accepted",
    "waits": "waiting",
}
"""Where moments leave an order that have another name than the status; 'refused', 'filled' and 'answer lost' leave it where it was."""

_SAYS_NOTHING: Final = ("refused", "filled", "answer lost")

_LOST: Final = {
    Request.CREATE: ("unanswered", "no reply in time; its exposure stays reserved"),
    Request.AMEND: ("answer lost", "no reply to the change in time; which terms stand is looked up"),
    Request.CANCEL: ("answer lost", "no reply to the cancel in time; it may trade until the venue says that it is gone"),
}


class Terms(NamedTuple):
    """Quantity, limit and trigger of an order; 0 where it has none."""

    qty_lots: int
    limit_ticks: int
    trigger_ticks: int


def terms_of(order: OrderIntent, steps: Iterable[Step]) -> Terms:
    """What the venue confirmed last; as sent where nothing was changed."""
    terms, told_ns = Terms(order.qty_lots, order.limit_ticks, order.trigger_ticks), 0
    for step in steps:
        event = step.event
        if type(event) is OrderAmended and event.client_order_id == order.client_order_id and event.ts_ns >= told_ns:
            terms, told_ns = Terms(event.qty_lots, event.limit_ticks, event.trigger_ticks or terms.trigger_ticks), event.ts_ns
    return terms


def order_node(first: Step, order: OrderIntent, steps: Sequence[Step], spec: Instrument, *, account: str) -> Node:
    """An order with its whole life: the step that sends it, and all steps that mention it, oldest first."""
    life = tuple(_life(order, steps, spec))
    filled = sum(fill.qty_lots for fill in fills_of(steps, order.client_order_id))
    terms = terms_of(order, steps)
    facts = {
        "account": account,
        "instrument": order.instrument,
        "side": str(order.side),
        "type": str(order.kind),
        "time in force": str(order.time_in_force),
        "quantity": qty_text(spec, terms.qty_lots),
        "quantity as sent": qty_text(spec, order.qty_lots) if terms.qty_lots != order.qty_lots else "",
        "limit price": price_text(spec, terms.limit_ticks) if terms.limit_ticks else "none: at the market",
        "limit price as sent": price_text(spec, order.limit_ticks) if order.limit_ticks not in (0, terms.limit_ticks) else "",
        "trigger": f"the mark {trigger_text(spec, order)}" if order.trigger_ticks else "",
        "reduce only": "yes" if order.reduce_only else "no",
        "filled": qty_text(spec, filled),
        "remaining": qty_text(spec, max(0, terms.qty_lots - filled)),
        "status": status_of(life, filled, terms.qty_lots),
        "strategy": order.strategy,
        "part and attempt": f"part {order.slice_no + 1}, attempt {order.attempt + 1}",
        "venue order id": _venue_id(order, steps),
        "client order id": order.client_order_id,
    }
    return record_node(NodeKind.ORDER, order.client_order_id, order_text(spec, order), facts, first, life)


def status_of(life: Sequence[Moment], filled_lots: int, qty_lots: int) -> str:
    """Where an order stands after its life so far, in a word or two."""
    if filled_lots >= qty_lots:
        return "filled"
    over = next((one.what for one in life if one.what in OVER), "")  # a part that traded before may be told after
    telling = [one.what for one in life if one.what not in _SAYS_NOTHING]
    last = over or STATUS_AFTER.get(telling[-1], telling[-1]) if telling else "sent"
    if not filled_lots:
        return last
    return f"{last}, partly filled" if last not in ("sent", "accepted", "waiting", "unanswered") else "partly filled"


def _venue_id(order: OrderIntent, steps: Iterable[Step]) -> str:
    acknowledged = (step.event for step in steps if isinstance(step.event, OrderAccepted | OrderWaits))
    mine = (event.venue_order_id for event in acknowledged if event.client_order_id == order.client_order_id)
    return next((venue_id for venue_id in mine if venue_id), "")


def _life(order: OrderIntent, steps: Iterable[Step], spec: Instrument) -> Iterator[Moment]:
    name, is_sent = order.client_order_id, False
    for step in steps:
        for what, text in (_told(step.event, name, spec), *_wanted(step, name, spec, is_sent=is_sent)):
            if what:
                is_sent = is_sent or what == "sent"
                yield Moment(at_ts_ns=step.event.ts_ns, what=what, text=text, seq=step.seq)


def _told(event: object, client_order_id: str, spec: Instrument) -> tuple[str, str]:
    if getattr(event, "client_order_id", None) != client_order_id:
        return "", ""
    match event:
        case OrderAccepted():
            return "accepted", f"the venue took it as {event.venue_order_id}"
        case OrderWaits():
            return "waits", f"the venue holds it as {event.venue_order_id} until its trigger"
        case OrderTriggered():
            return "triggered", "its trigger was reached: it may trade"
        case OrderRejected():
            return "rejected", f"the venue said {event.code}: {event.reason}"
        case OrderFilled():
            return "filled", f"{qty_text(spec, event.qty_lots)} at {price_text(spec, event.price_ticks)}, fill {event.fill_id}"
        case OrderAmended():
            return "amended", f"the venue shows it with {terms_text(spec, event.qty_lots, event.limit_ticks)}"
        case OrderAmendRefused():
            return "amend refused", f"it was not changed: {event.code}: {event.reason}"
        case OrderCanceled():
            return "canceled", f"it trades no more: {event.reason}"
        case OrderUnanswered():
            return _LOST[event.request]
        case OrderProvenAbsent():
            return "absent", "the venue's own records show that it never arrived"
    return "", ""


def _wanted(step: Step, client_order_id: str, spec: Instrument, *, is_sent: bool) -> Iterator[tuple[str, str]]:
    for output in step.outputs:
        if type(output) is OrderSent and output.approved.order.client_order_id == client_order_id:
            yield "sent", f"{order_text(spec, output.approved.order)}, approved by limits {output.approved.limits_version}"
        elif type(output) is OrderRefused and output.order.client_order_id == client_order_id:
            held = "a change of it" if is_sent else "it"
            yield "refused", f"our limits held {held} back: {output.code}, {output.observed}, limit {output.limit}"
        elif type(output) is AmendSent and output.client_order_id == client_order_id:
            yield "amend sent", f"we asked for {terms_text(spec, output.qty_lots, output.limit_ticks)}: {output.reason}"
        elif type(output) is CancelSent and output.client_order_id == client_order_id:
            yield "cancel sent", f"we asked to cancel it: {output.reason}"
