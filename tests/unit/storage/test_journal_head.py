"""The head file: two slots in turn, and whatever becomes of one of them the other still proves the journal's end."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys

import msgspec
import pytest

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, InvalidInput, RecordingFailed
from kedge.journal import Head, decode_head, sign_head
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader, verify_journal
from kedge.storage.journal_files import head_path
from kedge.storage.journal_head import SLOT_BYTES, HeadFile, check_fits, newest_copy


@pytest.fixture
def head(key):
    def make(group, **fields):
        claim = Head(run_id="run-1", group=group, seq=group, count=group, last_hash=f"{group:064x}", key_id=key.key_id)
        return sign_head(msgspec.structs.replace(claim, **fields), key)

    return make


@pytest.fixture
def signed(key):
    return lambda head: head.signed_by(key.public)


@pytest.fixture
def head_file(tmp_path):
    file = HeadFile(tmp_path / "run.journal.head")
    yield file
    file.close()


def test_groups_take_the_slots_in_turn_and_read_as_lines(head_file, head):
    for group in range(5):
        head_file.write(head(group))
        lines = head_file.path.read_bytes().splitlines(keepends=True)
        assert [len(line) for line in lines] == [SLOT_BYTES, SLOT_BYTES]
        assert lines[group % 2].rstrip() == encode(head(group))
        assert lines[1 - group % 2].strip() == (encode(head(group - 1)) if group else b"")
        assert newest_copy(head_file.path.read_bytes()).body == encode(head(group))


def test_the_first_write_of_a_process_replaces_what_was_there(head_file, head):
    head_file.path.write_bytes(b"something else" * 500)
    head_file.write(head(7))
    assert newest_copy(head_file.path.read_bytes()) == (encode(head(7)), False)


def test_a_write_torn_anywhere_leaves_the_head_before_or_the_new_one(head_file, head, signed):
    for group in (3, 4):
        head_file.write(head(group))
    before = head_file.path.read_bytes()
    head_file.write(head(5))
    slot = head_file.path.read_bytes()[SLOT_BYTES:]
    length = len(encode(head(5)))
    mixed = 0
    for cut in range(SLOT_BYTES + 1):
        torn = before[:SLOT_BYTES] + slot[:cut] + before[SLOT_BYTES + cut :]
        mixed += decode_head(torn[SLOT_BYTES:].rstrip()) not in (None, head(3), head(5))
        copy = newest_copy(torn, signed)
        if copy.body != encode(head(5)):
            assert copy.body == encode(head(4))
            assert copy.damaged == (decode_head(torn[SLOT_BYTES:].rstrip()) != head(3))
            assert cut < length
    assert mixed > 50, "heads of equal length mix to what looks like a head, so that only the signature tells"


def test_a_slot_signed_by_somebody_else_does_not_hide_ours(head, signed):
    foreign = SigningKey.generate()
    forged = sign_head(msgspec.structs.replace(head(9), key_id=foreign.key_id), foreign)
    both = encode(head(8)).ljust(SLOT_BYTES) + encode(forged)
    assert newest_copy(both, signed) == (encode(head(8)), True)
    assert newest_copy(both).body == encode(forged)
    assert newest_copy(encode(forged), signed) == (encode(forged), False)


@pytest.mark.parametrize("file", [b"", b"{}", b" " * SLOT_BYTES, bytes(2 * SLOT_BYTES), b"\xff" * 5_000])
def test_a_file_without_a_head_comes_as_it_is(file):
    assert newest_copy(file) == (file, False)


def test_what_stands_after_the_slots_is_not_read(head, signed):
    file = encode(head(4)).ljust(SLOT_BYTES) + encode(head(5)).ljust(SLOT_BYTES)
    assert newest_copy(file + encode(head(6)), signed) == (encode(head(5)), False)


def test_a_run_id_must_leave_room_for_the_largest_numbers(head):
    largest = 2**63 - 1
    grown = head(largest, run_id="")
    room_bytes = SLOT_BYTES - 1 - len(encode(grown))
    check_fits(head(0, run_id="x" * room_bytes))
    assert len(encode(head(largest, run_id="x" * room_bytes))) == SLOT_BYTES - 1
    with pytest.raises(InvalidInput, match="run_id 'xxx.* is too long") as caught:
        check_fits(head(0, run_id="x" * (room_bytes + 3)))
    assert caught.value.fix == "shorten run_id by 3 bytes"


def test_a_run_whose_heads_would_not_fit_is_not_started(tmp_path, key, run_started):
    path = tmp_path / "run.journal"
    journal = SqliteJournal(path, signer=key, source="backtest")
    with pytest.raises(InvalidInput, match="too long"):
        journal.start(msgspec.structs.replace(run_started, run_id="r" * 800))
    with pytest.raises(RecordingFailed):
        journal.close()
    with SqliteJournalReader(path) as reader:
        assert reader.last_seq() == -1
    assert not head_path(path).exists()


def test_a_write_that_the_system_cuts_short_is_an_error(head_file, head):
    head_file.write(head(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SLOT_BYTES + 100, hard))
    try:
        with pytest.raises(OSError, match="short write"):
            head_file.write(head(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert newest_copy(head_file.path.read_bytes()).body == encode(head(0))


CRASH = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kedge.domain.events import RunEnded
from kedge.domain.record import RunStarted
from kedge.storage import SigningKey, SqliteJournal
key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex({key!r})))
journal = SqliteJournal(Path({journal!r}), signer=key, source="live", group_size=1)
journal.start(RunStarted(run_id="r", account="a", source="live", speed="1", engine_version="0", code_sha256="", settings_sha256="",
    settings={{}}, instruments=(), data=(), assumptions={{}}, seed=0, started_ts_ns=0))
for n in range(4):
    journal.commit(RunEnded(n, "x"), ())
pwrite = os.pwrite
def die(fd, data, offset):
    pwrite(fd, data[:{cut}], offset)
    os.kill(os.getpid(), signal.SIGKILL)
os.pwrite = die
journal.commit(RunEnded(4, "x"), ())
"""


