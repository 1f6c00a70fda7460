"""An order's story with its changes, triggers, waits and lost answers: what stands now, and every moment in words."""

from __future__ import annotations

import pytest

from kedge.domain.events import (
    Event,
    OrderAmended,
    OrderAmendRefused,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    Request,
)
from kedge.domain.orders import OrderIntent, Side
from kedge.domain.outputs import AmendSent, CancelSent, Output
from kedge.governance.lineage import Node
from kedge.governance.lineage_orders import order_node, terms_of

from ...builders import T0, accepted, canceled, instrument
from .records import fill, intent, last_bar, refused, sent, step

SPEC = instrument()
RESTING = intent(limit=990)
WAITING = intent(trigger_ticks=1_050, trigger_rises=True)


def life(order: OrderIntent, *happened: Event | tuple[Output, ...]) -> Node:
    """An order's node after these events and outputs."""
    steps = [step(1, last_bar(), sent(order))]
    for n, one in enumerate(happened, 2):
        steps.append(step(n, None, *one) if isinstance(one, tuple) else step(n, one))
    return order_node(steps[0], order, steps, SPEC, account="acct")


def told(node: Node) -> list[str]:
    return [moment.what for moment in node.history]


def moves(limit: int | None = None, lots: int | None = None) -> tuple[Output, ...]:
    return (AmendSent(client_order_id="order-1", limit_ticks=limit, qty_lots=lots, reason="FOLLOWS"),)


def test_a_changed_order_shows_what_stands_now_and_what_was_sent() -> None:
    node = life(RESTING, accepted(RESTING, T0, "v9"), moves(995), OrderAmended(T0 + 5, "order-1", 1_000, 995))
    assert told(node) == ["sent", "accepted", "amend sent", "amended"]
    assert [moment.text for moment in node.history[2:]] == [
        "we asked for a limit of 99.5 USDT: FOLLOWS",
        "the venue shows it with 1.000 AAA at 99.5 USDT",
    ]
    assert (node.facts["limit price"], node.facts["limit price as sent"], node.facts["status"]) == ("99.5 USDT", "99.0 USDT", "accepted")
    assert "quantity as sent" not in node.facts


def test_a_smaller_order_is_filled_when_that_much_was_filled() -> None:
    steps = (accepted(RESTING, T0, "v9"), moves(lots=400), OrderAmended(T0 + 5, "order-1", 400, 990), fill(qty_lots=400))
    node = life(RESTING, *steps)
    assert node.history[2].text == "we asked for 0.400 AAA: FOLLOWS"
    assert (node.facts["quantity"], node.facts["quantity as sent"], node.facts["remaining"]) == ("0.400 AAA", "1.000 AAA", "0.000 AAA")
    assert node.facts["status"] == "filled"
    assert "limit price as sent" not in node.facts


def test_terms_older_than_those_known_are_no_news() -> None:
    late = [step(1, OrderAmended(T0 + 5, "order-1", 1_000, 995)), step(2, OrderAmended(T0 + 4, "order-1", 1_000, 992))]
    assert terms_of(RESTING, late).limit_ticks == 995
    assert terms_of(RESTING, [step(3, OrderAmended(T0, "another", 7, 1))]).limit_ticks == 990
    assert terms_of(WAITING, [step(1, OrderAmended(T0, "order-1", 1_000, 0, 1_060))]).trigger_ticks == 1_060


def test_a_refused_change_leaves_the_order_as_it_was() -> None:
    node = life(RESTING, accepted(RESTING, T0, "v9"), moves(995), OrderAmendRefused(T0 + 5, "order-1", "110001", "not found"))
    assert node.history[-1].text == "it was not changed: 110001: not found"
    assert (node.facts["limit price"], node.facts["status"]) == ("99.0 USDT", "accepted")


def test_a_conditional_order_waits_and_is_triggered() -> None:
    waits = OrderWaits(T0, "order-1", "v7")
    node = life(WAITING, waits)
    assert node.title == "market buy of 1.000 AAA, once the mark rises to 105.0 USDT"
    assert (node.facts["status"], node.facts["trigger"], node.facts["venue order id"]) == ("waiting", "the mark rises to 105.0 USDT", "v7")
    node = life(WAITING, waits, OrderTriggered(T0 + 1, "order-1"))
    assert (told(node), node.facts["status"]) == (["sent", "waits", "triggered"], "accepted")
    assert life(intent(side=Side.SELL, trigger_ticks=950)).title.endswith("once the mark falls to 95.0 USDT")


@pytest.mark.parametrize(
    ("request_", "what", "words", "status"),
    [
        (Request.CREATE, "unanswered", "exposure stays reserved", "unanswered"),
        (Request.AMEND, "answer lost", "which terms stand is looked up", "amend sent"),
        (Request.CANCEL, "answer lost", "it may trade until", "amend sent"),
    ],
)
def test_a_lost_answer_says_what_was_asked_and_is_no_refusal(request_: Request, what: str, words: str, status: str) -> None:
    node = life(RESTING, accepted(RESTING, T0, "v9"), moves(995), OrderUnanswered(T0 + 9, "order-1", request_))
    assert (node.history[-1].what, node.facts["status"]) == (what, status)
    assert words in node.history[-1].text


def test_a_change_that_the_limits_held_back_is_told_apart_from_the_order_itself() -> None:
    node = life(RESTING, accepted(RESTING, T0, "v9"), (refused(RESTING),))
    assert node.history[-1].text.startswith("our limits held a change of it back: ORDER_TOO_LARGE")
    assert node.facts["status"] == "accepted"


@pytest.mark.parametrize(
    ("happened", "status"),
    [
        ((fill(qty_lots=10, leaves_lots=990),), "partly filled"),
        ((fill(qty_lots=10, leaves_lots=990), moves(995)), "amend sent, partly filled"),
        ((CancelSent(client_order_id="order-1", reason="LATE"),), "cancel sent"),
        ((fill(qty_lots=10, leaves_lots=990), canceled(RESTING, T0 + 9)), "canceled, partly filled"),
    ],
)
def test_a_part_that_was_filled_stands_beside_the_status(happened: tuple[object, ...], status: str) -> None:
    steps = [one if isinstance(one, tuple) or not isinstance(one, CancelSent) else (one,) for one in happened]
    assert life(RESTING, *steps).facts["status"] == status  # type: ignore[arg-type]
