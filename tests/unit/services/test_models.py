"""A model strategy through its life: backtest, journal file, replay, recovery, and the model found again by its hash alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.domain.events import OrderFilled
from kedge.domain.outputs import Decided, OrderSent, Predicted
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import hex_float
from kedge.learning.model import Model, encode_model, model_sha256
from kedge.learning.scorer import Scorer
from kedge.services.models import model_of, model_strategy, strategy_of
from kedge.services.recovery import recover, replay
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader
from kedge.storage.journal_verify import verify_journal
from kedge.storage.model_store import ModelStore

from ...builders import AAA, BBB, a_run, fundings, instrument, settings, walk
from ..strategy.model_documents import Shelf, a_model, params_of

MODEL = a_model(domain_low=(-0.006, -10.0), domain_high=(0.006, 10.0))
KEY = SigningKey.generate()


def finished(path: Path, model: Model = MODEL, seed: int = 6) -> Path:
    """A journalled run of two instruments with the model."""
    engine = settings(run_id="", strategy="model", params=params_of(model, outside_max=0))
    with SqliteJournal(path, signer=KEY, source="replay", group_size=7) as journal:
        run = a_run(
            walk(seed, 60, (AAA, BBB)), journal, fundings(3, (AAA, BBB)), model_strategy(engine.params, Shelf(model)),
            [instrument(), instrument(BBB)], engine=engine, snapshot_every=20,
        )  # fmt: skip
        run.drive()
        assert run.result()["fills"] > 10
        journal.close(seal=True)
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("run") / "journal.sqlite")


@pytest.fixture
def reader(stored: Path) -> Iterator[SqliteJournalReader]:
    with SqliteJournalReader(stored) as open_reader:
        yield open_reader


def steps(reader: SqliteJournalReader) -> list[Step]:
    return [record for record in reader.records() if isinstance(record, Step)]


def test_the_first_record_names_the_model_by_its_hash_and_the_strategy_comes_back_from_it(reader: SqliteJournalReader) -> None:
    started = reader.run_started()
    assert model_of(started) == started.settings["engine"]["params"]["model"] == model_sha256(MODEL)
    strategy = strategy_of(started, Shelf(MODEL))
    assert strategy is not None
    assert strategy.name == "model"


def test_a_run_of_a_rule_needs_no_model(reader: SqliteJournalReader) -> None:
    started = reader.run_started()
    rule: RunStarted = a_run([], None).started  # type: ignore[arg-type]
    assert strategy_of(rule, Shelf()) is None
    assert (model_of(rule), model_of(started)[:8]) == ("", model_sha256(MODEL)[:8])


def test_a_model_that_is_not_there_is_named(reader: SqliteJournalReader) -> None:
    with pytest.raises(NotFound, match=model_sha256(MODEL)[:16]):
        strategy_of(reader.run_started(), Shelf())


def test_a_replay_with_the_model_is_equal_to_the_byte_and_without_it_refused(reader: SqliteJournalReader) -> None:
    found = replay(reader, code_sha256="c0de", strategy=strategy_of(reader.run_started(), Shelf(MODEL)))
    assert (found.equal, found.differs_at) == (True, None)
    with pytest.raises(InvalidInput, match="was not loaded"):
        replay(reader, code_sha256="c0de")


def test_another_policy_is_another_model_and_its_replay_differs(reader: SqliteJournalReader) -> None:
    other = a_model(domain_low=(-0.006, -10.0), domain_high=(0.006, 10.0), barrier_frac=0.02)
    strategy = model_strategy(params_of(other, outside_max=0), Shelf(other))
    found = replay(reader, code_sha256="c0de", strategy=strategy)
    assert not found.equal
    assert model_sha256(MODEL) in found.recorded
    assert model_sha256(other) in found.recomputed


def test_recovery_asks_the_model_nothing_and_gives_the_same_state(reader: SqliteJournalReader) -> None:
    strategy = strategy_of(reader.run_started(), Shelf(MODEL))
    from_snapshot = recover(reader, strategy=strategy)
    from_none = recover(reader, from_snapshot=False, strategy=strategy)
    assert from_snapshot.snapshot() == from_none.snapshot()
    assert from_none.state.predictions == len([1 for step in steps(reader) for output in step.outputs if isinstance(output, Predicted)])


def test_every_prediction_is_computed_again_from_its_blob_to_the_bit(reader: SqliteJournalReader) -> None:
    scorer, predictions = Scorer(MODEL), 0
    for step in steps(reader):
        for output in step.outputs:
            if isinstance(output, Predicted):
                features = np.frombuffer(reader.blob(output.features_sha256), "<f8").copy()
                score = scorer.score(features)
                assert score == hex_float(output.score_hex)
                assert scorer.probability(score) == hex_float(output.probability_hex)
                predictions += 1
    assert predictions > 50


def test_a_fill_leads_to_its_order_decision_and_prediction_by_the_index(reader: SqliteJournalReader) -> None:
    fill = next(step.event for step in steps(reader) if isinstance(step.event, OrderFilled))
    assert [kind for kind, _ in reader.find(fill.fill_id)] == ["fill"]
    told = dict(reader.find(fill.client_order_id))
    assert {"send", "accepted", "fill"} <= set(told)
    record = reader.record(told["send"])
    assert isinstance(record, Step)
    order = next(
        o.approved.order for o in record.outputs if isinstance(o, OrderSent) and o.approved.order.client_order_id == fill.client_order_id
    )
    decided_at = dict(reader.find(order.decision_id))["decided"]
    decision = reader.record(decided_at)
    assert isinstance(decision, Step)
    (decided,) = [o for o in decision.outputs if isinstance(o, Decided) and o.decision_id == order.decision_id]
    assert decided.prediction_id
    assert reader.find(decided.prediction_id) == [("decided", decided_at), ("predicted", decided_at)]


def test_the_journal_is_verified_with_its_blobs(stored: Path) -> None:
    report = verify_journal(stored, KEY.public)
    assert report.ok, report.findings


def test_the_same_run_twice_gives_the_same_journal_to_the_byte(stored: Path, tmp_path: Path) -> None:
    again = finished(tmp_path / "again.sqlite")
    with SqliteJournalReader(stored) as one, SqliteJournalReader(again) as two:
        assert list(one.raw_rows()) == list(two.raw_rows())


def test_a_model_file_altered_by_one_byte_is_refused_at_load(tmp_path: Path) -> None:
    store, sha256 = ModelStore(tmp_path), model_sha256(MODEL)
    folder = tmp_path / sha256
    folder.mkdir()
    body = encode_model(MODEL)
    (folder / "model.json").write_bytes(body)
    assert model_strategy(params_of(MODEL), store).model_sha256 == sha256
    at = body.index(b"0.01")
    (folder / "model.json").write_bytes(body[:at] + b"9" + body[at + 1 :])
    with pytest.raises(IntegrityError, match="has other bytes than its name says"):
        model_strategy(params_of(MODEL), store)
    shutil.rmtree(folder)
    with pytest.raises(NotFound):
        model_strategy(params_of(MODEL), store)
