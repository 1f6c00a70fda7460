"""Traces of real runs: every fill of a model leads to the raw files, and every piece that is gone or altered is named."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from kedge.domain.compliance import compliance_id
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.domain.events import InstrumentChanged, OrderFilled, OrderRejected
from kedge.domain.orders import FillCause
from kedge.domain.record import Step
from kedge.governance.lineage import NodeKind, Relation, Trace
from kedge.services import lineage_chain, lineage_search
from kedge.services.lineage import LineageStores, trace
from kedge.services.lineage_documents import Documents
from kedge.services.lineage_journal import RunRecords
from kedge.storage import SqliteJournalReader
from kedge.storage.blobs import BlobStore

from ...builders import CCC, T0, bar, instrument
from ..governance.records import decided, fill, intent, last_bar, liquidation, predicted, refused, sent
from .lineage_world import (
    FEATURES,
    FUNDING_RAW,
    PRICES,
    RAW,
    a_tree,
    journal_of,
    keep_model,
    model_run,
    rule_run,
    steps_of,
    stocked,
    touch_newest,
    written,
)  # fmt: skip

CHAIN = [
    NodeKind.FILL, NodeKind.ORDER, NodeKind.RISK, NodeKind.DECISION, NodeKind.PREDICTION, NodeKind.FEATURES, NodeKind.MODEL,
    NodeKind.FEATURE_SET, NodeKind.TRAINING, NodeKind.COMMIT, NodeKind.DATASET, NodeKind.RAW_FILE, NodeKind.RUN,
]  # fmt: skip


class World(NamedTuple):
    """A state folder with one run of a model and one of a rule."""

    state: Path
    model: str
    run: str
    rule: str

    @property
    def stores(self) -> LineageStores:
        return LineageStores(state=self.state)

    def steps(self, run: str) -> list[Step]:
        with SqliteJournalReader(journal_of(self.state, run)) as reader:
            return steps_of(list(reader.records()))

    def fills(self, run: str) -> list[OrderFilled]:
        return [step.event for step in self.steps(run) if isinstance(step.event, OrderFilled)]

    def trace(self, wanted: str, run: str = "") -> Trace:
        return trace(self.stores, wanted, run=run)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    state = tmp_path_factory.mktemp("state")
    model = stocked(state)
    return World(state, model, model_run(state, model), rule_run(state))


@pytest.fixture
def copied(world: World, tmp_path: Path) -> World:
    """The same, for a test that changes it."""
    shutil.copytree(world.state, tmp_path / "state")
    return world._replace(state=tmp_path / "state")


def kinds(found: Trace) -> list[NodeKind]:
    return list(dict.fromkeys(node.kind for node in found.nodes))


def changed(path: Path, statement: str, *values: object) -> None:
    """Alter a journal behind its writer's back."""
    with sqlite3.connect(path) as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()


def test_every_fill_of_a_model_leads_to_the_raw_files(world: World) -> None:
    fills = world.fills(world.run)
    assert len(fills) > 20
    for one in fills[::7]:
        found = world.trace(one.fill_id, world.run)
        assert (found.complete, found.missing, found.root, found.run_id) == (True, (), f"fill:{one.fill_id}", world.run)
        assert set(kinds(found)) == set(CHAIN)
    assert kinds(found) == CHAIN
    by_id = {node.id: node for node in found.nodes}
    assert {RAW.sha256, FUNDING_RAW.sha256, PRICES.sha256, world.model} <= set(by_id)
    assert list(found.of_kind(NodeKind.FEATURES)[0].facts) == [feature.name for feature in FEATURES]
    decision = found.of_kind(NodeKind.DECISION)[0]
    assert decision.facts["compliance id"] == compliance_id(decision.id)
    assert found.of_kind(NodeKind.MODEL)[0].facts["version"] == "demo/1"


