"""Walks one run's records: from a fill up to its prediction, and from a prediction down to its fills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from kedge.domain.compliance import compliance_id
from kedge.domain.errors import KedgeError, NotFound
from kedge.domain.events import OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import BY_VENUE, FillCause, OrderIntent
from kedge.domain.outputs import Decided, Predicted
from kedge.domain.record import Step
from kedge.engine.costs import CostLedger
from kedge.governance.lineage import Node, NodeKind, Relation, TraceBuilder, key_of
from kedge.governance.lineage_find import (
    BY_ENGINE,
    FLATTEN,
    MODEL_STRATEGY,
    decided_of,
    filled_of,
    fills_of,
    model_of,
    needs_prediction,
    orders_in,
    predicted_of,
    refused_of,
    sent_of,
)
from kedge.governance.lineage_orders import order_node
from kedge.governance.lineage_position import stop_node
from kedge.governance.lineage_records import (
    approval_node,
    decision_node,
    features_node,
    fill_node,
    foreign_fill_node,
    prediction_node,
    refusal_node,
    run_node,
)
from kedge.governance.lineage_words import vector_of
from kedge.services.lineage_documents import Documents, add_sources, told
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_position import holding_before

CHILDREN_MAX: Final = 200
"""Nodes shown of what came of one: more are counted, and each can be asked for by its own id."""

VENUE_DID: Final = {
    FillCause.LIQUIDATION: "a liquidation",
    FillCause.ADL: "a deleveraging (ADL)",
    FillCause.STOP: "the stop at the position, which fired",
}

T = TypeVar("T")


class Chain:
    """Adds nodes of one run to a trace. Each `add_*` returns the key of its node."""

    def __init__(self, into: TraceBuilder, run: RunRecords, documents: Documents) -> None:
        self._into, self._run, self._documents = into, run, documents
        self._started = run.started

    def add_run(self, source: str = "") -> str:
        """The run, and the files that its prices came from."""
        node = run_node(self._started)
        fresh = not self._into.has(node.key)
        key = self._node(node, source, Relation.RECORDED_IN)
        if fresh:
            add_sources(self._into, key, self._started.data, Relation.PRICED_BY)
        return key

    def add_fill(self, fill_id: str, *, with_order: bool = True) -> str:
        """A fill with all that it comes from."""
        found = self._sure(filled_of, fill_id, "fill")
        if found is None:
            self._into.miss(NodeKind.FILL, fill_id, "no record of the run tells this fill")
            return ""
        key = self._fill(*found)
        if with_order:
            self._order_of(key, *found)
        self.add_run(key)
        return key

    def add_order(self, client_order_id: str, *, source: str = "", with_fills: bool = False) -> str:
        """An order that was sent, or the refusal of one that was not, with all that it comes from; and with its fills where asked."""
        steps = self._steps(client_order_id)
        if sent_of(steps, client_order_id) is None and refused_of(steps, client_order_id) is None:
            steps = self._walked(client_order_id)
        sent, refused = sent_of(steps, client_order_id), refused_of(steps, client_order_id)
        if sent is None:
            if refused is None:
                self._into.miss(NodeKind.ORDER, client_order_id, "no record of the run sends this order")
                return ""
            spec = self._run.spec(refused[1].order.instrument, refused[0].seq)
            key = self._node(refusal_node(*refused, spec, self._started.settings), source, Relation.REFUSED_BY)
            self._decision_of(key, refused[1].order)
            return key
        order, spec = sent[1].approved.order, self._run.spec(sent[1].approved.order.instrument, sent[0].seq)
        key = self._node(order_node(sent[0], order, steps, spec, account=self._started.account), source, Relation.FILLED)
        decided = self._decided(order.decision_id)
        approval = approval_node(*sent, spec, self._started.settings, decided[1] if decided else None)
        self._node(approval, key, Relation.APPROVED_BY)
        self._decision_of(key, order)
        if with_fills:
            fills = fills_of(steps, client_order_id)
            for fill in self._few(fills, f"fills of order {client_order_id}"):
                self._into.link(self.add_fill(fill.fill_id, with_order=False), key, Relation.FILLED)
        return key

    def add_decision(
        self, decision_id: str, *, source: str = "", relation: Relation = Relation.CARRIES_OUT, with_orders: bool = False
    ) -> str:
        """A decision with all that it comes from; and the orders that carried it out where asked."""
        found = self._decided(decision_id)
        if found is None:
            self._into.miss(NodeKind.DECISION, decision_id, "no record of the run takes this decision")
            return ""
        step, decided = found
        spec = self._run.spec(decided.instrument, step.seq)
        node = decision_node(step, decided, spec, compliance_id=compliance_id(decision_id))
        key = self._node(node, source, relation)
        self._prediction_of(key, decided)
        if with_orders:
            self._orders_of(decision_id)
        return key

    def add_prediction(self, prediction_id: str, *, source: str = "", with_decisions: bool = False) -> str:
        """A prediction with features, model and all that the model comes from; and what was decided on it where asked."""
        found = self._sure(predicted_of, prediction_id, "predicted")
        if found is None:
            self._into.miss(NodeKind.PREDICTION, prediction_id, "no record of the run makes this prediction")
            return ""
        step, predicted = found
        spec = self._run.spec(predicted.instrument, step.seq)
        key = self._node(prediction_node(step, predicted, spec), source, Relation.FOLLOWS_FROM)
        self._features(key, step, predicted)
        self._model(key, predicted.model_sha256)
        if with_decisions:
            self._decisions_on(prediction_id)
        return key

    # what came of it -----------------------------------------------------------------------------------------

    def _orders_of(self, decision_id: str) -> None:
        steps = self._steps(decision_id, "send", "refused")
        ids = [order.client_order_id for step in steps for order in orders_in(step) if order.decision_id == decision_id]
        for client_order_id in self._few(list(dict.fromkeys(ids)), f"orders of decision {decision_id}"):
            self.add_order(client_order_id, with_fills=True)

    def _decisions_on(self, prediction_id: str) -> None:
        steps = self._steps(prediction_id, "decided")
        taken = [o for step in steps for o in step.outputs if type(o) is Decided and o.prediction_id == prediction_id]
        if not taken:
            self._into.note(f"nothing new was decided on prediction {prediction_id}: what was wanted already stayed wanted")
        for decided in self._few(taken, f"decisions on prediction {prediction_id}"):
            self.add_decision(decided.decision_id, with_orders=True)

    def _few(self, found: list[T], what: str) -> list[T]:
        if len(found) > CHILDREN_MAX:
            self._into.note(f"{len(found)} {what}, the first {CHILDREN_MAX} are shown")
        return found[:CHILDREN_MAX]

    # where it comes from -------------------------------------------------------------------------------------

    def _fill(self, step: Step, fill: OrderFilled) -> str:
        try:
            spec = self._run.spec(fill.instrument, step.seq)
        except NotFound:
            self._into.note(
                f"fill {fill.fill_id} is of {fill.instrument}, which the run does not trade: its figures are on an unknown grid"
            )
            return self._node(foreign_fill_node(step, fill))
        return self._node(fill_node(step, fill, spec, slippage=self._slippage(fill, spec)))

    def _slippage(self, fill: OrderFilled, spec: Instrument) -> str:
        """What a fill cost against the price that its decision saw; '' where no decision ordered it, or on another grid."""
        ours = fill.client_order_id if fill.cause is FillCause.TRADE else ""
        sent = self._sure(sent_of, ours, "send") if ours else None
        taken = self._decided(sent[1].approved.order.decision_id) if sent else None
        if sent is None or taken is None or self._run.spec(fill.instrument, taken[0].seq).tick_size != spec.tick_size:
            return ""
        ledger = CostLedger({fill.instrument: spec})
        ledger.took((taken[1], sent[1]))
        cost = ledger.fill(fill)
        return f"{cost.slippage} {spec.quote}, {cost.bps} bps against the {cost.against} of its decision" if cost.against else ""

    def _order_of(self, key: str, step: Step, fill: OrderFilled) -> None:
        if fill.cause in BY_VENUE:
            self._into.note(f"fill {fill.fill_id} is {VENUE_DID[fill.cause]}: the venue closed by itself, there is no order of ours")
            self._closed(key, step, fill)
        elif fill.cause is FillCause.ADOPTED:
            self._into.note(f"fill {fill.fill_id} was taken over: somebody else traded on the account, there is no order of ours")
        elif not fill.client_order_id:
            self._into.miss(NodeKind.ORDER, "", f"fill {fill.fill_id} is a trade that names no order")
        else:
            self.add_order(fill.client_order_id, source=key)

    def _closed(self, key: str, step: Step, fill: OrderFilled) -> None:
        """What a fill of the venue's own doing closed: the stop that was wanted for it, and the decisions behind the position."""
        try:
            held = holding_before(self._run, step.seq, fill)
        except NotFound:
            return  # of an instrument that the run does not trade, which is said already
        source, relation = key, Relation.ENDS
        if fill.cause is FillCause.STOP:
            if held.wanted is None:
                self._into.miss(NodeKind.STOP, "", f"fill {fill.fill_id} is a stop that fired, and no record wants one for such a position")
            else:
                at, wanted = held.wanted
                node = stop_node(at, wanted, held.told, self._run.spec(fill.instrument, at.seq))
                source, relation = self._node(node, key, Relation.CLOSED_BY), Relation.GUARDS
        if held.is_foreign:
            self._into.note(f"a part of the position that fill {fill.fill_id} closed was traded by somebody else and taken over")
        elif not held.order_ids:
            self._into.note(f"the run's records hold no order that opened the position that fill {fill.fill_id} closed")
        sent = [self._sure(sent_of, name, "send") for name in held.order_ids]
        taken = list(dict.fromkeys(one[1].approved.order.decision_id for one in sent if one is not None))
        for decision_id in self._few(taken, f"decisions behind the position that fill {fill.fill_id} closed"):
            self.add_decision(decision_id, source=source, relation=relation)

    def _decision_of(self, key: str, order: OrderIntent) -> None:
        self.add_decision(order.decision_id, source=key)

    def _prediction_of(self, key: str, decided: Decided) -> None:
        if decided.prediction_id:
            self.add_prediction(decided.prediction_id, source=key)
        elif needs_prediction(decided):
            self._into.miss(NodeKind.PREDICTION, "", f"decision {decided.decision_id} of the model strategy names no prediction")
        elif decided.strategy != MODEL_STRATEGY:
            self._into.note(f"decision {decided.decision_id} was taken by a rule, strategy '{decided.strategy}': no model, no prediction")
        elif decided.reason == FLATTEN:
            self._into.note(f"decision {decided.decision_id} was a person's command to be flat: no prediction")
        elif decided.reason in BY_ENGINE:
            self._into.note(f"decision {decided.decision_id} was the engine's own ({decided.reason}): no prediction")
        else:
            self._into.note(f"decision {decided.decision_id} was taken where the model's answer was no number: no prediction")

    def _features(self, key: str, step: Step, predicted: Predicted) -> None:
        try:
            vector = vector_of(self._run.reader.blob(predicted.features_sha256))
        except KedgeError as error:
            self._into.miss(NodeKind.FEATURES, predicted.features_sha256, told(error))
            return
        names = self._documents.feature_names(predicted.model_sha256)
        if vector is None or (names and len(vector) != len(names)):
            self._into.miss(NodeKind.FEATURES, predicted.features_sha256, f"they are no {len(names)} float64, as the model reads")
            return
        self._into.add(features_node(predicted.features_sha256, names, vector, step), key, Relation.COMPUTED_FROM)

    def _model(self, key: str, model_sha256: str) -> None:
        if (mine := model_of(self._started)) and mine != model_sha256:
            self._into.miss(NodeKind.MODEL, model_sha256, f"it made the prediction, and the run trades with model {mine[:16]}")
        node = key_of(NodeKind.MODEL, model_sha256)
        if not self._into.has(node):
            self._documents.add_model(self._into, model_sha256, running_code=self._started.code_sha256)
        if self._into.has(node):
            self._into.link(key, node, Relation.COMPUTED_BY)

    # records -------------------------------------------------------------------------------------------------

    def _node(self, node: Node, source: str = "", relation: Relation | None = None) -> str:
        if self._into.has(node.key):
            return self._into.add(node, source, relation)
        try:
            proof = None if node.seq is None else self._run.proof(node.seq)
        except KedgeError as error:
            self._into.miss(node.kind, node.id, told(error))
            proof = None
        return self._into.add(msgspec.structs.replace(node, proof=proof), source, relation)

    def _decided(self, decision_id: str) -> tuple[Step, Decided] | None:
        return self._sure(decided_of, decision_id, "decided")

    def _sure(self, pick: Callable[[list[Step], str], T | None], wanted: str, kind: str) -> T | None:
        """What makes an id; only the records themselves say that nothing does."""
        found = pick(self._steps(wanted, kind), wanted)
        return pick(self._walked(wanted), wanted) if found is None else found

    def _steps(self, wanted: str, *kinds: str) -> list[Step]:
        return self._run.steps(self._run.mentions(wanted, walk=not self._run.indexed), *kinds)

    def _walked(self, wanted: str) -> list[Step]:
        found = self._run.walked(wanted) if self._run.indexed else []
        if found and found != self._run.mentions(wanted):
            self._into.note(f"the journal's index does not lead to {wanted}, its records do: run 'kedge audit verify' on it")
        return self._run.steps(found)
