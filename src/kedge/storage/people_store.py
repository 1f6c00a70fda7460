"""The store of people: one SQLite file that only its owner can read, changed in whole transactions.

Rules: write-ahead log, synchronous FULL, so that what `writing` committed survives a power cut. Writers go one at a time, in this process
through a lock and between processes through SQLite's. Readers have connections of their own, see the last committed state, hold no lock.
"""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from kedge.domain.errors import InvalidConfig, InvalidInput, RecordingFailed
from kedge.journal import Redactor
from kedge.storage.people_errors import store_errors
from kedge.storage.people_layout import prepare
from kedge.storage.people_tx import DueAct, Page, Tx
from kedge.storage.sqlite_files import BUSY_S, log_ahead, make_private_file

_WAL_PAGES: Final = 256


class PeopleStore:
    """Accounts and what belongs to them.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made where they are not there, readable by their owner only.
    redactor : Redactor, optional
        Keeps secrets out of acts.

    Raises
    ------
    IntegrityError
        Another kind of file, or damaged.
    InvalidConfig
        Others may read it, or a later version wrote it.
    RecordingFailed
        The folder or the file cannot be made.
    """

    def __init__(self, path: Path, *, redactor: Redactor | None = None) -> None:
        self.path = Path(path)
        self._redactor = redactor or Redactor()
        self._write_lock, self._pool_lock = threading.RLock(), threading.Lock()
        self._write_depth = 0
        self._idle: list[sqlite3.Connection] = []
        self._here = threading.local()
        self._is_closed = False
        _make_private(self.path)
        self._writer = self._connect()
        try:
            with store_errors(self.path):
                log_ahead(self._writer)
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute("PRAGMA secure_delete = ON")
                self._writer.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
                prepare(self._writer, self.path)
        except BaseException:
            self._writer.close()
            raise

    def __enter__(self) -> PeopleStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file, once whoever is writing is done; a reader under way releases its part when it is."""
        with self._write_lock, self._pool_lock:
            self._is_closed = True
            while self._idle:
                self._idle.pop().close()
            self._writer.close()

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        """A transaction that is durable when the block ends, and undone whole where an exception leaves it.

        A block inside another one of the same thread is part of it; where an exception leaves only the inner one, only that is undone.

        Raises
        ------
        RecordingFailed
            The disk is full or failing; nothing was changed.
        Conflict
            Another process held the file too long.
        """
        with self._write_lock:
            self._refuse_if_closed()
            depth = self._write_depth
            begin, end, undo = _STATEMENTS[depth > 0]
            self._execute(self._writer, begin)
            self._write_depth += 1
            tx = Tx(self._writer, self.path, self._redactor)
            try:
                yield tx
                self._execute(self._writer, end)
            except BaseException:
                self._undo(undo)
                raise
            finally:
                self._write_depth = depth
                tx.end()

    @property
    def is_writing_here(self) -> bool:
        """Whether this thread is in a `writing` block, so that what it sees may yet be undone."""
        if not self._write_lock.acquire(blocking=False):
            return False
        try:
            return self._write_depth > 0
        finally:
            self._write_lock.release()

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """One committed state for the length of the block; inside `writing` of the same thread, what that one sees."""
        if self.is_writing_here:
            with self.writing() as tx:
                yield tx
            return
        if (outer := getattr(self._here, "tx", None)) is not None:
            yield outer
            return
        db = self._take_reader()
        try:
            self._execute(db, "BEGIN")
            tx = self._here.tx = Tx(db, self.path, self._redactor)
            try:
                yield tx
            finally:
                self._here.tx = None
                tx.end()
                self._execute(db, "ROLLBACK")
        finally:
            self._return_reader(db)

    def _take_reader(self) -> sqlite3.Connection:
        with self._pool_lock:
            self._refuse_if_closed()
            if self._idle:
                return self._idle.pop()
        db = self._connect()
        self._execute(db, "PRAGMA query_only = ON")
        return db

    def _return_reader(self, db: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._is_closed:
                self._idle.append(db)
                return
        db.close()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise InvalidInput(f"{self.path} was closed", why="the server is ending", fix="open the store again")

    def _execute(self, db: sqlite3.Connection, statement: str) -> None:
        with store_errors(self.path):
            db.execute(statement)

    def _undo(self, statements: tuple[str, ...]) -> None:
        with suppress(sqlite3.Error):  # what cannot be undone now is no part of the file either
            if self._writer.in_transaction:
                for statement in statements:
                    self._writer.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
        except sqlite3.Error as error:
            raise RecordingFailed(f"cannot open {self.path}", why=str(error), fix="check the folder's permissions") from None


_STATEMENTS: Final = (
    ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)),
    ("SAVEPOINT inner", "RELEASE inner", ("ROLLBACK TO inner", "RELEASE inner")),
)


def _make_private(path: Path) -> None:
    """The folder and the file, for their owner only; refused where others may already read them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_private_file(path)
    except OSError as error:
        raise RecordingFailed(f"cannot make {path}", why=error.strerror or str(error), fix="check the folder's permissions") from None
    for place, want in ((path.parent, "700"), (path, "600")):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o077:
            raise InvalidConfig(
                f"{place} has permissions {mode:04o}", why="others than its owner can read who may do what", fix=f"chmod {want} {place}"
            )


__all__ = ["DueAct", "Page", "PeopleStore", "Tx"]
