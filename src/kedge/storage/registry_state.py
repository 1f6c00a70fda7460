"""MLflow's store as a file: where it lies, whether it can be read, and who may write to it; nothing of MLflow is imported for this."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from kedge.storage.sqlite_files import is_busy

STORE_FILE: Final = "mlflow.db"
LOCK_FILE: Final = "writing.lock"
TABLES: Final = ("alembic_version", "registered_models", "model_versions", "registered_model_aliases")
TIMEOUT_S: Final = 2.0

StoreState = Literal["ok", "missing", "unreadable"]


def store_state(folder: Path) -> StoreState:
    """Whether MLflow's store could be read: `ok`, `missing` or `unreadable`."""
    if not (folder / STORE_FILE).is_file():
        return "missing"
    try:
        with open_store(folder) as database:
            for table in TABLES:
                database.execute(f"SELECT count(*) FROM {table}").fetchone()
    except sqlite3.Error as error:
        return "ok" if is_busy(error) else "unreadable"
    return "ok"


@contextmanager
def open_store(folder: Path) -> Iterator[sqlite3.Connection]:
    """The store's database, read-only; raises `sqlite3.Error`."""
    uri = f"{(folder / STORE_FILE).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)) as database:
        yield database


@contextmanager
def sole_writer(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the store for writing against other processes, and threads, for as long as the block runs.

    What is read and written inside (is there a champion yet? then set one) is one step for everybody else. The system lets go when the
    holder dies.

    Parameters
    ----------
    wait : bool
        Off yields False at once where somebody else writes.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)
