"""Composes the documents of the API from what the followed run, the checks and the stores know; as JSON bytes, ready to be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from kedge.api.checks import Finding
from kedge.api.health import overall
from kedge.api.problems import NoRun, Unavailable
from kedge.domain.errors import KedgeError
from kedge.ops.state_folder import models_folder
from kedge.services.replica_follow import Follower
from kedge.services.replica_read import Reading
from kedge.services.replica_text import time_text

if TYPE_CHECKING:
    from kedge.storage.model_store import ModelStore, Registered

encode: Final = msgspec.json.encode
HEALTH_FRESH_S: Final = 1.0
HEALTH_WAIT_S: Final = 0.05
MODEL_FRESH_S: Final = 5.0
"""So old may the model's alias be that is shown: it may be given to another while a run goes on."""


def now_text() -> str:
    """Wall time, to the millisecond."""
    now_ns = time.time_ns()
    return time_text(now_ns - now_ns % 1_000_000)


def raw(rows: Sequence[bytes]) -> list[msgspec.Raw]:
    """Rows that are JSON already, inside another document."""
    return [msgspec.Raw(row) for row in rows]


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A document as JSON."""
    return Response(encode(document), status, headers, "application/json")


class HealthWatch:
    """The last round of checks, renewed in the background when somebody asks and it is old: a slow check delays nobody.

    Parameters
    ----------
    ask : coroutine function
        One round of checks.
    """

    def __init__(self, ask: Callable[[], Awaitable[list[Finding]]]) -> None:
        self._ask = ask
        self._found: list[Finding] = []
        self._found_s = float("-inf")
        self._at = now_text()
        self._task: asyncio.Task[None] | None = None

    def document(self) -> dict[str, Any] | None:
        """All parts as last seen; None until the first round is done."""
        if time.monotonic() - self._found_s > HEALTH_FRESH_S and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._renew())
        return self._document() if self._found else None

    async def recent(self) -> None:
        """Wait, but not long, until what is known is recent."""
        self.document()
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=HEALTH_WAIT_S)

    async def now(self) -> dict[str, Any]:
        """All parts, asked now."""
        await self._renew()
        return self._document()

    def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()

    async def _renew(self) -> None:
        self._found = await self._ask()
        self._found_s, self._at = time.monotonic(), now_text()

    def _document(self) -> dict[str, Any]:
        parts = [
            {"name": one.name, "state": one.state.value, "needed": one.needed, "seen": one.seen, "fix": one.fix} for one in self._found
        ]
        return {"status": overall(self._found), "checked_at": self._at, "parts": parts}


class Desk:
    """What the routes and the stream ask.

    Parameters
    ----------
    state_folder : Path
    follower : Follower
    health : HealthWatch
    """

    def __init__(self, state_folder: Path, follower: Follower, health: HealthWatch) -> None:
        self.state_folder = state_folder
        self.follower = follower
        self.health = health
        self._model: tuple[str, float, dict[str, Any] | None] = ("", 0.0, None)

    def reading(self) -> Reading:
        """The followed run's rows.

        Raises
        ------
        NoRun, Unavailable
            There is no run, or its journal cannot be followed.
        """
        follower = self.follower
        if follower.reading is not None:
            return follower.reading
        if follower.problem:
            raise Unavailable(follower.problem, why="the journal cannot be followed", fix=follower.fix)
        raise NoRun

    def overview(self) -> dict[str, Any]:
        """Everything on one screen."""
        follower = self.follower
        document: dict[str, Any] = {
            "server_time": now_text(),
            "following": follower.following(),
            "freshness": follower.freshness(),
            "health": self.health.document(),
        }
        reading = follower.reading
        if reading is None:
            empty = ("badge", "run", "books", "day", "risk", "funnel", "model", "last_prediction", "journal")
            return {**document, **dict.fromkeys(empty), "positions": [], "open_orders": []}
        return {**document, **self._of_run(reading)}

    def _of_run(self, reading: Reading) -> dict[str, Any]:
        from kedge.services import replica_figures as figures  # brings the engine, so only once there is a run

        replica, follower = reading.replica, self.follower
        prediction = reading.last_prediction()
        return {
            "badge": figures.badge(replica.started),
            "run": figures.run_info(replica.started, sealed=follower.sealed, current=True),
            "books": figures.books(replica.state),
            "day": figures.day_result(replica),
            "positions": figures.positions(replica),
            "open_orders": raw(reading.open_orders()),
            "risk": figures.risk(replica),
            "funnel": figures.funnel(replica.state),
            "model": self.model(reading),
            "last_prediction": None if prediction is None else msgspec.Raw(prediction),
            "journal": {
                "run_id": replica.started.run_id,
                "rows": replica.row + 1,
                "records": 0 if replica.row < 0 else replica.seq + 1,
                "last_seq": replica.seq,
                "last_hash": replica.row_hash if replica.row >= 0 else None,
                "sealed": follower.sealed,
            },
        }

    def model(self, reading: Reading) -> dict[str, Any] | None:
        """The model that the run trades with; None where a rule decides."""
        run_id = reading.replica.started.run_id
        if self._model[0] != run_id or time.monotonic() - self._model[1] > MODEL_FRESH_S:
            from kedge.services.models import model_of

            sha256 = model_of(reading.replica.started)
            self._model = (run_id, time.monotonic(), model_ref(self.state_folder, sha256) if sha256 else None)
        return self._model[2]


def model_ref(state_folder: Path, sha256: str) -> dict[str, Any]:
    """A model's name, version and alias from the local store; null where it does not say."""
    from kedge.storage.model_store import ModelStore

    ref: dict[str, Any] = {"sha256": sha256, "name": None, "version": None, "alias": None}
    store = ModelStore(models_folder(state_folder))
    try:
        if (known := registration(store, sha256)) is not None:
            ref.update(name=known.name, version=str(known.version), alias=next(iter(known.aliases), None))
    except KedgeError:
        return ref
    return ref


def registration(store: ModelStore, sha256: str) -> Registered | None:
    """Name, version and aliases of a model, as last seen in the registry; None where it has none."""
    from kedge.services.training.references import known_as

    return known_as(store, store.aliases(), sha256)
