"""The same command gives the same run, to the byte, wherever and however it is run; a replay finds the one record that was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from kedge.domain.outputs import Decided
from kedge.domain.record import RunStarted, Step
from kedge.journal import first_difference
from kedge.storage import SqliteJournal, SqliteJournalReader, load_or_create_key

from .commands import Answer, environment, kedge, spawn

ROWS = 1_500
FIGURES = (
    "run_id",
    "bars",
    "orders",
    "fills",
    "round_trips",
    "equity",
    "drawdown",
    "realised",
    "fees",
    "funding_paid",
    "funnel",
    "assumptions",
)


@pytest.fixture(scope="module")
def files(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two months of hourly bars of two instruments, with their funding."""
    folder = tmp_path_factory.mktemp("files")
    arguments = []
    for symbol in ("BTCUSDT", "SOLUSDT"):
        path = folder / f"bybit-linear-{symbol}-1h.parquet"
        pl.read_parquet(data_folder / "ohlcv" / path.name).tail(ROWS).write_parquet(path)
        arguments += ["--data", str(path), "--funding", str(data_folder / "funding" / f"bybit-linear-{symbol}.parquet")]
    return arguments


def backtest(run: Callable[..., Answer], files: list[str], state: Path, *more: str, **options: Any) -> dict[str, Any]:
    arguments = (
        "backtest",
        "run",
        "--strategy",
        "trend",
        "--param",
        "fast=8",
        "--param",
        "slow=24",
        *files,
        "--state-dir",
        state,
        *more,
        "--json",
    )
    answer = run(*arguments, **options)
    assert answer.code == 0, answer
    return answer.json


