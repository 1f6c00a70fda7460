"""What every request passes first and every answer last: this machine only, headers once, a correlation id, and a strict browser."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from kedge.api.asked import Asked, keep_asked
from kedge.api.cookies import read_given, refuse_repeated
from kedge.api.loopback import is_local_name, is_own_origin
from kedge.api.problems import defect, kedge_answer, problem
from kedge.domain.errors import KedgeError
from kedge.ops.logs import correlated
from kedge.services.people.answers import Client

POLICY: Final = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
STREAM: Final = "/ws/v1"
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", PERMISSIONS.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NO_STORE: Final = (b"cache-control", b"no-store")
AGENT_SHOWN: Final = 120
CORRELATION_BYTES: Final = 8
log = logging.getLogger(__name__)
_HIDDEN_SLASHES: Final = (b"%2f", b"%5c")


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers, name = Headers(scope=scope), secrets.token_hex(CORRELATION_BYTES)
        client = Client(address=_address(scope), agent=headers.get("user-agent", "")[:AGENT_SHOWN], correlation_id=name)
        asked = Asked(name, client)
        answered = _Answer(send, asked)
        with correlated(name):
            refusal = _refusal(scope, headers) or _read(scope, headers, asked)
            if refusal is None:
                await self._answered(scope, receive, answered)
            elif scope["type"] == "websocket":
                await WebSocket(scope, receive, answered).send_denial_response(refusal)
            else:
                await refusal(scope, receive, answered)

    async def _answered(self, scope: Scope, receive: Receive, answered: _Answer) -> None:
        inner = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope  # the server sends no body then
        try:
            await self._app(inner, receive, answered)
        except ClientDisconnect:  # a page that was left while it fetched: nobody is there to be answered, and nothing of ours is broken
            log.debug("whoever asked is gone", extra={"path": scope["path"][:AGENT_SHOWN]})
        except Exception as error:
            if scope["type"] != "http" or answered.begun:
                raise
            await defect(error, scope["path"])(scope, receive, answered)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _refusal(scope: Scope, headers: Headers) -> Response | None:
    """Why a request goes no further, from what it is addressed to and where it comes from."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_local_name(host):
        return problem(403, "FOREIGN_HOST", "the request names another host than this machine", "ask 127.0.0.1 or localhost")
    if origin is not None and not is_own_origin(origin, host):
        return problem(403, "FOREIGN_ORIGIN", "another site's page asks", "ask 127.0.0.1 or localhost")
    if scope["type"] == "websocket" and scope["path"] != STREAM:
        return problem(404, "NOT_FOUND", "no stream there", f"{STREAM}, see docs/api.md")
    if any(hidden in scope.get("raw_path", b"").lower() for hidden in _HIDDEN_SLASHES):
        return problem(404, "NOT_FOUND", "no address of ours hides a slash", "see /api/v1/openapi.json")
    return None


def _read(scope: Scope, headers: Headers, asked: Asked) -> Response | None:
    """Read who asks, as shown; why not, where that is broken."""
    try:
        refuse_repeated(scope["headers"])
        given = read_given(headers.get("cookie", ""), headers.get("authorization", ""))
    except KedgeError as error:
        return kedge_answer(error, scope["path"][:AGENT_SHOWN])
    client = asked.client
    asked.given = given
    asked.client = Client(client.address, client.agent, given.session, given.device, asked.correlation_id)
    keep_asked(scope, asked)
    return None


class _Answer:
    """Adds the headers to an answer; one that says nothing about caching is not kept."""

    def __init__(self, send: Send, asked: Asked) -> None:
        self._send, self._asked = send, asked
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.begun = True
            own = (b"x-correlation-id", self._asked.correlation_id.encode("ascii"))
            headers = [*message.get("headers", ()), *HEADERS, own, *self._asked.headers]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append(NO_STORE)
            message = {**message, "headers": headers}
        await self._send(message)
