"""`kedge replay` and `kedge audit verify` on a recorded run: whole, changed, signed by another, named in every way."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from kedge.apps import replay
from kedge.domain.outputs import OrderSent
from kedge.domain.record import Step
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import SigningKey, load_or_create_key

from .market_files import QUICK, bars_file, first_record, kedge, refused

HEAD = b'"type":"head"'


class Recorded(NamedTuple):
    """A finished backtest and the state folder it stands in."""

    state: Path
    run_id: str
    equity: str
    journal: Path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    state, config = folder / "state", folder / "kedge.yaml"
    config.write_text("journal: {group_size: 25}\n")
    options = ("--state-dir", state, "--config", config, "--json")
    answer = kedge("backtest", "run", *QUICK, "--data", bars_file(folder), *options).json
    return Recorded(state, answer["run_id"], answer["equity"], Path(answer["journal"]))


@pytest.fixture
def copied(recorded: Recorded, tmp_path: Path) -> Recorded:
    """The same, for a test that changes it."""
    state = tmp_path / "state"
    shutil.copytree(recorded.state, state)
    return recorded._replace(state=state, journal=state / recorded.journal.relative_to(recorded.state))


def test_a_replay_decides_the_same_to_the_byte(recorded: Recorded) -> None:
    answer = kedge("replay", recorded.run_id, "--state-dir", recorded.state, "--json")
    with SqliteJournalReader(recorded.journal) as reader:
        count = sum(1 for _ in reader.records())
    found = answer.json
    assert answer.code == 0
    assert (found["schema"], found["run_id"], found["equity"]) == ("kedge/replay/v1", recorded.run_id, recorded.equity)
    assert (found["equal"], found["differs_at"], found["same_code"]) == (True, None, True)
    assert found["records"] == count > 120


def test_a_replay_by_other_code_says_so(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "code_sha256", lambda: "0" * 64)
    answer = kedge("replay", recorded.run_id, "--state-dir", recorded.state, "--json")
    assert (answer.code, answer.json["equal"], answer.json["same_code"]) == (0, True, False)


def test_a_person_reads_the_same_replay(recorded: Recorded) -> None:
    answer = kedge("replay", recorded.run_id, "--state-dir", recorded.state)
    assert answer.code == 0
    assert "equal\tTrue\n" in answer.out
    assert f"equity\t{recorded.equity}\n" in answer.out


def test_a_changed_decision_is_found_at_its_record(recorded: Recorded, tmp_path: Path) -> None:
    """The chain of the copy holds and its key is the true one: only deciding again can tell."""
    path = tmp_path / "changed.sqlite"
    with SqliteJournalReader(recorded.journal) as reader:
        records = [record for record in reader.records() if isinstance(record, Step)]
    changed = next(n for n, record in enumerate(records, 1) if any(isinstance(o, OrderSent) for o in record.outputs))
    with SqliteJournal(path, signer=load_or_create_key(recorded.state / "keys"), source="replay") as journal:
        journal.start(first_record(recorded.journal))
        for n, record in enumerate(records, 1):
            journal.commit(record.event, tuple(map(_one_lot_more, record.outputs)) if n == changed else record.outputs)
        journal.close(seal=True)
    assert kedge("audit", "verify", path, "--state-dir", recorded.state).code == 0
    answer = kedge("replay", path, "--state-dir", recorded.state, "--json")
    assert (answer.code, answer.json["equal"], answer.json["differs_at"], answer.json["records"]) == (9, False, changed, changed + 1)
    assert '"qty_lots"' in answer.json["recorded"]
    assert answer.json["recorded"] != answer.json["recomputed"]


def _one_lot_more(output: object) -> object:
    if not isinstance(output, OrderSent):
        return output
    order = output.approved.order
    return msgspec.structs.replace(
        output,
        approved=msgspec.structs.replace(output.approved, order=msgspec.structs.replace(order, qty_lots=order.qty_lots + 1)),
    )


@pytest.mark.parametrize("command", [("replay",), ("audit", "verify")])
def test_a_run_is_named_by_id_prefix_file_or_folder(command: tuple[str, ...], recorded: Recorded) -> None:
    for name in (recorded.run_id, recorded.run_id[:6], recorded.journal, recorded.journal.parent):
        assert kedge(*command, name, "--state-dir", recorded.state).code == 0
    for name in ("bt-zzz", recorded.state / "none.sqlite", "runs/" + recorded.run_id):
        assert refused(kedge(*command, name, "--state-dir", recorded.state, "--json")) == (3, "NOT_FOUND")


@pytest.mark.parametrize("command", [("replay",), ("audit", "verify")])
def test_what_is_no_journal_is_told(command: tuple[str, ...], recorded: Recorded, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a journal " * 50)
    answer = kedge(*command, other, "--state-dir", recorded.state, "--json")
    assert answer.code in (1, 9)
    assert answer.err == ""
    assert other.read_text() == "not a journal " * 50


def test_a_whole_journal_verifies(recorded: Recorded) -> None:
    answer = kedge("audit", "verify", recorded.run_id, "--state-dir", recorded.state, "--json")
    found = answer.json
    assert (answer.code, found["ok"], found["findings"], found["journal"]) == (0, True, [], str(recorded.journal))
    assert found["key_id"] == load_or_create_key(recorded.state / "keys").key_id
    with SqliteJournalReader(recorded.journal) as reader:
        assert found["records"] == sum(1 for _ in reader.records())
    told = kedge("audit", "verify", recorded.run_id, "--state-dir", recorded.state).out.splitlines()
    assert told[0] == "journal\trecords\tkey\tverdict"
    assert told[1].endswith("\twhole: chain, signatures and seal hold")
    assert told[2:] == [f"last hash {found['last_hash']}: keep it elsewhere to prove later that nothing was cut"]


def test_a_flipped_bit_is_found_at_its_row_and_shown(copied: Recorded) -> None:
    with sqlite3.connect(copied.journal) as database:
        (body,) = database.execute("SELECT body FROM rows WHERE seq = 40").fetchone()
        database.execute("UPDATE rows SET body = ? WHERE seq = 40", (body[:-2] + bytes([body[-2] ^ 1]) + body[-1:],))
    database.close()
    answer = kedge("audit", "verify", copied.run_id, "--state-dir", copied.state, "--json")
    assert (answer.code, answer.json["ok"]) == (9, False)
    assert 40 in {finding["seq"] for finding in answer.json["findings"]}
    shown = kedge("audit", "verify", copied.run_id, "--state-dir", copied.state)
    assert shown.code == 9
    assert shown.out.splitlines()[1].endswith(f"\t{len(answer.json['findings'])} findings")
    assert "seq\tkind\tdetail" in shown.out
    assert f"\n40\t{answer.json['findings'][0]['kind']}\t" in shown.out


def test_a_cut_tail_is_found(copied: Recorded) -> None:
    with sqlite3.connect(copied.journal) as database:
        heads = [seq for seq, body in database.execute("SELECT seq, body FROM rows ORDER BY seq") if HEAD in body]
        assert len(heads) > 3
        database.execute("DELETE FROM rows WHERE seq > ?", (heads[1],))
    database.close()
    answer = kedge("audit", "verify", copied.run_id, "--state-dir", copied.state, "--json")
    assert answer.code == 9
    assert "cut_tail" in {finding["kind"] for finding in answer.json["findings"]}


def test_only_the_trusted_key_is_trusted(recorded: Recorded) -> None:
    own, other = load_or_create_key(recorded.state / "keys").public, SigningKey.generate().public
    options = ("--state-dir", recorded.state, "--json")
    assert kedge("audit", "verify", recorded.run_id, "--public-key", own.text, *options).code == 0
    answer = kedge("audit", "verify", recorded.run_id, "--public-key", other.text, *options)
    assert (answer.code, answer.json["key_id"]) == (9, other.key_id)
    assert {finding["kind"] for finding in answer.json["findings"]} & {"wrong_key", "signature"}
    assert refused(kedge("audit", "verify", recorded.run_id, "--public-key", "ed25519:xyz", *options))[0] == 4


def test_without_a_key_to_trust_nothing_is_verified(copied: Recorded) -> None:
    shutil.rmtree(copied.state / "keys")
    assert refused(kedge("audit", "verify", copied.run_id, "--state-dir", copied.state, "--json")) == (3, "NOT_FOUND")
    assert not (copied.state / "keys").exists()


def test_a_backtest_cut_back_to_an_older_head_gives_itself_away(recorded: Recorded, tmp_path: Path) -> None:
    """Without a key: fewer rows, an older signed head in its own file, no seal. Only the missing end and seal can tell."""
    path = tmp_path / "cut.sqlite"
    with SqliteJournalReader(recorded.journal) as reader:
        records = [record for record in reader.records() if isinstance(record, Step)]
    with SqliteJournal(path, signer=load_or_create_key(recorded.state / "keys"), source="replay") as journal:
        journal.start(first_record(recorded.journal))
        for record in records[: len(records) // 2]:
            journal.commit(record.event, record.outputs)
    answer = kedge("audit", "verify", path, "--state-dir", recorded.state, "--json")
    assert (answer.code, [f["kind"] for f in answer.json["findings"]]) == (9, ["unfinished"])
    assert answer.json["notes"] == ["the run has no end: it is running, was killed, or its tail was cut back to an older signed head"]


def test_a_finished_backtest_without_its_seal_is_a_finding(recorded: Recorded, tmp_path: Path) -> None:
    copy = tmp_path / "journal.sqlite"
    for name in ("journal.sqlite", "journal.sqlite.head"):
        shutil.copy(recorded.journal.with_name(name), tmp_path / name)
    answer = kedge("audit", "verify", copy, "--state-dir", recorded.state, "--json")
    assert (answer.code, [f["kind"] for f in answer.json["findings"]]) == (9, ["unsealed"])


def test_an_empty_name_names_no_run(recorded: Recorded) -> None:
    assert refused(kedge("audit", "verify", "", "--state-dir", recorded.state, "--json")) == (3, "NOT_FOUND")
