"""The venues behind the port `TradingVenue`, each started against one account of one exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.conformance.loopback import BTC, ETH, Desk, Loopback

from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings, addresses
from kedge.venues.ccxt.bybit import BybitAccount
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.ccxt.venue import CcxtVenue
from kedge.venues.traits import VenueTraits

NAMES = (BTC, ETH)
PATIENCE_S = 10.0


class Kind(NamedTuple):
    """One implementation of the port, and what it says of itself."""

    name: str
    make: Callable[[str, Desk, float], Any]
    traits: VenueTraits


def _bybit(url: str, desk: Desk, within_s: float) -> BybitVenue:
    settings = VenueSettings(addresses=addresses(url), instruments=NAMES, answer_within_s=within_s, dead_man_s=0, speed=1_000)
    return BybitVenue(settings, Credentials(Rung.PAPER, desk.key.key, desk.key.secret))


def _ccxt(url: str, desk: Desk, within_s: float) -> CcxtVenue:
    settings = CcxtSettings(
        exchange="bybit", instruments=NAMES, mode=Mode.PAPER, url=url, poll_s=0.05, answer_within_s=within_s, paced=False
    )
    return CcxtVenue(settings, Keys(api_key=desk.key.key, api_secret=desk.key.secret))


KINDS = (Kind("bybit", _bybit, VenueTraits()), Kind("ccxt:bybit", _ccxt, BybitAccount.traits))


@asynccontextmanager
async def started(kind: Kind, exchange: Loopback, desk: Desk, *, within_s: float = 3.0) -> AsyncIterator[Any]:
    """A venue that is ready, and closed afterwards."""
    venue = kind.make(exchange.url, desk, within_s)
    try:
        await venue.start()
        yield venue
    finally:
        await venue.close()


def run(test: Callable[[], Any]) -> None:
    """Run a test's coroutine, not for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


async def told(venue: Any, *kinds: type, until: Callable[[list[Any]], bool] = bool) -> list[Any]:
    """News of some kinds, in order, once there are enough; everything before is taken."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        while not until(found):
            news = await venue.news()
            if isinstance(news, kinds):
                found.append(news)
    return found


def order(client_id: str, side: Side, lots: int, *, limit: int = 0, instrument: str = BTC, **wish: Any) -> ApprovedOrder:
    """An approved order, at market without a limit."""
    given = {"time_in_force": TimeInForce.GTC if limit else TimeInForce.IOC, **wish}
    intent = OrderIntent(
        client_order_id=client_id, decision_id="d", strategy="s", instrument=instrument, side=side, qty_lots=lots, limit_ticks=limit,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET, **given,
    )  # fmt: skip
    return ApprovedOrder(order=intent, limits_version="v1")
