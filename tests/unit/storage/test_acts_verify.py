"""A journal of acts proves itself as strongly as a run's: whatever is done to its rows or its head is found."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.storage.people import act

from kedge.domain.canonical import GENESIS, chain_hash, encode
from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.people import Act
from kedge.journal import (
    ActRecorded,
    ActsStarted,
    Redactor,
    decode_act,
    decode_head,
    decode_record,
    decode_row,
    mentions,
    sign_head,
    telling_step,
    verify_rows,
)
from kedge.storage import MemoryJournal, SigningKey, SqliteJournalReader
from kedge.storage.acts_journal import ActsWriter
from kedge.storage.journal_files import head_path
from kedge.storage.journal_verify import verify_journal

STARTED = ActsStarted(run_id="acts-1", engine_version="0.1.0", started_wall_ns=1)
ACTS = 6


@pytest.fixture
def path(tmp_path, key):
    """Row 0 starts, row 1 is a head; then each act is a row, followed by a head."""
    path = tmp_path / "acts" / "journal.sqlite"
    writer = ActsWriter(path, signer=key, engine_version="0.1.0", wall_ns=lambda: 9, random_bytes=bytes)
    for number in range(1, ACTS + 1):
        writer.append([act(number)])
    writer.close()
    return path


def rows_of(path):
    with SqliteJournalReader(path) as reader:
        return list(reader.raw_rows())


def rewrite(path, rows):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM rows")
    db.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
    db.close()


def chained(bodies):
    """Rows with hashes made anew, as somebody without the key can."""
    previous, rows = GENESIS, []
    for seq, body in enumerate(bodies):
        previous = chain_hash(previous, body)
        rows.append((seq, previous, body))
    return rows


def kinds(path, key):
    report = verify_journal(path, key.public)
    assert report.ok == (not report.findings)
    return {finding.kind.value for finding in report.findings}


def test_the_journal_is_whole(path, key):
    report = verify_journal(path, key.public)
    assert (report.ok, report.records, report.rows, report.heads, report.notes) == (True, 7, 14, 7, ())


@pytest.mark.parametrize("seq", range(14))
def test_a_flipped_byte_is_found_in_every_row(path, key, seq):
    rows = rows_of(path)
    number, stored, body = rows[seq]
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 1
    rows[seq] = (number, stored, bytes(flipped))
    rewrite(path, rows)
    found = verify_journal(path, key.public).findings
    assert found[0].seq == seq
    assert found[0].kind.value in ("link", "undecodable", "hash")


@pytest.mark.parametrize("seq", [0, 2, 4, 5, 12])
def test_a_dropped_row_is_found(path, key, seq):
    rows = rows_of(path)
    del rows[seq]
    rewrite(path, rows)
    assert "missing" in kinds(path, key)


@pytest.mark.parametrize("seq", [2, 6, 10])
def test_a_dropped_row_is_found_also_when_all_hashes_are_made_anew(path, key, seq):
    bodies = [body for _, _, body in rows_of(path)]
    del bodies[seq]
    rewrite(path, chained(bodies))
    assert kinds(path, key) & {"head", "step_seq"}


@pytest.mark.parametrize("made_anew", [False, True])
def test_swapped_acts_are_found(path, key, made_anew):
    rows = rows_of(path)
    bodies = [body for _, _, body in rows]
    bodies[4], bodies[6] = bodies[6], bodies[4]
    swapped = chained(bodies) if made_anew else [(seq, stored, body) for (seq, stored, _), body in zip(rows, bodies, strict=True)]
    rewrite(path, swapped)
    assert kinds(path, key) & {"link", "head", "step_seq"}


@pytest.mark.parametrize("made_anew", [False, True])
def test_an_inserted_act_is_found(path, key, made_anew):
    rows = rows_of(path)
    body = encode(ActRecorded(seq=2, recorded_wall_ns=9, act=act(99)))
    if made_anew:
        bodies = [body for _, _, body in rows]
        rewrite(path, chained([*bodies[:4], body, *bodies[4:]]))
    else:
        put_in = (4, chain_hash(rows[3][1], body), body)
        rewrite(path, [*rows[:4], put_in, *((seq + 1, stored, other) for seq, stored, other in rows[4:])])
    assert kinds(path, key) & {"inserted", "link", "head", "step_seq"}


@pytest.mark.parametrize("keep", [12, 13, 2, 1])
def test_a_cut_tail_is_found(path, key, keep):
    rewrite(path, rows_of(path)[:keep])
    assert "cut_tail" in kinds(path, key)


def test_a_lengthened_tail_is_found(path, key):
    rows = rows_of(path)
    seq, last, _ = rows[-1]
    body = encode(ActRecorded(seq=ACTS + 1, recorded_wall_ns=9, act=act(99)))
    rewrite(path, [*rows, (seq + 1, chain_hash(last, body), body)])
    assert "lengthened_tail" in kinds(path, key)


def test_acts_that_another_key_signed_are_found(path, key):
    rows = rows_of(path)
    other = SigningKey.generate()
    bodies = [body.replace(b'"person_id":"p-1"', b'"person_id":"p-9"') for _, _, body in rows]
    remade, previous = [], GENESIS
    for seq, body in enumerate(bodies):
        head = decode_head(body)
        if head is not None:
            claim = replace(head, last_hash=previous.hex(), key_id=other.key_id, signature="")
            body = encode(sign_head(claim, other))
        previous = chain_hash(previous, body)
        remade.append((seq, previous, body))
    rewrite(path, remade)
    assert "wrong_key" in kinds(path, key)


def test_a_missing_or_spoiled_head_file_is_found(path, key):
    copy = head_path(path).read_bytes()
    head_path(path).write_bytes(b"x" * len(copy))
    assert kinds(path, key) == {"head_file"}
    head_path(path).unlink()
    assert kinds(path, key) == {"head_file"}


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM ids WHERE id = 'act-3'", "INSERT INTO ids VALUES ('act-9', 'acted', 3)", "UPDATE ids SET seq = 4 WHERE id = 'act-3'"],
)
def test_an_index_that_does_not_fit_the_acts_is_found(path, key, statement):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()
    assert kinds(path, key) == {"index"}


def test_a_record_numbered_wrongly_by_the_writer_itself_is_found(key):
    journal = MemoryJournal(signer=key)
    journal.start_acts(STARTED)
    journal._tail = journal._tail._replace(next_record=4)
    journal.commit_act(act(1), 5)
    journal.flush()
    assert "step_seq" in {finding.kind.value for finding in verify_rows(journal.rows, key.public).findings}


def test_the_same_acts_have_the_same_bytes_on_disk_and_in_memory(path, key):
    journal = MemoryJournal(signer=key)
    journal.start_acts(replace(STARTED, run_id="acts-" + "00" * 8, started_wall_ns=9))
    for number in range(1, ACTS + 1):
        journal.commit_act(act(number), 9)
    journal.flush()
    records = [body for _, _, body in rows_of(path) if decode_head(body) is None]
    assert [body for _, _, body in journal.rows if decode_head(body) is None] == records
    assert list(journal.records()) == []


def test_a_journal_of_acts_is_started_once_and_before_any_act(key):
    journal = MemoryJournal(signer=key)
    with pytest.raises(InvalidInput, match="takes no record yet"):
        journal.commit_act(act(1), 5)
    journal.start_acts(STARTED)
    with pytest.raises(Conflict, match="already holds run 'acts-1'"):
        journal.start_acts(STARTED)
    assert (journal.run_id, journal.count) == ("acts-1", 1)


def test_groups_of_acts_close_by_size(key):
    journal = MemoryJournal(signer=key, group_size=2)
    journal.start_acts(STARTED)
    for number in range(1, 5):
        journal.commit_act(act(number), 5)
    assert [type(decode_row(seq, body)).__name__ for seq, _, body in journal.rows] == [
        *("ActsStarted", "Head"),
        *("ActRecorded", "ActRecorded", "Head") * 2,
    ]


def test_records_of_acts_are_no_records_of_a_run_and_mention_their_act():
    recorded = ActRecorded(seq=3, recorded_wall_ns=9, act=act(1))
    assert decode_record(0, encode(recorded)) is None
    assert decode_row(0, encode(recorded)) == telling_step(encode(recorded)) == recorded
    assert [tuple(one) for one in mentions(recorded)] == [("act-1", "acted", 3)]
    assert telling_step(encode(STARTED)) is None


def test_an_act_is_read_back_from_its_canonical_bytes_only():
    body = encode(act(1))
    assert decode_act(body) == act(1)
    for bent in (body + b" ", body.replace(b'"wall_ns":1', b'"wall_ns":1.0'), b"{}", b"\xff", body.replace(b"browser", b"nowhere")):
        assert decode_act(bent) is None


IDS_AND_CODES = {"act_id", "person_id", "action", "subject", "outcome", "ref", "code", "correlation_id", "source"}


def test_every_text_of_an_act_is_redacted_or_known_as_an_id_or_code():
    secret = "password=hunter22"
    texts = {field.name: secret for field in msgspec.structs.fields(Act) if field.type is str}
    redacted = Redactor().act(act(1, **texts, details={"note": secret}))
    blanked = {name for name in texts if getattr(redacted, name) != secret}
    assert blanked == set(texts) - IDS_AND_CODES == {"name", "reason"}
    assert redacted.details == {"note": "password=REDACTED"}
