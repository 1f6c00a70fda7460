"""Orphans: records whose chain is broken. A fold over a run's steps that keeps a bounded memory and asks the index for what is older.

Rules: every fill that traded needs the order that was sent, every order its decision, every decision of a model its prediction, every
prediction its stored features and its model. What the venue did by itself and fills taken over have no order by nature: they are counted
apart. A stop of a position that fired needs the record that wanted one for such a position.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from kedge.domain.events import OrderFilled
from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Predicted, StopWanted
from kedge.domain.record import Step
from kedge.governance.lineage import NodeKind
from kedge.governance.lineage_find import needs_prediction

ORPHANS_SCHEMA: Final = "kedge/orphans/v1"
NAMED_MAX: Final = 100
"""Orphans named one by one; all are counted."""
REMEMBERED: Final = 20_000
"""Ids of each kind kept in memory; older ones are asked for."""


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A record with a broken chain: its kind and id, the journal record that holds it (None for documents), and what is missing."""

    kind: NodeKind
    id: str
    seq: int | None
    why: str


class OrphanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the search found in one run.

    Attributes
    ----------
    count : int
        All orphans; 0 is expected.
    orphans : tuple of Orphan
        The first `NAMED_MAX`.
    liquidations, deleveragings, stops, adopted : int
        Fills that have no order by nature.
    """

    run_id: str
    records: int
    fills: int
    orders: int
    decisions: int
    predictions: int
    liquidations: int
    adopted: int
    count: int
    orphans: tuple[Orphan, ...]
    deleveragings: int = 0
    stops: int = 0
    schema: str = ORPHANS_SCHEMA


def unreadable_report(run_id: str, why: str) -> OrphanReport:
    """The report on a run that cannot be read: one finding, the run itself."""
    found = Orphan(kind=NodeKind.RUN, id=run_id, seq=None, why=f"it cannot be read: {why}")
    return OrphanReport(
        run_id=run_id,
        records=0,
        fills=0,
        orders=0,
        decisions=0,
        predictions=0,
        liquidations=0,
        adopted=0,
        count=1,
        orphans=(found,),
    )


class _Recent:
    """The last ids of one kind."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, one: str) -> None:
        self._ids[one] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, one: str) -> bool:
        return one in self._ids


