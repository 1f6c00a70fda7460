"""What SQLite says about the store of people, as Kedge's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedge.domain.errors import Conflict, IntegrityError, KedgeError, RecordingFailed
from kedge.storage.sqlite_files import is_busy

_CANNOT_WRITE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the file into Kedge's errors."""
    try:
        yield
    # a damaged column makes SQLite quote bytes that are no text
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _as_kedge_error(path, error) from None


def _as_kedge_error(path: Path, error: Exception) -> KedgeError:
    if is_busy(error):
        return Conflict(f"{path} is busy", why=str(error), fix="wait until the other process is done")
    if getattr(error, "sqlite_errorname", "").startswith(_CANNOT_WRITE):
        return RecordingFailed(f"cannot write {path}", why=str(error), fix="free disk space or mend the disk; nothing was changed")
    return IntegrityError(f"{path} cannot be read", why=str(error), fix="stop the server, keep the file as evidence, restore a backup")
