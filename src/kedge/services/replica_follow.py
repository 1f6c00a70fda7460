"""Follows a run of a state folder with a replica, inside an event loop: which run, in slices, and how old what it shows is.

Rules: everything happens on one thread in slices of a few milliseconds, so that questions are answered in between and nothing needs a
lock; only imports that compile go to another thread. A journal that cannot be read is said to be so and tried again, while the figures
read so far stay. A second server of the same folder works on a file of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedge.domain.errors import KedgeError
from kedge.ops.state_folder import JOURNAL_NAME, journal_path, run_folder
from kedge.ops.trader_status import read_trader_status
from kedge.services.replica_files import ReplicaFile, has_begun, tidy, written_ns
from kedge.services.replica_fresh import age_of, budgets_s, judged, trouble_of, wall_text
from kedge.services.replica_text import time_text
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_reader import SqliteJournalReader

if TYPE_CHECKING:
    from kedge.services.replica import Replica
    from kedge.services.replica_read import Reading

SLICE_S: Final = 0.002
POLL_S: Final = 0.05
SAVE_S: Final = 2.0
CHOOSE_S: Final = 1.0
RETRY_S: Final = 2.0
STATUS_S: Final = 0.25
BEHIND_S: Final = 0.5
"""Reading without an end for so long is catching up again, as after a sleep of the machine."""
log = logging.getLogger(__name__)


class Follower:
    """One followed run, changing when a newer one appears.

    Parameters
    ----------
    state_folder : Path
    code_sha256 : str
        Of the running code, see `Replica`.
    run : str
        Follow this run (an id, its first letters, or a journal file) and no other; by default the trader's, else the newest.

    Attributes
    ----------
    replica, reading : Replica or None, Reading or None
        None while there is no run.
    problem, fix : str
        Why the journal cannot be followed; empty while it can.
    """

    def __init__(self, state_folder: Path, *, code_sha256: str, run: str = "") -> None:
        self.state_folder = state_folder
        self.replica: Replica | None = None
        self.reading: Reading | None = None
        self.problem = self.fix = ""
        self.caught_up = False
        self.sealed = False
        self.rows_total = 0
        self.listeners: set[asyncio.Event] = set()
        self._run, self._code = run, code_sha256
        self._path: Path | None = None
        self._file: ReplicaFile | None = None
        self._chosen_s = self._saved_s = self._told_s = float("-inf")
        self._trader: Mapping[str, Any] | None = None
        self._bar: tuple[int, int | None] | None = None
        self._failed_at: tuple[Path | None, int] = (None, -1)
        self._drained_s = 0.0

    # the loop ----------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._once()
                except Exception as error:  # whatever it is: a server that follows no more would show what is old as if it were all
                    await self._failed(error)
        finally:
            self.close()

    async def _once(self) -> None:
        now_s = time.monotonic()
        if now_s - self._chosen_s > CHOOSE_S or self.replica is None:
            self._chosen_s = now_s
            path = self._choose()
            if path is None:
                self.problem = self.fix = ""
            if path != self._path or (path is not None and self.replica is None):
                await self._switch(path)
        replica = self.replica
        done = replica.advance(SLICE_S) if replica is not None else 0
        if replica is not None:
            self._note(replica, now_s)
            if now_s - self._saved_s > SAVE_S:
                self._saved_s = now_s
                replica.save()
        if done:
            self._wake()
        await asyncio.sleep(POLL_S if replica is None or replica.drained else 0)

    async def _failed(self, error: Exception) -> None:
        told = error if isinstance(error, KedgeError) else None
        if not isinstance(error, (KedgeError, sqlite3.Error, OSError)):
            log.error("defect while following a journal", exc_info=error)
        self._failed_at = (self._path, -1 if self.replica is None else self.replica.row)
        self.problem = told.what if told is not None else f"{type(error).__name__}: {error}"
        self.fix = (told.fix if told is not None else "") or "it is tried again; run `kedge audit verify` on the journal"
        self._wake()
        await asyncio.sleep(RETRY_S)
        self._path = None  # opened anew, from the last checkpoint

    def _wake(self) -> None:
        for listener in self.listeners:
            listener.set()

    def _note(self, replica: Replica, now_s: float) -> None:
        """Remember when the last bar was seen, and how much there is to read."""
        if self.problem and (replica.drained or replica.row > self._failed_at[1]):
            self.problem = self.fix = ""  # past the place where it failed
        if replica.drained:
            self._drained_s = now_s
        elif self.caught_up and now_s - self._drained_s > BEHIND_S:
            self.caught_up, self.rows_total = False, replica.journal.last_seq() + 1
        bar = replica.known.bar_ts_ns
        if bar is not None and (self._bar is None or self._bar[0] != bar):
            self._bar = (bar, time.time_ns() if self.caught_up else replica.known.bar_wall_ns or self._written_ns())
        if not self.caught_up:
            self.rows_total = max(self.rows_total, replica.row + 1)
            if replica.drained:
                self.caught_up = True
                replica.save()
                self._wake()
        if self.caught_up:
            self.rows_total = replica.row + 1
            if replica.drained and not self.sealed:
                self.sealed = seal_path(replica.journal.path).exists()

    def _written_ns(self) -> int | None:
        assert self.replica is not None
        return written_ns(self.replica.journal.path)

    # which run ---------------------------------------------------------------------------------------------

    def _choose(self) -> Path | None:
        if self._run:
            return journal_path(self.state_folder, self._run)
        run_id = (self.trader() or {}).get("run_id")
        if run_id and (self._trader or {}).get("fresh"):
            path = run_folder(self.state_folder, str(run_id)) / JOURNAL_NAME
            if path.is_file() and (path == self._path or has_begun(path)):
                return path
        found = [(at, path) for path in (self.state_folder / "runs").glob(f"*/{JOURNAL_NAME}") if (at := written_ns(path)) is not None]
        return next((path for _, path in sorted(found, reverse=True) if path == self._path or has_begun(path)), None)

    async def _switch(self, path: Path | None) -> None:
        module: Any = await asyncio.to_thread(importlib.import_module, "kedge.services.replica_read")
        self.close()
        self._path = path
        if path is None:
            return
        journal = SqliteJournalReader(path)
        try:
            run_id = journal.run_started().run_id
            replica: Replica = importlib.import_module("kedge.services.replica").Replica(
                journal, self._own_file(run_id), code_sha256=self._code
            )
        except BaseException:
            journal.close()
            self._release()
            raise
        self.replica, self.reading = replica, module.Reading(replica)
        self.rows_total = journal.last_seq() + 1
        self._drained_s = time.monotonic()
        if path != self._failed_at[0]:
            self.problem = self.fix = ""
        tidy(self.state_folder)

    def _own_file(self, run_id: str) -> Path:
        self._file = ReplicaFile(self.state_folder, run_id)
        return self._file.path

    def close(self) -> None:
        """Let go of the run, keeping what was folded."""
        replica, self.replica, self.reading = self.replica, None, None
        if replica is not None:
            with contextlib.suppress(sqlite3.Error):
                replica.close()
            replica.journal.close()
        self._release()
        self._path, self._bar, self.caught_up, self.sealed, self.rows_total = None, None, False, False, 0

    def _release(self) -> None:
        if self._file is not None:
            self._file.release()
        self._file = None

    # what it knows -----------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str | None:
        """The followed run; None while there is none."""
        return None if self.replica is None else self.replica.started.run_id

    @property
    def seq(self) -> int:
        """The last record read."""
        return 0 if self.replica is None else self.replica.seq

    @property
    def state(self) -> str:
        """`idle`, `catching_up`, `following`, `ended` or `failed`."""
        if self.problem:
            return "failed"
        if self.replica is None:
            return "idle"
        if not self.caught_up:
            return "catching_up"
        return "ended" if self.sealed or self.replica.known.ended else "following"

    def following(self) -> dict[str, Any]:
        """How far the journal has been read."""
        replica = self.replica
        rows = 0 if replica is None else replica.row + 1
        return {
            "state": self.state,
            "records_read": 0 if replica is None or replica.row < 0 else replica.seq + 1,
            "records_total": replica.seq + 1 if replica is not None and self.caught_up else None,
            "progress": None if replica is None else min(1.0, rows / max(1, self.rows_total)),
            "problem": self.problem or None,
            "fix": self.fix or None,
        }

    def trader(self) -> Mapping[str, Any] | None:
        """The trader's status, at most a quarter of a second old; None where it cannot be read."""
        now_s = time.monotonic()
        if now_s - self._told_s > STATUS_S:
            self._told_s, self._trader = now_s, None
            with contextlib.suppress(KedgeError):
                self._trader = read_trader_status(self.state_folder, datetime.now(UTC))
        return self._trader

    def budgets_s(self) -> tuple[float, float]:
        """After how many seconds of wall time without a bar data is late, and stale."""
        replica = self.replica
        return budgets_s(0, "1") if replica is None else budgets_s(replica.settings.interval_ns, replica.started.speed)

    def freshness(self) -> dict[str, Any]:
        """How old the data is, and whether that is well."""
        replica, (late_s, budget_s) = self.replica, self.budgets_s()
        bar_ns, wall_ns = self._bar if self._bar is not None else (None, None)
        age_s = age_of(wall_ns)
        state, why = "unknown", self.problem or "there is no run"
        if replica is not None:
            over = (replica.known.ended or self.sealed) and not self.problem
            trouble = self.problem or self._trouble()
            state, why = judged(age_s=age_s, late_s=late_s, budget_s=budget_s, trouble=trouble, over=over, reading=not self.caught_up)
        return {
            "as_of": None if replica is None else time_text(replica.state.ts_ns),
            "bar_at": None if bar_ns is None else time_text(bar_ns),
            "bar_received_at": wall_text(wall_ns),
            "age_s": None if age_s is None else round(age_s, 3),
            "late_after_s": late_s,
            "budget_s": budget_s,
            "state": state,
            "stale_since": wall_text(wall_ns) if state == "stale" else None,
            "why": why,
        }

    def _trouble(self) -> str:
        """What the trader's own status says against its data; a run without a trader says nothing."""
        trader = self.trader()
        return "" if trader is None or trader.get("run_id") != self.run_id else trouble_of(trader)
