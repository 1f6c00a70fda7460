"""Reads a journal file while it is being written, or after; never changes it.

Rules: pages of rows, each its own short transaction; whatever is wrong with the file is a Kedge error.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from kedge.domain.canonical import GENESIS, chain_hash, digest
from kedge.domain.errors import IntegrityError, KedgeError, NotFound
from kedge.domain.record import Record, RunStarted, Step
from kedge.journal import (
    ActRecorded,
    Head,
    Row,
    Snapshot,
    SnapshotTaken,
    Watched,
    decode_record,
    decode_row,
    mentions,
    telling_step,
)
from kedge.storage.journal_errors import sqlite_errors
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_tables import Beside

APPLICATION_ID = 0x4B444A31
"""'KDJ1' in the header of the file: a Kedge journal, table layout 1."""

PAGE_ROWS = 4_096
"""Rows read in one transaction, a few milliseconds."""


class SqliteJournalReader:
    """Read-only view of a journal, for the thread that made it, or with `any_thread` for one thread at a time.

    Attributes
    ----------
    beside : Beside
        The blobs and the index as stored.

    Raises
    ------
    NotFound
        There is no such file.
    IntegrityError
        The file is no Kedge journal, or damaged.
    """

    def __init__(self, path: Path, *, any_thread: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise NotFound(f"no journal {self.path}", why="there is no such file", fix="name the file that the run printed")
        with sqlite_errors(self.path):
            self._db = _connect(self.path, any_thread=any_thread)
        try:
            with sqlite_errors(self.path):
                check_layout(self._db, self.path)
                self.beside = Beside(self._db, self.path)
        except KedgeError:
            self._db.close()
            raise

    def __enter__(self) -> SqliteJournalReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def raw_rows(self, *, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Rows with `start <= seq < stop` as stored; a value that is no blob comes as a `bytearray`."""
        # signed, because a damaged file may hold any number
        low, high = (start if start else -(2**63)), (2**63 - 1 if stop is None else stop - 1)
        while True:
            with sqlite_errors(self.path):
                page: list[Row] = self._db.execute(
                    "SELECT seq, hash, body FROM rows WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", (low, high, PAGE_ROWS)
                ).fetchall()
            yield from page
            if len(page) < PAGE_ROWS:
                return
            low = page[-1][0] + 1

    def records(self, *, start_seq: int = 0) -> Iterator[Record]:
        """Records from number `start_seq` on (the `RunStarted` is 0)."""
        for seq, _, body in self.raw_rows(start=self.row_of(start_seq)):
            record = decode_record(seq, body)
            if record is not None:
                yield record

    def check_chain(self, *, start_seq: int = 0) -> None:
        """Refuse rows, from that of record `start_seq` on, of which one does not follow the one before it. Signatures are not looked at.

        Raises
        ------
        IntegrityError
            A row was changed, put in or taken out.
        """
        start, previous = self.row_of(start_seq), GENESIS
        expected = max(0, start - 1)
        for seq, stored, body in self.raw_rows(start=expected):
            if seq != expected or (seq >= start and (type(body) is not bytes or chain_hash(previous, body) != stored)):
                raise IntegrityError(
                    f"journal {self.path}: the chain is broken at row {expected}",
                    why="the row was changed, or rows before it were removed",
                    fix="run `kedge audit verify` on it, keep it as evidence, and begin another run",
                )
            previous, expected = stored, expected + 1

    def run_started(self) -> RunStarted:
        """The first record."""
        for record in self.records():
            if isinstance(record, RunStarted):
                return record
            break
        raise IntegrityError(f"journal {self.path} has no start", why="row 0 says how to run again", fix="run `kedge audit verify` on it")

    def record(self, seq: int) -> Record:
        """One record by its number.

        Raises
        ------
        NotFound
            The journal does not reach that far.
        """
        first = self.row_of(seq)
        for row, _, body in self.raw_rows(start=first, stop=first + 4):  # heads and snapshot marks may stand before it, three at most
            found = decode_record(row, body)
            if found is not None and (found.seq if isinstance(found, Step) else 0) == seq:
                return found
        raise NotFound(f"record {seq} of {self.path}", why="the journal has no such record", fix="name one of its records")

    def blob(self, sha256: str) -> bytes:
        """The bytes that records name by this hash (hex), such as the features of a prediction.

        Raises
        ------
        NotFound
            The journal does not hold them.
        IntegrityError
            They are not those of this name.
        """
        return self.beside.blob(sha256)

    def find(self, id: str) -> list[tuple[str, int]]:
        """Records that mention an id (of a fill, an order, a decision, a prediction), as `(kind, record number)`, in order.

        `kind` is the tag of the event or output that mentions it, such as 'fill', 'send', 'decided' or 'predicted'. The index is a hint:
        each answer is checked against its record, and where the index is not there, says nothing, or errs, all records are walked.
        """
        hints = self.beside.hints(id)
        if hints and all(hint in self._mentioned(id, hint[1]) for hint in hints):
            return hints
        return self.walk(id)

    def walk(self, id: str) -> list[tuple[str, int]]:
        """What `find` says, from the records alone: seconds in a journal of a million."""
        walked = (telling_step(body) for _, _, body in self.raw_rows() if id.encode() in body)
        found = {(one.seq, one.kind) for step in walked if step is not None for one in mentions(step) if one.id == id}
        return [(kind, seq) for seq, kind in sorted(found)]

    def _mentioned(self, id: str, seq: int) -> set[tuple[str, int]]:
        try:
            return {(found.kind, found.seq) for found in mentions(self.record(seq)) if found.id == id}
        except (NotFound, IntegrityError):
            return set()

    def last_seq(self) -> int:
        """Number of the last row; -1 where there is none."""
        with sqlite_errors(self.path):
            (last,) = self._db.execute("SELECT max(seq) FROM rows").fetchone()
        return -1 if last is None else int(last)

    def head(self) -> Head | None:
        """The newest signed head, None in an empty journal. Its signature is the verifier's business."""
        last = self.last_seq()
        for seq, _, body in self.raw_rows(start=max(last, 0)):
            value = decode_row(seq, body)
            if isinstance(value, Head):
                return value
        if last < 0:
            return None
        raise IntegrityError(f"journal {self.path} does not end with a head", why=f"row {last} is none", fix="run `kedge audit verify`")

    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first; see `latest_snapshot`."""
        return [self._snapshot(seq) for seq in self.snapshot_seqs()]

    def snapshot_seqs(self) -> list[int]:
        """Numbers of the records that have a snapshot."""
        with sqlite_errors(self.path):
            return [seq for (seq,) in self._db.execute("SELECT seq FROM snapshots ORDER BY seq")]

    def latest_snapshot(self, at_or_before: int | None = None) -> Snapshot | None:
        """The newest snapshot, of a record not after `at_or_before`.

        Raises
        ------
        IntegrityError
            Its bytes are not those whose hash stands in the chain.
        """
        limit = 2**63 - 1 if at_or_before is None else at_or_before
        with sqlite_errors(self.path):
            (seq,) = self._db.execute("SELECT max(seq) FROM snapshots WHERE seq <= ?", (limit,)).fetchone()
        return None if seq is None else self._snapshot(seq)

    def stored_snapshot(self, seq: int) -> Snapshot:
        """The snapshot of a record as stored, unchecked."""
        with sqlite_errors(self.path):
            found = self._db.execute("SELECT sha256, body FROM snapshots WHERE seq = ?", (seq,)).fetchone()
        if found is None or not all(type(value) is bytes for value in found):
            raise IntegrityError(f"snapshot {seq} in {self.path} cannot be read", why="missing, or no bytes", fix="start from another one")
        return Snapshot(seq, found[0].hex(), found[1])

    def _snapshot(self, seq: int) -> Snapshot:
        snapshot = self.stored_snapshot(seq)
        if not digest(snapshot.body) == snapshot.sha256 == self._chained_hash(seq):
            raise IntegrityError(
                f"snapshot of record {seq} in {self.path} was changed",
                why="its bytes are not those whose hash stands in the chain",
                fix="start from an older snapshot or from none, and run `kedge audit verify`",
            )
        return snapshot

    def _chained_hash(self, record: int) -> str | None:
        """The hash that the chain holds for the snapshot of this record: the mark stands before the next record."""
        for seq, _, body in self.raw_rows(start=self.row_of(record)):
            value = decode_row(seq, body)
            if isinstance(value, SnapshotTaken) and value.seq_of == record:
                return value.sha256
            if isinstance(value, Step) and value.seq > record:
                return None
        return None

    def row_of(self, record: int) -> int:
        """Number of the first row after all earlier records; a row never has a smaller number than its record."""
        low, high = max(record, 0), self.last_seq() + 1
        while low < high:
            middle = (low + high) // 2
            if self._record_at(middle) < record:
                low = middle + 1
            else:
                high = middle
        return low

    def _record_at(self, row: int) -> int:
        """Number of the first record in this row or after it."""
        with sqlite_errors(self.path):
            few = self._db.execute("SELECT seq, body FROM rows WHERE seq >= ? ORDER BY seq LIMIT 4", (row,)).fetchall()
        for seq, body in few:
            value = decode_row(seq, body)
            if isinstance(value, Head):
                return value.count
            if not isinstance(value, SnapshotTaken):
                return value.seq if isinstance(value, Step | ActRecorded | Watched) else 0
        return 2**63 - 1


def check_layout(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is no journal of this layout."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise IntegrityError(
            f"{path} is no Kedge journal",
            why=f"its application id is {application_id:#x}, not {APPLICATION_ID:#x}",
            fix="name another file",
        )
    db.execute("SELECT seq, hash, body FROM rows LIMIT 1").fetchone()
    db.execute("SELECT seq, sha256, body FROM snapshots LIMIT 1").fetchone()


def _connect(path: Path, *, any_thread: bool) -> sqlite3.Connection:
    # a sealed file is complete: a log slipped in beside it must not be read
    mode = "immutable=1" if seal_path(path).exists() else "mode=ro"
    db = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=5.0, check_same_thread=not any_thread)
    db.text_factory = bytearray
    return db
