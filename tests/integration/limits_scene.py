"""A real exchange with its real limits and a started client, for tests of what the client does near them."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from kedge.domain.events import BarClosed
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_S
from kedge.market.catalogue import instrument_at
from kedge.ops.metrics import PrometheusMetrics
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd
from kedge.simulation.venue_types import VenueSettings as SimulatedSettings
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings, addresses
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.faults_http import FaultyHttpServer
from kedge.venues.exchange.player import Player
from kedge.venues.exchange.prices_funding import FundingFeed
from kedge.venues.exchange.rate_limits import Allowance, RateLimits
from kedge.venues.exchange.server import ExchangeServer

ID = "bybit-linear:BTCUSDT"
T0 = 1_767_225_600 * NS_PER_S
MINUTE = 60 * NS_PER_S
SPEC = instrument_at(ID, T0)
ACCOUNT, KEY, SECRET = "10000001", "PAPERKEY", "PAPER-SECRET-OF-A-TEST"


class CountingLimits(RateLimits):
    """The exchange's own counter, which also remembers every verdict."""

    def __init__(self) -> None:
        super().__init__(speed=1)
        self.verdicts: dict[str, list[Allowance]] = defaultdict(list)

    def take(self, account: str, group: str, now_wall_ns: int, cost: int = 1) -> Allowance | None:
        verdict = super().take(account, group, now_wall_ns, cost)
        if verdict is not None:
            self.verdicts[group].append(verdict)
        return verdict


class Scene:
    """A running exchange, a started client, what the exchange counted, what the client read, and when requests left."""

    def __init__(
        self, server: ExchangeServer, counted: CountingLimits, venue: BybitVenue, faults: Faults, metrics: PrometheusMetrics
    ) -> None:
        self.server, self.counted, self.venue, self.faults = server, counted, venue, faults
        self.read: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.left_ns: dict[str, int] = {}
        self.arrivals: list[float] = []
        self.metrics = metrics
        self._listen_to_headers()

    def _listen_to_headers(self) -> None:
        limits = self.venue.rest.limits
        plain = limits.answered

        def answered(ticket: Any, now_ns: int, limit: int | None = None, remaining: int | None = None) -> None:
            if limit is not None and remaining is not None:
                self.read[ticket.request.group].append((limit, remaining))
            plain(ticket, now_ns, limit, remaining)

        limits.answered = answered  # type: ignore[method-assign]

    def listen_to_the_socket(self) -> None:
        """Note when the bytes of each request on the trade socket are written."""
        assert self.venue._trade is not None
        connection = self.venue._trade.connection
        assert connection is not None
        plain = connection.send

        def send(text: bytes) -> None:
            plain(text)
            said = json.loads(text)
            if said["op"] == "order.cancel":
                self.left_ns[said["args"][0]["orderLinkId"]] = time.monotonic_ns()

        connection.send = send  # type: ignore[method-assign]


class _CountingServer:
    """Stands before an exchange's HTTP handler and notes every contact, upgrades to sockets among them."""

    def __init__(self, http: FaultyHttpServer, note: Callable[[], None]) -> None:
        self._plain, self._note = http.handle, note

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.startswith("/kedge/"):
            self._note()
        return await self._plain(request)


@asynccontextmanager
async def scene(**settings: Any) -> AsyncIterator[Scene]:
    """An exchange at the wall's own speed, whose prices hardly move, and a client of it."""
    simulated = Venue([SPEC], SimulatedSettings(crowd=Crowd(levels=5)), T0)
    simulated.open_account(ACCOUNT, 100_000 * E8, T0)
    clock, faults = PlayClock(T0, 1), Faults(time.time_ns)
    hall = FaultyHall(simulated, clock, [SPEC], speed=1, faults=faults)
    control, counted = Control(1, clock.venue_ns), CountingLimits()
    bars = [BarClosed(T0 + (n + 1) * MINUTE, ID, T0 + n * MINUTE, 600_000, 600_010, 599_990, 600_000, 50_000) for n in range(10)]
    player = Player(hall, clock, bars, FundingFeed([], [SPEC], T0), control, steps=4, wait_for=0)
    keys = ApiKeys([ApiKey(key=KEY, secret=SECRET, account=ACCOUNT)])
    server = ExchangeServer(hall, clock, keys, player, control, source="test", limits=counted, faults=faults)
    arrivals: list[float] = []
    assert isinstance(server._http, FaultyHttpServer)
    server._http.handle = _CountingServer(server._http, lambda: arrivals.append(time.monotonic())).handle  # type: ignore[method-assign]
    url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    metrics = PrometheusMetrics()
    where = VenueSettings(addresses=addresses(url), instruments=(ID,), **settings)
    venue = BybitVenue(where, Credentials(Rung.PAPER, KEY, SECRET), metrics)
    made = Scene(server, counted, venue, faults, metrics)
    made.arrivals = arrivals
    try:
        await venue.start()
        made.listen_to_the_socket()
        yield made
    finally:
        await venue.close()
        await server.close()


def order(client_id: str, side: Side, lots: int, limit: int = 0, *, reduce: bool = False) -> ApprovedOrder:
    """An approved order: with a limit it rests, without one it trades at once."""
    intent = OrderIntent(
        client_order_id=client_id, decision_id="d", strategy="s", instrument=ID, side=side, qty_lots=lots, limit_ticks=limit,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET, reduce_only=reduce,
        time_in_force=TimeInForce.POST_ONLY if limit else TimeInForce.IOC,
    )  # fmt: skip
    return ApprovedOrder(order=intent, limits_version="v")
