"""`GET /kedge/status`: what the exchange is doing, for supervisors and for clients that ask before they register."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from kedge.domain.units import NS_PER_MS
from kedge.kernel.compiling import late_compilations
from kedge.venues.exchange.clocks import UNPACED_SPEED
from kedge.venues.exchange.control import Control, refuse_stranger
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.prices import PriceSource

STATUS_PATH: Final = "/kedge/status"

PathHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def status_of(hall: Hall, control: Control, market: PriceSource, source: str, connections: dict[str, int]) -> dict[str, Any]:
    """Speed, time, how far the market is and why it stands still, and who plays along; no account, no money."""
    return {
        "speed": hall.speed,
        "paced": hall.speed < UNPACED_SPEED,
        "source": source,
        "session": control.session,
        "instruments": sorted(hall.instruments),
        "venue_ms": hall.clock.venue_ns() // NS_PER_MS,
        "wall_ms": hall.clock.wall_ns() // NS_PER_MS,
        "playing": market.playing and not market.paused_why,
        "paused_why": market.failed or market.paused_why,
        "bars": market.bars,
        "gaps": market.gaps,
        "ended": market.ended,
        "alarms": [f"LATE_COMPILATION {name}" for name in late_compilations()],
        "clients": control.clients(),
        "connections": connections,
    }


def status_handler(status: Callable[[], dict[str, Any]]) -> PathHandler:
    """Answers GET and HEAD with the status, anything else with 405; clients on this machine only, and no web pages."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        refusal = refuse_stranger(request)
        if refusal is not None:
            return refusal
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        return web.Response(body=msgspec.json.encode(status()), content_type="application/json")

    return handle
