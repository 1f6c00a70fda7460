"""The ids of a step: every event and output of an order is found by the order's id, and old records as before."""

from __future__ import annotations

import pytest

from kedge.domain import events, outputs
from kedge.domain.canonical import encode
from kedge.domain.record import Step
from kedge.journal import Mention, mentions, telling_step

from ...builders import AAA, T0

OF_ORDERS = [
    (events.OrderAccepted(T0, "o1", "v1"), "accepted"),
    (events.OrderWaits(T0, "o1", "v1"), "waits"),
    (events.OrderTriggered(T0, "o1"), "triggered"),
    (events.OrderAmended(T0, "o1", 5, 1_000), "amended"),
    (events.OrderAmendRefused(T0, "o1", "110001", "too late"), "amend_refused"),
    (events.OrderUnanswered(T0, "o1", events.Request.AMEND), "unanswered"),
    (events.OrderCanceled(T0, "o1", "IOC"), "canceled"),
]


@pytest.mark.parametrize(("event", "kind"), OF_ORDERS, ids=[kind for _, kind in OF_ORDERS])
def test_every_event_of_an_order_mentions_it_and_is_found_in_its_bytes(event: events.Event, kind: str) -> None:
    step = Step(seq=7, source="test", event=event, outputs=())
    assert list(mentions(step)) == [Mention("o1", kind, 7)]
    again = telling_step(encode(step))
    assert again is not None
    assert list(mentions(again)) == [Mention("o1", kind, 7)]


def test_what_is_asked_of_an_order_mentions_it() -> None:
    asked = (outputs.AmendSent(client_order_id="o1", limit_ticks=9), outputs.CancelSent(client_order_id="o2", reason="LATE"))
    step = Step(seq=3, source="test", event=events.TimerFired(T0, "work:x"), outputs=asked)
    assert list(mentions(step)) == [Mention("o1", "amend", 3), Mention("o2", "cancel", 3)]


@pytest.mark.parametrize(
    "event", [events.QuoteLost(T0, AAA, "crossed"), events.StopPlaced(T0, AAA, 900), events.StopUnconfirmed(T0, AAA, 5, "no answer")]
)
def test_stops_and_quotes_have_no_id(event: events.Event) -> None:
    wanted = outputs.StopWanted(instrument=AAA, stop_ticks=900, position_lots=5)
    assert list(mentions(Step(seq=1, source="test", event=event, outputs=(wanted,)))) == []


def test_a_run_is_found_where_another_one_took_over_from_it() -> None:
    step = Step(seq=1, source="test", event=events.AccountInherited(T0, "paper-1", 7, "ab"))
    assert list(mentions(step)) == [Mention("paper-1", "inherited", 1)]


def test_every_event_and_output_that_names_an_order_is_mentioned() -> None:
    """A new kind that carries an order's id has to be found by it."""
    told = {type(event) for event, _ in OF_ORDERS} | {
        events.OrderRejected,
        events.OrderFilled,
        events.OrderProvenAbsent,
        events.BooksDiffer,
    }
    named = {kind for kind in events.Event.__args__ if "client_order_id" in kind.__struct_fields__}  # type: ignore[attr-defined]
    assert named == told, "differences halt by themselves; all others are an order's own story"
    asked = {kind for kind in outputs.Output.__args__ if "client_order_id" in kind.__struct_fields__}  # type: ignore[attr-defined]
    assert asked == {outputs.AmendSent, outputs.CancelSent}
