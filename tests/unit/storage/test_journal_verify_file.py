"""Verifying a file finds what is wrong in it and beside it, also while it grows."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from kedge.domain.errors import NotFound
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader, verify_journal
from kedge.storage.journal_files import head_path, seal_path


def execute(path, statement, *values):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement, values)
    db.close()


def kinds(report):
    return {finding.kind.value for finding in report.findings}


def test_a_journal_with_snapshots_and_a_seal_is_whole(write, key):
    report = verify_journal(write(steps=9, snapshots=(3, 9), seal=True), key.public)
    assert (report.ok, report.records, sorted(report.snapshots)) == (True, 10, [3, 9])


def test_the_public_key_matters(write):
    report = verify_journal(write(seal=True), SigningKey.generate().public)
    assert kinds(report) == {"wrong_key", "head_file", "seal"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE snapshots SET body = x'00' WHERE seq = 3", "snapshot of record 3 was changed"),
        ("UPDATE snapshots SET sha256 = x'00' WHERE seq = 3", "snapshot of record 3 was changed"),
        ("UPDATE snapshots SET body = 'text' WHERE seq = 3", "cannot be read"),
        ("DELETE FROM snapshots WHERE seq = 3", "snapshot of record 3 is missing"),
        ("UPDATE snapshots SET seq = 4 WHERE seq = 3", "snapshot of record 4 is not in the chain"),
        ("INSERT INTO snapshots VALUES (9, x'00', x'00')", "snapshot of record 9 is not in the chain"),
    ],
)
def test_snapshots_are_checked_against_the_chain(write, key, statement, expected):
    path = write(steps=9, snapshots=(3, 6))
    execute(path, statement)
    report = verify_journal(path, key.public)
    assert not report.ok
    assert any(expected in finding.detail for finding in report.findings)


def test_any_flipped_byte_of_a_row_in_the_file_is_found_at_its_row(write, key):
    path = write(steps=9, group_size=3)
    with SqliteJournalReader(path) as reader:
        rows = list(reader.raw_rows())
    data = path.read_bytes()
    for seq, stored, body in rows:
        for start, part in ((data.index(stored), stored), (data.index(body), body)):
            offset = start + seq % len(part)
            path.write_bytes(data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :])
            report = verify_journal(path, key.public)
            assert seq in {finding.seq for finding in report.findings}


def test_a_value_retyped_by_one_bit_is_found(write, key):
    path = write(steps=9)
    execute(path, "UPDATE rows SET body = CAST(body AS TEXT) WHERE seq = 3")
    assert "type" in kinds(verify_journal(path, key.public))


def test_a_sealed_file_shows_bytes_changed_outside_records(write, key):
    path = write(steps=9, seal=True)
    data = bytearray(path.read_bytes())
    data[4_096 + 200] ^= 1  # free space of a page
    path.write_bytes(data)
    report = verify_journal(path, key.public)
    assert kinds(report) == {"chunk"}
    assert "bytes 0 to" in report.findings[0].detail


def test_a_log_slipped_in_beside_a_sealed_file_is_not_read(write, key, tmp_path):
    path = write(steps=9, seal=True)
    for suffix in ("-wal", "-journal"):
        path.with_name(path.name + suffix).write_bytes(b"\x37\x7f\x06\x82" + bytes(5_000))
    assert verify_journal(path, key.public).ok


def test_a_damaged_seal_is_found(write, key):
    path = write(seal=True)
    body = seal_path(path).read_bytes()
    for damaged in (b"", body[:-1], body.replace(b'"size_bytes":', b'"size_bytes":1')):
        seal_path(path).write_bytes(damaged)
        assert kinds(verify_journal(path, key.public)) == {"seal"}


def test_a_journal_cut_with_its_file_is_found(write, key):
    path = write(steps=9, group_size=3)
    execute(path, "DELETE FROM rows WHERE seq > 9")
    report = verify_journal(path, key.public)
    assert [(finding.kind.value, finding.seq) for finding in report.findings] == [("cut_tail", 10)]
    head_path(path).unlink()
    assert kinds(verify_journal(path, key.public)) == {"head_file"}


def test_a_missing_file_is_not_found(tmp_path, key):
    with pytest.raises(NotFound):
        verify_journal(tmp_path / "absent", key.public)


def test_any_broken_page_is_a_finding(write, key):
    path = write(steps=40, group_size=5, snapshots=(20,))
    whole = path.read_bytes()
    assert len(whole) > 5 * 4_096
    for start in range(0, len(whole), 4_096):
        path.write_bytes(whole[:start] + b"\xa5" * 4_096 + whole[start + 4_096 :])
        assert not verify_journal(path, key.public).ok


def test_a_journal_can_be_verified_while_it_grows(tmp_path, key, run_started, bars):
    path = tmp_path / "run.journal"
    stop, reports = threading.Event(), []

    with SqliteJournal(path, signer=key, source="live", group_size=2) as journal:
        journal.start(run_started)

        def watch():
            while not stop.is_set():
                reports.append(verify_journal(path, key.public))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for n in range(300):
                journal.commit(bars[n % 40], ())
                if n % 50 == 49:
                    journal.save_snapshot(n + 1, b"state")
        finally:
            stop.set()
            watcher.join()
    assert reports
    assert [report.findings for report in reports if not report.ok] == []
