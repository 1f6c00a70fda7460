"""The three WebSockets of the exchange on one hall: public market, private account, trade.

Rules: one connection's messages are answered in their order. Whatever goes wrong with a connection ends that connection and nothing
else; should the news of an operation fail to reach its listeners, they are cut, so that they come back and ask how things stand.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from kedge.domain.units import NS_PER_S
from kedge.simulation.venue_types import Change
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.disconnect_cancel import DisconnectCancel
from kedge.venues.exchange.frames import PONG, control_frame
from kedge.venues.exchange.hall import Hall, Listener
from kedge.venues.exchange.private_feed import PrivateFeed
from kedge.venues.exchange.private_socket import PrivateSocket
from kedge.venues.exchange.public_feed import PublicFeed
from kedge.venues.exchange.public_socket import PublicSocket
from kedge.venues.exchange.rate_limits import Budget, RateLimits
from kedge.venues.exchange.socket_link import Kind, Link
from kedge.venues.exchange.socket_settings import SocketSettings
from kedge.venues.exchange.trade_socket import Meddler, TradeSocket

PATHS: Final = {Kind.PUBLIC: "/v5/public/linear", Kind.PRIVATE: "/v5/private", Kind.TRADE: "/v5/trade"}

BEAT_S: Final = 0.25
"""How often silence is looked for."""
CLOSE_S: Final = 2.0
"""How long clients may take to go when the exchange stops."""
ACTIVE_LEAST_S, ACTIVE_MOST_S = 30, 600
"""Bounds of `max_active_time`."""

_TURN: Final = 32
"""Messages that one connection may have answered before the others get their turn."""

_log: Final = logging.getLogger("kedge.exchange.sockets")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Talk(Protocol):
    """One of the three sockets."""

    async def hear(self, link: Link, data: bytes) -> None: ...

    def end(self, link: Link) -> None: ...


class Sockets:
    """All WebSocket connections of an exchange.

    Parameters
    ----------
    hall : Hall
        Listened to from now on.
    keys : ApiKeys
    limits : RateLimits
        Shared with the endpoints over HTTP.
    settings : SocketSettings, optional
    meddler : Meddler, optional
        Faults to order on the trade socket.
    now_s : callable
        Seconds of a clock that never goes back.

    Attributes
    ----------
    handlers : dict
        Path to the handler of its upgrade request.
    """

    def __init__(
        self,
        hall: Hall,
        keys: ApiKeys,
        limits: RateLimits,
        *,
        settings: SocketSettings | None = None,
        meddler: Meddler | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hall, self._settings, self._now_s = hall, settings or SocketSettings(), now_s
        self.public_feed, private_feed = PublicFeed(hall, now_s), PrivateFeed(hall)
        self._protection = DisconnectCancel(hall)
        self._talks: dict[Kind, _Talk] = {
            Kind.PUBLIC: PublicSocket(hall, self.public_feed, self._settings),
            Kind.PRIVATE: PrivateSocket(hall, keys, private_feed, self._protection, self._settings, now_s),
            Kind.TRADE: TradeSocket(hall, keys, limits, self._settings, meddler),
        }
        window_ns = int(self._settings.connects_window_s * NS_PER_S)
        self._connects = RateLimits(speed=hall.speed, budgets={kind: Budget(self._settings.connects_max, window_ns) for kind in Kind})
        self._links: dict[Link, asyncio.Future[None]] = {}
        self._beating: asyncio.Task[None] | None = None
        self._closed = False
        self.handlers: dict[str, Handler] = {path: self._handler(kind) for kind, path in PATHS.items()}
        hall.listen(self._guarded(Kind.PRIVATE, private_feed.hear))
        hall.listen(self._guarded(Kind.PUBLIC, self.public_feed.hear))

    @property
    def connections(self) -> dict[str, int]:
        """Open connections by kind."""
        return {kind.value: sum(link.kind is kind for link in self._links) for kind in Kind}

    async def drop(self, kind: str, account: str | None = None) -> int:
        """Cut connections of a kind abruptly, of one account or all; returns how many, after they are gone.

        Raises
        ------
        ValueError
            There is no such kind.
        """
        wanted = Kind(kind)
        gone = [(link, ended) for link, ended in self._links.items() if link.kind is wanted and account in (None, link.account)]
        for link, _ in gone:
            link.cut("on request")
        await asyncio.gather(*(ended for _, ended in gone))
        return len(gone)

    async def close(self) -> None:
        """Part from all clients; new ones are turned away from now on."""
        self._closed = True
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        self.public_feed.close()
        for link in self._links:
            link.part()
        if self._links:
            await asyncio.wait(self._links.values(), timeout=CLOSE_S)
        for link in self._links:
            link.cut("did not go when the exchange stopped")
        await asyncio.gather(*self._links.values())

    def beat(self, now_s: float) -> None:
        """Look for silence: books to say again, idle connections, accounts that lost all theirs."""
        self.public_feed.beat(now_s)
        for link in list(self._links):
            if link.is_open and now_s - link.active_s > link.idle_s:
                link.cut(f"idle for more than {link.idle_s:g} s")
        self._protection.beat(now_s)

    # --- one connection --------------------------------------------------------------------------------------------------

    def _handler(self, kind: Kind) -> Handler:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._serve(kind, request)

        return handle

    async def _serve(self, kind: Kind, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_S, autoping=False, compress=False, max_msg_size=self._settings.message_max, decode_text=False
        )
        refusal = self._refusal(kind, request, socket)
        idle_s = _idle_s(kind, request, self._settings.idle_s)
        if refusal is not None or idle_s is None:
            return refusal or web.Response(status=400, text=f"max_active_time is {ACTIVE_LEAST_S}s to {ACTIVE_MOST_S}s, such as 1m")
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        loop, most = asyncio.get_running_loop(), self._settings.buffer_max
        link = Link(kind, transport, str(uuid.uuid4()), request.remote or "", self._now_s, most, idle_s, loop.call_soon)
        ended = self._links[link] = loop.create_future()
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_on())
        talk = self._talks[kind]
        try:
            await _converse(socket, link, talk)
        except Exception:
            _log.exception("%s socket %s failed", kind, link.conn_id)
            link.cut("the exchange failed")
        finally:
            talk.end(link)
            del self._links[link]
            ended.set_result(None)
        return socket

    def _refusal(self, kind: Kind, request: web.BaseRequest, socket: web.WebSocketResponse) -> web.Response | None:
        """Why a connection is not taken."""
        if self._closed:
            return web.Response(status=503, text="the exchange is closing")
        if not socket.can_prepare(request):
            return web.Response(status=400, text="this path speaks WebSocket only")
        ip = request.remote or ""
        taken = self._connects.take(ip, kind, self._hall.clock.wall_ns())
        crowded = kind is Kind.PUBLIC and sum(link.kind is kind and link.ip == ip for link in self._links) >= self._settings.live_max
        if crowded or (taken is not None and not taken.ok):
            return web.Response(status=403, text="access too frequent")
        return None

    # --- inside ----------------------------------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                self.beat(self._now_s())
            except Exception:
                _log.exception("looking for silence failed; it is tried again")

    def _guarded(self, kind: Kind, hear: Listener) -> Listener:
        """A listener that never raises: who cannot be told is cut, comes back and asks."""

        def listener(changes: Sequence[Change]) -> None:
            try:
                hear(changes)
            except Exception:
                _log.exception("telling %d changes to %s sockets failed; all of them are cut", len(changes), kind)
                for link in self._links:
                    if link.kind is kind:
                        link.cut("news was lost")

        return listener


async def _converse(socket: web.WebSocketResponse, link: Link, talk: _Talk) -> None:
    """Read and answer until the connection ends."""
    turn = 0
    while True:
        message = await socket.receive()
        kind = message.type
        if kind is WSMsgType.TEXT:
            link.heard()
            await talk.hear(link, message.data)
            turn += 1
            if turn % _TURN == 0:
                await asyncio.sleep(0)
        elif kind is WSMsgType.PING:
            link.heard()
            link.write(control_frame(PONG, bytes(message.data)))
        elif kind is WSMsgType.PONG:
            link.heard()
        elif kind is WSMsgType.BINARY:
            link.cut("binary messages are not spoken here")
        else:
            return


def _idle_s(kind: Kind, request: web.BaseRequest, usual_s: float) -> float | None:
    """Silence that a connection may keep: as asked by `max_active_time` where the socket knows it; None for a length out of bounds."""
    text = request.query.get("max_active_time", "") if kind is not Kind.PUBLIC else ""
    if not text:
        return usual_s
    number, unit = text[:-1], text[-1]
    if not (number.isascii() and number.isdigit() and len(number) <= 4) or unit not in "sm":
        return None
    seconds = int(number) * (60 if unit == "m" else 1)
    return float(seconds) if ACTIVE_LEAST_S <= seconds <= ACTIVE_MOST_S else None
