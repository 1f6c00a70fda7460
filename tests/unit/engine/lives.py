"""Orders brought to every status through an engine, by the events and outputs that lead there in life; and the events of each report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from kedge.domain.events import (
    Event,
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
    TimerFired,
)
from kedge.domain.orders import ApprovedOrder, Liquidity, OrderIntent
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output
from kedge.engine.engine import Engine
from kedge.engine.lifecycle import Report, Status

from ...builders import MINUTE, T0, Wish, bar, engine, order

NAME: Final = "o1"
LOTS: Final = 1_000
LIMIT: Final = 990
MORE: Final = 1_500
"""Whole quantity that an amend asks for."""

_OUTPUT_REPORTS: Final = {
    Report.AMEND_SENT: AmendSent(client_order_id=NAME, qty_lots=MORE, limit_ticks=995),
    Report.CANCEL_SENT: CancelSent(client_order_id=NAME, reason="TEST"),
}


def part(fill_id: str, lots: int, leaves: int, intent: OrderIntent) -> OrderFilled:
    return OrderFilled(T0 + MINUTE, fill_id, NAME, intent.instrument, intent.side, lots, LIMIT, 5, Liquidity.MAKER, leaves)


def event_of(report: Report, intent: OrderIntent, *, fill_id: str = "f9") -> Event:
    """What an engine is told, for each report but those that are its own outputs."""
    ts_ns = T0 + MINUTE
    made: dict[Report, Callable[[], Event]] = {
        Report.ACCEPTED: lambda: OrderAccepted(ts_ns, NAME, "v1"),
        Report.WAITS: lambda: OrderWaits(ts_ns, NAME, "v1"),
        Report.TRIGGERED: lambda: OrderTriggered(ts_ns, NAME),
        Report.REFUSED: lambda: OrderRejected(ts_ns, NAME, "110007", "not enough"),
        Report.PART_FILL: lambda: part(fill_id, 100, 600, intent),
        Report.LAST_FILL: lambda: part(fill_id, 100, 0, intent),
        Report.AMENDED: lambda: OrderAmended(ts_ns, NAME, MORE, 995),
        Report.AMEND_REFUSED: lambda: OrderAmendRefused(ts_ns, NAME, "110001", "too late"),
        Report.CANCELED: lambda: OrderCanceled(ts_ns, NAME, "CancelByUser"),
        Report.NO_REPLY: lambda: OrderUnanswered(ts_ns, NAME),
        Report.ANSWER_LOST: lambda: OrderUnanswered(ts_ns, NAME, Request.CANCEL),
        Report.PROVEN_ABSENT: lambda: OrderProvenAbsent(ts_ns, NAME),
    }
    return made[report]()


def tell(one: Engine, report: Report, intent: OrderIntent, *, fill_id: str = "f9") -> tuple[Output, ...]:
    """Report it as life does: an event is stepped; an output of ours is folded, and the next event finds what it caused."""
    if report in _OUTPUT_REPORTS:
        one.apply(TimerFired(T0 + MINUTE, "none"), (_OUTPUT_REPORTS[report],))
        return one.step(TimerFired(T0 + MINUTE, "none"))
    return one.step(event_of(report, intent, fill_id=fill_id))


PATHS: Final[dict[Status, tuple[Report, ...]]] = {
    Status.PENDING_NEW: (),
    Status.WAITING: (Report.WAITS,),
    Status.OPEN: (Report.ACCEPTED,),
    Status.PENDING_AMEND: (Report.ACCEPTED, Report.AMEND_SENT),
    Status.PENDING_CANCEL: (Report.ACCEPTED, Report.CANCEL_SENT),
    Status.UNKNOWN: (Report.NO_REPLY,),
    Status.FILLED: (Report.PART_FILL, Report.LAST_FILL),
    Status.CANCELED: (Report.PART_FILL, Report.CANCELED),
    Status.REJECTED: (Report.REFUSED,),
    Status.ABSENT: (Report.NO_REPLY, Report.PROVEN_ABSENT),
}


def brought_to(status: Status, *, conditional: bool = False, path: Iterable[Report] | None = None) -> tuple[Engine, OrderIntent]:
    """An engine with one order in this status."""
    one = engine(Wish())
    intent = order(NAME, lots=LOTS, limit=LIMIT, trigger_ticks=1_010 if conditional else 0)
    one.apply(bar(1), (OrderSent(approved=ApprovedOrder(order=intent, limits_version="v")),))
    for n, report in enumerate(PATHS[status] if path is None else path):
        assert tell(one, report, intent, fill_id=f"f{n}") == ()
    assert one.state.orders.by_id[NAME].status is status
    return one, intent
