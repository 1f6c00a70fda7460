"""The read replica of one run: folds its journal through the same engine, and keeps rows made for reading.

Rules: the journal is read in short pages and never written; figures are the engine's own, to the last unit; the hash chain is followed row
by row, and a row that does not follow from the one before ends it. No strategy and no model is asked: what was decided is read, so that a
model that is gone or altered leaves the books visible. A file that does not fit the journal is deleted and made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from kedge.domain.canonical import GENESIS, chain_hash
from kedge.domain.errors import IntegrityError
from kedge.domain.events import BarClosed, RunEnded
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import NS_PER_DAY
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState
from kedge.journal import Row, decode_record
from kedge.kernel.account import DAY, DRAWDOWN_E8, EQUITY, FEES, FLOWS, FUNDING, REALISED, UNREALISED
from kedge.services.recovery import Onlooker
from kedge.services.replica_equity import LEVELS, EquityLevels
from kedge.services.replica_store import LAYOUT, Checkpoint, Day, ReplicaStore, remove_store
from kedge.services.replica_views import Views
from kedge.storage.journal_reader import SqliteJournalReader

PAGE_ROWS: Final = 64
CHECK_EVERY: Final = 8
"""Rows folded between two looks at the clock."""
SAVE_EVERY: Final = 2_000
"""Records after which a checkpoint is due."""


class Replica:
    """One run as far as it has been read.

    Parameters
    ----------
    journal : SqliteJournalReader
        Open; the caller closes it.
    path : Path
        The replica's own file.
    code_sha256 : str
        Of the running code: rows that other code made are made again.

    Attributes
    ----------
    drained : bool
        Whether the last `advance` came to the journal's end.
    """

    def __init__(self, journal: SqliteJournalReader, path: Path, *, code_sha256: str) -> None:
        self.journal = journal
        self.path = path
        self.started: RunStarted = journal.run_started()
        self._code_sha256 = code_sha256
        self.rebuilt = False
        self.drained = False
        self._spoilt = False
        self._open()

    def _open(self) -> None:
        try:
            self._store = ReplicaStore(self.path)
            found = self._store.load()
            if found is None or self._fits(found[0]):
                self._begin(found)
                return
            self._store.close()
        except (sqlite3.Error, ValueError, IntegrityError):
            if hasattr(self, "_store"):
                self._store.close()
        self.rebuilt = True
        remove_store(self.path)
        self._store = ReplicaStore(self.path)
        self._begin(None)

    def _fits(self, known: Checkpoint) -> bool:
        mine = (LAYOUT, self.started.run_id, self.started.settings_sha256, self._code_sha256)
        if (known.layout, known.run_id, known.settings_sha256, known.code_sha256) != mine:
            return False
        rows = list(self.journal.raw_rows(start=known.row, stop=known.row + 1)) if known.row >= 0 else []
        return known.row < 0 or (len(rows) == 1 and bytes(rows[0][1]).hex() == known.row_hash)

    def _begin(self, found: tuple[Checkpoint, bytes] | None) -> None:
        settings = EngineSettings.from_plain(self.started.settings["engine"])
        self.settings = settings
        self.engine = Engine(settings, self.started.instruments, Onlooker(settings.strategy))
        self.levels = EquityLevels(settings.interval_ns, found[0].buckets if found is not None else None)
        if found is not None:
            self.engine.restore(found[1])
        self.state: EngineState = self.engine.state
        self._account = self.state.account_view
        self.views = Views(self._store, self.state)
        self.known = found[0] if found is not None else self._fresh()
        self.views.risk, self.views.prediction_seq = self.known.risk, self.known.prediction_seq
        self._hash = bytes.fromhex(self.known.row_hash)
        self._unsaved = 0
        self._pages: Iterator[Row] = iter(())

    def _fresh(self) -> Checkpoint:
        return Checkpoint(
            layout=LAYOUT,
            run_id=self.started.run_id,
            settings_sha256=self.started.settings_sha256,
            code_sha256=self._code_sha256,
            row=-1,
            row_hash=GENESIS.hex(),
            seq=0,
            day=self._day(self.state.ts_ns),
            buckets=[None] * LEVELS,
        )

    @property
    def row(self) -> int:
        """The last journal row folded; -1 before the first."""
        return self.known.row

    @property
    def seq(self) -> int:
        """The last record folded."""
        return self.known.seq

    @property
    def row_hash(self) -> str:
        """Chain hash of the last row folded, hex."""
        return self._hash.hex()

    @property
    def store(self) -> ReplicaStore:
        """The rows, for queries."""
        return self._store

    def close(self) -> None:
        """Keep what was folded and release the file."""
        self.save()
        self._store.close()

    def save(self) -> None:
        """Commit rows and checkpoint, if anything is new; a record that was folded in part only is dropped with all since the last time."""
        if self._unsaved and not self._spoilt:
            self.known.row_hash = self._hash.hex()
            self.known.buckets = self.levels.buckets
            self.known.risk, self.known.prediction_seq = self.views.risk, self.views.prediction_seq
            self._store.save(self.known, self.engine.snapshot())
            self._unsaved = 0

    def advance(self, budget_s: float) -> int:
        """Fold further rows for about so long; gives how many. 0 means that there are none now.

        Raises
        ------
        IntegrityError
            A row does not follow from the one before, or the journal cannot be read.
        """
        done, until, self.drained = 0, perf_counter() + budget_s, False
        while True:
            row = next(self._pages, None)
            if row is None:
                self._pages = iter(list(self.journal.raw_rows(start=self.known.row + 1, stop=self.known.row + 1 + PAGE_ROWS)))
                row = next(self._pages, None)
                if row is None:
                    self.drained = True
                    break
            self._take(row)
            done += 1
            if done % CHECK_EVERY == 0 and perf_counter() >= until:
                break
        if self._unsaved >= SAVE_EVERY:
            self.save()
        return done

    def _take(self, row: Row) -> None:
        number, stored, body = row
        if number != self.known.row + 1 or chain_hash(self._hash, body) != stored:
            raise IntegrityError(
                f"row {number} of {self.journal.path} does not follow from row {self.known.row}",
                why="its number or its chain hash is another one",
                fix="keep the file as evidence and run `kedge audit verify`",
            )
        record = decode_record(number, body)
        if isinstance(record, Step):
            self._spoilt = True
            self._fold(record)
            self._spoilt = False
            self.known.seq = record.seq
        self.known.row, self._hash = number, stored
        self._unsaved += 1

    def _fold(self, step: Step) -> None:
        state, account, event = self.state, self._account, step.event
        realised, filled, day, before = account[REALISED], state.funnel.filled, account[DAY], self._totals()
        self.engine.apply(event, step.outputs)
        if account[DAY] != day:
            self.known.day = Day(account[DAY], account[DAY] * NS_PER_DAY, *before)
        self.views.after(step, account[REALISED] - realised, state.funnel.filled > filled)
        if type(event) is BarClosed:
            self._store.put_equity(self.levels.take(event.ts_ns, account[EQUITY], account[DRAWDOWN_E8]))
            self.known.bar_ts_ns, self.known.bar_wall_ns = event.ts_ns, step.recorded_ts_ns
        elif type(event) is RunEnded:
            self.known.ended = True

    def _totals(self) -> tuple[int, int, int, int, int]:
        account = self._account
        return account[EQUITY], account[REALISED] + account[UNREALISED], account[FUNDING], account[FEES], account[FLOWS]

    def _day(self, since_ns: int) -> Day:
        return Day(self._account[DAY], since_ns, *self._totals())

    def summary(self) -> dict[str, Any]:
        """The engine's own figures."""
        return self.engine.summary()
