"""The journal of acts: takes what the store's transactions wrote down to be journalled, in order and once, whoever dies when.

Rules: an act and what it changed are one transaction of the store; it is appended here before the answer leaves, and only then taken off
the store's list. A death in between leaves it on the list, and the next start finds by its id whether the journal has it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from kedge.domain.errors import KedgeError, RecordingFailed
from kedge.domain.people import Act
from kedge.journal import Redactor, Signer
from kedge.ops.build import engine_version
from kedge.services.kill_points import KillPoints, NoKillPoints
from kedge.storage.acts_journal import ActsEnd, ActsWriter
from kedge.storage.acts_reader import ActPage, ActReader, StoredAct
from kedge.storage.people_rows import ActsMark
from kedge.storage.people_store import PeopleStore
from kedge.storage.people_tx import DueAct

JOURNAL_NAME: Final = "journal.sqlite"
BATCH_ACTS: Final = 200
KILL_POINTS: Final = ("acts_before_append", "acts_after_append", "acts_after_forget")
"""Where a drill may end the process: before the journal has the acts, before the store forgets them, and after."""


class ActJournal:
    """The one writer of a journal of acts, and its reader.

    Parameters
    ----------
    folder : Path
        Where it lies; made where it is not there, for its owner only.
    signer : Signer
        Signs heads, as those of runs.
    wall_ns, random_bytes : callable
        The time, and the randomness that names a new journal.
    redactor : Redactor, optional
        Keeps secrets out of the bytes.
    kill_points : KillPoints, optional
        Places where a drill ends the process.

    Raises
    ------
    Conflict
        Another process writes it: one server serves one state folder.
    IntegrityError
        The journal is damaged, cut, or not one of acts.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
        redactor: Redactor | None = None,
        kill_points: KillPoints | None = None,
    ) -> None:
        self.path = Path(folder) / JOURNAL_NAME
        self._signer, self._wall_ns, self._random_bytes, self._redactor = signer, wall_ns, random_bytes, redactor
        self._kill_points = kill_points or NoKillPoints()
        self._lock = threading.Lock()
        self._is_marked = False
        self._writer: ActsWriter | None = self._open()
        self._reader = ActReader(self.path)

    def __enter__(self) -> ActJournal:
        return self

    def __exit__(self, *exit: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the writer's lock. What is still on the store's list is appended at the next start."""
        with self._lock:
            self._drop_writer()

    def flush(self, store: PeopleStore) -> None:
        """Append all acts on the store's list. Inside a `writing` block of this thread nothing is done: it may yet be undone.

        Raises
        ------
        RecordingFailed
            The disk is full or failing. The acts stay on the list, and the next call opens the journal again.
        IntegrityError
            The journal or the list was tampered with.
        """
        if store.is_writing_here:
            return
        with self._lock:
            while True:
                with store.reading() as tx:
                    due = tx.acts_due(BATCH_ACTS)
                if not due and self._is_marked:
                    return
                writer = self._sure_writer(store)
                if not due:
                    return
                self._append(writer, due)
                self._forget(store, writer.end, due)

    def page(self, limit: int, before_seq: int | None = None, *, person_id: str | None = None, action: str | None = None) -> ActPage:
        """See `ActReader.page`."""
        return self._reader.page(limit, before_seq, person_id=person_id, action=action)

    def newest(self, fits: Callable[[Act], bool]) -> Act | None:
        """See `ActReader.newest`."""
        return self._reader.newest(fits)

    def _append(self, writer: ActsWriter, due: list[DueAct]) -> None:
        self._kill_points.reach("acts_before_append")
        new = [one.act for one in due if not writer.has(one.act.act_id)]
        try:
            writer.append(new)
        except RecordingFailed:
            self._drop_writer()
            raise
        self._kill_points.reach("acts_after_append")

    def _forget(self, store: PeopleStore, end: ActsEnd, due: list[DueAct]) -> None:
        with store.writing() as tx:
            tx.forget_acts(one.number for one in due)
            tx.put(ActsMark(journal_id=end.journal_id, row=end.row, row_hash=end.row_hash))
        self._kill_points.reach("acts_after_forget")

    def _sure_writer(self, store: PeopleStore) -> ActsWriter:
        """The writer, opened again after a failure, of the journal that this store knows."""
        writer = self._writer = self._writer or self._open()
        if not self._is_marked:
            with store.reading() as tx:
                for mark in tx.find(ActsMark):
                    writer.refuse_if_cut(ActsEnd(mark.journal_id, mark.row, mark.row_hash))
            self._is_marked = True
        return writer

    def _open(self) -> ActsWriter:
        return ActsWriter(
            self.path,
            signer=self._signer,
            engine_version=engine_version(),
            wall_ns=self._wall_ns,
            random_bytes=self._random_bytes,
            redactor=self._redactor,
        )

    def _drop_writer(self) -> None:
        self._is_marked = False
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with suppress(KedgeError):  # what it could not write stays on the store's list
                writer.close()


__all__ = [
    "BATCH_ACTS",
    "JOURNAL_NAME",
    "KILL_POINTS",
    "ActJournal",
    "ActPage",
    "ActReader",
    "StoredAct",
]