def test_links_lead_from_the_fill_to_every_node(world: World) -> None:
    found = world.trace(world.fills(world.run)[5].fill_id, world.run)
    reached, before = {found.root}, 0
    while len(reached) > before:
        before = len(reached)
        reached |= {link.target for link in found.links if link.source in reached}
    assert reached == {node.key for node in found.nodes}


def test_a_record_shows_where_it_stands_in_the_chain(world: World) -> None:
    found = world.trace(world.fills(world.run)[5].fill_id, world.run)
    proof = found.node(found.root).proof  # type: ignore[union-attr]
    assert proof is not None
    with SqliteJournalReader(journal_of(world.state, world.run)) as reader:
        rows = {seq: (stored, body) for seq, stored, body in reader.raw_rows()}
    assert rows[proof.row][0].hex() == proof.row_hash
    heads = [seq for seq, (_, body) in rows.items() if b'"type":"head"' in body]
    assert proof.head_row == min(seq for seq in heads if seq > proof.row)
    assert proof.head_signature.encode() in rows[proof.head_row][1]


def test_an_order_a_decision_and_a_prediction_lead_both_ways(world: World) -> None:
    up = world.trace(world.fills(world.run)[5].fill_id, world.run)
    order, decision, prediction = (up.of_kind(kind)[0].id for kind in (NodeKind.ORDER, NodeKind.DECISION, NodeKind.PREDICTION))
    for wanted in (order, decision, prediction):
        found = world.trace(wanted)
        assert found.complete
        assert {link.relation for link in found.links} >= {Relation.FILLED, Relation.CARRIES_OUT, Relation.FOLLOWS_FROM}
        assert up.root in {node.key for node in found.nodes}
        assert found.root.endswith(wanted)


def test_a_prediction_on_which_nothing_new_was_decided_says_so(world: World) -> None:
    made = {o.prediction_id for s in world.steps(world.run) for o in s.outputs if type(o).__name__ == "Predicted"}
    acted = {getattr(o, "prediction_id", "") for s in world.steps(world.run) for o in s.outputs if type(o).__name__ == "Decided"}
    quiet = sorted(made - acted)[0]
    found = world.trace(quiet)
    assert found.complete
    assert "nothing new was decided" in found.notes[0]


def test_a_model_leads_down_to_the_runs_that_traded_with_it(world: World) -> None:
    found = world.trace(world.model)
    run = found.of_kind(NodeKind.RUN)
    assert (found.complete, [node.id for node in run]) == (True, [world.run])
    steps = world.steps(world.run)
    counts = {
        "predictions": sum(type(o).__name__ == "Predicted" for s in steps for o in s.outputs),
        "decisions": sum(type(o).__name__ == "Decided" for s in steps for o in s.outputs),
        "orders": sum(type(o).__name__ == "OrderSent" for s in steps for o in s.outputs),
        "fills": len(world.fills(world.run)),
    }
    assert {name: int(run[0].facts[name]) for name in counts} == counts
    fill_records = [s.seq for s in steps if isinstance(s.event, OrderFilled)]
    assert run[0].facts["records of first and last fill"] == f"{fill_records[0]}, {fill_records[-1]}"
    assert run[0].facts["first and last prediction"].startswith(f"{world.run}.p1, ")


def test_a_data_set_leads_down_to_its_models_and_their_runs(world: World) -> None:
    dataset = world.trace(world.model).of_kind(NodeKind.DATASET)[0].id
    found = world.trace(dataset)
    assert (found.complete, found.root) == (True, f"dataset:{dataset}")
    assert {world.model, world.run, RAW.sha256} <= {node.id for node in found.nodes}


def test_a_model_and_a_data_set_that_nothing_used_say_so(tmp_path: Path) -> None:
    stores = LineageStores(state=tmp_path)
    model = stocked(tmp_path)
    assert any("no run here traded" in note for note in trace(stores, model).notes)
    dataset = trace(stores, model).of_kind(NodeKind.DATASET)[0].id
    shutil.rmtree(tmp_path / "models")
    assert any("no model here learned" in note for note in trace(stores, dataset).notes)


