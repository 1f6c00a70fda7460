"""A journal can be read while it is written, from any record on, and damage is named."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.domain.record import Step
from kedge.storage import SqliteJournal, SqliteJournalReader
from kedge.storage.journal_reader import PAGE_ROWS


def execute(path, statement, *values):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement, values)
    db.close()


@pytest.mark.parametrize("group_size", [1, 4, 100])
@pytest.mark.parametrize("snapshots", [(), (3, 4, 7, 12)])
def test_records_start_at_any_number(write, run_started, group_size, snapshots):
    with SqliteJournalReader(write(steps=12, group_size=group_size, snapshots=snapshots)) as reader:
        assert reader.run_started() == run_started
        assert next(reader.records()) == run_started
        for start in range(1, 14):
            assert [record.seq for record in reader.records(start_seq=start)] == list(range(start, 13))


def test_a_reader_follows_the_writer(tmp_path, key, run_started, bars):
    path = tmp_path / "run.journal"
    with SqliteJournal(path, signer=key, source="live", group_size=2) as journal, SqliteJournalReader(path) as reader:
        assert (reader.last_seq(), reader.head(), list(reader.records())) == (-1, None, [])
        journal.start(run_started)
        journal.commit(bars[0], ())
        assert reader.head().count == 1
        journal.commit(bars[1], ())
        assert reader.head().count == 3
        assert [record.seq for record in reader.records(start_seq=1)] == [1, 2]


def test_reading_leaves_the_file_as_it_is(write):
    path = write()
    before = path.read_bytes()
    with SqliteJournalReader(path) as reader:
        assert len(list(reader.records())) == 10
    assert path.read_bytes() == before


def test_more_rows_than_a_page(tmp_path, key, run_started, bars):
    path = tmp_path / "run.journal"
    with SqliteJournal(path, signer=key, source="live", group_size=10_000) as journal:
        journal.start(run_started)
        for n in range(PAGE_ROWS + 10):
            journal.commit(bars[n % 40], ())
    with SqliteJournalReader(path) as reader:
        assert [seq for seq, _, _ in reader.raw_rows()] == list(range(PAGE_ROWS + 13))
        assert [seq for seq, _, _ in reader.raw_rows(start=5, stop=8)] == [5, 6, 7]
        last = list(reader.records(start_seq=PAGE_ROWS + 10))
        assert [type(record) for record in last] == [Step]


def test_snapshots_are_found_and_checked(write):
    with SqliteJournalReader(write(steps=9, snapshots=(2, 5, 9))) as reader:
        assert [(s.seq, s.body) for s in reader.snapshots()] == [(2, b"state 2"), (5, b"state 5"), (9, b"state 9")]
        assert reader.latest_snapshot().seq == 9
        assert reader.latest_snapshot(at_or_before=8).seq == 5
        assert reader.latest_snapshot(at_or_before=1) is None


@pytest.mark.parametrize("snapshots", [(3,), (6,), (9,)])
@pytest.mark.parametrize("rehash", [False, True])
def test_a_changed_snapshot_is_refused(write, snapshots, rehash):
    path = write(steps=9, snapshots=snapshots)
    body = b"another state"
    execute(path, "UPDATE snapshots SET body = ?", body)
    if rehash:
        execute(path, "UPDATE snapshots SET sha256 = ?", hashlib.sha256(body).digest())
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match=f"snapshot of record {snapshots[0]}"):
        reader.latest_snapshot()


@pytest.mark.parametrize("record", [4, 9, 30])
def test_a_snapshot_that_the_chain_does_not_know_is_refused(write, record):
    path = write(steps=9)
    execute(path, "INSERT INTO snapshots VALUES (?, ?, ?)", record, hashlib.sha256(b"x").digest(), b"x")
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match=f"snapshot of record {record}"):
        reader.latest_snapshot()


def test_a_snapshot_of_another_type_is_refused(write):
    path = write(steps=9, snapshots=(3,))
    execute(path, "UPDATE snapshots SET body = 'text'")
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match="cannot be read"):
        reader.snapshots()


def test_the_snapshots_of_a_continued_journal_are_not_taken_twice(write, key, bars):
    path = write(steps=9, snapshots=(9,))
    with SqliteJournal(path, signer=key, source="live") as journal:
        with pytest.raises(InvalidInput, match="there is one already"):
            journal.save_snapshot(9, b"state 9")
        journal.commit(bars[9], ())
        journal.save_snapshot(10, b"state 10")
    with SqliteJournalReader(path) as reader:
        assert [snapshot.seq for snapshot in reader.snapshots()] == [9, 10]


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFound, match="no journal"):
        SqliteJournalReader(tmp_path / "absent")
    with pytest.raises(NotFound):
        SqliteJournalReader(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 5_000, b"SQLite format 3\0" + b"\1" * 5_000])
def test_a_file_that_is_no_journal_is_an_integrity_error(tmp_path, content):
    path = tmp_path / "run.journal"
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        SqliteJournalReader(path)


def test_a_broken_page_and_a_broken_record_are_integrity_errors(write):
    path = write(steps=40)
    execute(path, "UPDATE rows SET body = x'7b' WHERE seq = 20")
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match="journal row 20"):
        list(reader.records())
    data = bytearray(path.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(IntegrityError), SqliteJournalReader(path) as reader:
        list(reader.raw_rows())


def test_a_journal_without_a_start_or_a_last_head_is_an_integrity_error(write):
    path = write(steps=4)
    execute(path, "DELETE FROM rows WHERE seq = (SELECT max(seq) FROM rows)")
    execute(path, "DELETE FROM rows WHERE seq = 0")
    with SqliteJournalReader(path) as reader:
        with pytest.raises(IntegrityError, match="does not end with a head"):
            reader.head()
        with pytest.raises(IntegrityError, match="has no start"):
            reader.run_started()
