"""What came of a model or a data set: the runs that traded with it, counted by the index, not read record by record."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from kedge.domain.errors import KedgeError
from kedge.governance.lineage import Node, Relation, TraceBuilder
from kedge.governance.lineage_find import model_of
from kedge.governance.lineage_records import run_node
from kedge.services.lineage_documents import Documents, add_sources, told
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_search import journals


class Tally(NamedTuple):
    """How much of each kind a run recorded, and the first and last ids of predictions and decisions; counted in the index."""

    predictions: int
    decisions: int
    orders: int
    fills: int
    first_fill_record: int | None
    last_fill_record: int | None


def tally(run: RunRecords) -> Tally:
    """Count a run without reading its records: numbered ids by their last number, the others in the index."""
    run_id = run.started.run_id
    others = run.reader.beside.tallies(apart_from=f"{run_id}.")
    fills, sends = others.get("fill"), others.get("send")
    return Tally(
        predictions=_last_number(run, f"{run_id}.p"),
        decisions=_last_number(run, f"{run_id}."),
        orders=sends[0] if sends else 0,
        fills=fills[1] if fills else 0,
        first_fill_record=fills[2] if fills else None,
        last_fill_record=fills[3] if fills else None,
    )


def add_runs_of(into: TraceBuilder, state: Path, model_sha256: str, model_key: str) -> None:
    """Every run of the state folder that traded with a model, with its counts."""
    found = 0
    for path in journals(state):
        try:
            with RunRecords(path) as run:
                if model_of(run.started) != model_sha256:
                    continue
                key = add_counted_run(into, run)
        except KedgeError as error:
            into.note(f"run {path.parent.name} cannot be read: {told(error)}")
            continue
        found += 1
        if model_key:
            into.link(key, model_key, Relation.TRADES_BY)
    if not found:
        into.note(f"no run here traded with model {model_sha256[:16]}")


def add_counted_run(into: TraceBuilder, run: RunRecords) -> str:
    """A run with its counts and the files its prices came from."""
    node = run_node(run.started)
    key = into.add(_counted(node, run))
    add_sources(into, key, run.started.data, Relation.PRICED_BY)
    return key


def add_models_of(into: TraceBuilder, state: Path, documents: Documents, dataset_sha256: str) -> None:
    """Every model here that learned from a data set, and the runs that traded with it."""
    models = documents.models_of_dataset(dataset_sha256)
    for sha256 in models:
        add_runs_of(into, state, sha256, documents.add_model(into, sha256))
    if not models:
        into.note(f"no model here learned from data set {dataset_sha256[:16]}")


def _counted(node: Node, run: RunRecords) -> Node:
    if not run.indexed:
        return msgspec.structs.replace(node, facts={**node.facts, "counts": "unknown: a journal of an earlier version, without an index"})
    count, run_id = tally(run), run.started.run_id
    facts = {**node.facts, "predictions": str(count.predictions), "decisions": str(count.decisions), "orders": str(count.orders)}
    facts["fills"] = str(count.fills)
    if count.predictions:
        facts["first and last prediction"] = f"{run_id}.p1, {run_id}.p{count.predictions}"
    if count.first_fill_record is not None:
        facts["records of first and last fill"] = f"{count.first_fill_record}, {count.last_fill_record}"
    return msgspec.structs.replace(node, facts=facts)


def _last_number(run: RunRecords, prefix: str) -> int:
    """The largest n with `<prefix><n>` in the index, where n counts from 1 without holes."""
    low, high = 0, 1
    while run.knows(f"{prefix}{high}"):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if run.knows(f"{prefix}{middle}") else (low, middle)
    return low
