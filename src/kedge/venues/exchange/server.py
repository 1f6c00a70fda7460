"""The whole exchange on one address: a hall, its market, HTTP, three sockets, lock-step, status, and faults where they are wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from kedge.venues.exchange.account_api import ACCOUNT_ROUTES
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.clocks import HandClock, PlayClock, WallVenueClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults
from kedge.venues.exchange.faults_http import FAULTS_PATH, FaultDesk, FaultyHttpServer, refuse_faults
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import HttpServer, PathHandler
from kedge.venues.exchange.market_api import market_routes
from kedge.venues.exchange.position_api import POSITION_ROUTES
from kedge.venues.exchange.prices import PriceSource
from kedge.venues.exchange.rate_limits import RateLimits
from kedge.venues.exchange.routes import Route, joined
from kedge.venues.exchange.socket_settings import SocketSettings
from kedge.venues.exchange.sockets import Sockets
from kedge.venues.exchange.status import STATUS_PATH, status_handler, status_of
from kedge.venues.exchange.trade_api import TRADE_ROUTES
from kedge.venues.exchange.user_api import user_routes

CONTROL_PATH: Final = "/kedge/control"

_log: Final = logging.getLogger("kedge.exchange")

SettableClock = PlayClock | WallVenueClock | HandClock


def all_routes(hall: Hall, keys: ApiKeys) -> Mapping[tuple[str, str], Route]:
    """Every endpoint of the exchange."""
    return joined(market_routes(hall), TRADE_ROUTES, POSITION_ROUTES, ACCOUNT_ROUTES, user_routes(keys)).table()


class ExchangeServer:
    """One running exchange.

    Parameters
    ----------
    hall : Hall
        With its accounts opened; a `FaultyHall` where faults are wanted.
    clock : PlayClock, WallVenueClock or HandClock
        The hall's.
    market : PriceSource
    control : Control
        The one that the market waits with.
    source : str
        What the prices are, in a word or two for the status.
    limits : RateLimits, optional
    settings : SocketSettings, optional
        How the sockets treat their clients.
    faults : Faults, optional
        Opens `/kedge/faults`.
    """

    def __init__(
        self,
        hall: Hall,
        clock: SettableClock,
        keys: ApiKeys,
        market: PriceSource,
        control: Control,
        *,
        source: str,
        limits: RateLimits | None = None,
        settings: SocketSettings | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._hall, self._clock, self._market, self._control = hall, clock, market, control
        self._source, self._faults = source, faults
        limits = RateLimits(speed=hall.speed) if limits is None else limits
        self._sockets = Sockets(hall, keys, limits, settings=settings, meddler=faults)
        routes = all_routes(hall, keys)
        if faults is None:
            self._http = HttpServer(hall, keys, limits, routes, paths=self._paths())
        else:
            self._http = FaultyHttpServer(hall, keys, limits, routes, paths=self._paths(), faults=faults)
        self._playing: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Feed opening prices, listen, and let the market play; returns the port.

        Raises
        ------
        OSError
            The address cannot be had.
        InvalidInput, VenueUnavailable
            The market has no prices.
        """
        await self._market.prime()
        bound = await self._http.start(host, port)
        self._playing = asyncio.create_task(self._play())
        return bound

    async def failure(self) -> None:
        """Wait until the market breaks, and raise what broke it; a market that ends is no failure."""
        if self._playing is not None:
            await asyncio.shield(self._playing)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Stop playing, part from all clients, stop listening."""
        playing, self._playing = self._playing, None
        if playing is not None:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        await self._market.close()
        await self._control.close()
        await self._sockets.close()
        await self._http.close()

    def status(self) -> dict[str, Any]:
        """What `GET /kedge/status` answers."""
        return status_of(self._hall, self._control, self._market, self._source, dict(self._sockets.connections))

    async def _play(self) -> None:
        try:
            await self._market.play()
        except Exception:
            _log.exception("the market broke: prices stand still", extra={"kedge_fields": {"event": "market_failed"}})
            raise

    def _paths(self) -> dict[str, PathHandler]:
        paths: dict[str, PathHandler] = {**self._sockets.handlers}
        paths[STATUS_PATH] = status_handler(self.status)
        paths[CONTROL_PATH] = self._control.handle
        faults = self._faults
        if faults is None:
            paths[FAULTS_PATH] = refuse_faults
        else:
            paths[FAULTS_PATH] = FaultDesk(faults, self._cut, self._skew, lambda: self._crowd(faults)).handle
        return paths

    async def _cut(self, stream: str, account: str) -> int:
        kinds = [stream] if stream else ["public", "private", "trade"]
        return sum([await self._sockets.drop(kind, account or None) for kind in kinds])

    def _crowd(self, faults: Faults) -> None:
        venue = self._hall.venue
        for symbol, instrument in self._hall.instruments.items():
            venue.set_crowd(instrument.instrument_id, faults.crowd(venue.settings.crowd, symbol))
        self._hall.publish()

    def _skew(self, skew_ns: int) -> None:
        self._clock.skew_ns = skew_ns
