"""Every kind of defect is found and its place named."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.canonical import GENESIS, chain_hash, encode
from kedge.journal import FindingKind, Head, SnapshotTaken, decode_row, sign_head, verify_rows
from kedge.journal.rows import signature_bytes
from kedge.journal.verify import FINDINGS_MAX
from kedge.storage import SigningKey


def relink(bodies, first=0, previous=GENESIS):
    rows = []
    for seq, body in enumerate(bodies, first):
        previous = chain_hash(previous, body)
        rows.append((seq, previous, body))
    return rows


def places(report):
    return [(finding.kind.value, finding.seq) for finding in report.findings]


@pytest.fixture
def rows(make_journal):
    """Rows 0 start, 1 head, 2-4 steps, 5 head, 6-8 steps, 9 head, 10-12 steps, 13 head."""
    return make_journal(steps=9, group_size=3).rows


@pytest.fixture
def check(key):
    def run(rows, **options):
        return verify_rows(iter(rows), key.public, **options)

    return run


def test_an_untouched_journal_is_whole(check, rows, make_journal):
    report = check(rows, head_copy=rows[-1][2], copy_expected=True)
    assert (report.ok, report.findings, report.notes) == (True, (), ())
    assert (report.records, report.rows, report.heads, report.run_id) == (10, 14, 4, "run-1")
    assert report.last_hash == rows[-1][1].hex()
    with_snapshot = check(make_journal(steps=4, snapshot_after=2).rows)
    assert (with_snapshot.ok, list(with_snapshot.snapshots)) == (True, [2])


@pytest.mark.parametrize("place", range(14))
def test_a_flipped_body_byte(check, rows, place):
    seq, stored, body = rows[place]
    rows[place] = (seq, stored, body[:20] + bytes([body[20] ^ 1]) + body[21:])
    assert places(check(rows)) == [("link", place)]


@pytest.mark.parametrize("place", range(13))
def test_a_flipped_hash_byte(check, rows, place):
    seq, stored, body = rows[place]
    rows[place] = (seq, bytes([stored[0] ^ 1]) + stored[1:], body)
    assert ("hash", place) in places(check(rows))
    assert places(check(rows))[0][1] == place


def test_a_flipped_hash_of_the_last_row(check, rows):
    seq, stored, body = rows[-1]
    rows[-1] = (seq, bytes([stored[0] ^ 1]) + stored[1:], body)
    assert places(check(rows)) == [("link", 13)]


@pytest.mark.parametrize("place", range(13))
def test_a_dropped_row_leaves_a_gap(check, rows, place):
    del rows[place]
    assert places(check(rows))[0] == ("missing", place)


def test_a_dropped_row_with_the_rest_renumbered(check, rows):
    bodies = [(stored, body) for n, (_, stored, body) in enumerate(rows) if n != 6]
    report = check([(n, *rest) for n, rest in enumerate(bodies)])
    assert places(report)[:2] == [("link", 6), ("missing", 6)]
    assert "records 4 to 4 are missing" in report.findings[1].detail


def test_two_swapped_rows(check, rows):
    (_, *one), (_, *other) = rows[6], rows[7]
    rows[6], rows[7] = (6, *other), (7, *one)
    assert places(check(rows))[0] == ("swapped", 6)
    assert len(places(check(rows))) == 1


def test_rows_in_the_wrong_order(check, rows):
    rows[6], rows[7] = rows[7], rows[6]
    assert places(check(rows)) == [("seq", 6)]


def test_a_changed_number(check, rows):
    rows[7] = (1_031, *rows[7][1:])
    report = check(sorted(rows))
    assert places(report) == [("seq", 7)]


def test_a_changed_number_of_the_last_row(check, rows):
    rows[-1] = (99, *rows[-1][1:])
    assert places(check(rows))[0] == ("seq", 13)


def test_a_row_that_stands_too_late(check, rows):
    assert ("order", 3) in places(check([*rows, (3, rows[3][1], b"{}")]))


@pytest.mark.parametrize("place", [2, 3, 5, 9, 12])
def test_an_inserted_row(check, rows, place):
    fake = rows[2][2].replace(b'"volume_lots":', b'"volume_lots":9')
    forged = (place, chain_hash(rows[place - 1][1], fake), fake)
    shifted = [*rows[:place], forged, *((seq + 1, *rest) for seq, *rest in rows[place:])]
    assert ("inserted", place) in places(check(shifted))
    assert {seq for _, seq in places(check(shifted))} == {place}


def test_an_inserted_row_with_a_made_up_hash(check, rows):
    shifted = [*rows[:7], (7, bytes(32), rows[3][2]), *((seq + 1, *rest) for seq, *rest in rows[7:])]
    assert places(check(shifted)) == [("inserted", 7)]


def test_a_duplicate_row(check, rows):
    shifted = [*rows[:8], (8, *rows[7][1:]), *((seq + 1, *rest) for seq, *rest in rows[8:])]
    assert places(check(shifted)) == [("duplicate", 8)]


def test_two_defects_are_two_findings(check, rows):
    rows[3] = (3, rows[3][1], rows[3][2].replace(b"12", b"13", 1))
    rows[11] = (11, rows[11][1], b"")
    assert places(check(rows)) == [("link", 3), ("link", 11)]


def test_text_where_bytes_belong(check, rows):
    rows[3] = (3, rows[3][1], bytearray(rows[3][2]))
    assert ("type", 3) in places(check(rows))
    rows[3] = (3, None, 12)
    assert ("type", 3) in places(check(rows))


def test_a_row_changed_by_somebody_who_rehashes_the_rest(check, rows):
    bodies = [body for _, _, body in rows]
    bodies[7] = bodies[7].replace(b'"volume_lots":', b'"volume_lots":9')
    report = check(relink(bodies), head_copy=rows[-1][2], copy_expected=True)
    assert places(report)[0] == ("head", 9)
    assert "rows 6 to 9" in report.findings[0].detail


def test_a_row_dropped_by_somebody_who_rehashes_the_rest(check, rows):
    report = check(relink([body for n, (_, _, body) in enumerate(rows) if n != 7]))
    assert places(report)[0] == ("step_seq", 7)
    assert ("head", 8) in places(report)


def test_heads_rewritten_without_the_key(check, rows, key):
    thief = SigningKey.generate()
    bodies = [body for _, _, body in rows]
    head = decode_row(13, bodies[13])
    bodies[13] = encode(sign_head(msgspec.structs.replace(head, key_id=thief.key_id), thief))
    assert places(check(relink(bodies))) == [("wrong_key", 13)]
    bodies[13] = encode(sign_head(head, thief))
    assert places(check(relink(bodies))) == [("signature", 13)]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"count": 9}, "count 9"), ({"group": 5}, "group 5"), ({"seq": 12}, "seq 12"), ({"run_id": "other"}, "run_id other")],
)
def test_a_signed_head_that_contradicts_the_rows(check, rows, key, change, field):
    bodies = [body for _, _, body in rows]
    head = decode_row(13, bodies[13])
    bodies[13] = encode(sign_head(msgspec.structs.replace(head, **change), key))
    report = check(relink(bodies))
    assert places(report) == [("head", 13)]
    assert field in report.findings[0].detail


def signed_rows(bodies, key):
    """Rows and a last head by the key's own holder, whatever the bodies are."""
    rows = relink(bodies)
    head = Head(run_id="run-1", group=0, seq=len(rows), count=len(rows), last_hash=rows[-1][1].hex(), key_id=key.key_id)
    return relink([*bodies, encode(sign_head(head, key))])


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"type":7}', b'{"type":"surprise"}', b'{"seq":1}', b'{"seq":1,"type":"snapshot"}', b'{"type":"head"}']
)
def test_signed_bytes_that_are_no_row(check, rows, key, body):
    report = check(signed_rows([rows[0][2], body], key))
    assert ("undecodable", 1) in places(report)