def test_a_run_shows_its_counts_and_its_model(world: World) -> None:
    found = world.trace(world.run)
    assert (found.complete, found.root) == (True, f"run:{world.run}")
    assert int(found.of_kind(NodeKind.RUN)[0].facts["fills"]) == len(world.fills(world.run))
    assert {NodeKind.MODEL, NodeKind.DATASET} <= set(kinds(found))
    rule = world.trace(world.rule)
    assert (rule.complete, kinds(rule), rule.notes) == (True, [NodeKind.RUN], ("a rule decided in this run: no model, no predictions",))
    assert "predictions" in rule.of_kind(NodeKind.RUN)[0].facts


def test_a_rules_fill_is_complete_without_a_prediction(world: World) -> None:
    found = world.trace(world.fills(world.rule)[0].fill_id, world.rule)
    assert (found.complete, NodeKind.PREDICTION in kinds(found)) == (True, False)
    assert "strategy 'trend': no model, no prediction" in found.notes[0]


def test_a_model_of_trees_is_shown_with_their_number(tmp_path: Path) -> None:
    dataset = trace(LineageStores(state=tmp_path), stocked(tmp_path)).of_kind(NodeKind.DATASET)[0].id
    tree = keep_model(tmp_path, a_tree(dataset), registered=False)
    found = trace(LineageStores(state=tmp_path), tree)
    assert found.node(f"model:{tree}").facts["kind"] == "1 trees"  # type: ignore[union-attr]
    assert (found.complete, found.node(f"model:{tree}").facts["version"]) == (True, "not registered")  # type: ignore[union-attr]
    assert any("never registered" in note for note in found.notes)


# what is gone or altered is named ------------------------------------------------------------------------------------------


def missing(world: World, kind: NodeKind) -> str:
    """What a fill's trace misses of a kind; the trace is not complete."""
    found = world.trace(world.fills(world.run)[5].fill_id, world.run)
    assert not found.complete
    [gap] = [one for one in found.missing if one.kind is kind]
    return gap.why


def features_of(world: World) -> str:
    return world.trace(world.fills(world.run)[5].fill_id, world.run).of_kind(NodeKind.FEATURES)[0].id


def test_features_that_are_gone_are_named(copied: World) -> None:
    changed(journal_of(copied.state, copied.run), "DELETE FROM blobs WHERE sha256 = ?", bytes.fromhex(features_of(copied)))
    assert "does not hold it" in missing(copied, NodeKind.FEATURES)


def test_features_that_were_altered_are_named(copied: World) -> None:
    path, name = journal_of(copied.state, copied.run), bytes.fromhex(features_of(copied))
    changed(path, "UPDATE blobs SET body = zeroblob(24) WHERE sha256 = ?", name)
    assert "SHA-256" in missing(copied, NodeKind.FEATURES)


def test_a_model_altered_by_one_byte_is_named(copied: World) -> None:
    path = copied.state / "models" / copied.model / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))
    assert "SHA-256" in missing(copied, NodeKind.MODEL)
    found = copied.trace(copied.fills(copied.run)[5].fill_id, copied.run)
    assert list(found.of_kind(NodeKind.FEATURES)[0].facts) == ["value 1", "value 2", "value 3"], "values stay, their names are the model's"


def test_a_model_that_is_gone_is_named(copied: World) -> None:
    shutil.rmtree(copied.state / "models" / copied.model)
    assert "no such model" in missing(copied, NodeKind.MODEL)


def test_a_training_record_that_is_gone_is_named_and_the_data_set_is_still_reached(copied: World) -> None:
    (copied.state / "models" / copied.model / "training.json").unlink()
    assert "training.json" in missing(copied, NodeKind.TRAINING)
    assert RAW.sha256 in {node.id for node in copied.trace(copied.model).nodes}


def test_a_training_record_of_something_else_is_named(copied: World) -> None:
    path = copied.state / "models" / copied.model / "training.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":9'))
    assert "its seed is 9, the model's 7" in missing(copied, NodeKind.TRAINING)


