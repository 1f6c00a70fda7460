"""`/api/v1`: runs, models, search and lineage: what lies in the state folder beside the followed run. Files are read in other threads."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from kedge.api import schemas
from kedge.api.documents import Desk, answer, registration
from kedge.api.identity import acting
from kedge.api.routes import CursorText, Limit, desk_of
from kedge.api.strict import StrictRoute, answers
from kedge.domain.errors import KedgeError, NotFound
from kedge.domain.record import RunStarted
from kedge.governance.roles import Action
from kedge.learning.model import Model
from kedge.ops.state_folder import JOURNAL_NAME, models_folder
from kedge.services.replica_files import written_ns
from kedge.services.replica_read import read_cursor, write_cursor
from kedge.services.replica_text import span_s, time_text
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_reader import SqliteJournalReader

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, dependencies=[Depends(acting(Action.READ))])
FOUND_MAX = 20
Id = Annotated[str, Path(min_length=1, max_length=200)]
RunName = Annotated[str | None, Query(max_length=100, description="Look in this run only.")]


# runs ------------------------------------------------------------------------------------------------------------------


@router.get("/runs", operation_id="listRuns", response_model=schemas.RunPage, responses=answers())
async def runs(request: Request, limit: Limit = 100, cursor: CursorText = None) -> Response:
    """Runs of this state folder, the one written to last first."""
    place = None if cursor is None else tuple(read_cursor(cursor, [int, str]))
    return answer(await asyncio.to_thread(_runs, desk_of(request).state_folder, _followed(request), limit, place))


@router.get("/runs/{run_id}", operation_id="getRun", response_model=schemas.RunInfo, responses=answers(404))
async def run(request: Request, run_id: Id) -> Response:
    """One run."""
    folder = desk_of(request).state_folder
    path = folder / "runs" / run_id / JOURNAL_NAME
    if run_id != FilePath(run_id).name or run_id in (".", "..") or not _is_file(path):
        raise NotFound(f"run {run_id[:100]!r}", why="there is no such run in the state folder", fix="GET /api/v1/runs lists them")
    return answer(await asyncio.to_thread(_run, path, _followed(request)))


def _is_file(path: FilePath) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no system could have
        return False


def _followed(request: Request) -> str | None:
    return desk_of(request).follower.run_id


def _runs(state_folder: FilePath, followed: str | None, limit: int, place: tuple[Any, ...] | None) -> dict[str, Any]:
    found = [(at, path.parent.name) for path in (state_folder / "runs").glob(f"*/{JOURNAL_NAME}") if (at := written_ns(path)) is not None]
    found = [one for one in sorted(found, reverse=True) if place is None or one < place]
    items = []
    for _, name in found[:limit]:
        try:
            items.append(_run(state_folder / "runs" / name / JOURNAL_NAME, followed))
        except KedgeError:  # a journal that has no first record yet, or that is damaged: the health check and `audit verify` name it
            continue
    return {"items": items, "next_cursor": write_cursor(found[limit - 1]) if len(found) > limit else None}


def _run(path: FilePath, followed: str | None) -> dict[str, Any]:
    with SqliteJournalReader(path) as reader:
        started: RunStarted = reader.run_started()
    from kedge.services.replica_figures import run_info

    return run_info(started, sealed=seal_path(path).exists(), current=started.run_id == followed)


# models ----------------------------------------------------------------------------------------------------------------


@router.get("/models", operation_id="listModels", response_model=schemas.ModelList, responses=answers())
async def models(request: Request) -> Response:
    """Every model in the local store, each checked against its name."""
    return answer({"items": await asyncio.to_thread(_models, desk_of(request).state_folder)})


@router.get("/models/{sha256}", operation_id="getModel", response_model=schemas.ModelDetail, responses=answers(404))
async def model(request: Request, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Response:
    """One model: what it reads, when it trades, how it was made."""
    return answer(await asyncio.to_thread(_detail, desk_of(request).state_folder, sha256))


def _store(state_folder: FilePath) -> Any:
    from kedge.storage.model_store import ModelStore

    return ModelStore(models_folder(state_folder))


def _models(state_folder: FilePath) -> list[dict[str, Any]]:
    store = _store(state_folder)
    rows = [row for sha256 in store.list() if (row := _row(store, sha256)) is not None]
    return sorted(rows, key=lambda row: (row["name"] or "", int(row["version"] or 0), row["sha256"]))


def _row(store: Any, sha256: str) -> dict[str, Any] | None:
    """One model's row; a model that cannot be loaded says why, as far as it is known at all."""
    try:
        return _told(store, sha256, _facts(store.folder, sha256, _stamp(store.folder / sha256)))
    except (KedgeError, OSError) as error:
        unknown = dict.fromkeys(("name", "version", "kind", "interval_s", "feature_set", "features", "dataset_sha256"))
        return {"sha256": sha256, **unknown, "aliases": [], "problem": error.what if isinstance(error, KedgeError) else str(error)}


def _stamp(folder: FilePath) -> tuple[int, int, int]:
    from kedge.storage.model_store import MODEL_FILE

    seen = (folder / MODEL_FILE).stat()
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size


@lru_cache(maxsize=1_000)
def _facts(folder: FilePath, sha256: str, stamp: tuple[int, int, int]) -> dict[str, Any]:
    """What a model's own file says, read and checked again only when the file is another one; what cannot be loaded is tried every time."""
    from kedge.storage.model_store import ModelStore

    return _own(ModelStore(folder).load(sha256))


