"""The tables beside a journal's rows: content-addressed blobs, and the index from ids to records.

Rules: both are written in the transaction of the rows they belong to. The index is a hint built from the rows alone; a journal from before
it gets it, whole, when it is continued, so that where it is it is complete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, NotFound
from kedge.journal import Group, Mention, mentions, telling_step
from kedge.storage.journal_errors import sqlite_errors

ROWS_SCHEMA: Final = (
    "CREATE TABLE rows (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, body BLOB NOT NULL)",
)
BESIDE_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS blobs (sha256 BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS ids "
    "(id TEXT NOT NULL, kind TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (id, seq, kind)) WITHOUT ROWID",
)
_NO_INSTRUMENT: Final = "kind <> 'instrument_changed'"
_PUT_ID: Final = "INSERT OR IGNORE INTO ids VALUES (?, ?, ?)"


def tables_there(db: sqlite3.Connection) -> frozenset[str]:
    """Which of the tables 'blobs' and 'ids' the file has; journals of earlier versions lack both."""
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('blobs', 'ids')").fetchall()
    return frozenset(name if isinstance(name, str) else _text(name) for (name,) in rows)  # a reader takes text as bytes


def has_tables(db: sqlite3.Connection) -> bool:
    """Whether the file has blobs and index."""
    return len(tables_there(db)) == 2


def add_tables(db: sqlite3.Connection) -> None:
    """Give an earlier journal, or one that lost a table, what it lacks, with the ids that its rows mention."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in BESIDE_SCHEMA:
            db.execute(statement)
        for (body,) in db.execute("SELECT body FROM rows ORDER BY seq"):
            if type(body) is bytes and (step := telling_step(body)) is not None:
                db.executemany(_PUT_ID, list(mentions(step)))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has ended it already
            db.execute("ROLLBACK")
        raise


def put_beside(db: sqlite3.Connection, group: Group) -> None:
    """Write a group's blobs and index, inside its transaction."""
    if group.blobs:
        db.executemany("INSERT OR IGNORE INTO blobs VALUES (?, ?)", [(bytes.fromhex(name), body) for name, body in group.blobs.items()])
    if group.ids:
        db.executemany(_PUT_ID, group.ids)


class Beside:
    """The blobs and the index of a journal that is open for reading.

    Attributes
    ----------
    is_there : bool
        Whether the file has an index at all.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        self._tables = tables_there(db)
        self.is_there = "ids" in self._tables

    def blob(self, sha256: str) -> bytes:
        """A blob's bytes, checked against its name (hex); NotFound, IntegrityError."""
        body = self.stored_blob(bytes.fromhex(sha256)) if _is_hex(sha256) else None
        if body is None:
            raise NotFound(f"blob {sha256[:16]}", why=f"{self._path} does not hold it", fix="name one that its records name")
        if not isinstance(body, bytes) or digest(body) != sha256:
            raise IntegrityError(
                f"blob {sha256[:16]} in {self._path} was changed",
                why="its bytes have another SHA-256",
                fix="keep the file as evidence, run `kedge audit verify`",
            )
        return body

    def stored_blob(self, name: bytes) -> object:
        """What is kept under a name (32 bytes), unchecked; None where nothing is."""
        rows = self._rows("SELECT body FROM blobs WHERE sha256 = ?", (name,), table="blobs")
        return rows[0][0] if rows else None

    def blob_names(self) -> Iterator[object]:
        """The names of all blobs, unchecked."""
        return (name for (name,) in self._rows("SELECT sha256 FROM blobs", table="blobs"))

    def hints(self, id: str) -> list[tuple[str, int]]:
        """What the index says of an id: `(kind, record number)`, in order."""
        return [(_text(kind), seq) for kind, seq in self._rows("SELECT kind, seq FROM ids WHERE id = ? ORDER BY seq, kind", (id,))]

    def ids_from(self, prefix: str, limit: int) -> list[str]:
        """Ids of the index that begin with these characters, in order, at most `limit`; instruments, which it holds too, are none."""
        rows = self._rows(
            f"SELECT DISTINCT id FROM ids WHERE id >= ? AND id < ? AND {_NO_INSTRUMENT} LIMIT ?", (prefix, prefix + chr(0x10FFFF), limit)
        )
        return [_text(id) for (id,) in rows]

    def ids_around(self, id: str) -> list[str]:
        """The last id of the index before this one and the first after it, where there are any."""
        before = self._rows(f"SELECT id FROM ids WHERE id < ? AND {_NO_INSTRUMENT} ORDER BY id DESC LIMIT 1", (id,))
        after = self._rows(f"SELECT id FROM ids WHERE id > ? AND {_NO_INSTRUMENT} ORDER BY id LIMIT 1", (id,))
        return [_text(found) for (found,) in (*before, *after)]

    def tallies(self, *, apart_from: str) -> dict[str, tuple[int, int, int, int]]:
        """By kind: entries, records, first and last record number, of ids that do not begin with `apart_from`."""
        rows = self._rows(
            "SELECT kind, count(*), count(DISTINCT seq), min(seq), max(seq) FROM ids WHERE id < ? OR id >= ? GROUP BY kind",
            (apart_from, apart_from + chr(0x10FFFF)),
        )
        return {_text(kind): (entries, records, first, last) for kind, entries, records, first, last in rows}

    def has_hint(self, one: Mention) -> bool:
        """Whether the index holds this."""
        return bool(self._rows("SELECT 1 FROM ids WHERE id = ? AND seq = ? AND kind = ?", (one.id, one.seq, one.kind)))

    def hints_between(self, first: int, last: int) -> int:
        """How many entries of the index are about records `first <= seq <= last`."""
        rows = self._rows("SELECT count(*) FROM ids WHERE seq BETWEEN ? AND ?", (first, last))
        return int(rows[0][0]) if rows else 0

    def _rows(self, statement: str, values: tuple[Any, ...] = (), *, table: str = "ids") -> list[Any]:
        if table not in self._tables:
            return []
        with sqlite_errors(self._path):
            return self._db.execute(statement, values).fetchall()


def _is_hex(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _text(value: bytes) -> str:
    return bytes(value).decode(errors="replace")