def test_a_second_start_and_none(check, rows, key):
    assert ("start", 1) in places(check(signed_rows([rows[0][2], rows[0][2]], key)))
    assert ("start", 0) in places(check(signed_rows([rows[2][2]], key)))
    assert places(check(signed_rows([b'{"type":"run_started"}'], key)))[0] == ("undecodable", 0)


def test_a_step_with_a_wrong_number_or_none(check, rows, key):
    assert places(check(signed_rows([rows[0][2], rows[3][2]], key)))[0] == ("step_seq", 1)
    assert places(check(signed_rows([rows[0][2], b'{"type":"step"}'], key)))[0] == ("step_seq", 1)


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_cut_tail_is_found_by_the_second_file(check, rows, cut):
    report = check(rows[:-cut], head_copy=rows[-1][2], copy_expected=True)
    assert ("cut_tail", 14 - cut) in places(report)


def test_an_empty_journal_is_no_journal(check, rows):
    assert places(check([])) == [("empty", 0)]
    assert ("cut_tail", 0) in places(check([], head_copy=rows[-1][2]))


def test_rows_after_the_last_signed_head(check, rows):
    longer = relink([body for _, _, body in rows] + [rows[2][2], rows[3][2]])
    report = check(longer, head_copy=rows[-1][2], copy_expected=True)
    assert ("lengthened_tail", 14) in places(report)
    assert "rows 14 to 15" in report.findings[-1].detail


