"""A small exchange for tests of its HTTP side: two instruments, one account, two keys, clocks that stand where they are put."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import uvloop
from yarl import URL

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S
from kedge.market.catalogue import instrument_at
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import VenueSettings
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import HttpServer
from kedge.venues.exchange.market_api import market_routes
from kedge.venues.exchange.rate_limits import RateLimits
from kedge.venues.exchange.routes import ANY_KEY, CONTRACTS, ORDERS, Permission, Routes, joined
from kedge.venues.exchange.user_api import user_routes

START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01, a Thursday
WALL_NS = 1_800_000_000 * NS_PER_S
BTC, ETH = "bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT"
ACCOUNT = "777001"
KEY = ApiKey(key="KEY", secret="SECRET-OF-THE-TEST", account=ACCOUNT, created_ns=WALL_NS, note="trader")


class StillClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.venue, self.wall = START_NS, WALL_NS

    def venue_ns(self) -> int:
        return self.venue

    def wall_ns(self) -> int:
        return self.wall


def listed() -> list[Instrument]:
    return [instrument_at(BTC, START_NS), instrument_at(ETH, START_NS)]


def make_hall(*, speed: int = 1) -> tuple[Hall, StillClock]:
    """A hall with an open account and no prices."""
    clock, instruments = StillClock(), listed()
    venue = Venue(instruments, VenueSettings(seed=3), START_NS)
    venue.open_account(ACCOUNT, 10_000 * E8, START_NS)
    return Hall(venue, clock, instruments, speed=speed), clock


def feed(hall: Hall, clock: StillClock, dollars: int, *, after_s: int = 0, symbol: str = BTC) -> None:
    """Move venue time on and feed one price as last, mark and index."""
    clock.venue += after_s * NS_PER_S
    spec = hall.by_id[symbol]
    price_e8 = dollars * E8
    hall.venue.set_prices(symbol, price_e8 // spec.tick_e8, price_e8, price_e8, clock.venue)
    hall.publish()


def headers(
    payload: str | bytes = b"", *, key: ApiKey = KEY, at_ms: int = WALL_NS // NS_PER_MS, window: str = "5000", sign: str | None = None
) -> dict[str, str]:
    """The authentication headers for a query or body as sent."""
    raw = payload.encode() if isinstance(payload, str) else payload
    text = f"{at_ms}{key.key}{window}".encode() + raw
    found = {
        "X-BAPI-API-KEY": key.key,
        "X-BAPI-TIMESTAMP": str(at_ms),
        "X-BAPI-SIGN": sign or hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest(),
    }
    return found | ({"X-BAPI-RECV-WINDOW": window} if window else {})


def small_routes() -> Routes:
    """Endpoints that echo, fail and cost, to look at the server itself."""
    routes = Routes()
    routes.post("/v5/order/create", group="order.create", permissions=ORDERS)(lambda call: {"account": call.account, **call.params})
    routes.post("/v5/order/create-batch", group="order.create-batch", permissions=ORDERS, cost=lambda params: len(params["request"]))(
        lambda call: {}
    )
    routes.get("/v5/order/realtime", group="order.realtime", permissions=CONTRACTS)(lambda call: dict(call.params))
    routes.get("/v5/unlimited", permissions=ANY_KEY)(lambda call: b'{"at":%d}' % call.now_ns)
    routes.get("/v5/account/transfer", permissions=frozenset({Permission.WALLET}))(lambda call: {})
    routes.get("/v5/broken", public=True)(lambda call: {"never": 1 // 0})
    return routes


class Exchange:
    """A running server and a client that talks to it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, server: HttpServer, hall: Hall, clock: StillClock, keys: ApiKeys) -> None:
        self.session, self.url, self.server, self.hall, self.clock, self.keys = session, url, server, hall, clock, keys

    async def get(self, path: str, query: str = "", *, signed: bool = False, key: ApiKey = KEY) -> dict[str, Any]:
        """The envelope of a GET."""
        target = f"{self.url}{path}{'?' + query if query else ''}"
        sent = headers(query, key=key, at_ms=self.clock.wall // NS_PER_MS) if signed else {}
        async with self.session.get(_verbatim(target), headers=sent) as response:
            assert response.status == 200
            return dict(await response.json())

    async def call(
        self, method: str, path: str, *, body: bytes = b"", sent: Mapping[str, str] | None = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """The response and its body."""
        async with self.session.request(method, _verbatim(self.url + path), data=body or None, headers=sent) as response:
            return response, await response.read()

    async def result(self, path: str, query: str = "", *, signed: bool = False) -> dict[str, Any]:
        """The result of a GET that succeeded."""
        envelope = await self.get(path, query, signed=signed)
        assert envelope["retCode"] == 0, envelope
        return dict(envelope["result"])

    async def refusal(self, path: str, query: str = "", *, signed: bool = False) -> tuple[int, str]:
        """Code and text of a GET that was refused with an empty result."""
        envelope = await self.get(path, query, signed=signed)
        assert envelope["result"] == {}
        return envelope["retCode"], envelope["retMsg"]


def _verbatim(url: str) -> URL:
    return URL(url, encoded=True)


def with_exchange(
    body: Callable[[Exchange], Awaitable[None]],
    *,
    keys: ApiKeys | None = None,
    setup: Callable[[Hall, StillClock], None] | None = None,
    **server: Any,
) -> None:
    """Run `body` against a server on loopback; `setup` acts on the hall after the market endpoints began to listen."""

    async def run() -> None:
        hall, clock = make_hall()
        admitted = ApiKeys([KEY]) if keys is None else keys
        routes = joined(small_routes(), market_routes(hall), user_routes(admitted)).table()
        if setup is not None:
            setup(hall, clock)
        limits = server.pop("limits", None) or RateLimits()
        http = HttpServer(hall, admitted, limits, routes, **server)
        port = await http.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession() as session:
                await body(Exchange(session, f"http://127.0.0.1:{port}", http, hall, clock, admitted))
        finally:
            await http.close()

    uvloop.run(run())