def test_a_registration_that_cannot_be_read_is_a_note_and_no_gap(copied: World) -> None:
    (copied.state / "models" / copied.model / "registered.json").write_bytes(b"{")
    found = copied.trace(copied.model)
    assert found.complete
    assert any("cannot be read" in note for note in found.notes)


@pytest.mark.parametrize("manifest", [True, False])
def test_a_data_set_that_is_gone_or_altered_is_named(copied: World, manifest: bool) -> None:
    blobs = BlobStore(copied.state / "blobs")
    dataset = copied.trace(copied.model).of_kind(NodeKind.DATASET)[0].id
    columns = next(iter(Documents(copied.state).dataset(dataset).columns()))[1]
    path = blobs.path(dataset if manifest else columns)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "its bytes have SHA-256" in missing(copied, NodeKind.DATASET)
    path.unlink()
    assert "no file" in missing(copied, NodeKind.DATASET)


def test_a_row_that_was_changed_is_named(copied: World) -> None:
    one = copied.fills(copied.run)[5]
    path = journal_of(copied.state, copied.run)
    price = f'"price_ticks":{one.price_ticks}'
    changed(
        path,
        "UPDATE rows SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE CAST(body AS TEXT) LIKE ?",
        price, f'"price_ticks":{one.price_ticks + 1}', f'%"fill_id":"{one.fill_id}"%',
    )  # fmt: skip
    assert "was changed" in missing(copied, NodeKind.FILL)


def test_runs_that_cannot_be_read_are_said(copied: World) -> None:
    journal_of(copied.state, copied.rule).write_bytes(b"no journal" * 1_000)
    assert any(copied.rule in note and "cannot be read" in note for note in copied.trace(copied.model).notes)
    assert copied.trace(copied.fills(copied.run)[0].fill_id).run_id == copied.run, "the other run is searched all the same"


# journals by hand ----------------------------------------------------------------------------------------------------------

MODEL_SETTINGS = {"engine": {"strategy": "model", "params": {}}}


def traced(state: Path, wanted: str, *steps: tuple[object, tuple[object, ...]], **changes: object) -> Trace:
    written(state, steps, **changes)  # type: ignore[arg-type]
    return trace(LineageStores(state=state), wanted)


def test_a_liquidation_has_no_order_and_says_so(tmp_path: Path) -> None:
    found = traced(tmp_path, "fill-l", (liquidation(), ()))
    assert (found.complete, kinds(found)) == (True, [NodeKind.FILL, NodeKind.RUN])
    assert "is a liquidation" in found.notes[0]


def test_a_fill_that_was_taken_over_says_so(tmp_path: Path) -> None:
    found = traced(tmp_path, "fill-1", (fill(client_order_id="theirs", cause=FillCause.ADOPTED), ()))
    assert found.complete
    assert "taken over" in found.notes[0]


def test_a_trade_without_order_and_an_order_without_decision_are_gaps(tmp_path: Path) -> None:
    steps = (
        (fill("nameless", client_order_id=""), ()),
        (fill("orphaned", client_order_id="never-sent"), ()),
        (last_bar(), (sent(intent("loose-order", decision_id="nobody.1")),)),
    )
    assert traced(tmp_path, "nameless", *steps).missing[0].why == "fill nameless is a trade that names no order"
    stores = LineageStores(state=tmp_path)
    assert [(gap.kind, gap.id) for gap in trace(stores, "orphaned").missing] == [(NodeKind.ORDER, "never-sent")]
    assert [(gap.kind, gap.id) for gap in trace(stores, "loose-order").missing] == [(NodeKind.DECISION, "nobody.1")]
    assert [(gap.kind, gap.id) for gap in trace(stores, "never-sent").missing] == [(NodeKind.ORDER, "never-sent")]


