"""The file of the inbox: made for its owner alone, opened by many at once, brought to the present layout.

Rule: being busy is neither damage nor a full disk.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from kedge.domain.errors import Conflict, IntegrityError, KedgeError, RecordingFailed
from kedge.storage.sqlite_files import BUSY_S, is_busy, log_ahead, make_private_file

APPLICATION_ID: Final = 0x4B444931
"""'KDI1' in the header of the file: a Kedge inbox, table layout 1."""

_SCHEMA: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "CREATE TABLE commands (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, put_wall_ns INTEGER NOT NULL, "
    "command TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0)",
)
_LATER: Final = ("claimed_by", "roles", "source", "act")
"""Columns of text that a file made by an older Kedge may lack; empty says that nothing is known."""


def open_inbox(path: Path, look: str) -> sqlite3.Connection:
    """A connection to the file, which is made where there is none.

    Parameters
    ----------
    look : str
        A query that the layout must be able to answer.

    Raises
    ------
    Conflict
        Others have held the file for longer than `BUSY_S`.
    IntegrityError
        The file is no inbox, or damaged.
    RecordingFailed
        The folder or the file cannot be written.
    """
    _make_private(path)
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
    except sqlite3.Error as error:
        raise unwritable(path, error) from None
    try:
        _prepare(db, path)
        db.execute(look).fetchone()
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
            raise unwritable(path, error) from None
        raise unreadable(path, error) from None
    except BaseException:
        db.close()
        raise
    return db


def unwritable(path: Path, error: Exception) -> KedgeError:
    """What to raise where the file did not take something."""
    if is_busy(error):
        return _held(path, error)
    return RecordingFailed(f"cannot use the inbox {path}", why=str(error), fix="free disk space or mend the folder, then try again")


def unreadable(path: Path, why: object) -> KedgeError:
    """What to raise where the file did not say something."""
    if is_busy(why):
        return _held(path, why)
    return IntegrityError(f"{path} is no Kedge inbox", why=str(why), fix="keep it as evidence, move it away, and give the command again")


def _held(path: Path, error: object) -> Conflict:
    return Conflict(f"the inbox {path} is busy", why=f"{error}, for {BUSY_S:g} s", fix="do it again")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id not in (0, APPLICATION_ID):
        raise unreadable(path, f"its application id is {application_id:#x}, not {APPLICATION_ID:#x}")
    log_ahead(db, wait_s=BUSY_S)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _SCHEMA:
            db.execute(statement)
    columns = {row[1] for row in db.execute("PRAGMA table_info(commands)")}
    for name in _LATER if columns else ():
        if name not in columns:
            db.execute(f"ALTER TABLE commands ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    db.execute("COMMIT")


def _make_private(path: Path) -> None:
    """The file for its owner alone: who can write here tells the trader what to do."""
    try:
        make_private_file(path)
    except OSError as error:
        raise unwritable(path, error) from None
    with suppress(OSError):  # of a file that is another user's: who may write all the same may stop
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
