"""The chain is the published one, and groups do not change what a record's bytes are."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import msgspec
import pytest

from kedge.domain.canonical import GENESIS, chain_hash, encode
from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, RecordingFailed
from kedge.domain.events import RunEnded
from kedge.domain.record import RunStarted, Step
from kedge.journal import ChainedJournal, Head, SnapshotTaken, decode_head, decode_record, decode_row, first_difference
from kedge.storage import MemoryJournal, SigningKey

# vectors AUDIT-CHAIN
RECORDS = [
    {"seq": 1, "type": "order", "id": "o-1", "qty": "0.5"},
    {"seq": 2, "type": "fill", "id": "f-1", "order": "o-1", "px": "60000.5"},
    {"seq": 3, "type": "cancel", "id": "o-2", "note": "é"},
]
HASHES = [
    "c09dad174bcd650fa66348a43c54186e948013d5034f87b872a8f6ff2a342451",
    "a7794dd4630737131589f636d59bbf8ef81960d9d60f2bedc916fa1c92460981",
    "54111186052106a3cd4da3010018c4e09d80e56d53cba93fee1b6c055a1cb991",
]


def test_the_chain_follows_the_published_vector():
    link, found = GENESIS, []
    for record in RECORDS:
        link = chain_hash(link, encode(record))
        found.append(link.hex())
    assert found == HASHES


def test_a_link_can_be_checked_with_sha256sum_alone(make_journal):
    rows = make_journal().rows
    for (_, previous, _), (_, stored, body) in pairwise(rows):
        assert hashlib.sha256(previous.hex().encode() + b"\n" + body).digest() == stored


def test_rows_are_start_steps_and_a_head_for_each_group(make_journal):
    kinds = [type(decode_row(seq, body)) for seq, _, body in make_journal(steps=4, group_size=3).rows]
    assert kinds == [RunStarted, Head, Step, Step, Step, Head, Step, Head]


def test_steps_number_records_and_heads_count_them(make_journal):
    values = [decode_row(seq, body) for seq, _, body in make_journal(steps=5, group_size=2).rows]
    assert [v.seq for v in values if isinstance(v, Step)] == [1, 2, 3, 4, 5]
    assert [(v.group, v.seq, v.count) for v in values if isinstance(v, Head)] == [(0, 1, 1), (1, 4, 3), (2, 7, 5), (3, 9, 6)]


def test_the_signature_covers_the_head_without_itself(make_journal, key):
    head = make_journal().last_head
    assert b"signature" not in head.claim()
    assert key.public.verify(bytes.fromhex(head.signature), head.claim())
    assert head.signed_by(key.public)
    assert not head.signed_by(SigningKey.generate().public)
    assert not msgspec.structs.replace(head, signature="not hex").signed_by(key.public)


@pytest.mark.parametrize("group_size", [1, 2, 7])
def test_groups_do_not_change_the_bytes_of_records(make_journal, group_size):
    assert first_difference(make_journal(group_size=3).rows, make_journal(group_size=group_size).rows) is None


def test_without_a_signer_there_are_no_heads_and_the_same_records(make_journal):
    unsigned = make_journal(signer=None)
    assert first_difference(unsigned.rows, make_journal().rows) is None
    assert [seq for seq, _, _ in unsigned.rows] == list(range(10))
    assert unsigned.last_head is None


def test_the_first_difference_is_named(make_journal):
    left, right = make_journal(steps=5).rows, make_journal(steps=4).rows
    difference = first_difference(left, right)
    assert (difference.record, difference.right) == (5, None)
    assert decode_record(0, difference.left).seq == 5
    body = right[3][2].replace(b'"backtest"', b'"bucktest"')
    changed = [*right[:3], (3, right[3][1], body), *right[4:]]
    assert first_difference(left, changed).record == 2


def test_a_snapshot_is_bound_into_the_chain_in_its_own_group(make_journal):
    journal = make_journal(steps=3, group_size=10, snapshot_after=2)
    values = [decode_row(seq, body) for seq, _, body in journal.rows]
    assert [type(v).__name__ for v in values] == ["RunStarted", "Head", "Step", "Step", "SnapshotTaken", "Head", "Step", "Head"]
    assert values[4] == SnapshotTaken(seq_of=2, sha256=hashlib.sha256(b"state 2").hexdigest())
    assert journal.snapshots() == [(2, values[4].sha256, b"state 2")]


def test_a_snapshot_is_of_the_last_record_and_taken_once(make_journal):
    journal = make_journal(steps=3)
    with pytest.raises(InvalidInput, match="snapshot of record 2"):
        journal.save_snapshot(2, b"")
    journal.save_snapshot(3, b"")
    with pytest.raises(InvalidInput, match="there is one already"):
        journal.save_snapshot(3, b"")


def test_an_open_group_shows_after_flush(key, run_started, bars):
    journal = MemoryJournal(signer=key, source="backtest", group_size=100)
    journal.start(run_started)
    journal.commit(bars[0], ())
    assert (journal.count, len(journal.rows)) == (2, 2)
    journal.flush()
    journal.flush()
    assert (journal.count, len(journal.rows), journal.last_hash) == (2, 4, journal.rows[-1][1])


def test_records_are_read_from_a_number_on(make_journal, run_started):
    journal = make_journal(steps=6, group_size=2)
    assert next(journal.records()) == run_started
    assert [step.seq for step in journal.records(start_seq=3)] == [3, 4, 5, 6]


def test_a_clock_stamps_steps(key, run_started, bars):
    class Ticking:
        ts_ns = 41

        def now_ns(self) -> int:
            self.ts_ns += 1
            return self.ts_ns

    journal = MemoryJournal(signer=key, source="live", clock=Ticking())
    journal.start(run_started)
    journal.commit(bars[0], ())
    journal.commit(bars[1], ())
    journal.flush()
    assert [record.recorded_ts_ns for record in journal.records(start_seq=1)] == [42, 43]


def test_a_journal_starts_once_and_before_any_step(key, run_started, bars):
    journal = MemoryJournal(signer=key, source="backtest")
    with pytest.raises(InvalidInput, match="call start first"):
        journal.commit(bars[0], ())
    with pytest.raises(InvalidInput, match="call start first"):
        journal.save_snapshot(0, b"")
    journal.start(run_started)
    with pytest.raises(Conflict, match="already holds run 'run-1'"):
        journal.start(run_started)


@pytest.mark.parametrize(("settings", "place"), [({"a": 0.1}, "settings.a"), ({"a": [{"b": float("nan")}]}, r"settings.a\[0\].b")])
def test_floats_in_settings_are_refused(key, run_started, settings, place):
    journal = MemoryJournal(signer=key, source="backtest")
    with pytest.raises(InvalidInput, match=place):
        journal.start(msgspec.structs.replace(run_started, settings=settings))


@pytest.mark.parametrize("event", [RunEnded(object(), "end"), RunEnded(1, object())])
def test_what_has_no_canonical_bytes_is_refused_and_nothing_is_lost(make_journal, bars, event):
    journal = make_journal(steps=2)
    with pytest.raises(InvalidInput, match="cannot be recorded"):
        journal.commit(bars[2], (event,))
    journal.commit(bars[2], ())
    journal.flush()
    assert [step.seq for step in journal.records(start_seq=1)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "field"), [({"group_size": 0}, "group_size"), ({"group_size": True}, "group_size"), ({"source": ""}, "source")]
)
def test_wrong_parameters_are_refused(key, wrong, field):
    with pytest.raises(InvalidInput, match=field):
        MemoryJournal(**{"signer": key, "source": "backtest", **wrong})


class FullDisk(ChainedJournal):
    """A store that takes two groups."""

    room = 2

    def _persist(self, group):
        if not self.room:
            raise RecordingFailed("no room")
        self.room -= 1


def test_after_a_failure_every_call_is_refused(key, run_started, bars):
    journal = FullDisk(signer=key, source="backtest")
    journal.start(run_started)
    journal.commit(bars[0], ())
    with pytest.raises(RecordingFailed, match="no room"):
        journal.commit(bars[1], ())
    journal.room = 9
    for call in (lambda: journal.commit(bars[1], ()), journal.flush, lambda: journal.save_snapshot(2, b"")):
        with pytest.raises(RecordingFailed, match="an earlier group could not be recorded"):
            call()


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"type":"other"}', b'{"type":"step"}', b"\xff\xfe", b'{"type":"head"}'])
def test_bytes_that_are_no_row_are_named(body):
    with pytest.raises(IntegrityError, match="journal row 17"):
        decode_row(17, body)
    assert decode_head(body) is None


def test_a_head_in_other_than_canonical_form_is_none(make_journal):
    body = encode(make_journal().last_head)
    assert decode_head(body) is not None
    assert decode_head(body.replace(b":", b": ", 1)) is None
