"""The server: health, the API, the stream and the dashboard on one loopback port, beside a replica that follows the journal.

Rules: loopback only, since there is no TLS yet; what a run is, is only read; errors are RFC 9457 problem objects; the `/health` pages and
`/metrics` ask for no account, and tell neither money, positions nor secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kedge.api import (
    error_pages,
    listening,
    routes,
    routes_acts,
    routes_approvals,
    routes_brake,
    routes_commands,
    routes_devices,
    routes_me,
    routes_people,
    routes_risk,
    routes_session,
    routes_stores,
    routes_stream,
)
from kedge.api.checks import Finding, findings
from kedge.api.described import describe
from kedge.api.documents import Desk, HealthWatch
from kedge.api.guard import Guard
from kedge.api.health import overall, readiness, report
from kedge.api.known import KnownActors
from kedge.api.loopback import check_host
from kedge.api.pages import Dashboard
from kedge.api.problems import add_handlers
from kedge.api.protocol import StrictHttp, StrictStream
from kedge.api.rates import Rates
from kedge.api.stream import WORDS_MAX_BYTES, Streams
from kedge.api.stream_access import Tickets
from kedge.domain.errors import KedgeError
from kedge.ops.build import code_sha256, engine_version, git_sha
from kedge.ops.metrics import CONTENT_TYPE, joined, read_metrics
from kedge.services.people.desk import PeopleDesk
from kedge.services.people.repeats import Repeats
from kedge.services.people.upkeep import SWEEP_EVERY_S
from kedge.services.replica_follow import Follower

if TYPE_CHECKING:
    from kedge.services.risk_daily_keep import DailyKeeper

log = logging.getLogger(__name__)
FRESH_S: Final = 0.25
"""Answers within so long share one round of checks, so that asking often costs little and shows nothing old."""
STOP_S: Final = 1
"""How long answers under way may take once the server stops."""
DAILY_EVERY_S: Final = 1.0


class ApiServer:
    """Everything over HTTP for one state folder.

    Parameters
    ----------
    state_folder : Path
        Read at every question; only the replica's own files under `replica/`, and those of people, are written.
    run : str
        Follow this run and no other; by default the trader's, else the newest.
    dashboard : Dashboard, optional
        Where the built pages lie.
    people : callable, optional
        Opens the desk of people for the address that passkeys belong to; without it there are no accounts, and nothing can be changed.
    """

    def __init__(
        self,
        state_folder: Path,
        *,
        run: str = "",
        dashboard: Dashboard | None = None,
        people: Callable[[str], PeopleDesk] | None = None,
    ) -> None:
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
        self._open_people = people
        self.people: PeopleDesk | None = None
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
        sockets = listening.listen(host, port)
        taken = int(sockets[0].getsockname()[1])
        try:
            await self._begin_people(f"http://localhost:{taken}")
        except BaseException:
            listening.close(sockets)
            raise
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))  # each check is bounded by who asks it
        self._server = _Server(_config(self.app))
        self._tasks = [
            asyncio.create_task(self._server.serve(sockets)),
            asyncio.create_task(self.follower.follow()),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._test_daily()),
        ]
        await self._server.listening.wait()
        return taken

    async def _begin_people(self, origin: str) -> None:
        """Open the desk of people, for the address by which people are to come: passkeys belong to a name, never to a number."""
        self.app.state.origin = origin
        if self._open_people is None:
            return
        desk = self.people = await asyncio.to_thread(self._open_people, origin)
        self.app.state.people = desk
        self.app.state.repeats = Repeats(desk.store, flush=desk.shared.flush, wall_ns=desk.shared.wall_ns)

    async def setup_url(self) -> str | None:
        """A new one-time link that makes the first account: a secret, for the eyes of who started the server. None once there is one."""
        if self.people is None:
            return None
        secret = await asyncio.to_thread(self.people.links.first)
        return None if secret is None else f"{self.people.public_origin}/setup#{secret}"

    async def _sweep(self) -> None:
        """Let go of what is over, every minute."""
        while (desk := self.people) is not None:
            try:
                await asyncio.to_thread(desk.upkeep)
            except KedgeError as error:
                log.error("sweeping failed", extra={"problem": str(error)})
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _test_daily(self) -> None:
        """Keep the daily backtest of risk, once a run was read. It brings statistics that nobody else needs: a thread imports them."""
        while not self.follower.caught_up:
            await asyncio.sleep(DAILY_EVERY_S)
        made = await asyncio.to_thread(importlib.import_module, "kedge.services.risk_daily_keep")
        keeper: DailyKeeper = made.DailyKeeper(self._state_folder)
        self.app.state.daily = keeper.daily
        await keeper.keep(self.follower)

    async def close(self) -> None:
        """Stop listening and following."""
        if self._server is not None:
            self._server.should_exit = True
            serving, *others = self._tasks
            for task in others:
                task.cancel()
            self._watch.close()
            await asyncio.gather(serving, *others, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self.people is not None:
            await asyncio.to_thread(self.people.close)

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
ROUTERS: Final = (
    routes.router,
    routes_stores.router,
    routes_stream.router,
    routes_session.looking,
    routes_session.proving,
    routes_me.reading,
    routes_me.changing,
    routes_people.reading,
    routes_people.changing,
    routes_devices.router,
    routes_approvals.reading,
    routes_approvals.changing,
    routes_commands.router,
    routes_acts.router,
    routes_risk.reading,
    routes_risk.changing,
    routes_brake.reading,
    routes_brake.engaging,
)


def make_app(desk: Desk, dashboard: Dashboard, server: ApiServer) -> FastAPI:
    """The application: routes, their description, and what guards them."""
    app = FastAPI(
        title="Kedge",
        version=engine_version(),
        summary="What a governed trading system does and why, who may do what, and who did.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk, app.state.people, app.state.repeats = desk, None, None
    app.state.routers = ROUTERS
    app.state.rates, app.state.tickets, app.state.origin = Rates(), Tickets(), "http://localhost"
    app.state.known, app.state.risk, app.state.daily = KnownActors(), None, None
    add_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_websocket_route("/ws/v1", Streams(desk, app.state.tickets).serve)
    app.router.routes.extend(Route(path, server.health_page, methods=["GET"]) for path in HEALTH_PAGES)
    app.router.routes.append(Route(METRICS_PAGE, server.metrics_page, methods=["GET"]))
    app.router.routes.extend(error_pages.routes())
    app.router.routes.extend(dashboard.routes())
    describe(app, ROUTERS)
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
        backlog=listening.BACKLOG,
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
