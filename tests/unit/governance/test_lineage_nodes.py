"""What records and documents say for people: figures in units, the life of an order, limits, probabilities to the bit."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from kedge.domain.events import Event, OrderAccepted, OrderCanceled, OrderProvenAbsent, OrderRejected, OrderUnanswered
from kedge.domain.outputs import CancelSent, Output
from kedge.governance import lineage_find as find
from kedge.governance import lineage_orders as orders
from kedge.governance import lineage_records as records
from kedge.governance.lineage import Link, Node, NodeKind, Recomputed, Relation, TraceBuilder, key_of
from kedge.governance.lineage_documents import commit_node, disagreements
from kedge.governance.lineage_words import fee_text, float_text, percent_text, signed_percent_text, span_text, vector_of
from kedge.risk.limits import Limits

from ...builders import AAA, BBB, MINUTE, T0, accepted, canceled, instrument
from ..services.lineage_world import a_model, a_training, hand_started
from .records import decided, fill, intent, last_bar, liquidation, predicted, refused, sent, step

SPEC = instrument()
LIMITS = Limits().version
SETTINGS: dict[str, Any] = {"engine": {"limits": {name: getattr(Limits(), name) for name in Limits.__struct_fields__}}}


def test_figures_are_exact_text_in_their_own_units() -> None:
    assert (percent_text(10_000_000), percent_text(9_997_905), percent_text(0)) == ("10 %", "9.997905 %", "0 %")
    assert (signed_percent_text(250_000), signed_percent_text(-250_000), signed_percent_text(0)) == ("+0.25 %", "-0.25 %", "0 %")
    assert [span_text(ns) for ns in (4 * MINUTE, 14_400 * 10**9, 1_500_000_000, 7, 0)] == ["4 min", "4 h", "1500 ms", "7 ns", "0 ns"]
    assert (fee_text(SPEC, 33_000_000), fee_text(SPEC, -5)) == ("paid 0.33 USDT", "received 0.00000005 USDT")


def test_a_recorded_float_is_shown_with_its_bits() -> None:
    assert float_text("3fe0000000000000") == "0.5 (bits 3fe0000000000000)"
    assert float_text("3fe0") == "no float64: '3fe0'"
    assert vector_of(struct.pack("<2d", 1.5, -2.0)) == (1.5, -2.0)
    assert vector_of(b"seven..") is None


def test_a_fill_says_what_was_traded_and_what_it_cost() -> None:
    node = records.fill_node(step(3, fill()), fill(), SPEC)
    assert (node.key, node.title, node.seq) == ("fill:fill-1", "bought 1.000 AAA at 100.1 USDT", 3)
    assert (node.facts["notional"], node.facts["fee"], node.facts["role"]) == ("100.10 USDT", "paid 0.055055 USDT", "taker")
    assert records.fill_node(step(4, liquidation()), liquidation(), SPEC).title == "sold 1.000 AAA at 100.1 USDT (liquidation)"
    assert "slippage" not in node.facts, "unknown is left out, never zero"
    assert records.fill_node(step(3, fill()), fill(), SPEC, slippage="0.10 USDT").facts["slippage"] == "0.10 USDT"
    foreign = fill(instrument=BBB)
    assert records.foreign_fill_node(step(5, foreign), foreign).title == f"bought 1000 lots of {BBB}"


def life(*happened: Event | tuple[Output, ...]) -> Node:
    """An order's node after these events and outputs."""
    steps = [step(1, last_bar(), sent())]
    for n, one in enumerate(happened, 2):
        steps.append(step(n, None, *one) if isinstance(one, tuple) else step(n, one))
    return orders.order_node(steps[0], intent(), steps, SPEC, account="acct")


def test_an_order_tells_its_whole_life_in_order() -> None:
    node = life(
        accepted(intent(), T0, "v9"),
        fill("a", qty_lots=400, leaves_lots=600),
        fill("a", qty_lots=400, leaves_lots=600),
        (CancelSent(client_order_id="order-1", reason="SUPERSEDED"),),
        canceled(intent(), T0 + 9),
    )
    assert [moment.what for moment in node.history] == ["sent", "accepted", "filled", "filled", "cancel sent", "canceled"]
    assert [moment.seq for moment in node.history] == [1, 2, 3, 4, 5, 6]
    assert (node.facts["filled"], node.facts["remaining"], node.facts["status"]) == ("0.400 AAA", "0.600 AAA", "canceled, partly filled")
    assert (node.facts["venue order id"], node.facts["reduce only"], node.facts["limit price"]) == ("v9", "no", "none: at the market")
    assert "SUPERSEDED" in node.history[4].text