def test_a_lengthened_tail_with_a_forged_head(check, rows):
    thief = SigningKey.generate()
    longer = relink([body for _, _, body in rows] + [encode(msgspec.structs.replace(decode_row(12, rows[12][2]), seq=10))])
    head = Head(run_id="run-1", group=4, seq=15, count=11, last_hash=longer[-1][1].hex(), key_id=thief.key_id)
    forged = relink([*(body for _, _, body in longer), encode(sign_head(head, thief))])
    found = places(check(forged, head_copy=rows[-1][2], copy_expected=True))
    assert ("wrong_key", 15) in found
    assert ("lengthened_tail", 14) in found


def test_the_wrong_public_key_is_one_finding(rows):
    other = SigningKey.generate().public
    assert places(verify_rows(rows, other)) == [("wrong_key", 1)]


def test_a_second_file_that_lags_by_one_group_is_a_note(check, rows):
    report = check(rows, head_copy=rows[9][2], copy_expected=True)
    assert (report.ok, len(report.notes)) == (True, 1)
    assert places(check(rows, head_copy=rows[5][2], copy_expected=True)) == [("head_file", None)]


def test_a_missing_second_file(check, rows):
    assert places(check(rows, copy_expected=True)) == [("head_file", None)]
    after_first_group = check(rows[:2], copy_expected=True)
    assert (after_first_group.ok, len(after_first_group.notes)) == (True, 1)


def test_a_second_file_that_is_damaged_or_foreign(check, rows, key):
    head = decode_row(13, rows[13][2])
    thief = SigningKey.generate()
    forged = encode(sign_head(msgspec.structs.replace(head, key_id=thief.key_id), thief))
    for body in (b"", b"{", rows[13][2] + b" ", forged):
        assert places(check(rows, head_copy=body)) == [("head_file", None)]
    other = encode(sign_head(msgspec.structs.replace(head, last_hash="00"), key))
    assert places(check(rows, head_copy=other)) == [("head_file", 13)]
    renamed = encode(sign_head(msgspec.structs.replace(head, group=4), key))
    assert places(check(rows, head_copy=renamed)) == [("head_file", 13)]


def test_a_file_broken_all_over_is_not_listed_row_by_row(check, rows):
    many = [(n, bytes(32), b"%d" % n) for n in range(FINDINGS_MAX + 50)]
    report = check(many)
    assert len(report.findings) == FINDINGS_MAX + 1
    assert "more findings" in report.findings[-1].detail


def test_snapshot_marks_are_collected(check, rows, key):
    mark = encode(SnapshotTaken(seq_of=4, sha256="ab"))
    assert check(relink([rows[0][2], mark])).snapshots == {4: "ab"}


def test_every_kind_has_its_own_word():
    assert len({kind.value for kind in FindingKind}) == len(FindingKind)


def test_every_kind_is_explained_in_the_documentation(repository):
    text = (repository / "docs" / "journal.md").read_text()
    assert [kind.value for kind in FindingKind if f"| `{kind.value}` |" not in text] == []


def test_a_signature_has_one_spelling() -> None:
    """Upper case and white space mean the same bytes to `fromhex`; here they are a change."""
    text = bytes(range(64)).hex()
    assert signature_bytes(text) == bytes(range(64))
    for other in (text.upper(), text[:2] + " " + text[2:], text[:-2], text + "00", "zz" * 64, ""):
        assert signature_bytes(other) is None, other
