"""Journals for replicas: whole runs, and steps written by hand through a real engine so that every output is one that it would make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedge.domain.events import Event
from kedge.domain.record import RunStarted, Step
from kedge.engine.engine import Engine
from kedge.services.backtest import first_record
from kedge.services.models import model_strategy
from kedge.services.replica import Replica
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader
from kedge.strategy.base import Strategy

from ...builders import AAA, BBB, Wish, a_run, fundings, instrument, run_spec, settings, walk
from ..strategy.model_documents import Shelf, a_model, params_of

KEY = SigningKey.generate()
CODE = "c0de"
TABLES = ("bars", "predictions", "fills", "orders", "decisions", "equity")
MODEL = a_model(domain_low=(-0.003, -10.0), domain_high=(0.003, 10.0))


def model_run(path: Path, *, seed: int = 6, bars: int = 60, seal: bool = False) -> RunStarted:
    """A journalled run of two instruments with a model, funding included."""
    engine = settings(run_id="", strategy="model", params=params_of(MODEL, outside_max=0))
    path.parent.mkdir(parents=True, exist_ok=True)
    with SqliteJournal(path, signer=KEY, source="replay", group_size=7) as journal:
        strategy = model_strategy(engine.params, Shelf(MODEL))
        both = [instrument(), instrument(BBB)]
        run = a_run(walk(seed, bars, (AAA, BBB)), journal, fundings(6, (AAA, BBB)), strategy, both, engine=engine)
        run.drive()
        if seal:
            journal.close(seal=True)
    return run.started


class Live:
    """A journal in the making: `step(event)` decides with a real engine and records it.

    Parameters
    ----------
    path : Path
        The journal.
    strategy : Strategy, optional
        By default one that a test tells what to want.
    begins : bool
        Off leaves the journal without a row until somebody starts it.
    """

    def __init__(self, path: Path, strategy: Strategy | None = None, prefix: str = "paper", begins: bool = True, **changes: Any) -> None:
        self.wish = Wish()
        self.started = first_record(run_spec([instrument(), instrument(BBB)], engine=settings(run_id="", **changes)), prefix)
        self.engine = Engine(
            settings(run_id=self.started.run_id, **changes), self.started.instruments, strategy if strategy is not None else self.wish
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.journal = SqliteJournal(path, signer=KEY, source="synthetic")
        if begins:
            self.journal.start(self.started)

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def step(self, *events: Event) -> tuple[Any, ...]:
        """Record events; the outputs of the last one."""
        outputs: tuple[Any, ...] = ()
        for event in events:
            outputs = self.engine.step(event)
            blobs = self.engine.take_blobs()
            if blobs:
                self.journal.keep(blobs)
            self.journal.commit(event, outputs)
        return outputs


def opened(journal: Path, file: Path, code: str = CODE) -> Replica:
    """A replica; `closed` ends it."""
    return Replica(SqliteJournalReader(journal), file, code_sha256=code)


def closed(replica: Replica) -> None:
    replica.close()
    replica.journal.close()


def read_all(replica: Replica) -> Replica:
    while replica.advance(0.01):
        pass
    return replica


def rows_of(replica: Replica) -> dict[str, list[Any]]:
    """Every row of every table."""
    return {table: replica.store.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


def steps_in(journal: Path) -> Sequence[Step]:
    with SqliteJournalReader(journal) as reader:
        return [record for record in reader.records() if isinstance(record, Step)]