def test_a_part_told_after_the_end_does_not_bring_an_order_back_to_life() -> None:
    node = life(accepted(intent(), T0, "v9"), canceled(intent(), T0 + 9), fill("a", qty_lots=400, leaves_lots=600))
    assert node.facts["status"] == "canceled, partly filled"


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (OrderRejected(T0, "order-1", "110007", "not enough"), "rejected"),
        (OrderUnanswered(T0, "order-1"), "unanswered"),
        (OrderProvenAbsent(T0, "order-1"), "absent"),
        (OrderCanceled(T0, "order-1", "IOC"), "canceled"),
        (OrderAccepted(T0, "order-1", "v1"), "accepted"),
    ],
)
def test_the_last_report_is_the_status(event: Event, what: str) -> None:
    assert (life(event).facts["status"], life(event).history[-1].what) == (what, what)


def test_a_filled_order_is_filled_and_anothers_report_is_not_its_own() -> None:
    assert life(fill()).facts["status"] == "filled"
    assert life(fill(qty_lots=10, leaves_lots=990)).facts["status"] == "partly filled"
    assert [moment.what for moment in life(OrderAccepted(T0, "order-2", "v2"), fill("x", client_order_id="order-2")).history] == ["sent"]


def test_a_refusal_that_held_an_order_back_is_part_of_its_life() -> None:
    steps = [step(1, last_bar(), refused()), step(2, last_bar(), sent())]
    node = orders.order_node(steps[1], intent(), steps, SPEC, account="acct")
    assert [moment.what for moment in node.history] == ["refused", "sent"]
    assert "ORDER_TOO_LARGE" in node.history[0].text


def test_an_approval_shows_the_share_of_equity_beside_what_is_allowed() -> None:
    node = records.approval_node(step(1, last_bar(), sent()), sent(limits_version=LIMITS), SPEC, SETTINGS, decided())
    assert node.key == "risk:order-1"
    assert node.facts["limits of the run"] == "these, in its first record"
    assert (node.facts["order notional"], node.facts["share of equity"], node.facts["allowed per order"]) == ("100.00 USDT", "1 %", "15 %")
    other = records.approval_node(step(1), sent(limits_version="0" * 16), SPEC, SETTINGS, None)
    assert other.facts == {"verdict": "approved", "limits version": "0" * 16, "limits of the run": "others than these"}
    bare = records.approval_node(step(1), sent(intent(limit=900)), SPEC, {}, decided())
    assert (bare.facts["order notional"], "allowed per order" in bare.facts) == ("90.00 USDT", False)


def test_a_refused_order_names_the_rule_what_was_seen_and_the_limit() -> None:
    node = records.refusal_node(step(1, last_bar(), refused()), refused(), SPEC, SETTINGS)
    assert node.title == "refused by ORDER_TOO_LARGE: 16 %, limit 15 %"
    assert (node.facts["verdict"], node.facts["order"]) == ("refused", "market buy of 1.000 AAA")


def test_a_decision_shows_target_and_veto_with_figures() -> None:
    node = records.decision_node(step(1), decided(), SPEC, compliance_id="c1")
    assert node.title == "model wants +10 % of equity: 1.000 AAA"
    assert (node.facts["confidence"], node.facts["horizon"], node.facts["compliance id"]) == ("61 %", "4 min", "c1")
    assert "mid" not in node.facts
    assert records.decision_node(step(1), decided(mid2_ticks=2_001), SPEC, compliance_id="c1").facts["mid"] == "100.05 USDT"
    cut = records.decision_node(step(1), decided(allowed_e8=8_000_000, bound_by="trade-risk"), SPEC, compliance_id="c1").facts
    assert (cut["exposure"], cut["allowed"], cut["bound by"]) == ("+10 % of equity", "+8 % of equity", "trade-risk")
    assert not {"allowed", "bound by"} & set(node.facts)
    vetoed = decided(code="CONFIDENCE_LOW", observed="0.5100", limit="0.5500", confidence_e8=None, expected_return_e8=None, horizon_ns=None)
    node = records.decision_node(step(1), vetoed, SPEC, compliance_id="c1")
    assert node.title == "vetoed, CONFIDENCE_LOW: 0.5100, limit 0.5500"
    assert not {"confidence", "expected return", "horizon"} & set(node.facts), "unknown is left out, never zero"


def test_a_prediction_is_shown_to_the_bit_with_its_bar_and_its_veto() -> None:
    node = records.prediction_node(step(1, last_bar()), predicted(), SPEC)
    assert node.title == "61 % for a rise within 4 min"
    assert node.facts["score"] == "0.25 (bits 3fd0000000000000)"
    assert node.facts["bar"] == "99.5 / 101.0 / 99.0 / 100.0 USDT (open / high / low / close)"
    node = records.prediction_node(step(1, fill()), predicted(veto="OUT_OF_DOMAIN"), SPEC)
    assert node.title.endswith("not to be followed: OUT_OF_DOMAIN")
    assert "bar" not in node.facts


