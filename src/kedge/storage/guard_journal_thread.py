"""The guard's journal as the guard sees it: records are handed over, and a thread writes them.

Rules: the guard never waits for the file. Records are written in order, in groups; what cannot be written is kept and tried again, and
`is_taking` says so, upon which the guard gives no more permits. A failing journal therefore stops new risk and nothing else: cancelling and
closing go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import KedgeError
from kedge.journal import watched_content
from kedge.storage.guard_journal import GuardWriter
from kedge.storage.journal_reader import SqliteJournalReader

RETRY_S: Final = 1.0
TAKES_WITHIN_S: Final = 1.0
"""A record that waits longer shows a disk or a lock that does not give way."""
LOOK_S: Final = 0.5
KEPT_MAX: Final = 20_000
"""Records kept in memory while they cannot be written: hours of a flatten. Beyond, the oldest go, and that is recorded."""
BATCH_MAX: Final = 500

_log: Final = logging.getLogger("kedge.guard")


class RecordsLost(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="records_lost"):
    """How many records were dropped while the journal could not be written, and why it could not."""

    count: int
    why: str


class _Waiting(NamedTuple):
    """A record that is not in the file yet: the how-manieth it is, and since when it waits."""

    number: int
    since_s: float
    record: msgspec.Struct


class GuardJournal:
    """Takes the guard's records without making it wait, and says whether they reach the disk.

    Parameters
    ----------
    open_writer : callable
        Opens the file; called by the thread, again after every failure.
    retry_s, takes_within_s, look_s : float
        How long until a failed write is tried again, how long a record may wait before the journal counts as not taking any, and how often
        an idle file is looked at.

    Attributes
    ----------
    problem : str
        Why records do not reach the disk; empty while they do.
    lost : int
        Records dropped since the start because too many waited.
    """

    def __init__(
        self,
        open_writer: Callable[[], GuardWriter],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        retry_s: float = RETRY_S,
        takes_within_s: float = TAKES_WITHIN_S,
        look_s: float = LOOK_S,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._open, self._monotonic_s = open_writer, monotonic_s
        self._retry_s, self._takes_within_s, self._look_s, self._kept_max = retry_s, takes_within_s, look_s, kept_max
        self.problem = "it is not open yet"
        self.lost = 0
        self._untold = 0
        self._waiting: deque[_Waiting] = deque()
        self._handed = 0
        self._news, self._stop = threading.Condition(), False
        self._thread = threading.Thread(target=self._write_on, name="guard-journal", daemon=True)

    def start(self, within_s: float = 5.0) -> None:
        """Open the file, and wait for that at most so long; a file that cannot be opened is tried again for ever."""
        self._thread.start()
        with self._news:
            self._news.wait_for(lambda: self.problem != "it is not open yet", within_s)

    @property
    def is_taking(self) -> bool:
        """Whether records reach the disk soon after they are handed over."""
        with self._news:
            oldest_s = self._waiting[0].since_s if self._waiting else None
            return not self.problem and (oldest_s is None or self._monotonic_s() - oldest_s <= self._takes_within_s)

    def append(self, record: msgspec.Struct) -> None:
        """Hand a record over; returns at once.

        Raises
        ------
        InvalidInput
            It could never be recorded: a float, or too long.
        """
        watched_content(record)
        with self._news:
            if len(self._waiting) >= self._kept_max:
                self._waiting.popleft()
                self.lost += 1
                self._untold += 1
            self._handed += 1
            self._waiting.append(_Waiting(self._handed, self._monotonic_s(), record))
            self._news.notify_all()

    def flush(self, within_s: float = 5.0) -> bool:
        """Wait until all that was handed over is durable; whether it is."""
        with self._news:
            return self._news.wait_for(lambda: not self._waiting or bool(self.problem), within_s) and not self._waiting

    def close(self, within_s: float = 5.0) -> None:
        """Write what waits, if it can be written, and let go of the file."""
        with self._news:
            self._stop = True
            self._news.notify_all()
        self._thread.join(within_s)

    # the thread -------------------------------------------------------------------------------------------------------

    def _write_on(self) -> None:
        while not self._stop or (self._waiting and not self.problem):
            writer = self._opened()
            if writer is not None:
                self._write_with(writer)
                writer.close()
            with self._news:
                self._news.wait_for(lambda: self._stop, self._retry_s if self.problem else 0)
            if self._stop and self.problem:
                return

    def _opened(self) -> GuardWriter | None:
        try:
            writer = self._open()
        except (KedgeError, OSError) as error:
            self._tell(str(error))
            return None
        self._tell("")
        return writer

    def _write_with(self, writer: GuardWriter) -> None:
        before = writer.count
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._stop, self._look_s)
                batch = list(islice(self._waiting, BATCH_MAX))
                lost = self._untold
            if not batch and self._stop:
                return
            if not batch:
                if why := writer.gone():
                    self._tell(why)
                    return
                continue
            told: list[msgspec.Struct] = [RecordsLost(count=lost, why="the journal could not be written")] if lost else []
            try:
                writer.append([*told, *(one.record for one in batch)])
            except (KedgeError, OSError) as error:
                self._tell(str(error))
                if _has(writer, before + len(told) + len(batch)):  # in the file all the same: only the copy of its head failed
                    self._took(batch[-1].number, lost)
                return
            before = writer.count
            self._took(batch[-1].number, lost)

    def _took(self, last: int, lost: int) -> None:
        with self._news:
            while self._waiting and self._waiting[0].number <= last:
                self._waiting.popleft()
            self._untold -= lost
            self._news.notify_all()

    def _tell(self, problem: str) -> None:
        with self._news:
            if problem != self.problem:
                level = logging.ERROR if problem else logging.INFO
                _log.log(level, "the guard's journal %s", f"takes no records: {problem}" if problem else "takes records")
            self.problem = problem
            self._news.notify_all()


def _has(writer: GuardWriter, count: int) -> bool:
    """Whether the file holds so many records, by its own rows."""
    try:
        with SqliteJournalReader(writer.path) as reader:
            head = reader.head()
    except KedgeError:
        return False
    return head is not None and head.count >= count