def test_a_refused_order_leads_to_its_decision(tmp_path: Path) -> None:
    found = traced(tmp_path, "order-1", (last_bar(), (decided(strategy="trend", prediction_id=""), refused())))
    assert (found.complete, found.root, kinds(found)) == (True, "risk:order-1", [NodeKind.RISK, NodeKind.DECISION, NodeKind.RUN])
    down = trace(LineageStores(state=tmp_path), "run.1")
    assert "risk:order-1" in {node.key for node in down.nodes}


@pytest.mark.parametrize(
    ("changes", "complete", "told"),
    [
        ({}, False, "names no prediction"),
        ({"reason": "FLATTEN"}, True, "a person's command"),
        ({"reason": "STOP_UNCONFIRMED"}, True, "the engine's own (STOP_UNCONFIRMED)"),
        ({"code": "NOT_FINITE"}, True, "no number"),
        ({"prediction_id": "run.p9"}, False, "no record of the run makes this prediction"),
    ],
)
def test_a_models_decision_without_prediction_is_a_gap_unless_it_says_why(
    tmp_path: Path, changes: dict[str, str], complete: bool, told: str
) -> None:
    found = traced(tmp_path, "run.1", (last_bar(), (decided(**{"prediction_id": "", **changes}),)), settings=MODEL_SETTINGS)
    assert found.complete is complete
    assert told in (found.missing[0].why if found.missing else found.notes[0])


def test_a_prediction_without_features_and_model_names_both(tmp_path: Path) -> None:
    found = traced(tmp_path, "run.p1", (last_bar(), (predicted(),)))
    assert {gap.kind for gap in found.missing} == {NodeKind.FEATURES, NodeKind.MODEL}


def test_figures_follow_the_grid_in_force_at_the_time(tmp_path: Path) -> None:
    finer = instrument(tick_e8=1_000_000)
    steps = ((fill("before"), ()), (InstrumentChanged(T0 + 1, finer), ()), (fill("after"), ()))
    assert traced(tmp_path, "before", *steps).node("fill:before").facts["price"] == "100.1 USDT"  # type: ignore[union-attr]
    assert trace(LineageStores(state=tmp_path), "after").node("fill:after").facts["price"] == "10.01 USDT"  # type: ignore[union-attr]
    for wanted in (finer.instrument_id, finer.instrument_id[:9]):
        for run in ("", "by-hand"):
            with pytest.raises(NotFound):
                trace(LineageStores(state=tmp_path), wanted, run=run)


def test_a_fill_of_a_foreign_instrument_is_shown_in_steps(tmp_path: Path) -> None:
    found = traced(tmp_path, "fill-1", (fill(instrument=CCC, client_order_id="theirs", cause=FillCause.ADOPTED), ()))
    assert found.node("fill:fill-1").facts["price"] == "1001 ticks"  # type: ignore[union-attr]
    assert "does not trade" in found.notes[0]


def test_many_fills_are_counted_and_the_first_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_chain, "CHILDREN_MAX", 2)
    parts = [(fill(f"part-{n}", qty_lots=10, leaves_lots=1_000 - 10 * n), ()) for n in range(1, 6)]
    steps = ((last_bar(), (decided(strategy="trend", prediction_id=""), sent())), *parts)
    found = traced(tmp_path, "order-1", *steps)
    assert len(found.of_kind(NodeKind.FILL)) == 2
    assert "5 fills of order order-1, the first 2 are shown" in found.notes
    assert found.of_kind(NodeKind.ORDER)[0].facts["filled"] == "0.050 AAA", "all of them count"


def test_the_rejection_of_an_order_is_part_of_its_trace(tmp_path: Path) -> None:
    steps = (
        (last_bar(), (decided(strategy="trend", prediction_id=""), sent())),
        (OrderRejected(T0 + 9, "order-1", "110007", "no money"), ()),
    )
    found = traced(tmp_path, "order-1", *steps)
    assert found.of_kind(NodeKind.ORDER)[0].facts["status"] == "rejected"


# search --------------------------------------------------------------------------------------------------------------------


