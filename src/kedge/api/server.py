"""The server: health, the API, the stream and the dashboard on one loopback port, beside a replica that follows the journal.

Rules: loopback only, since there is neither TLS nor authentication yet; nothing here writes; errors are RFC 9457 problem objects; the
`/health` pages tell neither money, positions nor secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kedge.api import routes, routes_stores
from kedge.api.checks import CHECK_TIMEOUT_S, Finding, findings
from kedge.api.documents import Desk, HealthWatch
from kedge.api.guard import Guard
from kedge.api.health import overall, readiness, report
from kedge.api.loopback import check_host, port_in_use
from kedge.api.pages import Dashboard
from kedge.api.problems import add_handlers
from kedge.api.protocol import StrictHttp, StrictStream
from kedge.api.stream import WORDS_MAX_BYTES, Streams
from kedge.api.strict import describe
from kedge.ops.build import code_sha256, engine_version, git_sha
from kedge.ops.metrics import CONTENT_TYPE, joined, read_metrics
from kedge.services.replica_follow import Follower

FRESH_S: Final = 0.25
"""Answers within so long share one round of checks, so that asking often costs little and shows nothing old."""
STOP_S: Final = 1
"""How long answers under way may take once the server stops."""
BACKLOG: Final = 512


class ApiServer:
    """Everything over HTTP for one state folder.

    Parameters
    ----------
    state_folder : Path
        Read at every question; only the replica's own files under `replica/` are written.
    run : str
        Follow this run and no other; by default the trader's, else the newest.
    dashboard : Dashboard, optional
        Where the built pages lie.
    """

    def __init__(self, state_folder: Path, *, run: str = "", dashboard: Dashboard | None = None) -> None:
        self._state_folder = state_folder
        self._began_s = time.monotonic()
        self._git_sha = git_sha()  # once: what runs is what was started, whatever is checked out later
        self._started = False
        self._found: list[Finding] = []
        self._found_s = float("-inf")
        self._asking = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server: _Server | None = None
        self.follower = Follower(state_folder, code_sha256=code_sha256(), run=run)
        self._watch = HealthWatch(self._findings)
        self.app = make_app(Desk(state_folder, self.follower, self._watch), dashboard or Dashboard(), self)

    async def start(self, host: str, port: int) -> int:
        """Listen and begin to follow; port 0 takes a free one. Returns the port.

        Raises
        ------
        Conflict
            Somebody else listens there.
        InvalidInput
            The host is not a loopback address.
        """
        check_host(host)
        listening = _bind(host, port)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S))
        self._server = _Server(_config(self.app))
        self._tasks = [asyncio.create_task(self._server.serve([listening])), asyncio.create_task(self.follower.follow())]
        await self._server.listening.wait()
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        """Stop listening and following."""
        if self._server is not None:
            self._server.should_exit = True
            serving, following = self._tasks
            following.cancel()
            self._watch.close()
            await asyncio.gather(serving, following, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _findings(self) -> list[Finding]:
        async with self._asking:
            if time.monotonic() - self._found_s > FRESH_S:
                assert self._session is not None
                self._found = await findings(self._state_folder, self._session, datetime.now(UTC))
                self._found_s = time.monotonic()
            self._started = self._started or readiness(self._found)["ready"]
            return self._found

    async def health(self) -> tuple[int, dict[str, Any]]:
        """The whole picture; 503 while anything that readiness needs fails."""
        found = await self._findings()
        return 503 if overall(found) == "failing" else 200, report(
            found, began_s=self._began_s, git_sha=self._git_sha, now=datetime.now(UTC)
        )

    async def live(self) -> tuple[int, dict[str, Any]]:
        """That this process turns, and nothing else."""
        return 200, {"schema": "kedge/live/v1", "alive": True, "pid": os.getpid()}

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Whether every needed check passes now."""
        found = readiness(await self._findings())
        return 200 if found["ready"] else 503, found

    async def startup(self) -> tuple[int, dict[str, Any]]:
        """Whether the system has been ready once since this process began."""
        if not self._started:
            await self._findings()
        return 200 if self._started else 503, {"schema": "kedge/startup/v1", "started": self._started}

    async def metrics_page(self, _: Request) -> Response:
        """The figures of every process that lives and tells them, in the text form that Prometheus reads."""
        return Response(joined(read_metrics(self._state_folder, datetime.now(UTC))), headers={"Content-Type": CONTENT_TYPE})

    async def health_page(self, request: Request) -> Response:
        """One of the four, by its path."""
        pages = {"/health": self.health, "/health/live": self.live, "/health/ready": self.ready, "/health/startup": self.startup}
        status, body = await pages[request.url.path]()
        return Response(json.dumps(body, allow_nan=False), status, media_type="application/json")


HEALTH_PAGES: Final = ("/health", "/health/live", "/health/ready", "/health/startup")
METRICS_PAGE: Final = "/metrics"


def make_app(desk: Desk, dashboard: Dashboard, server: ApiServer) -> FastAPI:
    """The application: routes, their description, and what guards them."""
    app = FastAPI(
        title="Kedge",
        version=engine_version(),
        summary="What a governed trading system does and why. Read only.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    add_handlers(app)
    app.include_router(routes.router)
    app.include_router(routes_stores.router)
    app.add_api_websocket_route("/ws/v1", Streams(desk).serve)
    app.router.routes.extend(Route(path, server.health_page, methods=["GET"]) for path in HEALTH_PAGES)
    app.router.routes.append(Route(METRICS_PAGE, server.metrics_page, methods=["GET"]))
    app.router.routes.extend(dashboard.routes())
    describe(app)
    app.add_middleware(Guard)
    return app


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=StrictHttp,
        ws=StrictStream,
        ws_max_size=WORDS_MAX_BYTES,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
    )


class _Server(uvicorn.Server):
    """uvicorn inside our own loop: signals stay ours, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _bind(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise port_in_use(host, port, error) from None
    return listening
