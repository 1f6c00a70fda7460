"""The guard's own door: plain pages and JSON on loopback, inside the guard's loop, without database, API or script.

Rules: nothing here waits for anybody: bodies are small and timed, connections are bounded, and the oldest idle one makes room; a wrong
token is slowed down, the right one never; a page of another name that is resolved to this machine is refused; engaging is answered when
the latch is on the disk; releasing takes a signed approval and is offered on no page.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from kedge.api.loopback import is_local_name, is_own_origin
from kedge.apps import guard_pages
from kedge.apps.guard_client import REPORT_FRESH_NS, REPORT_PATH, report_mac
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import (
    AccessRefused,
    ApprovalRefused,
    Conflict,
    Forbidden,
    IntegrityError,
    InvalidInput,
    KedgeError,
    NotFound,
    NotSignedIn,
    TooMany,
)
from kedge.services.guard.status import GuardStatus, Heartbeat, PermitAnswer
from kedge.services.guard_door import level_of, readable_reason
from kedge.services.guard_permits import NONCE_CHARS, beat_of, permit_bytes

BODY_MAX_BYTES: Final = 64 * 1024
BODY_WITHIN_S: Final = 2.0
CONNECTIONS_MAX: Final = 64
IDLE_S: Final = 30.0
WRONG_TOKENS_PER_S: Final = 5
REPORTED: Final = (str(Trigger.JOURNAL), str(Trigger.MODEL))
"""What a trader may say of itself."""
STOP_S: Final = 1.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",  # with none, a browser sends its own form with the origin "null"
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
}
_STATUS: Final[tuple[tuple[type[KedgeError], int], ...]] = (
    (NotSignedIn, 401),
    (TooMany, 429),
    (Forbidden, 403),
    (ApprovalRefused, 403),
    (AccessRefused, 403),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 400),
    (IntegrityError, 400),
)

_log: Final = logging.getLogger("kedge.guard.door")


class Doors(NamedTuple):
    """What the door opens to; the guard's own calls, and what its process adds.

    `permit`, `engage` and `status` return at once; `release` and `history` may take a moment and are awaited.
    """

    permit: Callable[[str, Heartbeat | None], PermitAnswer]
    engage: Callable[[BrakeLevel, str, str, str], tuple[Latch, bool]]
    release: Callable[[str], Awaitable[Latch]]
    status: Callable[[], GuardStatus]
    history: Callable[[int, int | None], Awaitable[dict[str, Any]]]
    report: Callable[[Trigger, str], Latch]


class WrongTokens:
    """Counts wrong tokens; says when there were too many within a second. The right one is never asked about here."""

    def __init__(self, clock_s: Callable[[], float], per_s: int = WRONG_TOKENS_PER_S) -> None:
        self._clock_s, self._per_s = clock_s, per_s
        self._since_s, self._count = float("-inf"), 0

    def refuse(self) -> KedgeError:
        """What a wrong token is answered with."""
        now_s = self._clock_s()
        if now_s - self._since_s >= 1.0:
            self._since_s, self._count = now_s, 0
        self._count += 1
        if self._count > self._per_s:
            return TooMany(
                "too many wrong operator tokens", why=f"more than {self._per_s} in a second", fix="wait a second", retry_after_s=1
            )
        return NotSignedIn("the operator token is wrong", why="it is not the one in the guard's folder", fix="look in operator.token")


class GuardDoor:
    """Listens and answers.

    Parameters
    ----------
    account : str
        Stands in every permit.
    token : str
        The operator's; engaging at this door takes it.
    key : bytes
        Signs permits.
    """

    def __init__(
        self, doors: Doors, *, account: str, token: str, key: bytes, clock_s: Callable[[], float], wall_ns: Callable[[], int]
    ) -> None:
        self._doors, self._account, self._key, self._wall_ns = doors, account, key, wall_ns
        self._token = _digest(token)
        self._wrong = WrongTokens(clock_s)
        self._runner: web.ServerRunner | None = None
        self._routes: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            ("GET", "/"): self._page,
            ("GET", "/now"): self._now,
            ("GET", "/status"): self._status,
            ("GET", "/permit"): self._permit,
            ("GET", "/history"): self._history,
            ("POST", "/engage"): self._engage,
            ("POST", "/release"): self._release,
            ("POST", REPORT_PATH): self._report,
        }

    async def start(self, sockets: list[socket.socket]) -> None:
        """Answer on these listening sockets."""
        server = _Bounded(self._answer, keepalive_timeout=IDLE_S, access_log=None, lingering_time=0.0)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=STOP_S)
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one).start()

    async def close(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    # one request ------------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        wants_page = "text/html" in request.headers.get("Accept", "")
        try:
            self._refuse_strangers(request)
            if request.path not in {path for _, path in self._routes}:
                raise NotFound("there is no such page", why="this is the guard's door, not the dashboard", fix="/ shows the brake")
            route = self._routes.get((request.method, request.path))
            if route is None:
                return _document({"what": f"{request.method} is not for {request.path}", "why": "", "fix": ""}, 405)
            return await route(request)
        except KedgeError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
            if wants_page:
                return _html(guard_pages.problem_page(error), status)
            return _document({"what": error.what, "why": error.why, "fix": error.fix, "code": error.code}, status)
        except TimeoutError:
            return _document({"what": "the request did not come whole", "why": "its body took too long", "fix": "send it again"}, 408)

    def _refuse_strangers(self, request: web.BaseRequest) -> None:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not host or not is_local_name(host):
            raise Forbidden("this name is not this machine's", why="a page elsewhere may have had it resolved to here", fix="use 127.0.0.1")
        if request.method == "POST" and origin is not None and not is_own_origin(origin, host):
            raise Forbidden("the request comes from another page", why="only this page's own form may ask", fix="open the guard's page")

    # looking ----------------------------------------------------------------------------------------------------------

    async def _page(self, _: web.BaseRequest) -> web.Response:
        return _html(guard_pages.front_page(self._doors.status()))

    async def _now(self, _: web.BaseRequest) -> web.Response:
        return _html(guard_pages.now_page(self._doors.status()))

    async def _status(self, _: web.BaseRequest) -> web.Response:
        return web.Response(body=status_bytes(self._doors.status()), content_type="application/json", headers=_HEADERS)

    async def _history(self, request: web.BaseRequest) -> web.Response:
        limit, before = _number(request, "limit", 100), _number(request, "before", 0)
        return _document(await self._doors.history(limit or 100, before or None))

    async def _permit(self, request: web.BaseRequest) -> web.Response:
        nonce = request.query.get("nonce", "")
        if len(nonce) != NONCE_CHARS or not nonce.isascii() or not nonce.isalnum():
            raise InvalidInput("nonce is none", why=f"it has {NONCE_CHARS} letters and digits", fix="draw a new one for every question")
        said = self._doors.permit(nonce, beat_of(request.headers, nonce, self._account, self._key))
        body = permit_bytes(said, self._account, self._key)
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    # acting -----------------------------------------------------------------------------------------------------------

    async def _engage(self, request: web.BaseRequest) -> web.Response:
        given, is_form = await _fields_of(request)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(_digest(given.get("token", "").strip() or bearer), self._token):
            raise self._wrong.refuse()
        level, reason = level_of(given.get("level", "")), readable_reason(given.get("reason", ""))
        actor_id = (given.get("actor_id", "").strip() or "operator")[:100]
        source = (given.get("source", "").strip() or "guard-page")[:40]
        latch, is_durable = self._doors.engage(level, actor_id, reason, source)
        _log.warning("brake engaged: %s by %s: %s", latch.level, latch.actor_id, latch.reason, extra={"event": "brake"})
        if is_form:
            return _html(guard_pages.engaged_page(level, latch, is_durable=is_durable))
        return _document({"latch": latch, "is_durable": is_durable, "asked": level})

    async def _release(self, request: web.BaseRequest) -> web.Response:
        given, is_form = await _fields_of(request)
        if is_form or not given.get("record"):
            raise InvalidInput("this is no release", why="a release is a signed approval", fix="kedge brake release")
        latch = await self._doors.release(given["record"])
        return _document({"latch": latch})

    async def _report(self, request: web.BaseRequest) -> web.Response:
        """A trader says that it must not go on; signed with the key that guard and trader share, and no older than a minute."""
        given, _ = await _fields_of(request)
        trigger, reason, said, nonce = (given.get(name, "") for name in ("trigger", "reason", "said_wall_ns", "nonce"))
        if trigger not in REPORTED or not said.isdecimal() or len(said) > 20:
            raise InvalidInput("this is no report", why=f"a trader reports {' or '.join(REPORTED)}", fix="look at the trader's log")
        mac = report_mac(self._key, self._account, trigger, reason, int(said), nonce)
        if not hmac.compare_digest(_digest(given.get("mac", "")), _digest(mac)):
            raise NotSignedIn("the report is not the trader's", why="it is not signed with the shared key", fix="restart guard and trader")
        if abs(self._wall_ns() - int(said)) > REPORT_FRESH_NS:
            raise Conflict("the report is old", why="it is told at once or not at all", fix="engage the brake by hand")
        return _document({"latch": self._doors.report(Trigger(trigger), reason)})


class _Bounded(web.Server):
    """At most so many connections: the oldest idle one makes room, so that nobody shuts others out by holding on."""

    def __call__(self) -> Any:
        if len(self.connections) >= CONNECTIONS_MAX:
            idle = next((one for one in self.connections if getattr(one, "_current_request", None) is None), self.connections[0])
            idle.force_close()
            if idle.transport is not None:
                idle.transport.abort()
        return super().__call__()


def status_bytes(status: GuardStatus) -> bytes:
    """The guard's status with who wrote it and when, for the door and for the copy that readers find."""
    return msgspec.json.encode({**msgspec.to_builtins(status), "pid": os.getpid(), "written_wall_ns": status.wall_ns})


