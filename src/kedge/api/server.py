"""The HTTP side: `/health`, `/health/live`, `/health/ready`, `/health/startup`. JSON only, GET and HEAD only.

Rules: loopback only, since there is neither TLS nor authentication yet; errors are RFC 9457 problem objects; nothing on these
pages tells money, positions or secrets.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from kedge.api.checks import CHECK_TIMEOUT_S, Finding, findings
from kedge.api.health import overall, readiness, report
from kedge.domain.errors import Conflict, InvalidInput
from kedge.ops.build import git_sha

FRESH_S: Final = 0.25
"""Answers within so long share one round of checks, so that asking often costs little and shows nothing old."""
NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return False


def is_local_name(host: str) -> bool:
    """Whether a Host header names this machine itself. A web page that has its own name resolved to this machine sends that name."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return not host or is_loopback(name or "")


def check_host(host: str) -> str:
    """The host, if this server may listen on it.

    Raises
    ------
    InvalidInput
        It is not a loopback address.
    """
    if not is_loopback(host):
        raise InvalidInput(
            f"--host is {host!r}",
            why="without TLS and authentication this server listens on a loopback address only",
            fix="--host 127.0.0.1, and a tunnel such as ssh -L to look from elsewhere",
        )
    return host


class ApiServer:
    """Health over HTTP for one state folder.

    Parameters
    ----------
    state_folder : Path
        Read at every question; nothing is written to it.
    """

    def __init__(self, state_folder: Path) -> None:
        self._state_folder = state_folder
        self._began_s = time.monotonic()
        self._git_sha = git_sha()  # once: what runs is what was started, whatever is checked out later
        self._started = False
        self._found: list[Finding] = []
        self._found_s = float("-inf")
        self._asking = asyncio.Lock()
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port.

        Raises
        ------
        Conflict
            Somebody else listens there.
        InvalidInput
            The host is not a loopback address.
        """
        check_host(host)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S))
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise port_in_use(host, port, error) from None
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not is_local_name(request.headers.get("Host", "")):
            return _problem(403, "FOREIGN_HOST", "the request names another host than this machine", "ask 127.0.0.1 or localhost")
        page = _PAGES.get(request.path)
        if page is None:
            return _problem(404, "NOT_FOUND", f"no page {request.path[:100]!r}", f"there are {', '.join(_PAGES)}")
        if request.method not in ("GET", "HEAD"):
            answer = _problem(405, "METHOD_NOT_ALLOWED", f"{request.method[:20]} is not for this page", "GET or HEAD")
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        status, body = await page(self)
        return _json(status, body)

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
        """This process turns; asks nothing else."""
        return 200, {"schema": "kedge/live/v1", "status": "ok", "pid": os.getpid()}

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Whether every needed check passes now."""
        found = readiness(await self._findings())
        return 200 if found["ready"] else 503, found

    async def startup(self) -> tuple[int, dict[str, Any]]:
        """Whether the system has been ready once since this process began."""
        if not self._started:
            await self._findings()
        return 200 if self._started else 503, {"schema": "kedge/startup/v1", "started": self._started}


def port_in_use(host: str, port: int, error: OSError) -> Conflict:
    """The error of a port that cannot be had, saying who may hold it."""
    return Conflict(
        f"port {port} on {host} cannot be had: {error.strerror or error}",
        why="another kedge or another program listens there, or the system reserves it",
        fix=f"find it with `ss -ltnp 'sport = :{port}'`, or choose another with --port, 0 for any free one",
    )


_PAGES: Final[dict[str, Callable[[ApiServer], Awaitable[tuple[int, dict[str, Any]]]]]] = {
    "/health": ApiServer.health,
    "/health/live": ApiServer.live,
    "/health/ready": ApiServer.ready,
    "/health/startup": ApiServer.startup,
}


def _json(status: int, body: dict[str, Any], content_type: str = "application/json") -> web.Response:
    return web.Response(status=status, text=json.dumps(body, allow_nan=False), content_type=content_type, headers=NO_STORE)


def _problem(status: int, code: str, title: str, fix: str) -> web.Response:
    body = {
        "type": f"urn:kedge:error:{code.lower().replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": fix,
        "code": code,
        "fix": fix,
    }
    return _json(status, body, "application/problem+json")
