"""What every request passes first and every answer last: this machine only, GET and HEAD only, headers that keep a browser strict."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from kedge.api.loopback import is_local_name, is_own_origin
from kedge.api.problems import defect, problem

POLICY: Final = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STREAM: Final = "/ws/v1"
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NO_STORE: Final = (b"cache-control", b"no-store")


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host, origin = given.get(b"host", ""), given.get(b"origin")
        refused = ""
        if not is_local_name(host):
            refused = "FOREIGN_HOST"
        elif origin is not None and not is_own_origin(origin, host):
            refused = "FOREIGN_ORIGIN"
        answered = _Answer(send)
        if refused:
            what = "the request names another host than this machine" if refused == "FOREIGN_HOST" else "another site's page asks"
            refusal = problem(403, refused, what, "ask 127.0.0.1 or localhost")
        elif scope["type"] == "websocket" and scope["path"] != STREAM:
            refusal = problem(404, "NOT_FOUND", "no stream there", f"{STREAM}, see docs/api.md")
        else:
            await self._answered(scope, receive, answered)
            return
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, answered).send_denial_response(refusal)
        else:
            await refusal(scope, receive, answered)

    async def _answered(self, scope: Scope, receive: Receive, answered: _Answer) -> None:
        inner = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope  # the server sends no body then
        try:
            await self._app(inner, receive, answered)
        except Exception as error:
            if scope["type"] != "http" or answered.begun:
                raise
            await defect(error, scope["path"])(scope, receive, answered)


class _Answer:
    """Adds the headers to an answer; one that says nothing about caching is not kept."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.begun = True
            headers = [*message.get("headers", ()), *HEADERS]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append(NO_STORE)
            message = {**message, "headers": headers}
        await self._send(message)
