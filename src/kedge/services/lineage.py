"""Takes a fill, or anything on its way, apart: up to the raw files it comes from, and down to what came of it.

Rules: reads only, in short transactions; an index is a hint and the row it points to is what counts; what is missing or altered is
named, never skipped. Plain traces read documents as JSON, so that they cost no compiler and no learning library.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kedge.governance.lineage import NodeKind, Relation, Trace, TraceBuilder, key_of
from kedge.governance.lineage_find import model_of
from kedge.services.lineage_chain import Chain
from kedge.services.lineage_documents import Documents
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_runs import add_counted_run, add_models_of, add_runs_of
from kedge.services.lineage_search import Found, Search


class LineageStores(msgspec.Struct, frozen=True, kw_only=True):
    """Where lineage looks.

    Attributes
    ----------
    state : Path
        The state folder: its runs, models and blobs.
    """

    state: Path

    def documents(self) -> Documents:
        """Its models and data sets."""
        return Documents(self.state)


def recomputed_trace(stores: LineageStores, wanted: str, *, run: str = "") -> Trace:
    """`trace`, with each of its predictions computed again from the stored features and from the recorded bars; see `lineage_recompute`."""
    from kedge.services.lineage_recompute import recompute  # the compiled laws, which a plain trace need not pay for

    found, journal = _traced(stores, wanted, run)
    return found if journal is None else recompute(stores.state, journal, found)


def trace(stores: LineageStores, wanted: str, *, run: str = "") -> Trace:
    """The chain of a fill, order, decision, prediction, model, data set or run.

    Parameters
    ----------
    wanted : str
        An id, or at least its first 8 characters where they are unique.
    run : str
        Look in this run only (id, its first letters, or a journal file); by default in all, newest first.

    Raises
    ------
    NotFound
        Nothing has this id; names near ones.
    InvalidInput
        Several ids begin so.
    """
    return _traced(stores, wanted, run)[0]


def _traced(stores: LineageStores, wanted: str, run: str) -> tuple[Trace, Path | None]:
    documents = stores.documents()
    search = Search(stores.state, documents, run)
    found = search.find(wanted)
    into = TraceBuilder()
    for name, problem in search.unreadable.items():
        into.note(f"run {name} was not searched: {problem}")
    if found.others:
        others = ", ".join(found.others[:5])
        into.note(f"{len(found.others)} older runs hold {found.kind} {found.id} too ({others}): this is the newest, --run names another")
    if found.journal is None:
        return _document_trace(into, stores.state, documents, found), None
    with RunRecords(found.journal) as records:
        return _recorded_trace(into, documents, records, found), found.journal


def _document_trace(into: TraceBuilder, state: Path, documents: Documents, found: Found) -> Trace:
    if found.kind is NodeKind.MODEL:
        add_runs_of(into, state, found.id, documents.add_model(into, found.id))
    else:
        documents.add_dataset(into, found.id)
        add_models_of(into, state, documents, found.id)
    return into.build(key_of(found.kind, found.id), "")


def _recorded_trace(into: TraceBuilder, documents: Documents, records: RunRecords, found: Found) -> Trace:
    chain = Chain(into, records, documents)
    match found.kind:
        case NodeKind.FILL:
            key = chain.add_fill(found.id)
        case NodeKind.ORDER:
            key = chain.add_order(found.id, with_fills=True)
        case NodeKind.DECISION:
            key = chain.add_decision(found.id, with_orders=True)
        case NodeKind.PREDICTION:
            key = chain.add_prediction(found.id, with_decisions=True)
        case _:
            key = add_counted_run(into, records)
            _model_of_run(into, documents, records, key)
    run_key = chain.add_run()
    if key and key != run_key:
        into.link(key, run_key, Relation.RECORDED_IN)
    return into.build(key or key_of(found.kind, found.id), records.started.run_id)


def _model_of_run(into: TraceBuilder, documents: Documents, records: RunRecords, run_key: str) -> None:
    sha256 = model_of(records.started)
    if not sha256:
        into.note("a rule decided in this run: no model, no predictions")
        return
    key = documents.add_model(into, sha256, running_code=records.started.code_sha256)
    if key:
        into.link(run_key, key, Relation.TRADES_BY)
