"""Blobs and the index beside a journal's rows: in the file with their step or not at all, found by id, and checked against the rows."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound, RecordingFailed
from kedge.domain.events import OrderCanceled, OrderFilled
from kedge.domain.orders import ApprovedOrder, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Output, Predicted
from kedge.domain.record import RunStarted, Step
from kedge.journal import FindingKind, Redactor, blobs_named, mentions
from kedge.storage import MemoryJournal, SigningKey, SqliteJournal, SqliteJournalReader
from kedge.storage.journal_beside_check import FINDINGS_MAX
from kedge.storage.journal_verify import verify_journal

from .conftest import MINUTE_NS, bar

NAME = "bybit-linear:BTCUSDT"
BODY = bytes(range(16))
SHA = digest(BODY)
ORDER = "ab" * 16


def predicted(n: int = 1, sha256: str = SHA) -> Predicted:
    return Predicted(
        prediction_id=f"run-1.p{n}", instrument=NAME, model_sha256="1" * 64, features_sha256=sha256, score_hex="0" * 16,
        probability_hex="0" * 16, probability_e8=0, expected_return_e8=0, horizon_ns=MINUTE_NS,
    )  # fmt: skip


def decided(n: int = 1) -> Decided:
    return Decided(
        decision_id=f"run-1.{n}", strategy="model", instrument=NAME, exposure_e8=0, target_lots=0, mark_ticks=1, equity_e8=1,
        prediction_id=f"run-1.p{n}",
    )  # fmt: skip


def order(client_order_id: str = ORDER) -> OrderIntent:
    return OrderIntent(
        client_order_id=client_order_id, decision_id="run-1.1", strategy="model", instrument=NAME, side=Side.BUY, kind=OrderKind.MARKET,
        time_in_force=TimeInForce.IOC, qty_lots=1,
    )  # fmt: skip


OUTPUTS: tuple[Output, ...] = (
    predicted(), decided(), OrderSent(approved=ApprovedOrder(order=order(), limits_version="1")),
    OrderRefused(order=order("cd" * 16), code="RATE", observed="9", limit="7", limits_version="1"),
)  # fmt: skip
FILL = OrderFilled(2 * MINUTE_NS, "fill-1", ORDER, NAME, Side.BUY, 1, 600_000, 5, Liquidity.TAKER, 0)


def told(journal: SqliteJournal | MemoryJournal, run_started: RunStarted) -> None:
    """A prediction with its blob, what followed from it, a fill, and bars without anything."""
    journal.start(run_started)
    journal.keep({SHA: BODY})
    journal.commit(bar(1), OUTPUTS)
    journal.commit(FILL, ())
    journal.commit(OrderCanceled(2 * MINUTE_NS, ORDER, "EXPIRED"), ())
    journal.commit(bar(3), ())
    journal.keep({SHA: BODY})
    journal.commit(bar(4), (predicted(2), decided(2)))
    journal.flush()


FOUND = {
    "run-1.p1": [("decided", 1), ("predicted", 1)],
    "run-1.1": [("decided", 1), ("refused", 1), ("send", 1)],
    ORDER: [("send", 1), ("fill", 2), ("canceled", 3)],
    "cd" * 16: [("refused", 1)],
    "fill-1": [("fill", 2)],
    "run-1.p2": [("decided", 5), ("predicted", 5)],
    "nobody": [],
}


@pytest.fixture
def path(tmp_path: Path, key: SigningKey, run_started: RunStarted) -> Path:
    with SqliteJournal(tmp_path / "run.journal", signer=key, source="test", group_size=2) as journal:
        told(journal, run_started)
    return tmp_path / "run.journal"


def change(path: Path, *statements: str, values: Sequence[object] = ()) -> None:
    db = sqlite3.connect(path)
    with db:
        for statement in statements:
            db.execute(statement, values)
    db.close()


def kinds(path: Path, key: SigningKey) -> set[FindingKind]:
    return {finding.kind for finding in verify_journal(path, key.public).findings}


def as_earlier(path: Path) -> None:
    """Make the file one of a version without blobs and index."""
    change(path, "DROP TABLE blobs", "DROP TABLE ids")


def test_blobs_and_ids_are_found(path: Path, key: SigningKey) -> None:
    with SqliteJournalReader(path) as reader:
        assert reader.blob(SHA) == BODY
        assert {id: reader.find(id) for id in FOUND} == FOUND
        record = reader.record(2)
        assert isinstance(record, Step)
        assert record.event == FILL
        assert isinstance(reader.record(0), RunStarted)
        with pytest.raises(NotFound):
            reader.record(6)
    assert verify_journal(path, key.public).ok


def test_the_journal_in_memory_answers_alike(run_started: RunStarted) -> None:
    journal = MemoryJournal()
    told(journal, run_started)
    assert journal.blob(SHA) == BODY
    assert {id: sorted(journal.find(id), key=lambda one: one[::-1]) for id in FOUND} == FOUND
    with pytest.raises(NotFound, match="does not hold it"):
        journal.blob("0" * 64)


def test_a_blob_is_named_by_its_hash_or_refused(run_started: RunStarted) -> None:
    journal = MemoryJournal()
    journal.start(run_started)
    with pytest.raises(InvalidInput, match="its bytes have SHA-256"):
        journal.keep({"0" * 64: BODY})
    with pytest.raises(InvalidInput, match="call start first"):
        MemoryJournal().keep({SHA: BODY})


@pytest.mark.parametrize("name", ["0" * 64, "", "no hash", "AB" * 32, "0" * 63])
def test_a_blob_that_is_not_there_is_named(path: Path, name: str) -> None:
    with SqliteJournalReader(path) as reader, pytest.raises(NotFound, match="does not hold it"):
        reader.blob(name)


def test_a_blob_stands_and_falls_with_its_step(tmp_path: Path, key: SigningKey, run_started: RunStarted) -> None:
    with SqliteJournal(tmp_path / "run.journal", signer=key, source="test") as journal:
        journal.start(run_started)
        journal.keep({SHA: BODY})
        with pytest.raises(InvalidInput, match="cannot be recorded"):
            journal.commit(object(), ())  # type: ignore[arg-type]
        journal.commit(bar(1), ())
    with SqliteJournalReader(tmp_path / "run.journal") as reader, pytest.raises(NotFound):
        reader.blob(SHA)
    assert verify_journal(tmp_path / "run.journal", key.public).ok


def test_what_the_file_refuses_is_refused_whole(path: Path, key: SigningKey) -> None:
    change(path, "CREATE TRIGGER full BEFORE INSERT ON ids BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    other = b"other"
    journal = SqliteJournal(path, signer=key, source="test")
    journal.keep({digest(other): other})
    with pytest.raises(RecordingFailed, match="disk is full"):
        journal.commit(bar(5), (predicted(3, digest(other)),))
    with pytest.raises(RecordingFailed):
        journal.keep({SHA: BODY})
    with pytest.raises(RecordingFailed):
        journal.close()
    with SqliteJournalReader(path) as reader:
        assert reader.find("run-1.p3") == []
        with pytest.raises(NotFound):
            reader.blob(digest(other))
    assert verify_journal(path, key.public).ok


def test_a_writer_killed_between_keep_and_commit_leaves_no_half_state(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    program = f"""
import os, signal
from pathlib import Path
from kedge.storage import SigningKey, SqliteJournal
from tests.unit.storage.conftest import bar
from tests.unit.storage.test_journal_blobs import BODY, OUTPUTS, SHA
from tests.property.test_journal_tampering import START
from kedge.storage.keys import load_or_create_key
journal = SqliteJournal(Path({str(path)!r}), signer=load_or_create_key(Path({str(tmp_path / "keys")!r})), source="test")
journal.start(START)
journal.commit(bar(1), ())
journal.keep({{SHA: BODY}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[3]
    given = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "NUMBA_DISABLE_JIT": "1"}
    died = subprocess.run([sys.executable, "-c", program], env=given, cwd=root, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    from kedge.storage.keys import load_public_key

    assert verify_journal(path, load_public_key(tmp_path / "keys")).ok
    with SqliteJournalReader(path) as reader:
        assert [seq for seq, _, _ in reader.raw_rows()] == [0, 1, 2, 3]
        with pytest.raises(NotFound):
            reader.blob(SHA)


def test_a_journal_of_an_earlier_version_is_read_by_walking_verified_and_continued_with_a_whole_index(path: Path, key: SigningKey) -> None:
    change(path, "DELETE FROM rows WHERE seq < 0")
    as_earlier(path)
    with SqliteJournalReader(path) as reader:
        assert {id: reader.find(id) for id in FOUND} == FOUND
        with pytest.raises(NotFound):
            reader.blob(SHA)
    assert kinds(path, key) == {FindingKind.BLOB}, "a row names a blob, so this one never was an earlier journal"
    with SqliteJournal(path, signer=key, source="test") as journal:
        journal.keep({SHA: BODY})
        journal.commit(bar(5), (predicted(3),))
    assert verify_journal(path, key.public).ok
    with SqliteJournalReader(path) as reader:
        assert {id: reader.beside.hints(id) for id in FOUND} == FOUND
        assert reader.find("run-1.p3") == [("predicted", 6)]


def test_an_earlier_journal_without_models_is_whole_as_it_is(write: Callable[..., Path], key: SigningKey) -> None:
    path = write(seal=False)
    as_earlier(path)
    assert verify_journal(path, key.public).ok
    with SqliteJournalReader(path) as reader:
        assert reader.find("x") == []
        assert list(reader.beside.blob_names()) == []


def test_an_earlier_journal_that_cannot_take_the_tables_is_left_as_it_was(path: Path, key: SigningKey) -> None:
    as_earlier(path)
    change(path, "CREATE TABLE ids (other)")
    with pytest.raises(RecordingFailed, match="table ids has 1 column"):
        SqliteJournal(path, signer=key, source="test")
    change(path, "DROP TABLE ids")
    SqliteJournal(path, signer=key, source="test").close()


def test_a_lost_table_takes_nothing_else_with_it_and_is_made_again(path: Path, key: SigningKey) -> None:
    change(path, "DROP TABLE ids")
    with SqliteJournalReader(path) as reader:
        assert reader.blob(SHA) == BODY
        assert {id: reader.find(id) for id in FOUND} == FOUND
    SqliteJournal(path, signer=key, source="test").close()
    assert verify_journal(path, key.public).ok
    with SqliteJournalReader(path) as reader:
        assert {id: reader.beside.hints(id) for id in FOUND} == FOUND
    change(path, "DROP TABLE blobs")
    with SqliteJournalReader(path) as reader:
        assert {id: reader.beside.hints(id) for id in FOUND} == FOUND
    SqliteJournal(path, signer=key, source="test").close()
    assert kinds(path, key) == {FindingKind.BLOB}, "what its records name stays missing"


@pytest.mark.parametrize(
    ("statement", "kind", "told"),
    [
        ("DELETE FROM blobs", FindingKind.BLOB, "is missing"),
        ("UPDATE blobs SET body = x'00'", FindingKind.BLOB, "was changed"),
        ("UPDATE blobs SET body = 'text'", FindingKind.BLOB, "was changed"),
        ("INSERT INTO blobs VALUES (x'0102', x'00')", FindingKind.BLOB, "blob 0102 is there, and no row names it"),
        ("INSERT INTO blobs VALUES ('text', x'00')", FindingKind.BLOB, "no row names it"),
        ("DELETE FROM ids WHERE kind = 'fill' AND id = 'fill-1'", FindingKind.INDEX, "does not know that record 2 mentions fill-1"),
        ("UPDATE ids SET seq = 3 WHERE id = 'fill-1'", FindingKind.INDEX, "mentions fill-1"),
        ("INSERT INTO ids VALUES ('fill-9', 'fill', 2)", FindingKind.INDEX, "1 entries that no record bears out"),
        ("INSERT INTO ids VALUES ('fill-9', 'fill', 99)", FindingKind.INDEX, "1 entries that no record bears out"),
    ],
)
def test_what_was_changed_beside_the_rows_is_found(path: Path, key: SigningKey, statement: str, kind: FindingKind, told: str) -> None:
    change(path, statement)
    report = verify_journal(path, key.public)
    assert not report.ok
    assert any(finding.kind is kind and told in finding.detail for finding in report.findings), report.findings


def test_the_neighbours_of_an_unknown_id_are_found(path: Path) -> None:
    with SqliteJournalReader(path) as reader:
        assert reader.beside.ids_around("fill-0") == ["cd" * 16, "fill-1"]
        assert reader.beside.ids_around("") == [ORDER]
        assert reader.beside.ids_around("z") == ["run-1.p2"]


def test_an_altered_blob_is_refused_when_it_is_read(path: Path) -> None:
    change(path, "UPDATE blobs SET body = x'00'")
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match="was changed"):
        reader.blob(SHA)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ids SET seq = 4 WHERE id = 'fill-1'",
        "UPDATE ids SET seq = 99 WHERE id = 'fill-1'",
        "UPDATE ids SET kind = 'send' WHERE id = 'fill-1'",
        "DELETE FROM ids WHERE id = 'fill-1'",
    ],
)
def test_a_wrong_hint_is_not_believed(path: Path, statement: str) -> None:
    change(path, statement)
    with SqliteJournalReader(path) as reader:
        assert reader.find("fill-1") == [("fill", 2)]