def _told(store: Any, sha256: str, own: dict[str, Any]) -> dict[str, Any]:
    registered = registration(store, sha256)
    return {
        "sha256": sha256,
        **own,
        "name": own["name"] if registered is None else registered.name,
        "version": None if registered is None else str(registered.version),
        "aliases": [] if registered is None else list(registered.aliases),
        "problem": None,
    }


def _own(found: Model) -> dict[str, Any]:
    return {
        "name": found.name,
        "kind": "logistic" if found.trees is None else "trees",
        "interval_s": span_s(found.interval_ns),
        "feature_set": f"{found.feature_set.name}/{found.feature_set.version}",
        "features": len(found.feature_set.features),
        "dataset_sha256": found.dataset_sha256,
    }


def _detail(state_folder: FilePath, sha256: str) -> dict[str, Any]:
    store = _store(state_folder)
    found: Model = store.load(sha256)
    policy, registered = found.policy, store.registered(sha256)
    try:
        training = msgspec.to_builtins(store.training(sha256))
    except KedgeError:
        training = None
    return {
        "model": _told(store, sha256, _own(found)),
        "policy": {name: _number(getattr(policy, name)) for name in ("long_above", "short_below", "exit_at")},
        "label": {name: str(value) for name, value in msgspec.to_builtins(found.label).items()},
        "calibration": found.calibration.method,
        "barrier": _number(found.barrier_frac),
        "feature_names": [feature.name for feature in found.feature_set.features],
        "seed": found.seed,
        "settings_sha256": found.settings_sha256,
        "feature_set_sha256": found.feature_set_sha256,
        "training": training,
        "registered": None if registered is None else msgspec.to_builtins(registered),
    }


def _number(value: float) -> str:
    return f"{value:.8f}"


# search and lineage ----------------------------------------------------------------------------------------------------


@router.get("/search", operation_id="search", response_model=schemas.SearchResult, responses=answers())
async def search(request: Request, q: Annotated[str, Query(min_length=3, max_length=100)]) -> Response:
    """Ids that begin so: fills, orders, decisions and predictions of the followed run, models and runs of the state folder."""
    desk = desk_of(request)
    items: list[dict[str, Any]] = []
    if desk.follower.reading is not None:
        run_id = desk.follower.run_id
        for kind, name, title, at in desk.follower.reading.search(q, FOUND_MAX):
            items.append({"kind": kind, "id": name, "run_id": run_id, "title": title, "at": at})
    items += await asyncio.to_thread(_found, desk.state_folder, q)
    return answer({"query": q, "items": items})


def _found(state_folder: FilePath, text: str) -> list[dict[str, Any]]:
    runs = sorted(path.parent.name for path in (state_folder / "runs").glob(f"*/{JOURNAL_NAME}"))
    shown = [{"kind": "run", "id": name, "run_id": name, "title": "run", "at": None} for name in runs if name.startswith(text)][:FOUND_MAX]
    models = [row for row in _models(state_folder) if row["sha256"].startswith(text) or (row["name"] or "").startswith(text)]
    for row in models[:FOUND_MAX]:
        title = f"{row['name']}/{row['version']}" if row["version"] else row["name"] or "model"
        shown.append({"kind": "model", "id": row["sha256"], "run_id": None, "title": title, "at": None})
    return shown


@router.get("/lineage/{id}", operation_id="getLineage", response_model=schemas.TraceDocument, responses=answers(404, 409))
async def lineage(request: Request, id: Id, run: RunName = None) -> Response:
    """What a fill, order, decision, prediction, model, data set or run comes from and what came of it."""
    return answer(await asyncio.to_thread(_trace, desk_of(request), id, run or "", False))


@router.get("/lineage/{id}/recompute", operation_id="recomputeLineage", response_model=schemas.TraceDocument, responses=answers(404, 409))
async def recompute(request: Request, id: Id, run: RunName = None) -> Response:
    """The same, with every prediction in it computed again and compared to the bit."""
    return answer(await asyncio.to_thread(_trace, desk_of(request), id, run or "", True))


def _trace(desk: Desk, wanted: str, run: str, again: bool) -> dict[str, Any]:
    from kedge.services import lineage as lineage_service

    stores = lineage_service.LineageStores(state=desk.state_folder)
    found = lineage_service.trace(stores, wanted, run=run)
    if again:
        from kedge.services.lineage_recompute import recompute as recomputed

        if found.run_id:
            found = recomputed(desk.state_folder, desk.state_folder / "runs" / found.run_id / JOURNAL_NAME, found)
    return trace_document(msgspec.to_builtins(found))


def trace_document(plain: dict[str, Any]) -> dict[str, Any]:
    """A trace as the API tells it: times as RFC 3339 in place of nanoseconds, which JavaScript cannot hold."""
    document = dict(plain)
    document["nodes"] = [
        {**_timed(node), "history": [_timed(moment) for moment in node["history"]], "proof": node["proof"]} for node in plain["nodes"]
    ]
    return document


def _timed(plain: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in plain.items() if name != "at_ts_ns"}
    return {**rest, "at": None if plain["at_ts_ns"] is None else time_text(plain["at_ts_ns"])}
