"""Fills that the venue made by itself are taken apart too: the stop that was wanted, and the decisions behind the position."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.events import InstrumentChanged, OrderFilled, StopPlaced
from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import StopWanted
from kedge.domain.record import Step
from kedge.governance.lineage import NodeKind, Relation, Trace
from kedge.services.lineage import LineageStores, trace
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_orphans import orphans
from kedge.services.lineage_position import holding_before
from kedge.services.newest_fills import newest_fills
from kedge.storage import SqliteJournalReader

from ...builders import AAA, CCC, T0, instrument
from ..governance.records import decided, fill, intent, last_bar, liquidation, sent
from .lineage_world import journal_of, model_run, steps_of, stocked, written
from .test_lineage import CHAIN, kinds

RULE = {"strategy": "trend", "prediction_id": ""}
STOPPED = fill("stop-1", client_order_id="", side=Side.SELL, cause=FillCause.STOP)
WANTED = StopWanted(instrument=AAA, stop_ticks=900, position_lots=1_000, reason="opened")
OPENING = ((last_bar(), (decided(**RULE), sent())), (fill(), (WANTED,)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of a model with stops so near that some fire."""
    state = tmp_path_factory.mktemp("state")
    return state, model_run(state, stocked(state), stop_frac_e8=300_000)


def fired(run: tuple[Path, str]) -> list[tuple[Step, OrderFilled]]:
    with SqliteJournalReader(journal_of(*run)) as reader:
        steps = steps_of(list(reader.records()))
    return [(s, s.event) for s in steps if isinstance(s.event, OrderFilled) and s.event.cause is FillCause.STOP]


def traced(state: Path, wanted: str, *steps: tuple[object, tuple[object, ...]]) -> Trace:
    written(state, steps)  # type: ignore[arg-type]
    return trace(LineageStores(state=state), wanted)


def test_a_stop_that_fired_leads_to_who_wanted_it_and_on_to_the_raw_files(run: tuple[Path, str]) -> None:
    stopped = fired(run)
    assert stopped
    for _, one in stopped:
        found = trace(LineageStores(state=run[0]), one.fill_id, run=run[1])
        assert (found.complete, found.missing) == (True, ())
        assert set(kinds(found)) == set(CHAIN) - {NodeKind.ORDER, NodeKind.RISK} | {NodeKind.STOP}
        relations = [link.relation for link in found.links]
        assert Relation.CLOSED_BY in relations
        assert Relation.GUARDS in relations
        assert "the stop at the position, which fired" in found.notes[0]
        (stop,) = found.of_kind(NodeKind.STOP)
        assert [moment.what for moment in stop.history] == ["wanted", "shown"]
        assert stop.proof is not None


def test_stops_that_fired_are_no_orphans(run: tuple[Path, str]) -> None:
    (report,) = orphans(run[0])
    assert (report.count, report.stops) == (0, len(fired(run)))


@pytest.mark.parametrize("page_rows", [1, 3, 4_096])
def test_the_position_is_found_however_many_rows_are_read_at_a_time(run: tuple[Path, str], page_rows: int) -> None:
    with RunRecords(journal_of(*run)) as records:
        for step, one in fired(run):
            whole = holding_before(records, step.seq, one)
            assert holding_before(records, step.seq, one, page_rows=page_rows) == whole
            assert whole.wanted is not None
            assert len(whole.order_ids) == 1


def test_a_stop_that_nobody_wanted_is_a_gap(tmp_path: Path) -> None:
    found = traced(tmp_path, "stop-1", (last_bar(), (decided(**RULE), sent())), (fill(), ()), (STOPPED, ()))
    assert [(gap.kind, gap.why) for gap in found.missing] == [
        (NodeKind.STOP, "fill stop-1 is a stop that fired, and no record wants one for such a position")
    ]
    assert found.of_kind(NodeKind.DECISION)[0].id == "run.1", "the position's decision is found all the same"


def test_a_liquidation_and_a_deleveraging_lead_to_the_decisions_behind_the_position(tmp_path: Path) -> None:
    again = (last_bar(), (decided("run.2", **RULE), sent(intent("order-2", decision_id="run.2"))))
    adl = fill("adl-1", client_order_id="", side=Side.SELL, qty_lots=10, cause=FillCause.ADL)
    steps = (*OPENING, again, (fill("fill-2", client_order_id="order-2"), ()), (adl, ()), (liquidation(), ()))
    first, second = traced(tmp_path, "adl-1", *steps), trace(LineageStores(state=tmp_path), "fill-l")
    for found, words in ((first, "a deleveraging (ADL)"), (second, "a liquidation")):
        assert found.complete
        assert words in found.notes[0]
        assert [node.id for node in found.of_kind(NodeKind.DECISION)] == ["run.2", "run.1"]
        assert {(link.source, link.relation) for link in found.links if link.target.startswith("decision:")} == {
            (found.root, Relation.ENDS)
        }
        assert not found.of_kind(NodeKind.STOP)


def test_a_position_that_nobody_here_opened_says_so(tmp_path: Path) -> None:
    theirs = fill("x", client_order_id="theirs", cause=FillCause.ADOPTED)
    found = traced(tmp_path, "stop-1", (theirs, (WANTED,)), (StopPlaced(T0, AAA, 900), ()), (STOPPED, ()))
    assert found.complete
    assert "was traded by somebody else" in found.notes[1]
    alone = traced(tmp_path / "b", "fill-l", (liquidation(), ()))
    assert "hold no order that opened the position" in alone.notes[1]


def test_a_liquidation_of_a_foreign_instrument_is_shown_and_leads_nowhere(tmp_path: Path) -> None:
    found = traced(tmp_path, "fill-l", (fill("fill-l", client_order_id="", instrument=CCC, cause=FillCause.LIQUIDATION), ()))
    assert (found.complete, kinds(found)) == (True, [NodeKind.FILL, NodeKind.RUN])


def test_a_fill_tells_its_slippage_as_the_list_of_fills_does(run: tuple[Path, str]) -> None:
    with RunRecords(journal_of(*run)) as records:
        listed = [one for one in newest_fills(records, 10_000) if one.slippage]
    assert listed
    for one in listed:
        node = trace(LineageStores(state=run[0]), one.fill_id, run=run[1]).of_kind(NodeKind.FILL)[0]
        assert node.facts["slippage"] == f"{one.slippage} USDT, {one.slippage_bps} bps against the {one.slippage_against} of its decision"


def test_slippage_names_the_mid_where_there_was_one_and_nothing_on_another_grid(tmp_path: Path) -> None:
    steps = ((last_bar(), (decided(mid2_ticks=2_001, **RULE), sent())), (fill(), ()))
    found = traced(tmp_path, "fill-1", *steps)
    assert found.of_kind(NodeKind.FILL)[0].facts["slippage"] == "0.05000000 USDT, 5.00 bps against the mid of its decision"
    finer = InstrumentChanged(T0, instrument(tick_e8=1_000_000))
    other = traced(tmp_path / "b", "fill-1", steps[0], (finer, ()), steps[1])
    assert "slippage" not in other.of_kind(NodeKind.FILL)[0].facts