@pytest.mark.parametrize("cut", [0, 180, SLOT_BYTES // 2], ids=["before the head", "mid-head", "half the slot"])
def test_a_writer_killed_between_commit_and_copy_is_a_crash_and_loses_nothing(tmp_path, key, bars, cut):
    path = tmp_path / "run.journal"
    script = CRASH.format(path=sys.path, key=key._key.private_bytes_raw().hex(), journal=str(path), cut=cut)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    lags = cut < SLOT_BYTES // 2  # half a slot holds the whole head
    report = verify_journal(path, key.public)
    assert (report.ok, report.records) == (True, 6)
    assert any("lags by one group" in note for note in report.notes) == lags
    assert any("slot of the head file is unreadable" in note for note in report.notes) == (cut == 180)
    with SqliteJournal(path, signer=key, source="live") as journal:
        assert (journal.count, journal.crash_recovered) == (6, lags)
        journal.commit(bars[0], ())
    report = verify_journal(path, key.public)
    assert (report.ok, report.records, report.notes) == (True, 7, ())


def _flip(path, *offsets):
    file = bytearray(head_path(path).read_bytes())
    for offset in offsets:
        file[offset] ^= 4
    head_path(path).write_bytes(file)


def _cut(path, last_seq):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM rows WHERE seq > ?", (last_seq,))
    db.close()


def test_a_changed_slot_is_told_and_the_other_one_stands_in(write, key):
    path = write(steps=6)  # groups 0 to 2, the newest in the first slot
    whole = head_path(path).read_bytes()
    for offset, lags in ((9, True), (SLOT_BYTES - 1, True), (SLOT_BYTES + 9, False)):
        head_path(path).write_bytes(whole)
        _flip(path, offset)
        report = verify_journal(path, key.public)
        assert report.ok
        assert any("lags by one group" in note for note in report.notes) == lags
        assert any("slot of the head file is unreadable" in note for note in report.notes)
        with SqliteJournal(path, signer=key, source="backtest") as journal:
            assert journal.crash_recovered == lags


def test_with_both_slots_changed_the_journal_is_not_continued(write, key):
    path = write(steps=6)
    _flip(path, 9, SLOT_BYTES + 9)
    assert [finding.kind for finding in verify_journal(path, key.public).findings] == ["head_file"]
    with pytest.raises(IntegrityError, match="head file is damaged"):
        SqliteJournal(path, signer=key, source="backtest")


def test_the_slot_before_hides_one_cut_group_and_no_more(write, key):
    path = write(steps=9)  # heads in rows 1, 5, 9 and 13
    _flip(path, SLOT_BYTES + 9)
    _cut(path, 9)
    assert verify_journal(path, key.public).ok, "as if the older copy of the file had been put back"
    _cut(path, 5)
    assert [(finding.kind, finding.seq) for finding in verify_journal(path, key.public).findings] == [("cut_tail", 6)]


def test_a_descriptor_that_stops_taking_writes_stops_the_writer(tmp_path, key, run_started, bars):
    path = tmp_path / "run.journal"
    journal = SqliteJournal(path, signer=key, source="live", group_size=1)
    journal.start(run_started)
    read_only = os.open(head_path(path), os.O_RDONLY)
    os.dup2(read_only, journal._head_file._fd)
    os.close(read_only)
    with pytest.raises(RecordingFailed, match=r"run\.journal\.head"):
        journal.commit(bars[0], ())
    with pytest.raises(RecordingFailed, match="an earlier group"):
        journal.commit(bars[1], ())
    with pytest.raises(RecordingFailed):
        journal.close()
    with SqliteJournal(path, signer=key, source="live") as again:
        assert (again.crash_recovered, again.count) == (True, 2)


def test_closing_releases_the_descriptor(tmp_path, key, run_started):
    journal = SqliteJournal(tmp_path / "run.journal", signer=key, source="live")
    journal.start(run_started)
    fd = journal._head_file._fd
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
