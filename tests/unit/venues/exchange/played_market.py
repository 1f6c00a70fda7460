"""A small market played into a real venue, for tests of the player, lock-step, faults and the server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web
from tests import steady
from tests.builders import AAA, T0, instrument

from kedge.domain.events import Event
from kedge.domain.units import E8
from kedge.simulation.exchange import FundingRate
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Change, Crowd, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.clocks import UNPACED_SPEED, PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.player import Player
from kedge.venues.exchange.prices_funding import FundingFeed

Answer = TypeVar("Answer")
ACCOUNT = "10000001"
KEY = ApiKey(key="PAPER", secret="SECRET-OF-THE-TEST", account=ACCOUNT)


def run(main: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine; nothing here takes ten seconds unless it hangs."""
    return steady.run(main, within_s=10)


class Scene:
    """Venue, clock, hall, control and player of one market."""

    def __init__(
        self,
        events: Sequence[Event],
        *,
        ids: Sequence[str] = (AAA,),
        speed: int = UNPACED_SPEED,
        fundings: Sequence[FundingRate] = (),
        patience_s: float = 10.0,
        steps: int = 4,
        wait_for: int = 0,
        seed: int = 7,
        clock: PlayClock | None = None,
    ) -> None:
        specs = [instrument(name) for name in ids]
        self.venue = Venue(specs, VenueSettings(seed=seed, crowd=Crowd(levels=3)), T0)
        self.venue.open_account(ACCOUNT, 10_000 * E8, T0)
        self.clock = clock or PlayClock(T0, speed)
        self.hall = Hall(self.venue, self.clock, specs, speed=speed)
        self.control = Control(speed, self.clock.venue_ns, patience_s=patience_s)
        self.changes: list[Change] = []
        self.hall.listen(self.changes.extend)
        self.funding = FundingFeed(fundings, specs, T0)
        self.player = Player(self.hall, self.clock, events, self.funding, self.control, steps=steps, wait_for=wait_for)

    async def play(self) -> None:
        await self.player.prime()
        await self.player.play()


@asynccontextmanager
async def listening(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> Any:
    """A server with one handler on a port of the system's choice; yields its address."""
    server = web.Server(handler)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await server.shutdown(1.0)
        await listener.wait_closed()


def signed(payload: str, wall_ms: int) -> dict[str, str]:
    """The headers that authenticate a query or body as sent."""
    text = f"{wall_ms}{KEY.key}5000{payload}"
    sign = hmac.new(KEY.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"X-BAPI-API-KEY": KEY.key, "X-BAPI-TIMESTAMP": str(wall_ms), "X-BAPI-RECV-WINDOW": "5000", "X-BAPI-SIGN": sign}


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds; the runner's time-out ends a wait for what never does."""
    while not condition():
        await asyncio.sleep(0.002)
