"""A whole exchange in a thread, reached by clients over real sockets and by tests directly: what clients parse must equal what it holds.

Its market stands still unless a test moves it, so that what is read over the wire and what is read beside it are of one moment. Every
desk has an account and a key of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, TypeVar

import uvloop

from kedge.domain.events import BarClosed
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S
from kedge.market.catalogue import instrument_at
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, OrderRequest, OrderRow, PositionRow, VenueSettings, WalletRow
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import HandClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.rate_limits import RateLimits
from kedge.venues.exchange.server import ExchangeServer

MINUTE: Final = 60 * NS_PER_S
T0: Final = 1_767_225_600 * NS_PER_S
"""A UTC midnight (1 January 2026)."""
BTC, ETH = "bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT"
OPENED: Final = {BTC: 600_000, ETH: 300_000}
"""Ticks that the instruments open at: 60,000.0 and 3,000.00 USDT."""
FIRST_MINUTE, MINUTES = 460, 30
"""The past that is played before anybody comes: 07:40 to 08:10, a settlement within."""
RATE_E8: Final = 12_500
ADDRESS_FACTOR: Final = 1_000
"""Many tests share one address, so it may ask that many times more often than the venue lets it; accounts may not."""
PATIENCE_S: Final = 30.0
WALLET: Final = 200_000
"""USDT that an account begins with: enough for 33 BTC at the leverage of 10 that it begins with too."""

Answer = TypeVar("Answer")


class RealWall(HandClock):
    """Venue time that tests move, and the wall's own."""

    def wall_ns(self) -> int:
        return time.time_ns() + self.skew_ns


class Past:
    """A market with a past and no future."""

    bars = gaps = 0
    playing, ended, failed, paused_why = False, False, "", ""

    def __init__(self, hall: Hall, clock: HandClock) -> None:
        self._hall, self._clock = hall, clock

    async def prime(self) -> None:
        """Play the past, minute by minute."""
        venue = self._hall.venue
        for name in OPENED:
            venue.set_funding_rate(name, RATE_E8)
        for n in range(MINUTES):
            self._minute(n)
        self._clock.venue_at_ns = venue.now_ns

    def _minute(self, n: int) -> None:
        venue, end_ns = self._hall.venue, T0 + (FIRST_MINUTE + n + 1) * MINUTE
        steps = []
        for name, start in OPENED.items():
            opened, close = start + 30 * (n % 5), start + 30 * ((n + 1) % 5)
            high, low = max(opened, close) + 40, min(opened, close) - 40
            bar = BarClosed(end_ns, name, end_ns - MINUTE, opened, high, low, close, 4_000 + n)
            steps += [(step.ts_ns, name, step) for step in venue.bar_steps(bar, 4)]
        for _, name, step in sorted(steps, key=lambda each: each[:2]):
            venue.play_step(name, step)
            self._hall.publish()
        venue.advance(end_ns)
        self._hall.publish()

    async def play(self) -> None:
        """There is nothing more."""

    async def close(self) -> None:
        """It holds nothing."""