class OrphanWatch:
    """Sees the steps of one run in order.

    Parameters
    ----------
    knows : callable
        `knows(kind, id, seq)`: whether a record before `seq` makes this order, decision or prediction; asked for what memory has dropped.
    features_problem, model_problem : callable
        What is wrong with stored features, or with a model's papers, by SHA-256; '' where nothing is.
    run_model : str
        SHA-256 of the model that the run is set to trade with; '' where a rule decides. Its papers are checked whether it spoke or not.
    """

    def __init__(
        self,
        run_id: str,
        *,
        knows: Callable[[NodeKind, str, int], bool],
        features_problem: Callable[[str], str],
        model_problem: Callable[[str], str],
        run_model: str = "",
    ) -> None:
        self._run_id = run_id
        self._knows, self._features_problem, self._model_problem = knows, features_problem, model_problem
        self._recent = {kind: _Recent() for kind in (NodeKind.ORDER, NodeKind.DECISION, NodeKind.PREDICTION)}
        self._seen_models: set[str] = set()
        self._counts = dict.fromkeys((NodeKind.FILL, NodeKind.ORDER, NodeKind.DECISION, NodeKind.PREDICTION), 0)
        self._apart = dict.fromkeys((FillCause.LIQUIDATION, FillCause.ADL, FillCause.STOP, FillCause.ADOPTED), 0)
        self._stopped: set[tuple[str, Side]] = set()
        self._records = self._count = 0
        self._named: list[Orphan] = []
        self._run_model = run_model
        if run_model:
            self._model(run_model, None)

    def step(self, step: Step) -> None:
        """Take the next step."""
        self._records += 1
        if type(step.event) is OrderFilled:
            self._fill(step.event, step.seq)
        for output in step.outputs:
            kind = type(output)
            if kind is Predicted:
                self._predicted(output, step.seq)  # type: ignore[arg-type]
            elif kind is Decided:
                self._decided(output, step.seq)  # type: ignore[arg-type]
            elif kind is OrderSent:
                self._sent(output, step.seq)  # type: ignore[arg-type]
            elif kind is OrderRefused:
                self._refused(output, step.seq)  # type: ignore[arg-type]
            elif type(output) is StopWanted and output.stop_ticks:
                self._stopped.add((output.instrument, Side.SELL if output.position_lots > 0 else Side.BUY))

    def report(self) -> OrphanReport:
        """What was found so far."""
        return OrphanReport(
            run_id=self._run_id,
            records=self._records,
            fills=self._counts[NodeKind.FILL],
            orders=self._counts[NodeKind.ORDER],
            decisions=self._counts[NodeKind.DECISION],
            predictions=self._counts[NodeKind.PREDICTION],
            liquidations=self._apart[FillCause.LIQUIDATION],
            adopted=self._apart[FillCause.ADOPTED],
            deleveragings=self._apart[FillCause.ADL],
            stops=self._apart[FillCause.STOP],
            count=self._count,
            orphans=tuple(self._named),
        )

    def _fill(self, fill: OrderFilled, seq: int) -> None:
        self._counts[NodeKind.FILL] += 1
        if fill.cause in self._apart:
            self._apart[fill.cause] += 1
            if fill.cause is FillCause.STOP and (fill.instrument, fill.side) not in self._stopped:
                self._orphan(
                    NodeKind.FILL, fill.fill_id, seq, f"a stop that fired, and no record wants one on {fill.instrument} to {fill.side}"
                )
        elif not fill.client_order_id:
            self._orphan(NodeKind.FILL, fill.fill_id, seq, "a trade that names no order")
        elif not self._made(NodeKind.ORDER, fill.client_order_id, seq):
            self._orphan(NodeKind.FILL, fill.fill_id, seq, f"no record sends its order {fill.client_order_id}")

    def _sent(self, sent: OrderSent, seq: int) -> None:
        order = sent.approved.order
        self._make(NodeKind.ORDER, order.client_order_id)
        if not self._made(NodeKind.DECISION, order.decision_id, seq):
            self._orphan(NodeKind.ORDER, order.client_order_id, seq, f"no record takes its decision {order.decision_id}")

    def _refused(self, refused: OrderRefused, seq: int) -> None:
        if not self._made(NodeKind.DECISION, refused.order.decision_id, seq):
            why = f"refused, and no record takes its decision {refused.order.decision_id}"
            self._orphan(NodeKind.ORDER, refused.order.client_order_id, seq, why)

    def _decided(self, decided: Decided, seq: int) -> None:
        self._make(NodeKind.DECISION, decided.decision_id)
        if not decided.prediction_id:
            if needs_prediction(decided):
                self._orphan(NodeKind.DECISION, decided.decision_id, seq, "the model strategy's, and it names no prediction")
        elif not self._made(NodeKind.PREDICTION, decided.prediction_id, seq):
            self._orphan(NodeKind.DECISION, decided.decision_id, seq, f"no record makes its prediction {decided.prediction_id}")

    def _predicted(self, predicted: Predicted, seq: int) -> None:
        self._make(NodeKind.PREDICTION, predicted.prediction_id)
        if problem := self._features_problem(predicted.features_sha256):
            self._orphan(NodeKind.PREDICTION, predicted.prediction_id, seq, problem)
        if self._run_model not in ("", predicted.model_sha256):
            why = f"model {predicted.model_sha256[:16]} made it, and the run trades with {self._run_model[:16]}"
            self._orphan(NodeKind.PREDICTION, predicted.prediction_id, seq, why)
        self._model(predicted.model_sha256, seq)

    def _model(self, sha256: str, seq: int | None) -> None:
        """Check a model's papers, once."""
        if sha256 in self._seen_models:
            return
        self._seen_models.add(sha256)
        if problem := self._model_problem(sha256):
            self._orphan(NodeKind.MODEL, sha256, seq, problem)

    def _make(self, kind: NodeKind, one: str) -> None:
        self._counts[kind] += 1
        self._recent[kind].add(one)

    def _made(self, kind: NodeKind, one: str, seq: int) -> bool:
        return one in self._recent[kind] or self._knows(kind, one, seq)

    def _orphan(self, kind: NodeKind, one: str, seq: int | None, why: str) -> None:
        self._count += 1
        if len(self._named) < NAMED_MAX:
            self._named.append(Orphan(kind=kind, id=one, seq=seq, why=why))
