"""The guard's journal: what the emergency brake saw and did, in the rows, chain and signed heads of every other journal.

Rules: a file that was taken away is not written, since nobody would read it; whoever reads is never in the writer's way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, InvalidInput, KedgeError, RecordingFailed
from kedge.journal import LATCH, WATCH_PREFIX, Redactor, Signer, Watched, WatchStarted, decode_row
from kedge.storage.journal_files import head_path
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal

GUARD_JOURNAL: Final = "journal.sqlite"
"""The file's name in the guard's folder."""
PAGE_MAX: Final = 500
ROWS_LOOKED_AT_MAX: Final = 5_000
RELEASED: Final = "released"
"""The kind of the record that uses an approval up."""
_GROUP: Final = 1_000_000
_ID_BYTES: Final = 8
_STRIDE: Final = 250


class GuardWriter:
    """One opening of the file: appends groups of records. For one thread at a time.

    Raises
    ------
    Conflict
        Another process writes it.
    IntegrityError
        Cut or lengthened tail, another key, the journal of something or somebody else.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        account: str,
        *,
        signer: Signer,
        engine_version: str,
        wall_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes] = os.urandom,
        redactor: Redactor | None = None,
    ) -> None:
        self.path, self._wall_ns = Path(path), wall_ns
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise RecordingFailed(f"cannot make {self.path.parent}", why=error.strerror or str(error), fix="check permissions") from None
        if not self.path.exists() and head_path(self.path).exists():  # a new file here would spoil what is left of the old one
            raise IntegrityError(
                f"{self.path} is gone",
                why="its head file is still there, so there was one",
                fix=f"put it back, or move {self.path.name}* away to begin a new one",
            )
        self._journal = SqliteJournal(self.path, signer=signer, source="guard", group_size=_GROUP, redactor=redactor, any_thread=True)
        try:
            if not self._journal.count:
                journal_id = WATCH_PREFIX + random_bytes(_ID_BYTES).hex()
                started = WatchStarted(run_id=journal_id, account=account, engine_version=engine_version, started_wall_ns=wall_ns())
                self._journal.start_watch(started)
            elif (found := account_of(self.path)) != account:
                raise IntegrityError(
                    f"{self.path} is the journal of account {found!r}", why=f"this guard is {account!r}'s", fix="move it away"
                )
            stat = self.path.stat()
            self._file = (stat.st_dev, stat.st_ino)
        except OSError as error:
            self._journal.close()
            raise RecordingFailed(f"cannot look at {self.path}", why=error.strerror or str(error), fix="check the folder") from None
        except BaseException:
            self._journal.close()
            raise

    @property
    def count(self) -> int:
        """Records in the file."""
        return self._journal.count

    def append(self, records: list[msgspec.Struct]) -> None:
        """Write records in this order, all or none. Durable on return.

        Raises
        ------
        RecordingFailed
            The disk is full or failing, somebody keeps the file locked, or took it away. This writer takes nothing more.
        """
        self._refuse_if_gone()
        now_wall_ns = self._wall_ns()
        for record in records:
            self._journal.commit_watched(record, now_wall_ns)
        self._journal.flush()
        self._refuse_if_gone()

    def close(self) -> None:
        """Release the file and the lock; what an earlier failure left open is not written."""
        with suppress(KedgeError):
            self._journal.close()

    def gone(self) -> str:
        """Why the file is not there any more; empty while it is. One that was taken away can be written for as long as it is open."""
        try:
            stat = self.path.stat()
        except OSError as error:
            return f"{self.path} was taken away: {error.strerror or error}"
        return "" if (stat.st_dev, stat.st_ino) == self._file else f"{self.path} was taken away: another file is there"

    def _refuse_if_gone(self) -> None:
        if why := self.gone():
            raise RecordingFailed(why, why="records would go where nobody reads them", fix="put it back, or move all of it away")


# reading --------------------------------------------------------------------------------------------------------------


class StoredRecord(NamedTuple):
    """A record with its number, which a cursor goes by."""

    seq: int
    recorded_wall_ns: int
    kind: str
    content: dict[str, Any]


class RecordPage(NamedTuple):
    """Records, newest first. `before_seq` asks for the next page, None at the journal's start; a filtered page may be empty and go on."""

    records: list[StoredRecord]
    before_seq: int | None


