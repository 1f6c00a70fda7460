"""The exchange as a process of its own for `exchange_server.py`: the real server with its default routes, sockets and checks.

Two bare servers run beside it in the same process: aiohttp answering a constant, and a WebSocket echo, the limits of what any handler
could do. It prints its ports, then answers each line on standard input with its CPU seconds and its memory; it ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import resource
import sys
import time
from contextlib import suppress

import uvloop
from aiohttp import WSMsgType, web

from kedge.domain.units import E8
from kedge.kernel.compiling import compile_all
from kedge.market.catalogue import CATALOGUE
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, VenueLimits, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import WallVenueClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.server import ExchangeServer

SPEC = CATALOGUE["bybit-linear:BTCUSDT"][-1]
PRICE_TICKS = 600_000
KEY = ApiKey(key="BENCH", secret="bench-secret", account="1001")
SPEED = 100_000
"""Request budgets grow with a venue's speed: this raises them above what any client can send, and every check still runs."""
CONSTANT = b'{"retCode":0,"retMsg":"OK","result":{"orderId":"%b","orderLinkId":"%b"},"retExtInfo":{},"time":1767000000000}' % (
    b"0" * 36,
    b"0" * 16,
)


class StillMarket:
    """Prices that stand still, said again twenty times a second so that the crowd stands in the book."""

    bars = gaps = 0
    playing, ended, failed, paused_why = True, False, "", ""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def prime(self) -> None:
        mark_e8 = PRICE_TICKS * SPEC.tick_e8
        self._hall.venue.set_prices(SPEC.instrument_id, PRICE_TICKS, mark_e8, mark_e8, self._hall.clock.venue_ns())
        self._hall.publish()

    async def play(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            await self.prime()

    async def close(self) -> None: ...


def make_server() -> ExchangeServer:
    clock = WallVenueClock()
    rules = VenueSettings(seed=1, limits=VenueLimits(orders_max=10_000), crowd=Crowd(levels=25))
    venue = Venue([SPEC], rules, clock.venue_ns())
    venue.open_account(KEY.account, 10_000_000 * E8, clock.venue_ns())
    hall = Hall(venue, clock, [SPEC], speed=SPEED)
    control = Control(1, clock.venue_ns)
    return ExchangeServer(hall, clock, ApiKeys([KEY]), StillMarket(hall), control, source="benchmark")


async def constant(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=CONSTANT, content_type="application/json")


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    talk = web.WebSocketResponse(compress=False)
    await talk.prepare(request)
    async for message in talk:
        if message.type is WSMsgType.TEXT:
            await talk.send_str(message.data)
    return talk


async def listen(handler: web.Server) -> int:
    listener = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    return int(listener.sockets[0].getsockname()[1])


def figures() -> str:
    return json.dumps({"cpu_s": time.process_time(), "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


async def serve(profile: cProfile.Profile | None) -> None:
    compile_all()
    server = make_server()
    ports = {"exchange": await server.start("127.0.0.1", 0), "constant": await listen(web.Server(constant, access_log=None))}
    ports["echo"] = await listen(web.Server(echo, access_log=None))
    print(json.dumps(ports), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    if profile is not None:
        profile.enable()
    while await lines.readline():
        print(figures(), flush=True)
    if profile is not None:
        profile.disable()
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=None, help="run on this core alone")
    parser.add_argument("--profile", action="store_true", help="print where the time went")
    given = parser.parse_args()
    if given.core is not None:
        with suppress(AttributeError, OSError):  # not every system lets a process choose
            os.sched_setaffinity(0, {given.core})
    profile = cProfile.Profile() if given.profile else None
    uvloop.run(serve(profile))
    if profile is not None:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
