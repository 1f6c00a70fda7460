"""From journal records to nodes: fills, risk checks, decisions, predictions and features, runs. Orders and stops have modules of their own.

Each function reads one record (or the few that belong together) and says what stands there, in words; nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kedge.domain.canonical import content_hash
from kedge.domain.events import BarClosed, OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, OrderIntent
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Predicted
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import E8
from kedge.governance.lineage import Moment, Node, NodeKind, key_of
from kedge.governance.lineage_words import (
    amount_text,
    did_text,
    fee_text,
    float_text,
    mid_text,
    order_text,
    percent_text,
    price_text,
    qty_text,
    signed_percent_text,
    span_text,
)
from kedge.risk.limits import version_of

Facts = dict[str, str]


def fill_node(step: Step, fill: OrderFilled, spec: Instrument, *, slippage: str = "") -> Node:
    """A fill: what, at what price, for which fee, what it cost against its decision's price, and why where it was no order of ours."""
    qty, price = qty_text(spec, fill.qty_lots), price_text(spec, fill.price_ticks)
    how = "" if fill.cause is FillCause.TRADE else f" ({fill.cause})"
    facts = {
        "instrument": fill.instrument,
        "side": str(fill.side),
        "quantity": qty,
        "price": price,
        "notional": amount_text(spec, spec.notional_e8(fill.price_ticks, fill.qty_lots)),
        "fee": fee_text(spec, fill.fee_e8),
        "slippage": slippage,
        "role": str(fill.liquidity),
        "cause": str(fill.cause),
        "left of the order": qty_text(spec, fill.leaves_lots),
        "client order id": fill.client_order_id,
    }
    return record_node(NodeKind.FILL, fill.fill_id, f"{did_text(fill.side)} {qty} at {price}{how}", facts, step)


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
    return record_node(NodeKind.FILL, fill.fill_id, f"{did_text(fill.side)} {fill.qty_lots} lots of {fill.instrument}", facts, step)


def approval_node(step: Step, sent: OrderSent, spec: Instrument, settings: Mapping[str, Any], decided: Decided | None) -> Node:
    """The limits that approved an order: their version, whether it is the run's, and the order's share of equity beside its limit."""
    order, version = sent.approved.order, sent.approved.limits_version
    return record_node(
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
    return record_node(NodeKind.RISK, refused.order.client_order_id, title, facts, step)


def decision_node(step: Step, decided: Decided, spec: Instrument, *, compliance_id: str) -> Node:
    """A decision: what was wanted, how it was sized, and the veto with its figures where there was one."""
    wanted = f"{signed_percent_text(decided.exposure_e8)} of equity"
    taken = "OK" if decided.code == "OK" else f"{decided.code}: {decided.observed}, limit {decided.limit}"
    facts = {
        "instrument": decided.instrument,
        "strategy": decided.strategy,
        "exposure": wanted,
        "allowed": "" if decided.allowed_e8 is None else f"{signed_percent_text(decided.allowed_e8)} of equity",
        "bound by": decided.bound_by,
        "target position": qty_text(spec, decided.target_lots),
        "mark": price_text(spec, decided.mark_ticks),
        "mid": "" if decided.mid2_ticks is None else mid_text(spec, decided.mid2_ticks),
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
    return record_node(NodeKind.DECISION, decided.decision_id, title, facts, step)


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
    return record_node(NodeKind.PREDICTION, predicted.prediction_id, title, facts, step)


def features_node(sha256: str, names: Sequence[str], values: Sequence[float], step: Step) -> Node:
    """The features of one prediction, each by its name; bare numbers where the model that names them is gone."""
    labels = names if len(names) == len(values) else [f"value {n}" for n in range(1, len(values) + 1)]
    facts = {label: repr(value) for label, value in zip(labels, values, strict=True)}
    return record_node(NodeKind.FEATURES, sha256, f"{len(values)} features, kept beside the journal's rows", facts, step)


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


def _limits_facts(version: str, settings: Mapping[str, Any]) -> Facts:
    limits = settings.get("engine", {}).get("limits")
    if limits is None:
        return {"limits version": version}
    told = "these, in its first record" if version_of(limits) == version else "others than these"
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


def record_node(kind: NodeKind, node_id: str, title: str, facts: Facts, step: Step, history: tuple[Moment, ...] = ()) -> Node:
    """A node of what stands in a step; empty facts are left out."""
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