def test_the_newest_run_answers_and_the_others_are_said(copied: World) -> None:
    touch_newest(journal_of(copied.state, copied.rule), 10**12)
    found = copied.trace("f3")
    assert found.run_id == copied.rule
    assert f"1 older runs hold fill f3 too ({copied.run})" in found.notes[0]
    touch_newest(journal_of(copied.state, copied.run), 2 * 10**12)
    assert copied.trace("f3").run_id == copied.run
    assert copied.trace("f3", copied.rule).notes[0].startswith("decision")


def test_eight_characters_are_enough_where_they_are_unique(world: World) -> None:
    order = world.trace(world.fills(world.run)[5].fill_id, world.run).of_kind(NodeKind.ORDER)[0].id
    assert world.trace(order[:8]).root == f"order:{order}"
    assert world.trace(world.model[:8]).root == f"model:{world.model}"
    dataset = world.trace(world.model).of_kind(NodeKind.DATASET)[0].id
    assert world.trace(dataset[:10]).root == f"dataset:{dataset}"
    assert world.trace(world.run[:12]).root == f"run:{world.run}"
    assert world.trace(f"{world.run}.p1").root == f"prediction:{world.run}.p1", "an exact id comes before longer ones"


def test_several_that_begin_so_are_refused(tmp_path: Path) -> None:
    written(tmp_path, [(liquidation("abcdefgh-1"), ()), (liquidation("abcdefgh-2"), ())])
    written(tmp_path, [(liquidation("zzz"), ())], run_id="by-hand-too")
    stores = LineageStores(state=tmp_path)
    with pytest.raises(InvalidInput, match="abcdefgh-1, abcdefgh-2"):
        trace(stores, "abcdefgh")
    with pytest.raises(NotFound, match="near ones are by-hand"):
        trace(stores, "by-han")
    assert trace(stores, "by-hand-t").run_id == "by-hand-too"
    written(tmp_path, [], run_id="by-hand-tool")
    touch_newest(journal_of(tmp_path, "by-hand-too"), 10**12)
    with pytest.raises(InvalidInput, match="several begin so: by-hand-too"):
        trace(stores, "by-hand-t")


def test_an_unknown_id_names_near_ones(world: World, tmp_path: Path) -> None:
    order = world.trace(world.fills(world.run)[5].fill_id, world.run).of_kind(NodeKind.ORDER)[0].id
    with pytest.raises(NotFound, match=order):
        world.trace(order[:12] + "zzzz")
    with pytest.raises(NotFound, match="names nothing"):
        world.trace(" ")
    with pytest.raises(NotFound, match="none of 0 runs"):
        trace(LineageStores(state=tmp_path / "empty"), "0" * 64)
    with pytest.raises(NotFound, match="near ones are bt-"):
        world.trace("bt-zzzzzzzzz")
    with pytest.raises(NotFound, match="no-such-run"):
        world.trace("f1", "no-such-run")


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("a" * 513, "no id is longer than 512"),
        ("\udcff\udcfeabcdefgh", "it is no text"),
        ("a" * 500, "none of 2 runs"),
        ("../" * 40, "none of 2 runs"),
        ("' OR '1'='1", "none of 2 runs"),
        ("%%%%%%%%%", "none of 2 runs"),
        ("b\x00t-aaaaaaa", "none of 2 runs"),
    ],
)
def test_whatever_is_typed_is_an_id_that_nothing_has(world: World, wanted: str, why: str) -> None:
    with pytest.raises(NotFound, match=why):
        world.trace(wanted)


