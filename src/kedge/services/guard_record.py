"""The guard's journal as the guard knows it: records in its own types, over the file that the storage keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.errors import KedgeError, RecordingFailed
from kedge.services.guard.records import Baseline, GuardRecord, Released
from kedge.storage.guard_journal import GuardWriter, newest_content, was_released_by
from kedge.storage.guard_journal_thread import GuardJournal

BASELINE: Final = "baseline"
RELEASE_WITHIN_S: Final = 2.0


class MarketMet(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="market_met"):
    """The guard met a market that began anew: the high-water mark and the baselines of the one before are void."""

    wall_ns: int
    session: str
    high_water_e8: int


MARKET_MET: Final = "market_met"


class KeptRecords:
    """A `JournalPort` over one file. Records are handed to a thread, so that no disk makes the guard wait.

    Parameters
    ----------
    path : Path
        The journal's file.
    open_writer : callable
        Opens it for writing.
    """

    def __init__(self, path: Path, open_writer: Callable[[], GuardWriter]) -> None:
        self.path = path
        self.journal = GuardJournal(open_writer)
        self._forgets = False

    def start(self) -> None:
        """Open the file; what is wrong with it is said by `problem` and tried again."""
        self.journal.start()

    def close(self) -> None:
        """Write what waits, if it can be written."""
        self.journal.close()

    @property
    def problem(self) -> str:
        """Why records do not reach the disk; empty while they do."""
        if self.journal.problem:
            return self.journal.problem
        return "" if self.journal.is_taking else "records wait for the disk"

    def append(self, record: GuardRecord) -> None:
        """As the port says, but that a record follows the call by milliseconds; a release alone is on the disk when this returns.

        Raises
        ------
        RecordingFailed
            Records do not reach the disk now; this one was not taken.
        """
        if why := self.problem:
            raise RecordingFailed("the guard's journal takes no records", why=why, fix="free space, mend the disk or the file")
        self.journal.append(record)
        if isinstance(record, Released) and not self.journal.flush(within_s=RELEASE_WITHIN_S):
            raise RecordingFailed("the release could not be recorded", why=self.problem, fix="free space, mend the disk, ask for another")

    def forget(self, record: MarketMet) -> None:
        """Record why the baselines so far are void: those of before this process no longer count."""
        self._forgets = True
        self.journal.append(record)

    def baseline(self) -> Baseline | None:
        """As the port says."""
        if self._forgets:
            return None
        try:
            found = newest_content(self.path, BASELINE, void_by=MARKET_MET)
            return None if found is None else msgspec.convert(found, Baseline)
        except (KedgeError, OSError, msgspec.ValidationError):
            return None

    def was_used(self, approval_id: str) -> bool:
        """As the port says."""
        if not self.journal.flush(within_s=1.0):
            raise RecordingFailed("nobody can say whether this approval was used", why=self.problem, fix="mend the guard's journal first")
        return was_released_by(self.path, approval_id)
