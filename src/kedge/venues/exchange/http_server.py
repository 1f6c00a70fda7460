"""The HTTP side of the exchange: from bytes on a connection to a handler's answer in its envelope.

Order of checks: address, path, signature, permission, request budget, parameters, then the venue's own rules. From reading the
venue's clock to the last change a handler makes nobody else runs. Paths of sockets and of control are handed to their owners.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from kedge.domain.units import NS_PER_MS
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.auth import check_permission, check_request
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.envelope import answer, decode_object
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server_reply import TEXT, DroppedReply, HungReply, WireReply
from kedge.venues.exchange.rate_limits import AddressLimits, Allowance, RateLimits
from kedge.venues.exchange.routes import ApiError, Call, Result, Route
from kedge.venues.exchange.routes_params import RefusedCall

_log: Final = logging.getLogger("kedge.exchange.http")

BODY_MAX: Final = 256 * 1024
"""Bytes of a request's body; a batch of 20 orders needs a twentieth of it."""
CLOSE_S: Final = 2.0
"""How long requests that are being answered may take when the server closes."""

PathHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Fate(NamedTuple):
    """What a test does to one request: refuse it unheard with `error`, or carry it out and then `drop`, delay or `hang` the answer.

    On the trade socket an answer may also be `doubled`, or be `overtaken` by the next one.
    """

    error: ApiError | None = None
    drop: bool = False
    delay_s: float = 0.0
    hang: bool = False
    doubled: bool = False
    overtaken: bool = False


Meddler = Callable[[Route, Call], Fate | None]
"""Asked for every request that passed all checks; None leaves it alone."""


class HttpServer:
    """Serves a hall's endpoints on one address.

    Parameters
    ----------
    hall : Hall
    keys : ApiKeys
    limits : RateLimits
        Shared with the trade socket.
    routes : mapping
        `(method, path)` to endpoint.
    paths : mapping
        Paths answered by somebody else: sockets, status. They count against no budget.
    addresses : AddressLimits, optional
    meddler : callable, optional
        Faults to order.

    Attributes
    ----------
    requests_seen : int
        Requests that passed all checks of this server.
    """

    def __init__(
        self,
        hall: Hall,
        keys: ApiKeys,
        limits: RateLimits,
        routes: Mapping[tuple[str, str], Route],
        *,
        paths: Mapping[str, PathHandler] | None = None,
        addresses: AddressLimits | None = None,
        meddler: Meddler | None = None,
    ) -> None:
        self._hall, self._keys, self._limits, self._routes = hall, keys, limits, routes
        self._paths: Mapping[str, PathHandler] = paths or {}
        self._known = {path for _, path in routes}
        self._addresses = addresses or AddressLimits(speed=hall.speed)
        self._meddler = meddler
        self._trace_prefix, self._replies = os.urandom(8).hex(), count(1)
        self.requests_seen = 0
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for 0.

        Raises
        ------
        OSError
            The address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._server = web.Server(self.handle, request_factory=_request_factory(loop), access_log=None, logger=_log)
        self._listener = await loop.create_server(self._server, host, port)
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end all connections; a server that was not started closes too."""
        listener, self._listener = self._listener, None
        server, self._server = self._server, None
        if listener is not None:
            listener.close()
        if server is not None:
            server.pre_shutdown()
            await server.shutdown(CLOSE_S)
        if listener is not None:
            await listener.wait_closed()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path, _, query = request.raw_path.partition("?")
        owner = self._paths.get(path)
        if owner is not None:
            return await owner(request)
        wall_ns = self._hall.clock.wall_ns()
        ip = request.remote or ""
        if not self._addresses.admits(ip, wall_ns):
            return WireReply(b"access too frequent", status=403, content_type=TEXT)
        route = self._routes.get((request.method, path))
        if route is None:
            return self._no_route(path, wall_ns)
        body = await request.read() if request.method == "POST" else b""
        return await self._answer(route, request, body, query, ip)

    async def _answer(self, route: Route, request: web.BaseRequest, body: bytes, query: str, ip: str) -> web.StreamResponse:
        hall = self._hall
        wall_ns = hall.clock.wall_ns()
        account = key_name = ""
        if not route.public:
            payload = body if route.method == "POST" else query.encode()
            key = check_request(self._keys, request.headers, ip, payload, wall_ns)
            if isinstance(key, ApiError):
                return self._reply(key, wall_ns)
            refusal = check_permission(key, route.permissions, writes=route.method == "POST")
            if refusal is not None:
                return self._reply(refusal, wall_ns)
            account, key_name = key.account, key.key
        params = decode_object(body) if route.method == "POST" else query_params(query)
        if params is None:
            return self._reply(ApiError.parameter("params error: the body is not a JSON object"), wall_ns)
        allowance = self._allow(route, account, params, wall_ns)
        if allowance is not None and not allowance.ok:
            return self._reply(ApiError(Code.TOO_MANY_VISITS), wall_ns, allowance=allowance)
        self.requests_seen += 1
        call = Call(hall, account, params, hall.clock.venue_ns(), wall_ns, key_name, ip)
        fate = self._meddler(route, call) if self._meddler is not None else None
        outcome = fate.error if fate is not None and fate.error is not None else self._run(route, call)
        if fate is not None and fate.delay_s:
            await asyncio.sleep(fate.delay_s)
        if fate is not None and fate.drop:
            return DroppedReply()
        if fate is not None and fate.hang:
            return HungReply()
        return self._reply(outcome, hall.clock.wall_ns(), route.message, allowance)

    def _allow(self, route: Route, account: str, params: dict[str, Any], wall_ns: int) -> Allowance | None:
        if not route.group or not account:
            return None
        return self._limits.take(account, route.group, wall_ns, route.cost(params) if route.cost is not None else 1)

    def _run(self, route: Route, call: Call) -> Result:
        try:
            return route.handler(call)
        except RefusedCall as refusal:
            return refusal.error
        except Exception:
            _log.exception("%s %s failed; the client is told that the outcome is unknown", route.method, route.path)
            return ApiError(Code.SERVER_ERROR)

    def _reply(self, outcome: Result, wall_ns: int, message: str = "OK", allowance: Allowance | None = None) -> WireReply:
        wall_ms = wall_ns // NS_PER_MS
        code, body = answer(outcome, wall_ms, message)
        headers = f"Traceid: {self._trace_prefix}{next(self._replies):016x}\r\nTimenow: {wall_ms}\r\nRet_code: {code:d}\r\n"
        if allowance is not None:
            headers += (
                f"X-Bapi-Limit: {allowance.limit}\r\nX-Bapi-Limit-Status: {allowance.remaining}\r\n"
                f"X-Bapi-Limit-Reset-Timestamp: {allowance.reset_ms}\r\n"
            )
        return WireReply(body, status=outcome.status if isinstance(outcome, ApiError) else 200, headers=headers.encode())

    def _no_route(self, path: str, wall_ns: int) -> WireReply:
        """404 for a path nobody serves, 400 for one that is served by another method."""
        status = 400 if path in self._known else 404
        text = "request method is not supported" if status == 400 else ""
        return self._reply(ApiError(Code.ROUTE_NOT_FOUND, text, status=status), wall_ns)


def query_params(query: str) -> dict[str, Any]:
    """Members of a raw query, percent-decoded once; of repeated names the first. Empty values are kept."""
    if "%" not in query and "+" not in query:
        pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    else:
        pairs = parse_qsl(query, keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _request_factory(loop: asyncio.AbstractEventLoop) -> Callable[..., web.BaseRequest]:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_MAX)

    return make