def test_one_look_into_each_run_names_the_near_ids(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    class Counted(RunRecords):
        def __init__(self, path: Path) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(lineage_search, "RunRecords", Counted)
    with pytest.raises(NotFound, match=f"near ones are {world.run}"):
        world.trace(world.run + "z" * 400)
    assert len(opened) <= 4 * 2, "exact, prefix, walk, near: each once for each of two runs"


def test_a_run_damaged_inside_does_not_hide_what_others_hold(copied: World) -> None:
    path = journal_of(copied.state, copied.rule)
    body = bytearray(path.read_bytes())
    body[4_096:] = b"\xff" * (len(body) - 4_096)
    path.write_bytes(bytes(body))
    touch_newest(path, 10**12)
    found = copied.trace(copied.fills(copied.run)[0].fill_id)
    assert found.run_id == copied.run
    assert any(note.startswith(f"run {copied.rule} was not searched") for note in found.notes)
    with pytest.raises(NotFound, match=f"run {copied.rule} cannot be read"):
        copied.trace("no-such-id")
    with pytest.raises(IntegrityError):
        copied.trace("no-such-id", copied.rule)


@pytest.mark.parametrize("kind", ["send", "decided", "predicted"])
def test_entries_taken_out_of_the_index_hide_nothing(copied: World, kind: str) -> None:
    whole = copied.trace("f9", copied.run)
    changed(journal_of(copied.state, copied.run), "DELETE FROM ids WHERE kind = ?", kind)
    found = copied.trace("f9", copied.run)
    assert (found.complete, found.nodes) == (True, whole.nodes)
    assert any("the journal's index does not lead to" in note for note in found.notes)


def test_a_prediction_of_another_model_than_the_runs_is_a_gap(tmp_path: Path) -> None:
    made = {"settings": {"engine": {"strategy": "model", "params": {"model": "d" * 64}}}}
    found = traced(tmp_path, "run.p1", (last_bar(), (predicted(),)), **made)
    assert any("the run trades with model dddddddddddddddd" in gap.why for gap in found.missing if gap.kind is NodeKind.MODEL)


def test_a_blob_that_is_no_data_set_is_not_found(tmp_path: Path) -> None:
    other = BlobStore(tmp_path / "blobs").put(b"{}")
    for wanted in (other, other[:12]):
        for run in ("", "by-hand"):
            with pytest.raises(NotFound):
                trace(LineageStores(state=tmp_path), wanted, run=run)


@pytest.fixture
def earlier(copied: World) -> World:
    """The rule's run as a version without index and blobs wrote it."""
    path = journal_of(copied.state, copied.rule)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE ids")
        database.execute("DROP TABLE blobs")
    database.close()
    shutil.rmtree(journal_of(copied.state, copied.run).parent)
    return copied


def test_a_journal_of_an_earlier_version_is_walked(earlier: World) -> None:
    one = earlier.fills(earlier.rule)[7]
    found = earlier.trace(one.fill_id)
    assert (found.complete, found.run_id) == (True, earlier.rule)
    assert {NodeKind.ORDER, NodeKind.RISK, NodeKind.DECISION} <= set(kinds(found))
    assert earlier.trace(earlier.rule).of_kind(NodeKind.RUN)[0].facts["counts"].startswith("unknown")
    with pytest.raises(NotFound):
        earlier.trace("no-such-fill")


def test_an_earlier_journal_knows_its_instrument_changes(tmp_path: Path) -> None:
    path = written(
        tmp_path, [(InstrumentChanged(T0 + 1, instrument(tick_e8=1_000_000)), ()), (fill("after", client_order_id=""), ()), (bar(5), ())]
    )
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE ids")
        database.execute("DROP TABLE blobs")
    database.close()
    assert trace(LineageStores(state=tmp_path), "after").node("fill:after").facts["price"] == "10.01 USDT"  # type: ignore[union-attr]
    for wanted in (instrument().instrument_id, instrument().instrument_id[:9]):
        for run in ("", "by-hand"):
            with pytest.raises(NotFound):
                trace(LineageStores(state=tmp_path), wanted, run=run)


def test_papers_are_judged_without_a_trace(world: World) -> None:
    assert Documents(world.state).models_of_dataset("0" * 64) == []
    assert Documents(world.state).model_problem(world.model) == ""
    assert "no such model" in Documents(world.state).model_problem("0" * 64)
