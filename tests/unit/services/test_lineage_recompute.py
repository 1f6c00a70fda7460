"""Predictions computed again, bit by bit: from stored features, and from recorded bars through the same engine."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from kedge.domain.canonical import digest
from kedge.domain.outputs import Predicted
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import float_hex
from kedge.governance import orphans as memory
from kedge.governance.lineage import Trace
from kedge.governance.lineage_find import model_of
from kedge.services import lineage_orphans, lineage_recompute
from kedge.services.lineage import LineageStores, recomputed_trace
from kedge.services.lineage_documents import Documents
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_orphans import orphans, search
from kedge.storage import SqliteJournal, SqliteJournalReader

from ..governance.records import decided, fill, intent, last_bar, predicted, sent
from .lineage_world import KEY, a_tree, frozen_dataset, journal_of, keep_model, model_run, rule_run, stocked, touch_newest, written


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A state folder with a run whose snapshots stand at records 50, 100 and so on."""
    state = tmp_path_factory.mktemp("state")
    return state, model_run(state, stocked(state))


@pytest.fixture
def copied(ran: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    shutil.copytree(ran[0], tmp_path / "state")
    return tmp_path / "state", ran[1]


def again(state: Path, run: str, number: int) -> Trace:
    return recomputed_trace(LineageStores(state=state), f"{run}.p{number}")


def verdicts(found: Trace) -> dict[tuple[str, str], bool]:
    return {(one.source, one.step): one.equal for one in found.recomputed}


BOTH_WAYS = {
    ("stored features", "score"): True,
    ("stored features", "probability"): True,
    ("recorded bars", "features"): True,
    ("recorded bars", "score"): True,
    ("recorded bars", "probability"): True,
    ("recorded bars", "decision"): True,
}


@pytest.mark.parametrize("number", [1, 30, 101, 180])
def test_a_prediction_is_equal_both_ways_to_the_bit(ran: tuple[Path, str], number: int) -> None:
    found = again(*ran, number)
    assert (verdicts(found), found.complete) == (BOTH_WAYS, True)
    assert all(one.recorded == one.computed != "" for one in found.recomputed)


def test_a_model_of_trees_is_equal_both_ways(tmp_path: Path) -> None:
    run = model_run(tmp_path, keep_model(tmp_path, a_tree(frozen_dataset(tmp_path))), bars=40)
    assert verdicts(again(tmp_path, run, 20)) == BOTH_WAYS


def test_a_fill_is_recomputed_through_its_prediction_and_a_model_alone_is_not(ran: tuple[Path, str]) -> None:
    stores = LineageStores(state=ran[0])
    found = recomputed_trace(stores, "f9")
    assert (verdicts(found), found.complete) == (BOTH_WAYS, True)
    model = recomputed_trace(stores, _model(ran[0]))
    assert (model.complete, model.recomputed) == (True, ())


def _model(state: Path) -> str:
    return Documents(state).models.list()[0]


def test_of_a_run_a_sample_of_predictions_is_scored_again(ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_recompute, "SAMPLE", 10)
    found = recomputed_trace(LineageStores(state=ran[0]), ran[1])
    ids = list(dict.fromkeys(one.prediction_id for one in found.recomputed))
    assert (len(ids), len(found.recomputed), found.complete) == (10, 20, True)
    count = int(found.nodes[0].facts["predictions"])
    assert (ids[0], ids[-1]) == (f"{ran[1]}.p1", f"{ran[1]}.p{count}")
    monkeypatch.setattr(lineage_recompute, "SAMPLE", 10_000)
    assert len(recomputed_trace(LineageStores(state=ran[0]), ran[1]).recomputed) == 2 * count


def test_without_snapshots_the_whole_run_is_folded(copied: tuple[Path, str]) -> None:
    with sqlite3.connect(journal_of(*copied)) as database:
        database.execute("DELETE FROM snapshots")
    database.close()
    assert verdicts(again(*copied, 150)) == BOTH_WAYS


def _forged(state: Path, run: str) -> str:
    """The same run with one score told otherwise, chained and signed anew; the id of that run."""
    with SqliteJournalReader(journal_of(state, run)) as reader:
        records = list(reader.records())
    started = records[0]
    assert isinstance(started, RunStarted)
    with RunRecords(journal_of(state, run)) as source:
        blobs = {
            o.features_sha256: source.reader.blob(o.features_sha256) for r in records[1:] for o in r.outputs if isinstance(o, Predicted)
        }  # type: ignore[union-attr]
    path = journal_of(state, "forged")
    path.parent.mkdir()
    with SqliteJournal(path, signer=KEY, source="replay", group_size=50) as journal:
        journal.start(started)
        for record in records[1:]:
            assert isinstance(record, Step)
            outputs = tuple(_otherwise(o, f"{run}.p60") for o in record.outputs)
            journal.keep({o.features_sha256: blobs[o.features_sha256] for o in outputs if isinstance(o, Predicted)})
            journal.commit(record.event, outputs)
    shutil.rmtree(journal_of(state, run).parent)
    return "forged"


def _otherwise(output: object, prediction_id: str) -> object:
    if not isinstance(output, Predicted) or output.prediction_id != prediction_id:
        return output
    told = {name: getattr(output, name) for name in output.__struct_fields__}
    return Predicted(**{**told, "score_hex": float_hex(9.75)})


def test_a_score_that_was_told_otherwise_differs_with_both_values(copied: tuple[Path, str]) -> None:
    state, run = copied
    _forged(state, run)
    found = again(state, run, 60)
    assert not found.complete
    assert not found.missing, "the chain itself is whole: only computing again can tell"
    differing = {(one.source, one.step) for one in found.recomputed if not one.equal}
    assert differing == {("stored features", "score"), ("recorded bars", "score"), ("recorded bars", "decision")}
    [score] = [one for one in found.recomputed if (one.source, one.step) == ("stored features", "score")]
    assert score.recorded == float_hex(9.75) != score.computed != ""
    assert again(state, run, 61).complete


def test_what_cannot_be_computed_says_why(copied: tuple[Path, str]) -> None:
    state, run = copied
    path = state / "models" / _model(state) / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))
    found = again(state, run, 60)
    assert [(one.source, one.equal, one.computed) for one in found.recomputed] == [
        ("stored features", False, ""),
        ("recorded bars", False, ""),
    ]
    assert all("other bytes than its name says" in one.detail for one in found.recomputed)