@pytest.fixture(scope="module")
def first(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = tmp_path_factory.mktemp("first")
    config = state / "kedge.yaml"
    config.write_text("journal: {group_size: 100, snapshot_every: 500}\n")
    return {**backtest(kedge, files, state, "--config", str(config)), "state": state, "config": config}


def last_hash(journal: str) -> bytes:
    with SqliteJournalReader(Path(journal)) as reader:
        return list(reader.raw_rows(start=reader.last_seq()))[-1][1]


def test_another_process_folder_and_hash_seed_give_the_same_chain(first: dict[str, Any], files: list[str], tmp_path: Path):
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    elsewhere.mkdir()
    state.mkdir()
    shutil.copytree(first["state"] / "keys", state / "keys")  # heads are signed, and the key's name is part of the chain
    for seed in ("1", "4242"):
        again = backtest(spawn, files, state, "--config", str(first["config"]), cwd=elsewhere, env=environment(PYTHONHASHSEED=seed))
        assert {name: again[name] for name in FIGURES} == {name: first[name] for name in FIGURES}
        assert last_hash(again["journal"]) == last_hash(first["journal"])
    assert [p.name for p in (state / "runs").iterdir()] == [first["run_id"]]
    assert list(elsewhere.iterdir()) == []


def test_another_key_signs_the_same_records(first: dict[str, Any], files: list[str], tmp_path: Path):
    again = backtest(kedge, files, tmp_path, "--config", str(first["config"]))
    assert last_hash(again["journal"]) != last_hash(first["journal"])
    with SqliteJournalReader(Path(first["journal"])) as one, SqliteJournalReader(Path(again["journal"])) as other:
        assert first_difference(one.raw_rows(), other.raw_rows()) is None


def test_other_groups_hold_the_same_steps(first: dict[str, Any], files: list[str], tmp_path: Path):
    again = backtest(kedge, files, tmp_path, "--config", str(_config(tmp_path, "journal: {group_size: 7, snapshot_every: 500}")))
    assert again["run_id"] == first["run_id"]
    assert again["equity"] == first["equity"]


def test_the_order_of_the_files_does_not_matter(first: dict[str, Any], files: list[str], tmp_path: Path):
    again = backtest(kedge, [*files[4:], *files[:4]], tmp_path, "--config", str(first["config"]))
    assert {name: again[name] for name in FIGURES} == {name: first[name] for name in FIGURES}


def test_without_a_journal_the_figures_are_the_same_and_nothing_is_left(first: dict[str, Any], files: list[str], tmp_path: Path):
    again = backtest(kedge, files, tmp_path / "state", "--no-journal", "--config", str(first["config"]))
    assert again["journal"] is None
    assert {name: again[name] for name in FIGURES} == {name: first[name] for name in FIGURES}
    assert not (tmp_path / "state").exists()


def test_laws_that_are_not_compiled_give_the_same_run(first: dict[str, Any], files: list[str], tmp_path: Path):
    again = backtest(
        spawn,
        files,
        tmp_path,
        "--no-journal",
        "--config",
        str(first["config"]),
        env=environment(NUMBA_DISABLE_JIT="1", KEDGE_CACHE_DIR=str(tmp_path)),
    )
    assert {name: again[name] for name in FIGURES} == {name: first[name] for name in FIGURES}


def test_every_setting_that_matters_names_another_run(first: dict[str, Any], files: list[str], tmp_path: Path):
    config = ("--config", str(first["config"]))
    others = [("--wallet", "100001"), ("--seed", "8"), ("--entry", "limit"), ("--param", "slow=25")]
    ids = {backtest(kedge, files, tmp_path, "--no-journal", *config, *more)["run_id"] for more in others}
    ids.add(backtest(kedge, files[:4], tmp_path, "--no-journal", *config)["run_id"])
    ids.add(backtest(kedge, files, tmp_path, "--no-journal", "--config", str(_config(tmp_path, "costs: {latency_ms: 51}")))["run_id"])
    assert len(ids | {first["run_id"]}) == len(others) + 3


def test_the_result_is_kept_beside_the_journal(first: dict[str, Any]):
    kept = json.loads(Path(first["journal"]).with_name("result.json").read_text())
    assert {name: kept[name] for name in FIGURES} == {name: first[name] for name in FIGURES}


def test_a_run_is_found_by_id_by_its_first_letters_and_by_file(first: dict[str, Any], tmp_path: Path):
    for name in (first["run_id"], first["run_id"][:7], first["journal"], str(Path(first["journal"]).parent)):
        answer = kedge("replay", name, "--state-dir", first["state"], "--json")
        assert (answer.code, answer.json["equal"], answer.json["same_code"]) == (0, True, True)
    assert kedge("replay", first["run_id"], "--state-dir", tmp_path, "--json").code == 3


Change = Callable[[Step], Step | None]


def rebuilt(first: dict[str, Any], folder: Path, change: Change, **started: Any) -> Path:
    """The same journal with some records changed or left out, in a chain that holds and under the true key."""
    copy = folder / "journal.sqlite"
    with SqliteJournalReader(Path(first["journal"])) as reader:
        records = list(reader.records())
    head = records[0]
    assert isinstance(head, RunStarted)
    with SqliteJournal(copy, signer=load_or_create_key(first["state"] / "keys"), source="replay", group_size=100) as journal:
        journal.start(msgspec.structs.replace(head, **started))
        for record in records[1:]:
            assert isinstance(record, Step)
            kept = change(record)
            if kept is not None:
                journal.commit(kept.event, kept.outputs)
        journal.close(seal=True)
    return copy


def steps_of(first: dict[str, Any], kind: str) -> list[Step]:
    """Steps that decided something, or whose event is of this kind."""
    with SqliteJournalReader(Path(first["journal"])) as reader:
        steps = [record for record in reader.records() if isinstance(record, Step)]
    if kind == "decided":
        return [step for step in steps if any(isinstance(output, Decided) for output in step.outputs)]
    return [step for step in steps if type(step.event).__name__ == kind]


def verdict(first: dict[str, Any], journal: Path) -> tuple[Answer, Answer]:
    options = ("--state-dir", first["state"], "--json")
    return kedge("audit", "verify", journal, *options), kedge("replay", journal, *options)


def test_a_true_copy_replays_equal(first: dict[str, Any], tmp_path: Path):
    audit, replay = verdict(first, rebuilt(first, tmp_path, lambda step: step))
    assert (audit.code, replay.code, replay.json["equal"]) == (0, 0, True)


def test_one_altered_decision_is_named_though_the_chain_holds(first: dict[str, Any], tmp_path: Path):
    target = steps_of(first, "decided")[3]

    def one_lot_more(step: Step) -> Step:
        if step.seq != target.seq:
            return step
        changed = tuple(msgspec.structs.replace(o, target_lots=o.target_lots + 1) if isinstance(o, Decided) else o for o in step.outputs)
        return msgspec.structs.replace(step, outputs=changed)

    audit, replay = verdict(first, rebuilt(first, tmp_path, one_lot_more))
    assert (audit.code, audit.json["findings"]) == (0, [])
    assert (replay.code, replay.json["equal"], replay.json["differs_at"]) == (9, False, target.seq)
    assert replay.json["recorded"] != replay.json["recomputed"]
    assert "target_lots" in replay.json["recomputed"]


def test_outputs_that_were_invented_or_left_out_are_named(first: dict[str, Any], tmp_path: Path):
    decided = steps_of(first, "decided")[0]
    silent = next(step for step in steps_of(first, "BarClosed") if not step.outputs and step.seq > decided.seq)
    for seq, outputs in ((decided.seq, ()), (silent.seq, decided.outputs)):
        folder = tmp_path / str(seq)
        folder.mkdir()

        def other(step: Step, seq: int = seq, outputs: Any = outputs) -> Step:
            return msgspec.structs.replace(step, outputs=outputs) if step.seq == seq else step

        _, replay = verdict(first, rebuilt(first, folder, other))
        assert (replay.code, replay.json["differs_at"]) == (9, seq)


def test_a_fill_that_was_left_out_changes_what_follows(first: dict[str, Any], tmp_path: Path):
    lost = steps_of(first, "OrderFilled")[2]
    _, replay = verdict(first, rebuilt(first, tmp_path, lambda step: None if step.seq == lost.seq else step))
    assert (replay.code, replay.json["equal"]) == (9, False)
    assert replay.json["differs_at"] >= lost.seq


def test_a_journal_of_other_code_is_compared_and_says_so(first: dict[str, Any], tmp_path: Path):
    _, replay = verdict(first, rebuilt(first, tmp_path, lambda step: step, code_sha256="0" * 64))
    assert (replay.code, replay.json["equal"], replay.json["same_code"]) == (0, True, False)


def _config(folder: Path, text: str) -> Path:
    path = folder / "other.yaml"
    path.write_text(text + "\n")
    return path
