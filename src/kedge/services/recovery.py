"""After a stop: fold a journal back into an engine, or decide all of it again and compare.

`recover` folds recorded outputs and asks no strategy. `replay` steps a fresh engine and compares each record with its
own bytes; the first difference names its record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import Conflict, IntegrityError
from kedge.domain.record import RunStarted, Step
from kedge.engine.engine import Engine
from kedge.governance.lineage_find import model_of
from kedge.services.backtest import engine_of
from kedge.services.seen import SCAN_RECORDS_MAX
from kedge.strategy.base import NO_TARGETS, Strategy, Target, View

RawRow = tuple[int, bytes, bytes]
_log: Final = logging.getLogger("kedge.recovery")


class SnapshotRow(Protocol):
    """A stored snapshot: the engine's state after record `seq`."""

    @property
    def seq(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class StoredRun(Protocol):
    """What recovery needs of a journal's reader."""

    def records(self, *, start_seq: int = 0) -> Iterator[RunStarted | Step]: ...
    def latest_snapshot(self, at_or_before: int | None = None) -> SnapshotRow | None: ...


class Onlooker:
    """Stands where a strategy stands and decides nothing: who folds what was decided needs no model, and no features."""

    features = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def on_event(self, view: View) -> Sequence[Target]:
        return NO_TARGETS


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found. `differs_at` is the first record whose bytes differ, None when all are equal."""

    run_id: str
    records: int
    equal: bool
    differs_at: int | None
    recorded: str
    recomputed: str
    same_code: bool
    equity: str


def first_of(journal: StoredRun) -> RunStarted:
    """The first record of a journal."""
    for record in journal.records():
        if isinstance(record, RunStarted):
            return record
        break
    raise IntegrityError(
        "the journal does not begin with a run's first record", why="it is empty or cut", fix="run 'kedge audit verify' on it"
    )


def check_stored(reader: StoredRun, count: int) -> None:
    """Everything that going on reads hangs together: from the snapshot on, and what the ids of the last day are taken from.

    A store that chains nothing, in memory, has nothing to check.

    Raises
    ------
    IntegrityError
        A row was changed, put in or taken out.
    """
    check = getattr(reader, "check_chain", None)
    if check is not None:
        snapshot = reader.latest_snapshot()
        check(start_seq=0 if snapshot is None else max(0, min(snapshot.seq, count - SCAN_RECORDS_MAX)))


def recover(journal: StoredRun, *, from_snapshot: bool = True, at_or_before: int | None = None, strategy: Strategy | None = None) -> Engine:
    """Rebuild the engine as it was after the last record, from the newest snapshot (or from none) and what follows."""
    snapshot = journal.latest_snapshot(at_or_before) if from_snapshot else None
    engine, start = engine_at(first_of(journal), snapshot, strategy)
    apply = engine.apply
    for record in journal.records(start_seq=start):
        if type(record) is Step:
            apply(record.event, record.outputs)
    return engine


def engine_at(started: RunStarted, snapshot: SnapshotRow | None, strategy: Strategy | None) -> tuple[Engine, int]:
    """An engine as it was at a snapshot of its own journal, and the number of the first record that it has not seen.

    One that this version cannot read, such as one from before an upgrade, is left out: the records alone give the same state, only later.

    Raises
    ------
    Conflict
        The strategy's model is not the one that the run trades with.
    """
    _refuse_another_model(started, strategy)
    engine = engine_of(started, strategy)
    if snapshot is None:
        return engine, 1
    try:
        engine.restore(snapshot.body)
    except IntegrityError as error:
        why = f"{error.what}: {error.why}"
        _log.warning("the snapshot of record %d is not of this version, all records are folded instead: %s", snapshot.seq, why)
        return engine_of(started, strategy), 1
    return engine, snapshot.seq + 1


def _refuse_another_model(started: RunStarted, strategy: Strategy | None) -> None:
    recorded, given = model_of(started), getattr(strategy, "model_sha256", "")
    if recorded and given and recorded != given:
        raise Conflict(
            f"run {started.run_id} trades with model {recorded[:16]}",
            why=f"model {given[:16]} was given to go on with it",
            fix="load the model that the run names, or begin another run",
        )


def replay(journal: StoredRun, *, code_sha256: str, strategy: Strategy | None = None) -> Replayed:
    """Decide every step again with a fresh engine and compare the bytes.

    A run with a model needs its strategy; see `services.models.strategy_of`.
    `code_sha256` is the running code's hash; a journal of other code is compared all the same, and says so.
    """
    started = first_of(journal)
    engine = engine_of(started, strategy)
    count, differs_at, recorded, recomputed = 1, None, "", ""
    step = engine.step
    for record in journal.records(start_seq=1):
        if type(record) is not Step:
            continue
        count += 1
        outputs = step(record.event)
        engine.take_blobs()  # their hashes stand in the outputs
        if (outputs or record.outputs) and encode(outputs) != encode(record.outputs):
            differs_at, recorded, recomputed = record.seq, encode(record.outputs).decode(), encode(outputs).decode()
            break
    return Replayed(
        run_id=started.run_id,
        records=count,
        equal=differs_at is None,
        differs_at=differs_at,
        recorded=recorded,
        recomputed=recomputed,
        same_code=started.code_sha256 == code_sha256,
        equity=str(engine.summary()["equity"]),
    )
