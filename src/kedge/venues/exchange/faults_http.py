"""Ordering faults over HTTP, and the server that carries out those which meet every request.

`GET /kedge/faults` tells what is armed, `POST` arms one (a JSON object of `faults.Fault`), `DELETE` disarms all. Clients on this
machine only, and no web pages.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from kedge.domain.units import NS_PER_MS
from kedge.venues.exchange.control import refuse_stranger
from kedge.venues.exchange.faults import Fault, Faults
from kedge.venues.exchange.http_server import HttpServer
from kedge.venues.exchange.http_server_reply import TEXT, WireReply
from kedge.venues.exchange.routes import ApiError, Call, Result, Route

FAULTS_PATH: Final = "/kedge/faults"
_OWN: Final = "/kedge/"

_log: Final = logging.getLogger("kedge.exchange")

Cutter = Callable[[str, str], Awaitable[int]]
"""`(stream, account)` to how many connections were cut; empty texts mean all."""
Skewer = Callable[[int], None]
"""Sets by how many nanoseconds the exchange's wall clock is off."""


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

    def _run(self, route: Route, call: Call) -> Result:
        outcome = super()._run(route, call)
        if isinstance(outcome, ApiError):
            return outcome
        return self._faults.answer_instead(route.path, call.account) or outcome


def faults_handler(faults: Faults, cut: Cutter, skew: Skewer) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Serves `/kedge/faults`."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        refusal = refuse_stranger(request)
        if refusal is not None:
            return refusal
        if request.method == "POST":
            try:
                fault = msgspec.json.decode(await request.read(), type=Fault)
            except msgspec.DecodeError as error:
                return web.json_response({"error": f"no such fault: {error}"}, status=400)
            await _do(fault)
        elif request.method == "DELETE":
            faults.clear()
            skew(0)
        elif request.method != "GET":
            return web.Response(status=405, headers={"Allow": "GET, POST, DELETE"})
        return web.json_response(faults.shown())

    async def _do(fault: Fault) -> None:
        faults.arm(fault)
        _log.warning("fault armed: %s", fault.fault, extra={"kedge_fields": {"event": "fault_armed", "fault": fault.fault}})
        if fault.fault == "clock_skew":
            skew(fault.ms * NS_PER_MS)
        elif fault.fault == "cut":
            await cut(fault.stream, fault.account)
        elif fault.fault in ("ban", "maintenance"):
            await cut("", "")

    return handle
