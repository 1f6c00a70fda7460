"""The real guard on the real exchange over sockets: one account with two keys, a market that a test moves, faults that it arms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests import steady
from tests.unit.services.guard.scene import OFF, MemoryJournal, MemoryLatch, Pager

from kedge.domain.brake import BrakeLevel
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.domain.venue import Taken
from kedge.market.catalogue import instrument_at
from kedge.risk.brake.triggers import TriggerLimits
from kedge.services.guard.guard import Guard
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import Heartbeat
from kedge.simulation.faults import Fault, checked
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd
from kedge.simulation.venue_types import VenueSettings as SimulatedSettings
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.guard_venue import BybitGuardVenue
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings, addresses
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.server import ExchangeServer

ID = "bybit-linear:BTCUSDT"
T0 = 1_767_225_600 * NS_PER_S
SPEC = instrument_at(ID, T0)
ACCOUNT = "10000001"
TRADER, GUARD = ("PAPERKEY", "PAPER-SECRET-OF-A-TEST"), ("GUARDKEY", "GUARD-SECRET-OF-A-TEST")
MID = 600_000
CROWD = Crowd(levels=20)


class HandMarket:
    """Opening prices; what moves them afterwards is the test."""

    bars = gaps = 0
    playing, ended, failed, paused_why = True, False, "", ""

    def __init__(self, feed: Callable[[int], None]) -> None:
        self._feed = feed

    async def prime(self) -> None:
        self._feed(MID)

    async def play(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""


class GuardWorld:
    """The exchange, a trader's client, and guards, one after the other."""

    def __init__(self, triggers: TriggerLimits, crowd: Crowd, settings: dict[str, Any]) -> None:
        self.venue = Venue([SPEC], SimulatedSettings(crowd=crowd), T0)
        self.venue.open_account(ACCOUNT, 100_000 * E8, T0)
        self.clock = PlayClock(T0, 1)
        self.clock.announce(T0 + NS_PER_DAY)
        self.faults = Faults(steady.monotonic_ns, seed=7)
        self.hall = FaultyHall(self.venue, self.clock, [SPEC], speed=1, faults=self.faults)
        keys = ApiKeys([ApiKey(key=key, secret=secret, account=ACCOUNT) for key, secret in (TRADER, GUARD)])
        market, control = HandMarket(self.move), Control(1, self.clock.venue_ns)
        self.server = ExchangeServer(self.hall, self.clock, keys, market, control, source="test", faults=self.faults)
        self.latch, self.journal, self.pager = MemoryLatch(ACCOUNT), MemoryJournal(), Pager()
        self.settings = GuardSettings(account=ACCOUNT, instruments=(ID,), triggers=triggers, **settings)
        self.url = ""
        self.guard: Guard
        self._running: asyncio.Task[None] | None = None
        self._beats: asyncio.Task[None] | None = None

    def client_settings(self) -> VenueSettings:
        return VenueSettings(addresses=addresses(self.url), instruments=(ID,), start_within_s=5.0, dead_man_s=0, ban_s=0.5)

    def begin(self) -> None:
        """A guard process begins."""
        self.guard = Guard(
            lambda: BybitGuardVenue(self.client_settings(), Credentials(Rung.PAPER, *GUARD)), self.latch, self.journal, self.settings,
            alarm=self.pager, wall_ns=time.time_ns, monotonic_ns=steady.monotonic_ns, version="test",
        )  # fmt: skip
        self._running = asyncio.create_task(self.guard.run())
        self._beats = self._beats or asyncio.create_task(self._beating())

    async def crash(self) -> None:
        """It is gone."""
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _beating(self) -> None:
        while True:
            self.guard.permit("n", Heartbeat(run_id="r", pid=1))
            await asyncio.sleep(0.2)

    async def end(self) -> None:
        for task in (self._beats, self._running):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def until(self, what: Callable[[], bool], within_s: float = 15.0) -> float:
        """Wait for something; how long it took."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while not what():
            assert loop.time() < begun_s + within_s, f"not within {within_s} s: {self.guard.status()} {self.pager.calls}"
            await asyncio.sleep(0.005)
        return loop.time() - begun_s

    async def seen(self) -> None:
        await self.until(lambda: self.guard.view is not None)

    # the account and the market -----------------------------------------------------------------------------------------

    def move(self, ticks: int) -> None:
        self.venue.set_prices(ID, ticks, ticks * SPEC.tick_e8, ticks * SPEC.tick_e8, self.clock.venue_ns())
        self.hall.publish()

    def arm(self, **fault: Any) -> None:
        self.faults.arm(checked(Fault(**fault)))

    @property
    def lots(self) -> int:
        return self.venue.position(ACCOUNT, ID).lots

    @property
    def open(self) -> list[Any]:
        return list(self.venue.open_orders(ACCOUNT, limit=50).rows)

    @property
    def level(self) -> BrakeLevel:
        return self.guard.status().latch.level

    async def hold(self, trader: BybitVenue, lots: int, stop_ticks: int = 0) -> None:
        """The trader buys this much, and puts a stop where it is told to."""
        for number in range(20):
            left = lots - self.lots
            if not left:
                break
            assert isinstance(await trader.place(order(f"buy-{number}", Side.BUY, left)), Taken)
            self.move(MID)
        assert self.lots == lots
        if stop_ticks:
            assert isinstance(await trader.set_stop_loss(ID, stop_ticks), Taken)


def order(name: str, side: Side, lots: int, limit: int = 0) -> ApprovedOrder:
    """An approved order of a trader: with a limit it rests."""
    intent = OrderIntent(
        client_order_id=name, decision_id="d", strategy="s", instrument=ID, side=side, qty_lots=lots, limit_ticks=limit,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET, time_in_force=TimeInForce.GTC if limit else TimeInForce.IOC,
    )  # fmt: skip
    return ApprovedOrder(order=intent, limits_version="v")


@asynccontextmanager
async def guard_world(triggers: TriggerLimits = OFF, crowd: Crowd = CROWD, **settings: Any) -> AsyncIterator[tuple[GuardWorld, BybitVenue]]:
    """A running exchange, a started trader's client, and a guard that has not begun."""
    world = GuardWorld(triggers, crowd, settings)
    world.url = f"http://127.0.0.1:{await world.server.start('127.0.0.1', 0)}"
    trader = BybitVenue(world.client_settings(), Credentials(Rung.PAPER, *TRADER))
    try:
        await trader.start()
        yield world, trader
    finally:
        await world.end()
        await trader.close()
        await world.server.close()


def run(test: Callable[[], Any]) -> None:
    """Run a test over real sockets, in bounded time."""
    steady.run(test(), within_s=40)
