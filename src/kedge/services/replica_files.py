"""Where replicas keep their files: `<state folder>/replica/<run>.sqlite`, one server each, and no more of them than are of use.

Rules: a lock beside the file says that a server works on it; whoever comes second works on a file of its own, `<run>.<pid>.sqlite`, which
goes with it. Files of older runs, and those that a dead process left, are deleted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from kedge.domain.errors import Conflict, KedgeError
from kedge.ops.health_file import is_alive
from kedge.ops.process_lock import ProcessLock, holder_of
from kedge.services.replica_store import remove_store
from kedge.storage.journal_reader import SqliteJournalReader

FOLDER: Final = "replica"
KEPT: Final = 8
"""Files of earlier runs that are kept, so that going back to one costs nothing."""


class ReplicaFile:
    """The file of one run for this process; `release` when done with it.

    Parameters
    ----------
    state_folder : Path
    run_id : str
    """

    def __init__(self, state_folder: Path, run_id: str) -> None:
        folder = state_folder / FOLDER
        lock = ProcessLock(folder / f"{run_id}.lock", what="another server's replica")
        self._lock: ProcessLock | None = None
        try:
            self._lock = lock.__enter__()
            self.path = folder / f"{run_id}.sqlite"
        except Conflict:
            self.path = folder / f"{run_id}.{os.getpid()}.sqlite"

    def release(self) -> None:
        """Let others have it; a file of this process alone is deleted."""
        if self._lock is None:
            remove_store(self.path)
        else:
            self._lock.__exit__(None, None, None)


def tidy(state_folder: Path) -> None:
    """Delete what dead processes left, and all but the newest files that nobody works on."""
    shared = []
    for path in (state_folder / FOLDER).glob("*.sqlite"):
        pid = path.stem.rpartition(".")[2]
        if "." not in path.stem or not pid.isdigit():
            shared.append(path)
        elif not is_alive(int(pid)):
            remove_store(path)
    newest_first = sorted(shared, key=lambda path: written_ns(path) or 0, reverse=True)
    for path in newest_first[KEPT:]:
        lock = path.with_suffix(".lock")
        if holder_of(lock) is None:
            remove_store(path)
            lock.unlink(missing_ok=True)


def has_begun(journal: Path) -> bool:
    """Whether anything stands in a journal: a trader makes it, asks its venue, and then writes the first row.

    One that cannot be read has begun: why it cannot is for its reader to say.
    """
    with suppress(KedgeError, OSError):
        if not journal.stat().st_size:
            return False
        with SqliteJournalReader(journal) as reader:
            return reader.last_seq() >= 0
    return True


def written_ns(database: Path) -> int | None:
    """When a database was last written to, by its files' times; None where it is not there."""
    found = []
    for path in (database, database.with_name(database.name + "-wal")):
        try:
            found.append(path.stat().st_mtime_ns)
        except OSError:
            continue
    return max(found, default=None)
