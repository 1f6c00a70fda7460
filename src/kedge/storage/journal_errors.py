"""What SQLite says about a journal's file, as Kedge's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedge.domain.errors import Conflict, IntegrityError, KedgeError
from kedge.storage.sqlite_files import is_busy


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a file into Kedge's errors."""
    try:
        yield
    # a damaged schema makes SQLite quote bytes that are no text
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise as_kedge_error(path, error) from None


def as_kedge_error(path: Path, error: Exception) -> KedgeError:
    """The error that names the journal and the reaction."""
    if is_busy(error):
        return Conflict(f"journal {path} is busy", why=str(error), fix="wait until the other process is done")
    return IntegrityError(f"journal {path} cannot be read", why=str(error), fix="keep the file as evidence, restore a backup")
