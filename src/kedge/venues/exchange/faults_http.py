"""Ordering faults over HTTP, and the server that carries out those which meet every request.

`GET /kedge/faults` tells what is armed and scheduled, `POST` arms one (a JSON object of `simulation.faults.Fault`), `DELETE` disarms all.
Clients on this machine only, and no web pages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from kedge.domain.errors import InvalidInput
from kedge.simulation.faults import Fault, read_fault
from kedge.venues.exchange.control import refuse_stranger
from kedge.venues.exchange.faults import Faults
from kedge.venues.exchange.http_server import HttpServer
from kedge.venues.exchange.http_server_reply import TEXT, DroppedReply, WireReply
from kedge.venues.exchange.routes import ApiError, Call, Result, Route

FAULTS_PATH: Final = "/kedge/faults"
_OWN: Final = "/kedge/"

_log: Final = logging.getLogger("kedge.exchange")

Cutter = Callable[[str, str], Awaitable[int]]
"""`(stream, account)` to how many connections were cut; empty texts mean all."""
Skewer = Callable[[int], None]
"""Sets by how many nanoseconds the exchange's wall clock is off."""
Crowder = Callable[[], None]
"""Lets the background of every instrument quote as ordered now."""


class FaultyHttpServer(HttpServer):
    """An HTTP server that turns requests away while a ban or maintenance lasts, and may answer wrongly."""

    def __init__(self, *arguments: Any, faults: Faults, **named: Any) -> None:
        super().__init__(*arguments, meddler=faults.meddle, **named)
        self._faults = faults

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or turn it away unheard."""
        if not request.path.startswith(_OWN):
            if self._faults.lasts("ban"):
                return WireReply(b"access too frequent", status=403, content_type=TEXT)
            if self._faults.lasts("maintenance"):
                return WireReply(b"Service Unavailable", status=503, content_type=TEXT)
        return await super().handle(request)

    async def _answer(self, route: Route, request: web.BaseRequest, body: bytes, query: str, ip: str) -> web.StreamResponse:
        key = self._keys.find(request.headers.get("X-BAPI-API-KEY", ""))
        arrival = self._faults.arrival(route.path, "" if key is None else key.account)
        if arrival is not None and arrival.is_lost:
            return DroppedReply()
        if arrival is not None:
            await asyncio.sleep(arrival.delay_ms / 1_000)
        return await super()._answer(route, request, body, query, ip)

    def _run(self, route: Route, call: Call) -> Result:
        outcome = super()._run(route, call)
        if isinstance(outcome, ApiError):
            return outcome
        return self._faults.answer_instead(route.path, call.account) or outcome


class FaultDesk:
    """Serves `/kedge/faults`, and carries out faults that begin by themselves.

    Parameters
    ----------
    cut, skew, crowd : callable
        What cuts connections, what sets the exchange's clock off, and what lets the background quote as ordered.
    """

    def __init__(self, faults: Faults, cut: Cutter, skew: Skewer, crowd: Crowder) -> None:
        self._faults, self._cut, self._skew, self._crowd = faults, cut, skew, crowd
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Show, arm or disarm."""
        refusal = refuse_stranger(request)
        if refusal is not None:
            return refusal
        if request.method == "POST":
            try:
                fault = read_fault(_members(await request.read()))
                begun = self._faults.arm(fault)
            except InvalidInput as error:
                said = {"error": f"no such fault: {error.what}", "why": error.why, "fix": error.fix}
                return web.json_response(said, status=400)
            _log.warning("fault armed: %s", fault.fault, extra={"kedge_fields": {"event": "fault_armed", "fault": fault.fault}})
            await self._carry_out(begun)
        elif request.method == "DELETE":
            self._faults.clear()
            await self._carry_out(())
        elif request.method != "GET":
            return web.Response(status=405, headers={"Allow": "GET, POST, DELETE"})
        return web.json_response(self._faults.shown())

    async def _carry_out(self, begun: Sequence[Fault]) -> None:
        """Do what begins now, and be back when something begins or ends next."""
        self._skew(self._faults.skew_ns())
        self._crowd()
        if self._timer is not None:
            self._timer.cancel()
        next_s = self._faults.next_in_s()
        self._timer = None if next_s is None else asyncio.get_running_loop().call_later(next_s, self._look)
        for fault in begun:
            if fault.fault == "cut":
                await self._cut(fault.stream, fault.account)
            elif fault.fault in ("ban", "maintenance"):
                await self._cut("", "")

    def _look(self) -> None:
        task = asyncio.get_running_loop().create_task(self._carry_out(self._faults.begun()), name="faults that begin")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def refuse_faults(request: web.BaseRequest) -> web.StreamResponse:
    """Answers `/kedge/faults` of an exchange that was not started with faults."""
    said = {"error": "faults are off", "why": "this exchange was started without --faults", "fix": "start it again with --faults"}
    return refuse_stranger(request) or web.json_response(said, status=404)


def _members(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidInput("the body is no JSON", why=str(error), fix='such as {"fault":"drop_reply","count":1}') from None