def account_of(path: Path) -> str:
    """The account in a journal's first row; empty where it is no guard's."""
    with SqliteJournalReader(path) as reader:
        for seq, _, body in reader.raw_rows(stop=1):
            found = decode_row(seq, body)
            if isinstance(found, WatchStarted):
                return found.account
    return ""


def known_generation(path: Path) -> int | None:
    """The newest generation of the latch that a journal knows: None where there never was one, 0 where it cannot be read or knows none."""
    if not path.exists() and not head_path(path).exists():
        return None
    try:
        with SqliteJournalReader(path) as reader:
            numbers = [_generation(record) for record in _named(reader, LATCH)]
    except (KedgeError, OSError):
        return 0
    return max(numbers, default=0)


def was_released_by(path: Path, approval_id: str) -> bool:
    """Whether the journal holds a release by this approval.

    Raises
    ------
    KedgeError
        The journal cannot be read, so nobody can say.
    """
    with SqliteJournalReader(path) as reader:
        hints = [seq for kind, seq in reader.beside.hints(approval_id) if kind == RELEASED]
        if hints and not any(record.kind == RELEASED for record in _named(reader, approval_id)):
            raise IntegrityError(f"{path} does not hold {approval_id}", why=f"its index says record {hints[0]}", fix="kedge audit verify")
        return bool(hints)


def newest_content(path: Path, kind: str, *, void_by: str = "") -> dict[str, Any] | None:
    """The fields of the newest record of a kind; None where there is none, or where one of the kind `void_by` came after it.

    Raises
    ------
    KedgeError
        The journal cannot be read.
    """
    wanted = {name: b'"kind":' + encode(name) for name in (kind, void_by) if name}
    if not path.is_file():
        return None
    with SqliteJournalReader(path) as reader:
        top = reader.last_seq() + 1
        while top > 0:
            start = max(0, top - _STRIDE)
            for row, _, body in reversed(list(reader.raw_rows(start=start, stop=top))):
                if not any(mark in body for mark in wanted.values()):
                    continue
                found = decode_row(row, body)
                if isinstance(found, Watched) and found.kind in wanted:
                    return found.content if found.kind == kind else None
            top = start
    return None


def read_page(path: Path, limit: int, before_seq: int | None = None, *, kinds: frozenset[str] | None = None) -> RecordPage:
    """Up to `limit` records before number `before_seq`, newest first, of these kinds where they are named. No file holds none.

    Raises
    ------
    InvalidInput
        The limit is none.
    IntegrityError
        A row is no record in canonical form.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(f"limit is {limit}", why=f"a page holds 1 to {PAGE_MAX} records", fix="ask for fewer, then for the next page")
    if not path.is_file():
        return RecordPage([], None)
    with SqliteJournalReader(path) as reader:
        top = reader.last_seq() + 1
        if before_seq is not None:
            top = min(top, reader.row_of(before_seq))
        found: list[StoredRecord] = []
        oldest = before_seq
        for record in _below(reader, top, max(0, top - ROWS_LOOKED_AT_MAX)):
            if before_seq is not None and record.seq >= before_seq:
                continue
            oldest = record.seq
            if kinds is None or record.kind in kinds:
                found.append(StoredRecord(record.seq, record.recorded_wall_ns, record.kind, record.content))
                if len(found) == limit:
                    break
        return RecordPage(found, oldest if oldest is not None and oldest > 1 else None)


def _below(reader: SqliteJournalReader, top: int, lowest: int) -> Iterator[Watched]:
    while top > lowest:
        start = max(lowest, top - _STRIDE)
        for row, _, body in reversed(list(reader.raw_rows(start=start, stop=top))):
            value = decode_row(row, body)
            if isinstance(value, Watched):
                if encode(value) != body:
                    raise IntegrityError(
                        f"row {row} of {reader.path} is not in canonical form", why="it was changed", fix="kedge audit verify"
                    )
                yield value
        top = start


def _named(reader: SqliteJournalReader, name: str) -> Iterator[Watched]:
    for _, seq in reader.beside.hints(name):
        first = reader.row_of(seq)
        for row, _, body in reader.raw_rows(start=first, stop=first + 4):  # a head may stand before it
            value = decode_row(row, body)
            if isinstance(value, Watched) and value.seq == seq:
                yield value


def _generation(record: Watched) -> int:
    number = record.content.get("generation")
    return number if isinstance(number, int) else 0
