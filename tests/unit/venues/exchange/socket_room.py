"""A small exchange for tests of its sockets: two instruments, two accounts, hand-set clocks, a real server on loopback."""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvloop
from tests.builders import AAA, BBB, T0, instrument

from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_MS
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, OrderRequest, OrderRow, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import HandClock
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import HttpServer
from kedge.venues.exchange.rate_limits import RateLimits
from kedge.venues.exchange.socket_settings import SocketSettings
from kedge.venues.exchange.sockets import Sockets

OWNER, OTHER = "777001", "777002"
KEY = ApiKey(key="KEY-OWNER", secret="SECRET-OWNER", account=OWNER)
OTHER_KEY = ApiKey(key="KEY-OTHER", secret="SECRET-OTHER", account=OTHER)
WALL_NS = 1_800_000_000_000 * NS_PER_MS
WALL_MS = WALL_NS // NS_PER_MS
TICK_E8 = 10_000_000
PROMPT = SocketSettings(ack_delay_s=0.0)
PUBLIC, PRIVATE, TRADE = "/v5/public/linear", "/v5/private", "/v5/trade"
PATIENCE_S = 10.0


def auth(key: ApiKey = KEY, *, expires: int | str = WALL_MS + 1_000, sign: str = "") -> dict[str, Any]:
    made = hmac.new(key.secret.encode(), f"GET/realtime{expires}".encode(), "sha256").hexdigest()
    return {"op": "auth", "args": [key.key, expires, sign or made]}


class Client:
    """One raw WebSocket of a client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def next(self) -> dict[str, Any]:
        """The next frame."""
        frame = await self.socket.receive(PATIENCE_S)
        assert frame.type is aiohttp.WSMsgType.TEXT, frame
        return dict(json.loads(frame.data))

    async def ask(self, message: Any) -> dict[str, Any]:
        """Send, and give the frame that comes next."""
        await self.send(message)
        return await self.next()

    async def until_pong(self) -> list[dict[str, Any]]:
        """Every frame that comes before the answer to a ping."""
        await self.send({"op": "ping", "req_id": "barrier"})
        found: list[dict[str, Any]] = []
        while True:
            frame = await self.next()
            if frame.get("op") == "pong" or frame.get("ret_msg") == "pong":
                return found
            found.append(frame)

    async def ended(self) -> int | None:
        """Wait until the server has ended it; the close code."""
        while (await self.socket.receive(PATIENCE_S)).type not in (
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.ERROR,
        ):
            pass
        return self.socket.close_code


def _narrow_socket(address: Any) -> socket.socket:
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.setblocking(False)
    return made


class Room:
    """A running server: AAA and BBB at 100.0 (1,000 ticks of 0.1, lots of 0.001), two accounts with 10,000 USDT each."""

    def __init__(self, hall: Hall, clock: HandClock, keys: ApiKeys, sockets: Sockets, session: aiohttp.ClientSession, url: str) -> None:
        self.hall, self.clock, self.keys, self.sockets, self.session, self.url = hall, clock, keys, sockets, session, url
        self.venue = hall.venue
        self.hung: list[tuple[aiohttp.ClientSession, Client]] = []

    async def connect(self, path: str, **options: Any) -> Client:
        return Client(await self.session.ws_connect(self.url + path, max_msg_size=0, **options))

    async def public(self, *topics: str) -> Client:
        """A client of the public socket whose subscription was acknowledged."""
        client = await self.connect(PUBLIC)
        if topics:
            assert (await client.ask({"op": "subscribe", "args": list(topics)}))["success"]
        return client

    async def hanging(self, *topics: str) -> None:
        """A client of the public socket that reads its acknowledgement and then nothing more, with little room on its side."""
        connector = aiohttp.TCPConnector(socket_factory=_narrow_socket)
        session = aiohttp.ClientSession(connector=connector)
        client = Client(await session.ws_connect(self.url + PUBLIC))
        self.hung.append((session, client))
        await client.ask({"op": "subscribe", "args": list(topics)})
        client.socket._conn.transport.pause_reading()  # noqa: SLF001 - there is no other way to hang

    async def private(self, *topics: str, key: ApiKey = KEY) -> Client:
        """An authenticated client of the private socket whose subscription was acknowledged."""
        client = await self.connect(PRIVATE)
        assert (await client.ask(auth(key)))["success"]
        if topics:
            assert (await client.ask({"op": "subscribe", "args": list(topics)}))["success"]
        return client

    async def trade(self, key: ApiKey = KEY) -> Client:
        """An authenticated client of the trade socket."""
        client = await self.connect(TRADE)
        assert (await client.ask(auth(key)))["retCode"] == 0
        return client

    def price(self, last: int, name: InstrumentId = AAA, *, flow: int = 0, after_ms: int = 0) -> None:
        """Feed a price as last, mark and index, and publish."""
        self.clock.venue_at_ns += after_ms * NS_PER_MS
        self.venue.set_prices(name, last, last * TICK_E8, last * TICK_E8, self.clock.venue_at_ns, flow_lots=flow)
        self.hall.publish()

    def place(self, side: Side, lots: int, limit: int = 0, *, account: str = OWNER, name: InstrumentId = AAA, **wish: Any) -> OrderRow:
        """Place an order (at market without a limit) and publish."""
        request = OrderRequest(
            instrument=name, side=side, kind=OrderKind.LIMIT if limit else OrderKind.MARKET, qty_lots=lots, limit_ticks=limit,
            time_in_force=TimeInForce.GTC if limit else TimeInForce.IOC, **wish,
        )  # fmt: skip
        row = self.venue.place(account, request, self.clock.venue_ns())
        assert isinstance(row, OrderRow), row
        self.hall.publish()
        return row


def in_room(
    body: Callable[[Room], Awaitable[None]], *, settings: SocketSettings = PROMPT, speed: int = 1, limits: RateLimits | None = None,
    levels: int = 5, **sockets: Any,
) -> None:  # fmt: skip
    """Run `body` against a running server; the prices of both instruments stand at 1,000 ticks."""

    async def run() -> None:
        clock = HandClock(T0, WALL_NS)
        specs = [instrument(AAA), instrument(BBB, base="BBB")]
        crowd = Crowd(levels=levels, notional_e8=2_000 * E8, flow_notional_e8=0)
        hall = Hall(Venue(specs, VenueSettings(crowd=crowd), T0), clock, specs, speed=speed)
        for account in (OWNER, OTHER):
            hall.venue.open_account(account, 10_000 * E8, T0)
        keys, budgets = ApiKeys([KEY, OTHER_KEY]), limits or RateLimits(speed=speed)
        made = Sockets(hall, keys, budgets, settings=settings, **sockets)
        server = HttpServer(hall, keys, budgets, {}, paths=made.handlers)
        port = await server.start("127.0.0.1", 0)
        try:
            async with asyncio.timeout(60), aiohttp.ClientSession() as session:
                room = Room(hall, clock, keys, made, session, f"http://127.0.0.1:{port}")
                for name in (AAA, BBB):
                    room.price(1_000, name)
                try:
                    await body(room)
                finally:
                    for hung, _ in room.hung:
                        await hung.close()
        finally:
            await made.close()
            await server.close()

    uvloop.run(run())
