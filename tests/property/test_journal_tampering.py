"""Whatever somebody does to a small journal without the key, the verifier finds it and names the place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.canonical import GENESIS, chain_hash, encode
from kedge.domain.events import BarClosed, OrderCanceled
from kedge.domain.record import RunStarted
from kedge.journal import CHUNK_BYTES, FindingKind, Head, Row, VerifyReport, decode_head, sign_head, verify_rows
from kedge.storage import MemoryJournal, SigningKey, SqliteJournal, SqliteJournalReader, verify_journal
from kedge.storage.journal_files import head_path
from kedge.storage.journal_head import SLOT_BYTES

KEY, THIEF = SigningKey.generate(), SigningKey.generate()
START = RunStarted(
    run_id="run-1",
    account="demo",
    source="synthetic",
    speed="max",
    engine_version="0.1.0",
    code_sha256="0" * 64,
    settings_sha256="1" * 64,
    settings={"strategy": "trend"},
    instruments=(),
    data=(),
    assumptions={},
    seed=7,
    started_ts_ns=0,
)


@st.composite
def journals(draw: st.DrawFn) -> list[Row]:
    """Rows of a random small journal: bars and other events, groups of any size, now and then a snapshot."""
    journal = MemoryJournal(signer=KEY, source="backtest", group_size=draw(st.integers(1, 6)))
    journal.start(START)
    for n, kind in enumerate(draw(st.lists(st.sampled_from(["bar", "bar", "cancel", "snapshot", "flush"]), min_size=1, max_size=14)), 1):
        if kind == "flush":
            journal.flush()
        elif kind == "cancel":
            journal.commit(OrderCanceled(n, f"c{n}", "by us"), ())
        else:
            journal.commit(BarClosed(n + 1, "v:BTCUSDT", n, 10 + n, 12 + n, 9 + n, 11 + n, n), ())
            if kind == "snapshot":
                journal.save_snapshot(journal.count - 1, b"state")
    journal.flush()
    return journal.rows


def relink(rows: list[Row], first: int) -> list[Row]:
    """What somebody without the key can do: number and hash everything anew from row `first` on."""
    previous = rows[first - 1][1] if first else GENESIS
    linked = rows[:first]
    for seq, (_, _, body) in enumerate(rows[first:], first):
        previous = chain_hash(previous, body)
        linked.append((seq, previous, body))
    return linked


def verify(rows: list[Row], original: list[Row]) -> VerifyReport:
    return verify_rows(rows, KEY.public, head_copy=original[-1][2], copy_expected=True)


def group_end(rows: list[Row], place: int) -> int:
    """Number of the first head at or after `place`, which is where rewritten rows show."""
    return next((n for n, (_, _, body) in enumerate(rows) if n >= place and b'"type":"head"' in body), len(rows))


def assert_found(report: VerifyReport, first: int, last: int) -> None:
    assert not report.ok
    places = [finding.seq for finding in report.findings if finding.seq is not None]
    assert any(first <= place <= last for place in places), report.findings
    assert all(place >= first for place in places), report.findings


@given(journals())
def test_an_untouched_journal_is_whole(rows: list[Row]) -> None:
    report = verify(rows, rows)
    assert report.ok, report.findings
    assert report.rows == len(rows)


@given(journals(), st.data())
def test_a_flipped_bit_is_found_at_its_row(rows: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1), label="row")
    parts = [b"", rows[place][1], rows[place][2]]
    part = data.draw(st.integers(1, 2), label="hash or body")
    flipped = bytearray(parts[part])
    flipped[data.draw(st.integers(0, len(flipped) - 1), label="byte")] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    parts[part] = bytes(flipped)
    assert_found(verify([*rows[:place], (place, parts[1], parts[2]), *rows[place + 1 :]], rows), place, place)


@given(journals(), st.data())
def test_a_changed_row_is_found_in_its_group_though_all_hashes_are_made_anew(rows: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1), label="row")
    body = rows[place][2]
    at = data.draw(st.integers(0, len(body) - 1), label="byte")
    changed = body[:at] + bytes([body[at] ^ (1 << data.draw(st.integers(0, 7), label="bit"))]) + body[at + 1 :]
    forged = relink([*rows[:place], (place, b"", changed), *rows[place + 1 :]], place)
    assert_found(verify(forged, rows), place - 1, group_end(rows, place + 1))


@given(journals(), st.data())
def test_a_changed_number_is_found(rows: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1), label="row")
    number = data.draw(st.integers(-(2**40), 2**40).filter(lambda n: not 0 <= n < len(rows)), label="number")
    changed = sorted([*rows[:place], (number, *rows[place][1:]), *rows[place + 1 :]], key=lambda row: row[0])
    report = verify(changed, rows)
    assert not report.ok
    assert any(finding.seq in (place, number) for finding in report.findings), report.findings


@given(journals(), st.data(), st.sampled_from(["gap", "renumbered", "rehashed"]))
def test_a_dropped_row_is_found(rows: list[Row], data: st.DataObject, how: str) -> None:
    place = data.draw(st.integers(0, len(rows) - 1), label="row")
    rest = [*rows[:place], *rows[place + 1 :]]
    if how == "renumbered":
        rest = [(n, *row[1:]) for n, row in enumerate(rest)]
    if how == "rehashed":
        rest = relink(rest, place)
    assert_found(verify(rest, rows), place if how != "rehashed" else place - 1, group_end(rows, place + 1))


@given(journals(), st.data(), st.booleans())
def test_swapped_rows_are_found(rows: list[Row], data: st.DataObject, rehashed: bool) -> None:
    one = data.draw(st.integers(0, len(rows) - 2), label="row")
    other = data.draw(st.integers(one + 1, len(rows) - 1), label="other row")
    changed = list(rows)
    changed[one], changed[other] = (one, *rows[other][1:]), (other, *rows[one][1:])
    if rehashed:
        changed = relink(changed, one)
    assert_found(verify(changed, rows), one, group_end(rows, one + 1))


@given(journals(), st.data(), st.sampled_from(["as it is", "linked", "rehashed"]))
def test_an_inserted_row_is_found(rows: list[Row], data: st.DataObject, how: str) -> None:
    place = data.draw(st.integers(0, len(rows) - 1), label="before row")
    body = data.draw(st.one_of(st.sampled_from([row[2] for row in rows]), st.binary(max_size=40)), label="body")
    previous = rows[place - 1][1] if place else GENESIS
    stored = chain_hash(previous, body) if how != "as it is" else data.draw(st.binary(min_size=32, max_size=32), label="hash")
    changed = [*rows[:place], (place, stored, body), *((n + 1, *row) for n, *row in rows[place:])]
    if how == "rehashed":
        changed = relink(changed, place)
    # a copy of the next row put before it is the same as a copy put after it
    assert_found(verify(changed, rows), place, group_end(rows, place) + 1)


@given(journals(), st.data())
def test_a_cut_tail_is_found_at_its_end(rows: list[Row], data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(rows) - 1), label="rows kept")
    report = verify(rows[:kept], rows)
    assert (FindingKind.CUT_TAIL, kept) in {(finding.kind, finding.seq) for finding in report.findings}


@given(journals(), st.data(), st.sampled_from(["no head", "own key", "our key id"]))
def test_a_lengthened_tail_is_found_at_its_start(rows: list[Row], data: st.DataObject, how: str) -> None:
    bodies = data.draw(
        st.lists(st.sampled_from([row[2] for row in rows if b'"head"' not in row[2]]), min_size=1, max_size=4), label="added"
    )
    forged = relink([*rows, *((0, b"", body) for body in bodies)], len(rows))
    if how != "no head":
        last = decode_head(rows[-1][2])
        assert last is not None
        head = Head(
            run_id="run-1",
            group=last.group + 1,
            seq=len(forged),
            count=last.count + len(bodies),
            last_hash=forged[-1][1].hex(),
            key_id=KEY.key_id if how == "our key id" else THIEF.key_id,
        )
        forged = relink([*forged, (0, b"", encode(sign_head(head, THIEF)))], len(forged))
    report = verify(forged, rows)
    assert (FindingKind.LENGTHENED_TAIL, len(rows)) in {(finding.kind, finding.seq) for finding in report.findings}


@given(journals(), st.data())
def test_a_changed_second_file_is_found(rows: list[Row], data: st.DataObject) -> None:
    copy = bytearray(rows[-1][2])
    copy[data.draw(st.integers(0, len(copy) - 1), label="byte")] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    report = verify_rows(rows, KEY.public, head_copy=bytes(copy), copy_expected=True)
    assert {finding.kind for finding in report.findings} == {FindingKind.HEAD_FILE}


class TestSealedFile:
    """One sealed file on disk, a bit of it flipped anywhere."""

    @classmethod
    def setup_class(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "run.journal"
        journal = SqliteJournal(cls.path, signer=KEY, source="backtest", group_size=50)
        journal.start(START)
        for n in range(1, 301):
            journal.commit(BarClosed(n + 1, "v:BTCUSDT", n, 10 + n, 12 + n, 9 + n, 11 + n, n), ())
        journal.save_snapshot(300, b"state" * 100)
        journal.close(seal=True)
        cls.whole = cls.path.read_bytes()
        with SqliteJournalReader(cls.path) as reader:
            cls.rows = list(reader.raw_rows())

    @classmethod
    def teardown_class(cls) -> None:
        cls.folder.cleanup()

    @given(st.data())
    def test_any_flipped_bit_of_the_file_is_found_in_its_chunk(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.whole) - 1), label="offset")
        changed = bytearray(self.whole)
        changed[offset] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        self.path.write_bytes(changed)
        report = verify_journal(self.path, KEY.public)
        named = [finding.detail for finding in report.findings if finding.kind is FindingKind.CHUNK]
        assert len(named) == 1
        assert named[0].startswith(f"chunk {offset // CHUNK_BYTES} ")

    @given(st.integers(1, 70_000))
    def test_a_cut_file_is_found(self, bytes_cut: int) -> None:
        self.path.write_bytes(self.whole[:-bytes_cut])
        report = verify_journal(self.path, KEY.public)
        assert FindingKind.CHUNK in {finding.kind for finding in report.findings}

    @given(st.data())
    def test_without_the_seal_a_flipped_bit_is_found_or_changes_nothing_that_is_read(self, data: st.DataObject) -> None:
        path = self.path.with_name("unsealed.journal")
        head_path(path).write_bytes(head_path(self.path).read_bytes())
        offset = data.draw(st.integers(0, len(self.whole) - 1), label="offset")
        changed = bytearray(self.whole)
        changed[offset] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        path.write_bytes(changed)
        if verify_journal(path, KEY.public).ok:
            with SqliteJournalReader(path) as reader:
                assert list(reader.raw_rows()) == self.rows


class TestHeadFile:
    """The head file of a whole journal, changed in one slot or in both."""

    @classmethod
    def setup_class(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "run.journal"
        with SqliteJournal(cls.path, signer=KEY, source="backtest", group_size=2) as journal:
            journal.start(START)
            for n in range(1, 7):
                journal.commit(BarClosed(n + 1, "v:BTCUSDT", n, 10 + n, 12 + n, 9 + n, 11 + n, n), ())
        cls.whole = head_path(cls.path).read_bytes()
        with SqliteJournalReader(cls.path) as reader:
            newest = reader.head()
        assert newest is not None
        cls.newest_slot = newest.group % 2

    @classmethod
    def teardown_class(cls) -> None:
        cls.folder.cleanup()

    def flip(self, data: st.DataObject, slots: list[int]) -> VerifyReport:
        changed = bytearray(self.whole)
        for slot in slots:
            offset = slot * SLOT_BYTES + data.draw(st.integers(0, SLOT_BYTES - 1), label="byte")
            changed[offset] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        head_path(self.path).write_bytes(changed)
        return verify_journal(self.path, KEY.public)

    @given(st.data(), st.integers(0, 1))
    def test_any_flipped_bit_is_told_and_the_other_slot_proves_the_tail(self, data: st.DataObject, slot: int) -> None:
        report = self.flip(data, [slot])
        assert report.ok, report.findings
        lag = ["the head file lags by one group: the writer stopped, or is, between the group and the copy"]
        torn = ["a slot of the head file is unreadable: a crash tore the write, or somebody changed it"]
        assert list(report.notes) == (lag + torn if slot == self.newest_slot else torn)

    @given(st.data())
    def test_a_flipped_bit_in_each_slot_is_found(self, data: st.DataObject) -> None:
        assert {finding.kind for finding in self.flip(data, [0, 1]).findings} == {FindingKind.HEAD_FILE}


def test_heads_are_part_of_the_chain() -> None:
    journal = MemoryJournal(signer=KEY, source="backtest")
    journal.start(START)
    assert msgspec.json.decode(journal.rows[-1][2])["type"] == "head"
    assert chain_hash(journal.rows[0][1], journal.rows[1][2]) == journal.rows[1][1]
