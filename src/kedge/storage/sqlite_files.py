"""What files that several processes open at once need of SQLite."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

BUSY_S: Final = 5.0
_AGAIN_S: Final = 0.005


def make_private_file(path: Path) -> None:
    """An empty file that its owner alone can read, whatever the umask, where there is none.

    One that is there is never opened here: closing it would take the locks off that SQLite holds on it elsewhere in this process.

    Raises
    ------
    OSError
        A symbolic link stands there, or the folder cannot be written.
    """
    if path.is_symlink():
        raise FileExistsError(errno.EEXIST, "it is a symbolic link")
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.link(draft, path)
    except FileExistsError:
        if path.is_symlink():
            raise  # else another one was faster
    finally:
        draft.unlink()


def is_busy(error: object) -> bool:
    """Whether others held the file too long: neither damage nor a full disk."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def log_ahead(db: sqlite3.Connection, *, wait_s: float = BUSY_S) -> None:
    """Turn the write-ahead log on, however many do so at once.

    SQLite waits for a lock by itself, except where two who are in the file both want to change it: then one of them fails at once.

    Raises
    ------
    sqlite3.OperationalError
        Others have held the file for longer than `wait_s`.
    """
    until_s = time.monotonic() + wait_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until_s:
                raise
        time.sleep(_AGAIN_S)