@pytest.mark.parametrize(("size", "told"), [(16, "16 bytes of features"), (7, "7 bytes of features")])
def test_features_of_another_size_cannot_be_scored(copied: tuple[Path, str], size: int, told: str) -> None:
    state, run = copied
    body = bytes(size)
    made = predicted(f"{run}.p1", model_sha256=_model(state), features_sha256=digest(body))
    path = journal_of(state, "by-hand")
    path.parent.mkdir()
    with RunRecords(journal_of(state, run)) as source, SqliteJournal(path, signer=KEY, source="test") as journal:
        journal.start(source.started)
        journal.keep({made.features_sha256: body})
        journal.commit(last_bar(), (made,))
    found = recomputed_trace(LineageStores(state=state), made.prediction_id, run="by-hand")
    assert told in found.recomputed[0].detail
    assert found.recomputed[1].detail == "the engine makes no prediction at this bar"
    assert not found.complete


# orphans -------------------------------------------------------------------------------------------------------------------


def test_runs_have_no_orphans(ran: tuple[Path, str], tmp_path: Path) -> None:
    [report] = orphans(ran[0])
    assert (report.run_id, report.count, report.orphans) == (ran[1], 0, ())
    assert report.predictions > 200
    assert report.fills == report.orders > 20
    rule = rule_run(tmp_path)
    assert [(one.run_id, one.count, one.predictions) for one in orphans(tmp_path)] == [(rule, 0, 0)]


