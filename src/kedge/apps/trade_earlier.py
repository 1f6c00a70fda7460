"""The runs that traded an account before: which of them is the last, and what of it a trader takes over.

Rules: runs of one state folder, one rung and one market are runs of one account, whatever their settings. One counts from its first step
on: one that was killed before that has taken over nothing yet, so the run before it still counts. The last is the one whose journal
reaches furthest in venue time; where two reach as far, the one begun later. One whose journal cannot be read may be the last: then nothing
begins.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from kedge.apps.trade_run_folder import RunNote, find_or_make_run, notes
from kedge.domain.errors import IntegrityError, KedgeError
from kedge.domain.events import AccountInherited
from kedge.domain.record import Step
from kedge.ops.state_folder import JOURNAL_NAME, run_folder
from kedge.services.heritage import Heritage, read_heritage, unreadable
from kedge.storage.journal_files import head_path, seal_path
from kedge.storage.journal_reader import SqliteJournalReader

_LAST_RECORDS: Final = 256
"""Among so many stands the newest time: what the venue tells late is seconds older."""


class RunEnd(NamedTuple):
    """How far a run has come: venue time, when it was begun, and the number of its last record."""

    ts_ns: int
    begun: str
    record: int
    run_id: str


class Chosen(NamedTuple):
    """The run to trade with, whether it is known already, and what it takes over from another one."""

    note: RunNote
    known: bool
    heritage: Heritage | None


def choose_run(state_folder: Path, rung: str, settings: dict[str, Any], market: str, now: datetime) -> Chosen:
    """Go on with a run or make one, and read what it inherits; see `find_or_make_run`.

    Raises
    ------
    IntegrityError
        An earlier run's note or journal cannot be read, so it is not known whether it was halted.
    """
    earlier = EarlierRuns(state_folder, rung, market)
    note, known = find_or_make_run(state_folder, rung, settings, market, now, is_overtaken=earlier.was_overtaken)
    return Chosen(note, known, earlier.heritage_for(note))


class EarlierRuns:
    """The runs of one account, as they stand on disk."""

    def __init__(self, state_folder: Path, rung: str, market: str) -> None:
        self._folder = state_folder
        runs = [note for note in notes(state_folder, rung) if note.market == market]
        self._ends = {note.run_id: end for note in runs if (end := self._end(note)) is not None}
        self._read: dict[str, Heritage] = {}

    def was_overtaken(self, note: RunNote) -> bool:
        """Whether another run sent orders after this one stopped, or came before this one's first step: a new run is needed then."""
        later = self._later(note)
        return later is not None and (note.run_id not in self._ends or self._heritage(later.run_id).orders_sent > 0)

    def heritage_for(self, note: RunNote) -> Heritage | None:
        """What this run is to be told of; None where it was told already, or no other run traded since."""
        if note.run_id not in self._ends:
            last = max((end for end in self._ends.values()), default=None)
            return None if last is None else self._heritage(last.run_id)
        later = self._later(note)
        return None if later is None or self._was_told(note, later) else self._heritage(later.run_id)

    def _later(self, note: RunNote) -> RunEnd | None:
        """The last of the other runs, where it came after this one."""
        mine = self._ends.get(note.run_id)
        last = max((end for end in self._ends.values() if end.run_id != note.run_id), default=None)
        if last is None:
            return None
        is_later = last > mine if mine is not None else last.begun > note.begun
        return last if is_later else None

    def _was_told(self, note: RunNote, later: RunEnd) -> bool:
        with SqliteJournalReader(self._journal(note.run_id)) as reader:
            told = [reader.record(seq) for kind, seq in reader.find(later.run_id) if kind == "inherited"]
        events = [one.event for one in told if isinstance(one, Step)]
        return any(isinstance(event, AccountInherited) and event.from_record == later.record for event in events)

    def _heritage(self, run_id: str) -> Heritage:
        if run_id not in self._read:
            self._read[run_id] = read_heritage(self._journal(run_id), run_id)
        return self._read[run_id]

    def _end(self, note: RunNote) -> RunEnd | None:
        """None for a run without a step of its own."""
        path = self._journal(note.run_id)
        try:
            if not path.is_file() or not path.stat().st_size:
                _refuse_lost(path)
                return None
            with SqliteJournalReader(path) as reader:
                head = reader.head()
                if head is None or head.count < 2:
                    return None
                steps = [one for one in reader.records(start_seq=max(1, head.count - _LAST_RECORDS)) if isinstance(one, Step)]
        except KedgeError as error:
            raise unreadable(note.run_id, error) from error
        if not steps:
            raise unreadable(note.run_id, IntegrityError("it ends before its last record", why="rows are missing"))
        return RunEnd(max(one.event.ts_ns for one in steps), note.begun, head.count - 1, note.run_id)

    def _journal(self, run_id: str) -> Path:
        return run_folder(self._folder, run_id) / JOURNAL_NAME


def _refuse_lost(path: Path) -> None:
    """A journal that had records is not gone by itself: its head's copy or its seal stands beside it."""
    for beside in (head_path(path), seal_path(path)):
        if beside.exists():
            raise IntegrityError(f"there is no {path.name}", why=f"{beside.name} shows that there was one")