class Loopback:
    """A running exchange.

    Attributes
    ----------
    url : str
        Where it answers.
    """

    def __init__(self, *, faults: bool = False) -> None:
        self.specs: dict[str, Instrument] = {name.partition(":")[2]: instrument_at(name, T0) for name in OPENED}
        self.clock = RealWall(T0 + FIRST_MINUTE * MINUTE)
        self.venue = Venue(list(self.specs.values()), VenueSettings(crowd=Crowd(levels=60)), self.clock.venue_at_ns)
        misbehaving = Faults(time.time_ns) if faults else None
        listed = list(self.specs.values())
        self.hall = Hall(self.venue, self.clock, listed, speed=ADDRESS_FACTOR)
        if misbehaving is not None:
            self.hall = FaultyHall(self.venue, self.clock, listed, speed=ADDRESS_FACTOR, faults=misbehaving)
        self.keys, self.limits = ApiKeys(), RateLimits()
        control = Control(ADDRESS_FACTOR, self.clock.venue_ns)
        market = Past(self.hall, self.clock)
        self._server = ExchangeServer(
            self.hall, self.clock, self.keys, market, control, source="test", limits=self.limits, faults=misbehaving
        )
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="exchange", daemon=True)
        self._numbers = count(1)
        self.url = ""

    def start(self) -> None:
        """Listen on a port of the system's choice."""
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._wait(self._server.start('127.0.0.1', 0))}"

    def close(self) -> None:
        """Part from everybody and end the thread."""
        self._wait(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def ask(self, question: Callable[[Venue], Answer]) -> Answer:
        """What the venue answers, asked on its own thread; whatever it changed is published."""

        async def asked() -> Answer:
            answer = question(self.venue)
            self.hall.publish()
            return answer

        return self._wait(asked())

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def until_told(self, *topics: str, account: str = "") -> None:
        """Wait until one connection (of an account, or a public one) is subscribed to all these topics."""

        async def told() -> None:
            async with asyncio.timeout(PATIENCE_S):
                while not any(link.account == account and link.topics.keys() >= set(topics) for link in self._server._sockets._links):
                    await asyncio.sleep(0.002)

        self._wait(told())

    def price(self, symbol: str, ticks: int, *, after_ns: int = 0) -> None:
        """Feed a price as last, mark and index; the crowd quotes around it anew and does not trade."""
        spec = self.specs[symbol]

        def feed(venue: Venue) -> None:
            self.clock.venue_at_ns += after_ns
            price_e8 = ticks * spec.tick_e8
            venue.set_prices(spec.instrument_id, ticks, price_e8, price_e8, self.clock.venue_at_ns, flow_lots=0)

        self.ask(feed)

    def reopen(self) -> None:
        """Let all prices stand where they opened, a second of venue time later: tickers come at most ten times a second."""
        for symbol, spec in self.specs.items():
            self.price(symbol, OPENED[spec.instrument_id], after_ns=NS_PER_S)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Answer nobody inside the block. pybit notes what an answer belongs to only after it has sent the question, so that an exchange
        in the same process, which shares its interpreter, can be too quick for it.
        """
        stands, goes_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            goes_on.wait(PATIENCE_S)

        self._loop.call_soon_threadsafe(stand)
        assert stands.wait(PATIENCE_S)
        try:
            yield
        finally:
            goes_on.set()

    def pass_time(self, ns: int) -> None:
        """Let venue time pass without prices."""

        def wait(venue: Venue) -> None:
            self.clock.venue_at_ns += ns
            venue.advance(self.clock.venue_at_ns)

        self.ask(wait)

    def desk(self, wallet: int = WALLET, **key: Any) -> Desk:
        """A new account with `wallet` USDT, and a key that may trade for it."""
        number = next(self._numbers)
        account = str(700_000 + number)
        made = ApiKey(key=f"KEY-{number:06}", secret=f"SECRET-OF-{number:06}", account=account, **key)

        def opened(venue: Venue) -> None:
            venue.open_account(account, wallet * E8, self.clock.venue_ns())
            self.keys.add(made)

        self.ask(opened)
        return Desk(self, made)


class Desk:
    """One account of the exchange, and what the exchange itself knows of it."""

    def __init__(self, exchange: Loopback, key: ApiKey) -> None:
        self.exchange, self.key, self.account = exchange, key, key.account

    def order(self, order_id: str = "", *, link_id: str = "", symbol: str = "BTCUSDT") -> OrderRow:
        """The order as it stands."""
        name = self.exchange.specs[symbol].instrument_id
        found = self.exchange.ask(lambda venue: venue.find_order(self.account, name, order_id, link_id))
        assert found is not None, f"the exchange holds no order {order_id or link_id}"
        return found

    def position(self, symbol: str = "BTCUSDT") -> PositionRow:
        name = self.exchange.specs[symbol].instrument_id
        return self.exchange.ask(lambda venue: venue.position(self.account, name))

    def wallet(self) -> WalletRow:
        return self.exchange.ask(lambda venue: venue.wallet(self.account))

    def rows(self, of: str) -> list[Any]:
        """All rows of one of the venue's lists (`executions`, `open_orders`, ...), newest first."""
        page = self.exchange.ask(lambda venue: getattr(venue, of)(self.account, limit=10_000))
        assert page.next_before is None
        return list(page.rows)

    def exhaust(self, group: str, count: int, *, ms: int) -> None:
        """Use a budget of requests up; it frees so many milliseconds from now, one to two seconds."""
        wall_ns = self.exchange.clock.wall_ns() + (ms - 1_000) * NS_PER_MS
        taken = self.exchange.ask(lambda venue: self.exchange.limits.take(self.account, group, wall_ns, count))
        assert taken is not None
        assert (taken.ok, taken.remaining) == (True, 0)

    def leave(self) -> None:
        """Cancel its orders and close its positions, so that it stands in nobody's way."""

        def left(venue: Venue) -> None:
            now_ns = self.exchange.clock.venue_ns()
            venue.cancel_all(self.account, None, now_ns)
            for row in venue.positions(self.account):
                side = Side.SELL if row.lots > 0 else Side.BUY
                venue.place(self.account, _at_market(row.instrument, side, abs(row.lots), reduce_only=True), now_ns)

        self.exchange.ask(left)

    def place(self, side: Side, lots: int, limit: int = 0, *, symbol: str = "BTCUSDT", **wish: Any) -> OrderRow:
        """Place an order beside the wire; at market without a limit."""
        name = self.exchange.specs[symbol].instrument_id
        request = OrderRequest(instrument=name, side=side, kind=OrderKind.LIMIT, qty_lots=lots, limit_ticks=limit, **wish)
        if not limit:
            request = _at_market(name, side, lots, **wish)
        row = self.exchange.ask(lambda venue: venue.place(self.account, request, self.exchange.clock.venue_ns()))
        assert isinstance(row, OrderRow), row
        return row


def _at_market(name: str, side: Side, lots: int, **wish: Any) -> OrderRequest:
    return OrderRequest(instrument=name, side=side, kind=OrderKind.MARKET, qty_lots=lots, time_in_force=TimeInForce.IOC, **wish)


@contextmanager
def running(*, faults: bool = False) -> Iterator[Loopback]:
    """An exchange for as long as the block lasts, one that misbehaves on request if wanted."""
    exchange = Loopback(faults=faults)
    exchange.start()
    try:
        yield exchange
    finally:
        exchange.close()
