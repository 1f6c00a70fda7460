"""Why the limits let an order pass or refused it: the journal's own words, and every rule judged again on the books as they were.

Rules: what is recorded counts; the rules are judged again on the state that the records before it fold to, which says also what the rules
that let it pass saw. Where that comes out otherwise than the record, as with records of other code, it is said.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.errors import KedgeError, NotFound
from kedge.domain.orders import OrderIntent, OrderKind
from kedge.domain.outputs import Decided, OrderRefused, OrderSent
from kedge.domain.record import RunStarted, Step
from kedge.engine.engine import Engine
from kedge.risk.gate import override_of
from kedge.risk.gate_facts import Rule, facts_of
from kedge.risk.gate_rules import RULES, whole
from kedge.risk.gate_state import Refusal, Situation
from kedge.services.lineage_journal import RunRecords
from kedge.services.recovery import Onlooker, engine_at
from kedge.services.replica_text import Grid, time_text
from kedge.services.risk_probes import PROBES, limit_text
from kedge.strategy.base import Strategy

PASSED: Final = "passed"
REFUSED: Final = "refused"
SET_ASIDE: Final = "set aside by two people"
NOT_TRIED: Final = "not tried: refused before"
KINDS: Final = ("send", "refused", "decided")

StrategyOf = Callable[[RunStarted], Strategy | None]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One rule on one order. `observed` is empty where the rule has nothing to measure on it."""

    rule: str
    control: str
    verdict: str
    observed: str
    limit: str


class ExplainedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order.

    Attributes
    ----------
    outcome : str
        'approved' or 'refused'.
    code, observed, limit : str
        As recorded; empty where it was approved.
    agrees : bool
        Whether judging again came out as it is recorded.
    """

    client_order_id: str
    decision_id: str
    seq: int
    at: str
    instrument: str
    side: str
    kind: str
    qty: str
    price: str
    reduce_only: bool
    outcome: str
    code: str
    observed: str
    limit: str
    limits_version: str
    override_id: str
    agrees: bool
    rules: tuple[Verdict, ...]


class ExplainedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy wanted, what the caps on sizes left of it and which bound it; `code` is 'OK', or why nothing was sized."""

    decision_id: str
    seq: int
    at: str
    instrument: str
    strategy: str
    target: str
    exposure: str
    allowed: str
    bound_by: str
    reason: str
    code: str
    observed: str
    limit: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What an id names: the decision where it is known, and its orders, oldest first."""

    run_id: str
    id: str
    decision: ExplainedDecision | None
    orders: tuple[ExplainedOrder, ...]


def explain(path: Path, wanted: str, strategy: StrategyOf | None = None, *, orders_max: int = 20) -> Explained:
    """Explain an order or a decision of one journal.

    Parameters
    ----------
    strategy : callable, optional
        Gives the strategy that a run trades with, so that its snapshots can be used; without it, or where it cannot be had, all records
        before the order are folded.

    Raises
    ------
    NotFound
        The journal holds no order or decision of this id.
    IntegrityError
        The journal cannot be read.
    """
    with RunRecords(path) as records:
        found = [(kind, seq) for kind, seq in records.mentions(wanted, walk=True) if kind in KINDS]
        if not found:
            raise NotFound(
                f"no order or decision {wanted[:80]!r}",
                why=f"run {records.started.run_id} has none that the limits judged",
                fix="the ids stand on the dashboard, in GET /api/v1/orders and in GET /api/v1/decisions",
            )
        decision: ExplainedDecision | None = None
        orders: list[ExplainedOrder] = []
        for seq in sorted({seq for _, seq in found}):
            step = records.step(seq)
            for place, output in enumerate(step.outputs):
                if isinstance(output, Decided) and output.decision_id == wanted:
                    decision = _decision(records, step, output)
                elif isinstance(output, OrderSent | OrderRefused) and wanted in _ids(output) and len(orders) < orders_max:
                    orders.append(_order(records, step, place, output, strategy))
        return Explained(run_id=records.started.run_id, id=wanted, decision=decision, orders=tuple(orders))


def _ids(output: OrderSent | OrderRefused) -> tuple[str, str]:
    order = _intent(output)
    return order.client_order_id, order.decision_id


def _intent(output: OrderSent | OrderRefused) -> OrderIntent:
    return output.approved.order if isinstance(output, OrderSent) else output.order


def _decision(records: RunRecords, step: Step, output: Decided) -> ExplainedDecision:
    spec = {spec.instrument_id: spec for spec in records.started.instruments}.get(output.instrument)
    return ExplainedDecision(
        decision_id=output.decision_id,
        seq=step.seq,
        at=time_text(step.event.ts_ns),
        instrument=output.instrument,
        strategy=output.strategy,
        target=str(output.target_lots) if spec is None else Grid(spec).qty(output.target_lots),
        exposure=f"{output.exposure_e8 / 1e6:.2f} % of equity",
        allowed="" if output.allowed_e8 is None else f"{output.allowed_e8 / 1e6:.2f} % of equity",
        bound_by=output.bound_by,
        reason=output.reason,
        code=output.code,
        observed=output.observed,
        limit=output.limit,
    )


def _order(records: RunRecords, step: Step, place: int, output: OrderSent | OrderRefused, strategy: StrategyOf | None) -> ExplainedOrder:
    order, refused = _intent(output), isinstance(output, OrderRefused)
    engine = engine_before(records, step, place, strategy)
    grid = Grid(engine.state.slots[order.instrument].spec)
    rules, code = judged_again(engine, order)
    recorded = output.code if isinstance(output, OrderRefused) else ""
    return ExplainedOrder(
        client_order_id=order.client_order_id,
        decision_id=order.decision_id,
        seq=step.seq,
        at=time_text(step.event.ts_ns),
        instrument=order.instrument,
        side=order.side.value,
        kind=order.kind.value,
        qty=grid.qty(order.qty_lots),
        price="at the market" if order.kind is OrderKind.MARKET else grid.price(order.limit_ticks),
        reduce_only=order.reduce_only,
        outcome=REFUSED if refused else "approved",
        code=recorded,
        observed=output.observed if isinstance(output, OrderRefused) else "",
        limit=output.limit if isinstance(output, OrderRefused) else "",
        limits_version=output.limits_version if isinstance(output, OrderRefused) else output.approved.limits_version,
        override_id="" if isinstance(output, OrderRefused) else output.approved.override_id,
        agrees=code == recorded,
        rules=rules,
    )


def engine_before(records: RunRecords, step: Step, place: int, strategy: StrategyOf | None = None) -> Engine:
    """The engine as it was when an output of a record came to be: everything before it folded."""
    started, snapshot = records.started, None
    chosen: Strategy | None = Onlooker(started.settings["engine"]["strategy"])
    if strategy is not None:
        with suppress(KedgeError):  # a model that is gone leaves the long way
            chosen, snapshot = strategy(started), records.reader.latest_snapshot(step.seq - 1)
    engine, start = engine_at(started, snapshot, chosen)
    for record in records.reader.records(start_seq=start):
        if isinstance(record, Step):
            if record.seq == step.seq:
                engine.apply(record.event, record.outputs[:place])
                break
            engine.apply(record.event, record.outputs)
    return engine


def judged_again(engine: Engine, order: OrderIntent) -> tuple[tuple[Verdict, ...], str]:
    """Every rule on an order as things stand, and the code of the one that refuses; empty where none does."""
    at, recent = engine.situation(order), engine.state.gate
    broken = whole(order, at)
    if broken is not None:
        return (Verdict(rule=broken.code, control="", verdict=REFUSED, observed=broken.observed, limit=broken.limit),), broken.code
    refused = ""
    rows: list[Verdict] = []
    for rule in RULES:
        if refused:
            rows.append(Verdict(rule=" / ".join(rule.codes), control=rule.control, verdict=NOT_TRIED, observed="", limit=""))
            continue
        refusal = rule.check(order, at, engine.state.limits, recent, facts_of(order, at))
        aside = refusal is not None and bool(override_of(order, at, refusal, recent))
        if refusal is None or aside:
            rows += _passed(engine, rule, order, at, refusal)
        else:
            refused = refusal.code
            rows.append(Verdict(rule=refusal.code, control=rule.control, verdict=REFUSED, observed=refusal.observed, limit=refusal.limit))
    return tuple(rows), refused


def _passed(engine: Engine, rule: Rule, order: OrderIntent, at: Situation, aside: Refusal | None) -> list[Verdict]:
    """What a rule saw that let an order pass: asked of it under the tightest limits there are, so that it has to say."""
    limits, recent = engine.state.limits, engine.state.gate
    if aside is not None:
        return [Verdict(rule=aside.code, control=rule.control, verdict=SET_ASIDE, observed=aside.observed, limit=aside.limit)]
    rows = []
    for code in rule.codes if len(rule.codes) > 1 and set(rule.codes) <= PROBES.keys() else rule.codes[:1]:
        probe = PROBES.get(code)
        found = None if probe is None else rule.check(order, at, probe, recent, facts_of(order, at))
        limit = limit_text(code, at, limits)
        observed = found.observed if found is not None and found.code == code else ""
        name = code if code in PROBES else " / ".join(rule.codes)
        rows.append(Verdict(rule=name, control=rule.control, verdict=PASSED, observed=observed, limit=limit))
    return rows