def test_the_search_says_how_far_it_is(ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_orphans, "EVERY", 100)
    told: list[int] = []
    [report] = orphans(*ran, progress=told.append)
    assert told == [100] * (report.records // 100)


def test_features_and_papers_that_are_gone_make_orphans(copied: tuple[Path, str]) -> None:
    state, run = copied
    with sqlite3.connect(journal_of(state, run)) as database:
        database.execute("DELETE FROM blobs WHERE sha256 = (SELECT min(sha256) FROM blobs)")
    database.close()
    (state / "models" / _model(state) / "training.json").unlink()
    [report] = orphans(state, run)
    assert [one.kind for one in report.orphans] == ["model", "prediction"]
    assert "training.json" in report.orphans[0].why


def test_older_orders_are_found_in_the_index_of_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REMEMBERED", 1)
    rule = {"strategy": "trend", "prediction_id": ""}
    steps = [
        (last_bar(), (decided("run.1", **rule), sent(intent("order-1")))),
        (last_bar(), (decided("run.2", **rule), sent(intent("order-2", decision_id="run.2")))),
        (fill("late"), ()),
        (fill("lost", client_order_id="order-3"), ()),
    ]
    path = written(tmp_path, steps)
    touch_newest(path, 1)
    with RunRecords(path) as run:
        report = search(run, Documents(tmp_path))
    assert [one.id for one in report.orphans] == ["lost"]


def test_an_id_that_a_record_only_mentions_is_not_made_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REMEMBERED", 0)
    steps = [
        (last_bar(), (decided("run.1", strategy="trend", prediction_id=""), sent(intent("order-1")))),
        (fill("odd", client_order_id="run.1"), ()),
        (last_bar(), (decided("run.2", prediction_id="run.1"), sent(intent("order-2", decision_id="run.p9")))),
        (last_bar(), (decided("run.3", prediction_id="run.p9"),)),
    ]
    with RunRecords(written(tmp_path, steps)) as run:
        report = search(run, Documents(tmp_path))
    assert [one.id for one in report.orphans] == ["odd", "run.2", "order-2", "run.3"]


def test_a_run_that_cannot_be_read_is_a_finding_and_one_that_has_not_begun_is_none(copied: tuple[Path, str]) -> None:
    state, run = copied
    for name in ("just-created", "not-begun", "broken"):
        journal_of(state, name).parent.mkdir()
    journal_of(state, "just-created").touch()
    SqliteJournal(journal_of(state, "not-begun"), signer=KEY, source="test").close()
    journal_of(state, "broken").write_bytes(b"no journal" * 1_000)
    reports = {one.run_id: one for one in orphans(state)}
    assert {name: one.count for name, one in reports.items()} == {run: 0, "broken": 1}
    [found] = reports["broken"].orphans
    assert (found.kind, found.id, found.seq) == ("run", "broken", None)
    assert "cannot be read" in found.why


def test_features_that_were_recorded_otherwise_are_found_from_the_bars_alone(copied: tuple[Path, str]) -> None:
    """Vector, score and probability agree with each other, chained and signed anew: only the bars tell that the features are others."""
    state, run = copied
    with SqliteJournalReader(journal_of(state, run)) as reader:
        started, *steps = reader.records()
        blobs = {o.features_sha256: reader.blob(o.features_sha256) for s in steps for o in s.outputs if isinstance(o, Predicted)}  # type: ignore[union-attr]
    told = {o.prediction_id: o for s in steps for o in s.outputs if isinstance(o, Predicted)}  # type: ignore[union-attr]
    other = next(o for o in told.values() if o.score_hex != told[f"{run}.p60"].score_hex)
    shutil.rmtree(journal_of(state, run).parent)
    journal_of(state, "forged").parent.mkdir()
    with SqliteJournal(journal_of(state, "forged"), signer=KEY, source="replay") as journal:
        journal.start(started)  # type: ignore[arg-type]
        for one in steps:
            assert isinstance(one, Step)
            outputs = tuple(
                msgspec.structs.replace(other, prediction_id=o.prediction_id, instrument=o.instrument)
                if isinstance(o, Predicted) and o.prediction_id == f"{run}.p60" else o
                for o in one.outputs
            )  # fmt: skip
            journal.keep({o.features_sha256: blobs[o.features_sha256] for o in outputs if isinstance(o, Predicted)})
            journal.commit(one.event, outputs)
    found = again(state, run, 60)
    assert (found.missing, found.complete) == ((), False)
    assert verdicts(found) == {key: key[0] == "stored features" for key in BOTH_WAYS}


def test_a_model_that_was_exchanged_is_found(copied: tuple[Path, str]) -> None:
    state, run = copied
    other = keep_model(state, a_tree(frozen_dataset(state)))
    folder = state / "models" / _model_of(state, run)
    shutil.copy(state / "models" / other / "model.json", folder / "model.json")
    found = again(state, run, 60)
    assert not found.complete
    assert {(one.equal, one.computed) for one in found.recomputed} == {(False, "")}


def _model_of(state: Path, run: str) -> str:
    with RunRecords(journal_of(state, run)) as records:
        return model_of(records.started)