def test_a_damaged_index_is_a_finding_and_not_an_error(path: Path, key: SigningKey) -> None:
    change(path, "ALTER TABLE ids RENAME COLUMN kind TO sort")
    assert FindingKind.UNREADABLE in kinds(path, key)
    change(path, "ALTER TABLE ids RENAME COLUMN sort TO kind", "ALTER TABLE blobs RENAME COLUMN sha256 TO name")
    assert FindingKind.UNREADABLE in kinds(path, key)


def test_blobs_that_cannot_be_listed_are_a_finding(write: Callable[..., Path], key: SigningKey) -> None:
    path = write()
    change(path, "ALTER TABLE blobs RENAME COLUMN sha256 TO name")
    assert kinds(path, key) == {FindingKind.UNREADABLE}


def test_findings_beside_the_rows_are_cut_short(path: Path, key: SigningKey) -> None:
    db = sqlite3.connect(path)
    with db:
        db.executemany("INSERT INTO blobs VALUES (?, x'00')", [(bytes([1, n // 256, n % 256]),) for n in range(FINDINGS_MAX + 5)])
    db.close()
    report = verify_journal(path, key.public)
    assert len(report.findings) == FINDINGS_MAX + 1
    assert report.findings[-1].detail == "5 more findings in blobs and index"


def test_a_writer_at_work_is_not_told_as_a_finding(path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verified moment is fixed first; what the writer adds while rows are read belongs to later rows."""
    from kedge.storage import journal_verify

    still = journal_verify._still_moment
    journal = SqliteJournal(path, signer=key, source="test")
    other = b"later"

    def then_write(reader: SqliteJournalReader) -> tuple[bytes | None, int]:
        moment = still(reader)
        journal.keep({digest(other): other})
        journal.commit(bar(5), (predicted(3, digest(other)), decided(3)))
        return moment

    monkeypatch.setattr(journal_verify, "_still_moment", then_write)
    report = verify_journal(path, key.public)
    journal.close()
    assert report.ok, report.findings


def test_a_secret_in_an_id_reaches_neither_rows_nor_index(tmp_path: Path, key: SigningKey, run_started: RunStarted) -> None:
    path, secret = tmp_path / "run.journal", "very-secret-value"
    with SqliteJournal(path, signer=key, source="test", redactor=Redactor([secret])) as journal:
        journal.start(run_started)
        journal.commit(OrderCanceled(1, secret, "x"), ())
        journal.commit(FILL, ())
    assert secret.encode() not in path.read_bytes()
    assert verify_journal(path, key.public).ok
    with SqliteJournalReader(path) as reader:
        assert reader.find("REDACTED") == [("canceled", 1)]
        assert reader.find("fill-1") == [("fill", 2)]


def test_a_row_that_names_a_blob_by_no_hash_is_found(tmp_path: Path, key: SigningKey, run_started: RunStarted) -> None:
    with SqliteJournal(tmp_path / "run.journal", signer=key, source="test") as journal:
        journal.start(run_started)
        journal.commit(bar(1), (predicted(1, "no hash"),))
    (finding,) = verify_journal(tmp_path / "run.journal", key.public).findings
    assert (finding.kind, finding.seq) == (FindingKind.BLOB, 2)
    assert "blob no hash, which row 2 names, is missing" in finding.detail


def test_a_first_record_mentions_nothing(run_started: RunStarted) -> None:
    assert list(mentions(run_started)) == list(blobs_named(run_started)) == []


def test_a_seal_covers_blobs_and_index(tmp_path: Path, key: SigningKey, run_started: RunStarted) -> None:
    with SqliteJournal(tmp_path / "run.journal", signer=key, source="test") as journal:
        told(journal, run_started)
        journal.close(seal=True)
    assert verify_journal(tmp_path / "run.journal", key.public).ok
    change(tmp_path / "run.journal", "UPDATE blobs SET body = x'00'")
    assert kinds(tmp_path / "run.journal", key) >= {FindingKind.CHUNK, FindingKind.BLOB}
