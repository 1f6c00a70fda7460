"""Searches whole runs for orphans, record by record, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.record import Step
from kedge.governance.lineage import NodeKind
from kedge.governance.orphans import OrphanReport, OrphanWatch
from kedge.ops.state_folder import journal_path
from kedge.services.lineage_documents import Documents, told
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_runs import model_of
from kedge.services.lineage_search import journals

_MADE_BY: Final = {NodeKind.ORDER: "send", NodeKind.DECISION: "decided", NodeKind.PREDICTION: "predicted"}
EVERY: Final = 10_000
"""Records between two reports of progress."""


def orphans(state: Path, run: str = "", *, progress: Callable[[int], None] = lambda count: None) -> Iterator[OrphanReport]:
    """One report for each run of a state folder, newest first, or for the one that is named.

    Raises
    ------
    NotFound
        No such run.
    IntegrityError
        A journal cannot be read to its end.
    """
    documents = Documents(state)
    for path in [journal_path(state, run)] if run else journals(state):
        with RunRecords(path) as records:
            yield search(records, documents, progress=progress)


def search(run: RunRecords, documents: Documents, *, progress: Callable[[int], None] = lambda count: None) -> OrphanReport:
    """All orphans of one run, and whether the model that it is set to trade with is there."""

    def knows(kind: NodeKind, wanted: str, seq: int) -> bool:
        return any(made == _MADE_BY[kind] and at <= seq for made, at in run.mentions(wanted, walk=not run.indexed))

    def features_problem(sha256: str) -> str:
        try:
            run.reader.blob(sha256)
        except KedgeError as error:
            return told(error)
        return ""

    watch = OrphanWatch(run.started.run_id, knows=knows, features_problem=features_problem, model_problem=documents.model_problem)
    if model := model_of(run):
        watch.model(model)
    for count, record in enumerate(run.reader.records(start_seq=1), 1):
        if isinstance(record, Step):
            watch.step(record)
        if not count % EVERY:
            progress(EVERY)
    return watch.report()