async def _fields_of(request: web.BaseRequest) -> tuple[dict[str, str], bool]:
    """The text fields of a small body, and whether it is a form's."""
    raw = bytearray()
    async with asyncio.timeout(BODY_WITHIN_S):
        async for part in request.content.iter_any():
            raw += part
            if len(raw) > BODY_MAX_BYTES:
                raise InvalidInput("the body is too long", why=f"at most {BODY_MAX_BYTES} bytes", fix="send less")
    kind = request.content_type
    try:
        if kind == "application/x-www-form-urlencoded":
            return {name: values[-1] for name, values in parse_qs(raw.decode(), max_num_fields=20).items()}, True
        if kind == "application/json":
            found: Mapping[str, Any] = msgspec.json.decode(bytes(raw), type=dict[str, Any])
            return {name: value for name, value in found.items() if isinstance(value, str)}, False
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput("the body cannot be read", why=str(error)[:200], fix="send a form or a JSON object") from None
    raise InvalidInput(f"content type {kind[:60]!r}", why="it is a form or application/json", fix="say which")


def _number(request: web.BaseRequest, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return otherwise
    if not text.isdecimal() or len(text) > 15:
        raise InvalidInput(f"{name} is {text[:40]!r}", why="it is a whole number", fix="leave it out")
    return int(text)


def _digest(text: str) -> bytes:
    """Of one length whatever the text, so that comparing takes as long for any."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _document(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json", headers=_HEADERS)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
