"""The journal in a SQLite file: one writer, write-ahead log, one transaction for each group.

Rules: a group is durable (fsync of the log) before its head is copied to `<journal>.head` and the call returns, so
that the copy is never ahead and lags by at most one group. A file that disagrees with its copy is not written to.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from kedge.domain.canonical import encode
from kedge.domain.errors import InvalidInput, KedgeError, RecordingFailed
from kedge.domain.ports import Clock
from kedge.journal import ChainedJournal, Group, Head, Redactor, Signer, sign_seal
from kedge.storage.journal_errors import as_kedge_error, sqlite_errors
from kedge.storage.journal_files import WriterLock, chunks_of, head_path, remove_file, replace_file, seal_path
from kedge.storage.journal_head import HeadFile, check_fits
from kedge.storage.journal_reader import APPLICATION_ID, check_layout
from kedge.storage.journal_tables import BESIDE_SCHEMA, ROWS_SCHEMA, add_tables, has_tables, put_beside
from kedge.storage.journal_tail import read_tail
from kedge.storage.sqlite_files import is_busy

_SCHEMA = (f"PRAGMA application_id = {APPLICATION_ID}", *ROWS_SCHEMA, *BESIDE_SCHEMA)
_WAL_PAGES = 512


class SqliteJournal(ChainedJournal):
    """Writes a journal; opens an existing one to append.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    signer, source, group_size, redactor, clock
        See `ChainedJournal`.
    any_thread : bool
        Whether other threads than this one may call; the caller sees to it that they do so one at a time.

    Attributes
    ----------
    crash_recovered : bool
        The head file lagged by one group on opening: the last writer died between a group and the copy.

    Raises
    ------
    Conflict
        Another writer holds the file; names its process.
    IntegrityError
        Cut or lengthened tail, another key, or no journal.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        signer: Signer,
        source: str,
        group_size: int = 1,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        any_thread: bool = False,
    ) -> None:
        super().__init__(signer=signer, source=source, group_size=group_size, redactor=redactor, clock=clock)
        self.path = Path(path)
        self._key: Signer = signer
        self.crash_recovered = False
        self._closed = False
        self._head_file = HeadFile(head_path(self.path))
        if not self.path.parent.is_dir() or self.path.is_dir():
            raise InvalidInput(
                f"journal path {self.path}", why="its folder does not exist, or it is one", fix="make the folder, name a file"
            )
        self._lock = WriterLock(self.path)
        try:
            self._db = _open(self.path, any_thread=any_thread)
            try:
                self._continue()
            except BaseException:
                self._head_file.close()
                self._db.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
            return
        with suppress(KedgeError):  # the error on its way out is the one to see
            self.close()

    def close(self, *, seal: bool = False) -> None:
        """Flush, fold the log into the file, release the lock.

        Parameters
        ----------
        seal : bool
            Also write `<journal>.seal`: signed hashes of the whole file. Opening for append removes it.

        Raises
        ------
        RecordingFailed
            The last group or the seal could not be written. The file and the lock are released all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
            if seal and not self._refusal:
                self._seal()
        finally:
            self._refusal = "it was closed"
            self._head_file.close()
            self._db.close()
            self._lock.release()

    def _persist(self, group: Group) -> None:
        db, head, snapshot = self._db, group.head, group.snapshot
        if head and not head.group:
            check_fits(head)
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO rows VALUES (?, ?, ?)", group.rows)
            put_beside(db, group)
            if snapshot:
                db.execute("INSERT INTO snapshots VALUES (?, ?, ?)", (snapshot.seq, bytes.fromhex(snapshot.sha256), snapshot.body))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _failed(self.path, error) from None
        if head:
            self._copy_head(head)

    def _roll_back(self) -> None:
        # an unfinished transaction is not part of the file, whether or not it can be undone now
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _copy_head(self, head: Head) -> None:
        try:
            self._head_file.write(head)
        except OSError as error:
            raise _failed(self._head_file.path, error) from None

    def _continue(self) -> None:
        with sqlite_errors(self.path):
            tail, head, lags = read_tail(self._db, self.path, self._key)
            complete = has_tables(self._db)
            (self._last_snapshot,) = self._db.execute("SELECT ifnull(max(seq), -1) FROM snapshots").fetchone()
        try:
            if head and lags:
                self._copy_head(head)
                self.crash_recovered = True
            if seal_path(self.path).exists():
                remove_file(seal_path(self.path))
        except OSError as error:
            raise _failed(seal_path(self.path), error) from None
        if not complete:
            self._complete()
        with sqlite_errors(self.path):
            _configure(self._db)
        if tail:
            self._continue_from(tail)

    def _complete(self) -> None:
        try:
            add_tables(self._db)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None

    def _seal(self) -> None:
        try:
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise RecordingFailed(f"cannot seal {self.path}", why="somebody is reading it", fix="close the readers and seal again")
            self._db.execute("PRAGMA busy_timeout = 0")
            with suppress(sqlite3.OperationalError):  # an idle reader, such as the dashboard's, keeps the log; the file is whole without it
                self._db.execute("PRAGMA journal_mode = DELETE").fetchone()
            self._db.close()
            seal = sign_seal(chunks_of(self.path), self._key, run_id=self.run_id, last_hash=self.last_hash)
            replace_file(seal_path(self.path), encode(seal))
        except sqlite3.Error as error:
            raise as_kedge_error(self.path, error) from None
        except OSError as error:
            raise _failed(self.path, error) from None


def _open(path: Path, *, any_thread: bool) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=not any_thread)
    except sqlite3.Error as error:
        raise _failed(path, error) from None
    try:
        with sqlite_errors(path):
            if _is_empty(db):
                _create(db)
            check_layout(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _is_empty(db: sqlite3.Connection) -> bool:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    return not tables and not application_id


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute("COMMIT")


def _configure(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")


def _failed(path: Path, error: Exception) -> RecordingFailed:
    mend = "end whoever holds the file" if is_busy(error) else "free disk space or mend the disk"
    fix = f"{mend}, then open the journal again; what was written before is intact"
    return RecordingFailed(f"cannot write {path}", why=str(error), fix=fix)
