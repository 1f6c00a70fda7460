"""From journal records to nodes: fills, orders with their life, risk checks, decisions, predictions and features, runs.

Each function reads one record (or the few that belong together) and says what stands there, in words; nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kedge.domain.canonical import content_hash
from kedge.domain.events import (
    BarClosed,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
)
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, OrderIntent
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, OrderSent, Predicted
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import E8
from kedge.governance.lineage import Moment, Node, NodeKind, key_of
from kedge.governance.lineage_find import fills_of
from kedge.governance.lineage_words import (
    amount_text,
    did_text,
    fee_text,
    float_text,
    order_text,
    percent_text,
    price_text,
    qty_text,
    signed_percent_text,
    span_text,
)

Facts = dict[str, str]
_OVER = ("canceled", "rejected", "absent")
"""What the venue says of an order that trades no more."""


def fill_node(step: Step, fill: OrderFilled, spec: Instrument) -> Node:
    """A fill: what, at what price, for which fee, and why where it was not an order of ours."""
    qty, price = qty_text(spec, fill.qty_lots), price_text(spec, fill.price_ticks)
    how = "" if fill.cause is FillCause.TRADE else f" ({fill.cause})"
    facts = {
        "instrument": fill.instrument,
        "side": str(fill.side),
        "quantity": qty,
        "price": price,
        "notional": amount_text(spec, spec.notional_e8(fill.price_ticks, fill.qty_lots)),
        "fee": fee_text(spec, fill.fee_e8),
        "role": str(fill.liquidity),
        "cause": str(fill.cause),
        "left of the order": qty_text(spec, fill.leaves_lots),
        "client order id": fill.client_order_id,
    }
    return _node(NodeKind.FILL, fill.fill_id, f"{did_text(fill.side)} {qty} at {price}{how}", facts, step)


def foreign_fill_node(step: Step, fill: OrderFilled) -> Node:
    """A fill of an instrument that the run does not trade, in steps of a grid that is not known here."""
    facts = {
        "instrument": fill.instrument,
        "side": str(fill.side),
        "quantity": f"{fill.qty_lots} lots",
        "price": f"{fill.price_ticks} ticks",
        "cause": str(fill.cause),
        "client order id": fill.client_order_id,
    }
    return _node(NodeKind.FILL, fill.fill_id, f"{did_text(fill.side)} {fill.qty_lots} lots of {fill.instrument}", facts, step)


def order_node(first: Step, order: OrderIntent, steps: Sequence[Step], spec: Instrument, *, account: str) -> Node:
    """An order with its whole life: the step that sends it, and all steps that mention it, oldest first."""
    life = tuple(moment for step in steps for moment in moments(step, order.client_order_id, spec))
    filled = sum(fill.qty_lots for fill in fills_of(steps, order.client_order_id))
    venue_id = next((s.event.venue_order_id for s in steps if type(s.event) is OrderAccepted), "")
    facts = {
        "account": account,
        "instrument": order.instrument,
        "side": str(order.side),
        "type": str(order.kind),
        "time in force": str(order.time_in_force),
        "quantity": qty_text(spec, order.qty_lots),
        "limit price": price_text(spec, order.limit_ticks) if order.limit_ticks else "none: at the market",
        "reduce only": "yes" if order.reduce_only else "no",
        "filled": qty_text(spec, filled),
        "remaining": qty_text(spec, order.qty_lots - filled),
        "status": _status(life, filled, order.qty_lots),
        "strategy": order.strategy,
        "part and attempt": f"part {order.slice_no + 1}, attempt {order.attempt + 1}",
        "venue order id": venue_id,
        "client order id": order.client_order_id,
    }
    return _node(NodeKind.ORDER, order.client_order_id, order_text(spec, order), facts, first, life)


def approval_node(step: Step, sent: OrderSent, spec: Instrument, settings: Mapping[str, Any], decided: Decided | None) -> Node:
    """The limits that approved an order: their version, whether it is the run's, and the order's share of equity beside its limit."""
    order, version = sent.approved.order, sent.approved.limits_version
    return _node(
        NodeKind.RISK,
        order.client_order_id,
        f"passed every limit of version {version}",
        {"verdict": "approved", **_limits_facts(version, settings), **_share_facts(order, spec, settings, decided)},
        step,
    )


def refusal_node(step: Step, refused: OrderRefused, spec: Instrument, settings: Mapping[str, Any]) -> Node:
    """The limit that refused an order, what was observed and what it allows."""
    facts = {
        "verdict": "refused",
        "code": refused.code,
        "observed": refused.observed,
        "limit": refused.limit,
        "order": order_text(spec, refused.order),
        **_limits_facts(refused.limits_version, settings),
    }
    title = f"refused by {refused.code}: {refused.observed}, limit {refused.limit}"
    return _node(NodeKind.RISK, refused.order.client_order_id, title, facts, step)


def decision_node(step: Step, decided: Decided, spec: Instrument, *, compliance_id: str) -> Node:
    """A decision: what was wanted, how it was sized, and the veto with its figures where there was one."""
    wanted = f"{signed_percent_text(decided.exposure_e8)} of equity"
    taken = "OK" if decided.code == "OK" else f"{decided.code}: {decided.observed}, limit {decided.limit}"
    facts = {
        "instrument": decided.instrument,
        "strategy": decided.strategy,
        "exposure": wanted,
        "target position": qty_text(spec, decided.target_lots),
        "mark": price_text(spec, decided.mark_ticks),
        "equity": amount_text(spec, decided.equity_e8),
        "code": decided.code,
        "observed": decided.observed,
        "limit": decided.limit,
        "confidence": "" if decided.confidence_e8 is None else percent_text(decided.confidence_e8),
        "expected return": "" if decided.expected_return_e8 is None else signed_percent_text(decided.expected_return_e8),
        "horizon": "" if decided.horizon_ns is None else span_text(decided.horizon_ns),
        "reason": decided.reason,
        "compliance id": compliance_id,
    }
    title = f"{decided.strategy} wants {wanted}: {qty_text(spec, decided.target_lots)}" if decided.code == "OK" else f"vetoed, {taken}"
    return _node(NodeKind.DECISION, decided.decision_id, title, facts, step)


def prediction_node(step: Step, predicted: Predicted, spec: Instrument) -> Node:
    """A prediction: its exact score and probability, and the bar it was made at."""
    probability = percent_text(predicted.probability_e8)
    facts = {
        "instrument": predicted.instrument,
        "probability of a rise": probability,
        "expected return": signed_percent_text(predicted.expected_return_e8),
        "horizon": span_text(predicted.horizon_ns),
        "veto": predicted.veto,
        "score": float_text(predicted.score_hex),
        "probability, exact": float_text(predicted.probability_hex),
        **_bar_facts(step, spec),
        "model": predicted.model_sha256,
        "features": predicted.features_sha256,
    }
    veto = f", not to be followed: {predicted.veto}" if predicted.veto else ""
    title = f"{probability} for a rise within {span_text(predicted.horizon_ns)}{veto}"
    return _node(NodeKind.PREDICTION, predicted.prediction_id, title, facts, step)


def features_node(sha256: str, names: Sequence[str], values: Sequence[float], step: Step) -> Node:
    """The features of one prediction, each by its name; bare numbers where the model that names them is gone."""
    labels = names if len(names) == len(values) else [f"value {n}" for n in range(1, len(values) + 1)]
    facts = {label: repr(value) for label, value in zip(labels, values, strict=True)}
    return _node(NodeKind.FEATURES, sha256, f"{len(values)} features, kept beside the journal's rows", facts, step)


def run_node(started: RunStarted) -> Node:
    """A run: which code, settings, strategy and seed, and where its prices came from."""
    engine = started.settings.get("engine", {})
    facts = {
        "account": started.account,
        "rung": str(started.settings.get("live", {}).get("rung", "")),
        "source": f"{started.source}, speed {started.speed}",
        "strategy": str(engine.get("strategy", "")),
        "model": str(engine.get("params", {}).get("model", "")),
        "version": started.engine_version,
        "code": started.code_sha256,
        "settings": started.settings_sha256,
        "instruments": ", ".join(i.instrument_id for i in started.instruments),
        "instrument records": content_hash(started.instruments),
        "seed": str(started.seed),
    }
    kept = {label: text for label, text in facts.items() if text}
    return Node(
        key=key_of(NodeKind.RUN, started.run_id),
        kind=NodeKind.RUN,
        id=started.run_id,
        title=f"run {started.run_id}: {facts['strategy'] or 'a strategy'} on {facts['instruments']}",
        facts=kept,
        at_ts_ns=started.started_ts_ns,
        seq=0,
    )


def moments(step: Step, client_order_id: str, spec: Instrument) -> list[Moment]:
    """What a step says of one order."""
    told = [(what, text) for what, text in (_told(step.event, client_order_id, spec), *_wanted(step, client_order_id, spec)) if what]
    return [Moment(at_ts_ns=step.event.ts_ns, what=what, text=text, seq=step.seq) for what, text in told]


def _told(event: object, client_order_id: str, spec: Instrument) -> tuple[str, str]:
    if getattr(event, "client_order_id", None) != client_order_id:
        return "", ""
    match event:
        case OrderAccepted():
            return "accepted", f"the venue took it as {event.venue_order_id}"
        case OrderRejected():
            return "rejected", f"the venue said {event.code}: {event.reason}"
        case OrderFilled():
            return "filled", f"{qty_text(spec, event.qty_lots)} at {price_text(spec, event.price_ticks)}, fill {event.fill_id}"
        case OrderCanceled():
            return "canceled", f"it trades no more: {event.reason}"
        case OrderUnanswered():
            return "unanswered", "no reply in time; its exposure stays reserved"
        case OrderProvenAbsent():
            return "absent", "the venue's own records show that it never arrived"
    return "", ""


def _wanted(step: Step, client_order_id: str, spec: Instrument) -> Iterable[tuple[str, str]]:
    for output in step.outputs:
        if type(output) is OrderSent and output.approved.order.client_order_id == client_order_id:
            yield "sent", f"{order_text(spec, output.approved.order)}, approved by limits {output.approved.limits_version}"
        elif type(output) is OrderRefused and output.order.client_order_id == client_order_id:
            yield "refused", f"our limits held it back: {output.code}, {output.observed}, limit {output.limit}"
        elif type(output) is CancelSent and output.client_order_id == client_order_id:
            yield "cancel sent", f"we asked to cancel it: {output.reason}"


def _status(life: Sequence[Moment], filled_lots: int, qty_lots: int) -> str:
    if filled_lots >= qty_lots:
        return "filled"
    over = next((one.what for one in life if one.what in _OVER), "")  # a part that traded before may be told after
    last = over or (life[-1].what if life else "sent")
    return f"{last}, partly filled" if filled_lots and last in (*_OVER, "accepted") else "partly filled" if filled_lots else last


def _limits_facts(version: str, settings: Mapping[str, Any]) -> Facts:
    limits = settings.get("engine", {}).get("limits")
    if limits is None:
        return {"limits version": version}
    told = "these, in its first record" if content_hash(limits)[:16] == version else "others than these"
    return {"limits version": version, "limits of the run": told}


def _share_facts(order: OrderIntent, spec: Instrument, settings: Mapping[str, Any], decided: Decided | None) -> Facts:
    """The order's notional at its limit or at the decision's mark, against the order limit at the decision's equity."""
    if decided is None or decided.equity_e8 <= 0 or not decided.mark_ticks:
        return {}
    notional = spec.notional_e8(order.limit_ticks or decided.mark_ticks, order.qty_lots)
    facts = {
        "order notional": amount_text(spec, notional),
        "share of equity": percent_text(notional * E8 // decided.equity_e8),
    }
    most = settings.get("engine", {}).get("limits", {}).get("order_notional_frac_max_e8")
    return facts if most is None else {**facts, "allowed per order": percent_text(int(most))}


def _bar_facts(step: Step, spec: Instrument) -> Facts:
    bar = step.event
    if type(bar) is not BarClosed or bar.instrument != spec.instrument_id:
        return {}
    prices = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)
    return {"bar": " / ".join(spec.price_text(p) for p in prices) + f" {spec.quote} (open / high / low / close)"}


def _node(kind: NodeKind, node_id: str, title: str, facts: Facts, step: Step, history: tuple[Moment, ...] = ()) -> Node:
    return Node(
        key=key_of(kind, node_id),
        kind=kind,
        id=node_id,
        title=title,
        facts={label: text for label, text in facts.items() if text},
        at_ts_ns=step.event.ts_ns,
        seq=step.seq,
        history=history,
    )
