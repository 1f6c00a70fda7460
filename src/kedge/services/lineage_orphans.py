"""Searches whole runs for orphans, record by record, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.record import Step
from kedge.governance.lineage import NodeKind
from kedge.governance.lineage_find import decided_of, model_of, predicted_of, sent_of
from kedge.governance.orphans import OrphanReport, OrphanWatch, unreadable_report
from kedge.ops.state_folder import journal_path
from kedge.services.lineage_documents import Documents, told
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_search import journals

_MADE_BY: Final[dict[NodeKind, tuple[str, Callable[[Iterable[Step], str], object]]]] = {
    NodeKind.ORDER: ("send", sent_of),
    NodeKind.DECISION: ("decided", decided_of),
    NodeKind.PREDICTION: ("predicted", predicted_of),
}
"""The output that makes each, and how it is found in a step: others mention the same id."""
EVERY: Final = 10_000
"""Records between two reports of progress."""


def orphans(state: Path, run: str = "", *, progress: Callable[[int], None] = lambda count: None) -> Iterator[OrphanReport]:
    """One report for each run of a state folder, newest first, or for the one that is named.

    A run that cannot be read to its end is a finding of its own: nobody can say what is in it. One that has not begun is left out.

    Raises
    ------
    NotFound
        No such run.
    IntegrityError
        The journal of the one run that is named cannot be read to its end.
    """
    documents = Documents(state)
    if run:
        with RunRecords(journal_path(state, run)) as records:
            yield search(records, documents, progress=progress)
        return
    for path in journals(state):
        try:
            with RunRecords(path) as records:
                if records.reader.last_seq() >= 0:
                    yield search(records, documents, progress=progress)
        except KedgeError as error:
            yield unreadable_report(path.parent.name, told(error))


def search(run: RunRecords, documents: Documents, *, progress: Callable[[int], None] = lambda count: None) -> OrphanReport:
    """All orphans of one run, and whether the model that it is set to trade with is there."""

    def knows(kind: NodeKind, wanted: str, seq: int) -> bool:
        tag, made_of = _MADE_BY[kind]
        told_at = [at for made, at in run.mentions(wanted, walk=not run.indexed) if made == tag and at <= seq]
        records = (run.reader.record(at) for at in dict.fromkeys(told_at))
        return made_of((record for record in records if isinstance(record, Step)), wanted) is not None

    def features_problem(sha256: str) -> str:
        try:
            run.reader.blob(sha256)
        except KedgeError as error:
            return told(error)
        return ""

    watch = OrphanWatch(
        run.started.run_id,
        knows=knows,
        features_problem=features_problem,
        model_problem=documents.model_problem,
        run_model=model_of(run.started),
    )
    for count, record in enumerate(run.reader.records(start_seq=1), 1):
        if isinstance(record, Step):
            watch.step(record)
        if not count % EVERY:
            progress(EVERY)
    return watch.report()
