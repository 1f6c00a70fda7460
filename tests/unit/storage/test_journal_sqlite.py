"""A group is durable when its call returns, one process writes, and a damaged end is not written on."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kedge.domain.canonical import chain_hash, encode
from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, KedgeError, RecordingFailed
from kedge.journal import Redactor, decode_head, first_difference, sign_head
from kedge.storage import MemoryJournal, SigningKey, SqliteJournal, SqliteJournalReader, verify_journal
from kedge.storage.journal_files import WriterLock, head_path, lock_path, replace_file, seal_path
from kedge.storage.journal_head import newest_copy


def sql(path, statement, *values):
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return db.execute(statement, values).fetchall()
    finally:
        db.close()


@pytest.fixture
def reopen(key):
    def run(path, **options):
        return SqliteJournal(path, **{"signer": key, "source": "backtest", "group_size": 3, **options})

    return run


def test_file_and_memory_hold_the_same_rows(write, key, run_started, bars):
    memory = MemoryJournal(signer=key, source="backtest", group_size=3)
    memory.start(run_started)
    for event in bars[:9]:
        memory.commit(event, ())
    memory.flush()
    with SqliteJournalReader(write(steps=9, group_size=3)) as reader:
        assert list(reader.raw_rows()) == memory.rows
        assert encode(reader.head()) == memory.rows[-1][2]


def test_with_groups_of_one_every_commit_is_durable_on_return(tmp_path, reopen, run_started, bars, key):
    path = tmp_path / "run.journal"
    with reopen(path, group_size=1) as journal:
        journal.start(run_started)
        for n, event in enumerate(bars[:3], 1):
            journal.commit(event, ())
            with SqliteJournalReader(path) as reader:
                assert reader.head().count == n + 1
                assert newest_copy(head_path(path).read_bytes()).body == encode(reader.head())
    assert verify_journal(path, key.public).ok


def test_a_killed_writer_loses_nothing_that_was_committed_and_frees_the_lock(tmp_path, reopen, key):
    path = tmp_path / "run.journal"
    script = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import msgspec
from kedge.domain.events import RunEnded
from kedge.domain.record import RunStarted
from kedge.storage import SigningKey, SqliteJournal
key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex({key._key.private_bytes_raw().hex()!r})))
journal = SqliteJournal(Path({str(path)!r}), signer=key, source="live", group_size=1)
journal.start(RunStarted(run_id="r", account="a", source="live", speed="1", engine_version="0", code_sha256="", settings_sha256="",
    settings={{}}, instruments=(), data=(), assumptions={{}}, seed=0, started_ts_ns=0))
for n in range(5):
    journal.commit(RunEnded(n, "x"), ())
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert verify_journal(path, key.public).records == 6
    with reopen(path) as journal:
        assert (journal.count, journal.run_id, journal.crash_recovered) == (6, "r", False)


def test_a_second_writer_is_told_who_holds_the_file(tmp_path, reopen, run_started):
    path = tmp_path / "run.journal"
    with reopen(path) as journal:
        journal.start(run_started)
        with pytest.raises(Conflict, match=f"process {os.getpid()}") as caught:
            reopen(path)
        assert "name another journal" in caught.value.fix
    reopen(path).close()


def test_a_journal_is_continued_where_it_ended(write, reopen, bars, key):
    whole, part = write(steps=9, name="whole"), write(steps=6, name="part")
    with reopen(part) as journal:
        assert (journal.count, journal.run_id) == (7, "run-1")
        for event in bars[6:9]:
            journal.commit(event, ())
    with SqliteJournalReader(whole) as one, SqliteJournalReader(part) as other:
        assert list(one.raw_rows()) == list(other.raw_rows())
    assert verify_journal(part, key.public).ok


def test_a_continued_journal_is_not_started_again(write, reopen, run_started):
    with reopen(write()) as journal, pytest.raises(Conflict, match="already holds run"):
        journal.start(run_started)


def test_a_file_that_was_opened_and_never_started_can_be_started(tmp_path, reopen, run_started, key):
    path = tmp_path / "run.journal"
    reopen(path).close()
    assert not verify_journal(path, key.public).ok
    with reopen(path) as journal:
        journal.start(run_started)
    assert verify_journal(path, key.public).ok


def test_a_head_file_one_group_behind_is_a_crash_and_is_mended(write, reopen, key):
    path = write(steps=6)
    with SqliteJournalReader(path) as reader:
        rows = list(reader.raw_rows())
    head_path(path).write_bytes(rows[5][2])
    report = verify_journal(path, key.public)
    assert (report.ok, len(report.notes)) == (True, 1)
    with reopen(path) as journal:
        assert journal.crash_recovered
    assert newest_copy(head_path(path).read_bytes()).body == rows[-1][2]
    with reopen(path) as journal:
        assert not journal.crash_recovered


def test_a_missing_head_file_is_a_crash_only_after_the_first_group(write, reopen):
    path = write(steps=0)
    head_path(path).unlink()
    with reopen(path) as journal:
        assert journal.crash_recovered
    path = write(steps=3, name="longer")
    head_path(path).unlink()
    with pytest.raises(IntegrityError, match="2 groups behind"):
        reopen(path)


def _fake_row(path):
    seq, stored, body = sql(path, "SELECT * FROM rows ORDER BY seq DESC LIMIT 1")[0]
    fake = sql(path, "SELECT body FROM rows WHERE seq = 2")[0][0]
    sql(path, "INSERT INTO rows VALUES (?, ?, ?)", seq + 1, chain_hash(stored, fake), fake)


def _other_signature(path):
    seq, _, body = sql(path, "SELECT * FROM rows ORDER BY seq DESC LIMIT 1")[0]
    sql(path, "UPDATE rows SET body = ? WHERE seq = ?", body.replace(b'"count":7', b'"count":6'), seq)


def _two_groups_ahead(path):
    sql(path, "DELETE FROM rows WHERE seq > 5")


BROKEN_ENDS = {
    "the tail was lengthened": _fake_row,
    "1 groups ahead of the journal: the tail was cut": _two_groups_ahead,
    "the journal is empty and its head file is not": lambda path: sql(path, "DELETE FROM rows"),
    "signature of the head in row 9 is wrong": _other_signature,
    "does not follow from row 8": lambda path: sql(path, "UPDATE rows SET hash = x'00' WHERE seq = 8"),
    "another type where bytes belong": lambda path: sql(path, "UPDATE rows SET hash = 'text' WHERE seq = 8"),
    "the head file is damaged": lambda path: head_path(path).write_bytes(b"{"),
    "2 groups behind the journal": lambda path: head_path(path).write_bytes(sql(path, "SELECT body FROM rows WHERE seq = 1")[0][0]),
}


@pytest.mark.parametrize("why", BROKEN_ENDS)
def test_a_journal_that_does_not_end_as_its_writer_left_it_is_not_continued(write, reopen, key, why):
    path = write(steps=6)
    BROKEN_ENDS[why](path)
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match=why) as caught:
        reopen(path)
    assert "kedge audit verify" in caught.value.fix
    assert path.read_bytes() == before
    assert not verify_journal(path, key.public).ok


def test_a_head_file_of_another_run_or_with_other_content_is_refused(write, reopen, key, run_started):
    path = write(steps=6)
    head = decode_head(newest_copy(head_path(path).read_bytes()).body)
    for change, why in (({"run_id": "other"}, "belongs to run other"), ({"count": 5}, "hold different heads")):
        replace_file(head_path(path), encode(sign_head(msgspec.structs.replace(head, **change), key)))
        with pytest.raises(IntegrityError, match=why):
            reopen(path)


def test_another_key_does_not_continue_a_journal(write):
    with pytest.raises(IntegrityError, match="signed with key"):
        SqliteJournal(write(), signer=SigningKey.generate(), source="backtest")


def _commit_all(journal, events):
    for event in events:
        journal.commit(event, ())


def test_a_full_disk_stops_the_writer_and_spares_what_was_written(tmp_path, reopen, run_started, bars, key):
    path = tmp_path / "run.journal"
    journal = reopen(path)
    journal.start(run_started)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(RecordingFailed, match="full") as caught:
        _commit_all(journal, bars)
    committed = journal.count - 2
    assert "disk space" in caught.value.fix
    assert committed >= 3
    with pytest.raises(RecordingFailed, match="an earlier group"):
        journal.commit(bars[0], ())
    with pytest.raises(RecordingFailed):
        journal.close()
    report = verify_journal(path, key.public)
    assert report.ok
    assert report.records == 1 + committed // 3 * 3
    with reopen(path) as again:
        again.commit(bars[0], ())
    assert verify_journal(path, key.public).records == report.records + 1


def test_a_file_size_limit_of_the_system_stops_the_writer_and_spares_what_was_written(tmp_path, key):
    path = tmp_path / "run.journal"
    script = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from kedge.domain.errors import RecordingFailed
from kedge.domain.events import RunEnded
from kedge.domain.record import RunStarted
from kedge.storage import SigningKey, SqliteJournal
key = SigningKey.generate()
journal = SqliteJournal(Path({str(path)!r}), signer=key, source="live", group_size=2)
journal.start(RunStarted(run_id="r", account="a", source="live", speed="1", engine_version="0", code_sha256="", settings_sha256="",
    settings={{}}, instruments=(), data=(), assumptions={{}}, seed=0, started_ts_ns=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
n = 0
try:
    while n < 100_000:
        journal.commit(RunEnded(n, "x" * 500), ())
        n += 1
except RecordingFailed as error:
    print(key.public.text, n, error.code)
try:
    journal.commit(RunEnded(n, "x"), ())
except RecordingFailed:
    print("still refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    first, second = done.stdout.splitlines()
    public, committed, code = first.split()
    assert (code, second) == ("RECORDING_FAILED", "still refused"), done.stderr
    report = verify_journal(path, type(key.public).from_text(public))
    assert report.ok
    assert report.records == 1 + int(committed) // 2 * 2


def _fail_inside(journal, run_started, event):
    with journal:
        journal.start(run_started)
        journal.commit(event, ())
        raise ZeroDivisionError


def test_leaving_by_an_error_keeps_what_was_committed_and_shows_that_error(tmp_path, reopen, run_started, bars):
    path = tmp_path / "run.journal"
    with pytest.raises(ZeroDivisionError):
        _fail_inside(reopen(path, group_size=100), run_started, bars[0])
    with SqliteJournalReader(path) as reader:
        assert reader.head().count == 2


def test_a_closed_journal_takes_nothing(tmp_path, reopen, run_started, bars):
    journal = reopen(tmp_path / "run.journal")
    journal.start(run_started)
    journal.close()
    journal.close()
    with pytest.raises(RecordingFailed, match="it was closed"):
        journal.commit(bars[0], ())


def test_the_redactor_guards_the_file(tmp_path, reopen, run_started, key):
    path = tmp_path / "run.journal"
    with reopen(path, redactor=Redactor(["run-1-canary"])) as journal:
        journal.start(msgspec.structs.replace(run_started, account="run-1-canary"))
    assert b"canary" not in path.read_bytes()


@pytest.mark.parametrize("name", ["absent/run.journal", "."])
def test_a_path_that_cannot_hold_a_journal_is_refused(tmp_path, reopen, name):
    with pytest.raises(InvalidInput, match="journal path"):
        reopen(tmp_path / name)


@pytest.mark.parametrize("content", [b"not a database, and long enough to be looked at" * 30, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path, reopen, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(KedgeError) as caught:
        reopen(path)
    assert isinstance(caught.value, IntegrityError)
    assert path.read_bytes() == content


def test_another_program_s_database_is_refused(tmp_path, reopen, key):
    path = tmp_path / "other.db"
    sql(path, "CREATE TABLE t (x)")
    with pytest.raises(IntegrityError, match="is no Kedge journal"):
        reopen(path)
    assert not verify_journal(path, key.public).ok


def test_sealing_leaves_one_plain_file_and_opening_breaks_the_seal(write, reopen, key, tmp_path):
    path = write(seal=True)
    assert seal_path(path).exists()
    assert not list(tmp_path.glob("*-wal")) + list(tmp_path.glob("*-shm"))
    assert verify_journal(path, key.public).ok
    copy = tmp_path / "copy.journal"
    for suffix in ("", ".head", ".seal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    assert verify_journal(copy, key.public).ok
    with reopen(path):
        assert not seal_path(path).exists()
    assert verify_journal(path, key.public).ok


def test_a_journal_that_is_being_read_cannot_be_sealed(tmp_path, reopen, run_started, key):
    path = tmp_path / "run.journal"
    journal = reopen(path)
    journal._db.execute("PRAGMA busy_timeout = 50")
    journal.start(run_started)
    reader = SqliteJournalReader(path)
    reader._db.execute("BEGIN")
    reader.last_seq()
    with pytest.raises(KedgeError):
        journal.close(seal=True)
    reader.close()
    assert not seal_path(path).exists()
    assert verify_journal(path, key.public).ok
    assert lock_path(path).read_bytes() == b""


def test_a_file_that_somebody_else_holds_is_not_called_a_full_disk(tmp_path, reopen, run_started):
    path = tmp_path / "run.journal"
    journal = reopen(path)
    journal._db.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RecordingFailed, match="database is locked") as told:
        journal.start(run_started)
    other.close()
    assert told.value.fix.startswith("end whoever holds the file, then open the journal again")
    with pytest.raises(RecordingFailed):
        journal.close()


def test_a_journal_that_could_not_start_takes_nothing(tmp_path, reopen, run_started):
    (tmp_path / "run.journal.head.tmp").mkdir()
    journal = reopen(tmp_path / "run.journal")
    for _ in range(2):
        with pytest.raises(RecordingFailed):
            journal.start(run_started)
    with pytest.raises(RecordingFailed):
        journal.close()


def test_the_lock_needs_a_folder_that_can_be_written(tmp_path):
    (tmp_path / "run.journal.lock").mkdir()
    with pytest.raises(RecordingFailed, match="cannot create"):
        WriterLock(tmp_path / "run.journal")


def test_two_runs_of_the_same_bars_have_the_same_records(write):
    with SqliteJournalReader(write(group_size=1, name="a")) as one, SqliteJournalReader(write(group_size=5, name="b")) as other:
        assert first_difference(one.raw_rows(), other.raw_rows()) is None