def test_features_are_named_and_numbered_where_their_names_are_gone() -> None:
    assert records.features_node("f", ["a", "b"], (1.5, -0.1), step(1)).facts == {"a": "1.5", "b": "-0.1"}
    assert records.features_node("f", [], (1.5, -0.1), step(1)).facts == {"value 1": "1.5", "value 2": "-0.1"}


def test_what_needs_a_prediction() -> None:
    assert find.needs_prediction(decided(prediction_id=""))
    assert not find.needs_prediction(decided(strategy="trend"))
    assert not find.needs_prediction(decided(reason="FLATTEN"))
    assert not find.needs_prediction(decided(reason="STOP_FIRED"))
    assert not find.needs_prediction(decided(code="NOT_FINITE"))
    assert not find.needs_prediction(decided(reason="NOT_FINITE: score nan"))


def test_records_are_found_among_others_or_not_at_all() -> None:
    other = step(1, fill("fill-2", client_order_id="order-2"), sent(intent("order-2")), refused(intent("order-3")), decided("run.2"))
    mine = step(2, fill(), sent(), refused(intent("order-4")), decided(), predicted())
    steps = [other, mine]
    assert find.sent_of(steps, "order-1") == (mine, sent())
    assert find.refused_of(steps, "order-4") == (mine, refused(intent("order-4")))
    assert find.decided_of(steps, "run.1") == (mine, decided())
    assert find.predicted_of(steps, "run.p1") == (mine, predicted())
    assert find.filled_of(steps, "fill-1") == (mine, fill())
    assert [o.client_order_id for o in find.orders_in(mine)] == ["order-1", "order-4"]
    nothing = (find.sent_of, find.refused_of, find.decided_of, find.predicted_of, find.filled_of)
    assert [look(steps, "nobody") for look in nothing] == [None] * 5


def node_of(kind: NodeKind, name: str) -> Node:
    return Node(key=key_of(kind, name), kind=kind, id=name, title=name)


def test_a_trace_is_complete_until_something_is_missing_or_differs() -> None:
    into = TraceBuilder()
    key = into.add(node_of(NodeKind.FILL, "a"))
    into.add(node_of(NodeKind.ORDER, "b"), key, Relation.FILLED)
    into.add(node_of(NodeKind.ORDER, "b"), key, Relation.FILLED)
    into.note("worth knowing")
    whole = into.build(key, "run")
    assert (whole.complete, len(whole.nodes), whole.links) == (
        True,
        2,
        (Link(source="fill:a", target="order:b", relation=Relation.FILLED),),
    )
    assert whole.node("fill:a") == node_of(NodeKind.FILL, "a")
    assert (whole.node("fill:z"), whole.of_kind(NodeKind.MODEL)) == (None, ())
    equal = Recomputed(prediction_id="p", step="score", source="stored features", equal=True, recorded="1", computed="1")
    differs = Recomputed(prediction_id="p", step="score", source="stored features", equal=False, recorded="1", computed="2")
    assert whole.with_recomputed((equal,)).complete
    assert not whole.with_recomputed((equal, differs)).complete
    into.miss(NodeKind.FEATURES, "f", "gone")
    assert not into.build(key, "run").complete
    assert not into.build(key, "run").with_recomputed((equal,)).complete


def test_a_run_says_what_ran() -> None:
    node = records.run_node(hand_started())
    assert (node.title, node.facts["strategy"], "model" in node.facts) == (f"run by-hand: trend on {AAA}, {BBB}", "trend", False)
    assert records.run_node(hand_started(settings={})).title.startswith("run by-hand: a strategy on")


def test_an_unknown_commit_is_said_and_named_by_its_sources() -> None:
    model = a_model("d" * 64)
    known, unknown = a_training(model), a_training(model, commit="", commit_known=False)
    assert (commit_node(known).id, commit_node(unknown).id) == ("0123456789abcdef", "c0de")
    assert commit_node(unknown).facts["commit"] == "unknown"
    assert commit_node(known, running_code="other").facts["code of the run"] == "other sources than those that trained"
    assert disagreements(known.model_sha256, model, known) == []
    assert disagreements("0" * 64, model, a_training(model, seed=8)) == [
        f"its model is {known.model_sha256[:16]}, the model's {'0' * 16}",
        "its seed is 8, the model's 7",
    ]
