"""The tables of the store of people: made from the row types, checked on opening, migrated where an older version left the file.

Rules: a table has one row type; its columns are copies of fields that are compared, the canonical body is the row. What stands in
`sqlite_master` must be exactly what this version makes, so that a file somebody bent shows at once.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from kedge.domain.errors import IntegrityError, InvalidConfig
from kedge.storage.people_rows import ROW_TYPES, StoredRow

APPLICATION_ID: Final = 0x4B445031
"""'KDP1' in the header of the file: a Kedge store of people."""

SCHEMA_VERSION: Final = 1
MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {}
"""Statements that lead from a version to the next one; run in one transaction."""

OUTBOX: Final = "acts_due"
_OUTBOX_SQL: Final = f"CREATE TABLE {OUTBOX} (number INTEGER PRIMARY KEY AUTOINCREMENT, act_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL)"
_INTEGERS: Final = frozenset({"expires_wall_ns", "until_wall_ns"})


def columns(row_type: type[StoredRow]) -> tuple[str, ...]:
    """The fields that have a column: those of the key, then those that may be compared."""
    return row_type.KEY + row_type.INDEXED


def schema() -> tuple[str, ...]:
    """The statements that make an empty store."""
    return tuple(statement for row_type in ROW_TYPES for statement in _table(row_type)) + (_OUTBOX_SQL,)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of an empty file, migrate those of an older version, refuse everything else.

    Raises
    ------
    IntegrityError
        Another kind of file, damaged, or with other tables.
    InvalidConfig
        A later version of Kedge wrote it.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(db):
            _create(db)
        else:
            _check_kind(db, path)
            _migrate(db, path)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    _check(db, path)


def _table(row_type: type[StoredRow]) -> tuple[str, ...]:
    table = row_type.TABLE
    typed = ", ".join(f"{name} {'INTEGER' if name in _INTEGERS else 'TEXT'}" for name in columns(row_type))
    made = (
        f"CREATE TABLE {table} (seq INTEGER PRIMARY KEY AUTOINCREMENT, {typed}, body BLOB NOT NULL, UNIQUE ({', '.join(row_type.KEY)}))",
        *(
            f"CREATE UNIQUE INDEX {table}_{one.field} ON {table} ({one.field})" + (f" WHERE {one.where}" if one.where else "")
            for one in row_type.UNIQUE
        ),
    )
    unique = {one.field for one in row_type.UNIQUE if not one.where}
    return made + tuple(f"CREATE INDEX {table}_by_{name} ON {table} ({name})" for name in row_type.INDEXED if name not in unique)


def _is_empty(db: sqlite3.Connection) -> bool:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(db, "application_id")


def _create(db: sqlite3.Connection) -> None:
    for statement in schema():
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_kind(db: sqlite3.Connection, path: Path) -> None:
    if (found := _pragma(db, "application_id")) != APPLICATION_ID:
        raise _damaged(path, f"its application id is {found:#x}, not {APPLICATION_ID:#x}")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = _pragma(db, "user_version")
    if version > SCHEMA_VERSION:
        raise InvalidConfig(
            f"{path} has layout {version}",
            why=f"this Kedge knows layouts up to {SCHEMA_VERSION}",
            fix="run the Kedge that wrote it, or newer",
        )
    while version < SCHEMA_VERSION:
        if version not in MIGRATIONS:
            raise _damaged(path, f"nothing leads from layout {version} to {SCHEMA_VERSION}")
        for statement in MIGRATIONS[version]:
            db.execute(statement)
        version += 1
        db.execute(f"PRAGMA user_version = {version}")


def _check(db: sqlite3.Connection, path: Path) -> None:
    found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'")}
    expected = set(schema())
    if found != expected:
        strange = sorted(found - expected) or sorted(expected - found)
        raise _damaged(path, f"its tables are not those of layout {SCHEMA_VERSION}: {str(strange[0])[:80]}")
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, f"SQLite says: {verdict}")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"{path} is no whole store of people", why=why, fix="keep the file as evidence, restore a backup")
