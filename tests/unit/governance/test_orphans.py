"""Orphans are found and named; what has no order by nature is counted apart; memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import StopWanted
from kedge.engine import fold_orders, sizing
from kedge.governance import lineage_find, orphans
from kedge.governance.lineage import NodeKind
from kedge.governance.orphans import OrphanReport, OrphanWatch
from kedge.risk import states
from kedge.strategy import base, model

from ...builders import AAA
from .records import FEATURES, MODEL, decided, fill, intent, last_bar, liquidation, predicted, refused, sent, step

Asked = list[tuple[NodeKind, str, int]]


def nothing(_: str) -> str:
    return ""


class Watched:
    """A watch over a run whose index knows only what `known` holds; what it was asked for is kept."""

    def __init__(
        self,
        known: tuple[str, ...] = (),
        features: Callable[[str], str] = nothing,
        model: Callable[[str], str] = nothing,
        run_model: str = "",
    ) -> None:
        self.asked: Asked = []

        def knows(kind: NodeKind, one: str, seq: int) -> bool:
            self.asked.append((kind, one, seq))
            return one in known

        self.watch = OrphanWatch("run", knows=knows, features_problem=features, model_problem=model, run_model=run_model)

    def see(self, *steps: object) -> OrphanReport:
        for one in steps:
            self.watch.step(one)  # type: ignore[arg-type]
        return self.watch.report()


WHOLE = (step(1, last_bar(), predicted(), decided(), sent()), step(2, fill()))


def test_a_whole_chain_has_no_orphan_and_asks_no_index() -> None:
    watched = Watched()
    report = watched.see(*WHOLE)
    assert (report.count, report.orphans, watched.asked) == (0, (), [])
    assert (report.records, report.fills, report.orders, report.decisions, report.predictions) == (2, 1, 1, 1, 1)


def test_what_has_no_order_by_nature_is_counted_apart() -> None:
    report = Watched().see(step(1, liquidation()), step(2, fill("x", client_order_id="theirs", cause=FillCause.ADOPTED)))
    assert (report.count, report.fills, report.liquidations, report.adopted) == (0, 2, 1, 1)


def fired(side: Side = Side.SELL) -> object:
    return step(9, fill("s", client_order_id="", side=side, cause=FillCause.STOP))


def test_a_stop_that_was_wanted_and_a_deleveraging_are_counted_apart() -> None:
    wanted = StopWanted(instrument=AAA, stop_ticks=900, position_lots=5, reason="opened")
    off = StopWanted(instrument=AAA, stop_ticks=0, position_lots=0, reason="flat")
    adl = step(4, fill("a", client_order_id="", cause=FillCause.ADL))
    report = Watched().see(step(1, last_bar(), wanted), step(2, last_bar(), off), fired(), adl)
    assert (report.count, report.stops, report.deleveragings, report.fills) == (0, 1, 1, 2)


def test_a_stop_that_nobody_wanted_is_an_orphan() -> None:
    short = StopWanted(instrument=AAA, stop_ticks=1_100, position_lots=-5, reason="opened")
    for before in ((), (step(1, last_bar(), short),)):
        report = Watched().see(*before, fired())
        assert [(one.kind, one.id, one.why) for one in report.orphans] == [
            (NodeKind.FILL, "s", f"a stop that fired, and no record wants one on {AAA} to sell")
        ]
    assert Watched().see(step(1, last_bar(), short), fired(Side.BUY)).count == 0


@pytest.mark.parametrize(
    ("seen", "kind", "named", "why"),
    [
        (step(1, fill()), NodeKind.FILL, "fill-1", "no record sends its order order-1"),
        (step(1, fill(client_order_id="")), NodeKind.FILL, "fill-1", "a trade that names no order"),
        (step(1, None, sent()), NodeKind.ORDER, "order-1", "no record takes its decision run.1"),
        (step(1, None, refused()), NodeKind.ORDER, "order-1", "refused, and no record takes its decision run.1"),
        (step(1, None, decided()), NodeKind.DECISION, "run.1", "no record makes its prediction run.p1"),
        (step(1, None, decided(prediction_id="")), NodeKind.DECISION, "run.1", "the model strategy's, and it names no prediction"),
    ],
)
def test_each_broken_chain_is_named(seen: object, kind: NodeKind, named: str, why: str) -> None:
    report = Watched().see(seen)
    assert report.count == 1
    assert [(one.kind, one.id, one.seq, one.why) for one in report.orphans] == [(kind, named, 1, why)]


def test_a_rules_decision_needs_no_prediction() -> None:
    assert Watched().see(step(1, None, decided(strategy="trend", prediction_id=""))).count == 0


def test_a_prediction_of_another_model_than_the_runs_is_an_orphan() -> None:
    report = Watched(run_model="d" * 64).see(*WHOLE)
    assert [(one.kind, one.id, one.seq) for one in report.orphans] == [(NodeKind.PREDICTION, "run.p1", 1)]
    assert report.orphans[0].why == f"model {MODEL[:16]} made it, and the run trades with {'d' * 16}"


def test_a_prediction_needs_its_features_and_its_model_with_papers() -> None:
    watched = Watched(features=lambda sha: f"{sha[:2]} gone", model=lambda sha: f"{sha[:2]} has no papers", run_model=MODEL)
    report = watched.see(step(1, None, predicted()), step(2, None, predicted("run.p2")))
    assert [(one.kind, one.id, one.seq) for one in report.orphans] == [
        (NodeKind.MODEL, MODEL, None),
        (NodeKind.PREDICTION, "run.p1", 1),
        (NodeKind.PREDICTION, "run.p2", 2),
    ]
    assert report.orphans[1].why == f"{FEATURES[:2]} gone"


def test_what_memory_dropped_is_asked_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "REMEMBERED", 1)
    watched = Watched(known=("order-1",))
    report = watched.see(*WHOLE, step(3, None, decided("run.2"), sent(intent("order-2", decision_id="run.2"))), step(4, fill("late")))
    assert report.count == 0
    assert watched.asked == [(NodeKind.ORDER, "order-1", 4)]


def test_all_orphans_are_counted_and_the_first_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "NAMED_MAX", 2)
    report = Watched().see(*(step(n, fill(f"fill-{n}")) for n in range(1, 6)))
    assert (report.count, [one.id for one in report.orphans]) == (5, ["fill-1", "fill-2"])


def test_the_words_that_excuse_a_missing_prediction_are_those_that_are_recorded() -> None:
    assert {states.STOP_UNCONFIRMED, sizing.RESIZED, *fold_orders.VENUE_ACTED.values()} == lineage_find.BY_ENGINE
    words = (lineage_find.FLATTEN, lineage_find.MODEL_STRATEGY, lineage_find.NOT_FINITE)
    assert words == (states.FLATTEN, model.MODEL, base.NOT_FINITE)
