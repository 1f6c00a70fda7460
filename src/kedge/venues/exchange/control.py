"""Lock-step: registered clients hear of every closed bar, and a market that runs faster than the wall waits until all have answered.

Rules: only this machine may register, and no web page may. Who registered is waited for until it leaves by itself: a client that was
killed meets the same market when it registers again under its name. Who did not register is never waited for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSMsgType, web

PATIENCE_S: Final = 10.0
"""Wall time that an acknowledgement may take before the market says that it is paused."""
NAME_MAX: Final = 64
_FAREWELL_S: Final = 1.0
_WAITING_MAX: Final = 4_096
"""Messages that may wait for one client; a client that reads none of them is cut."""

_log: Final = logging.getLogger("kedge.exchange")
_encode: Final = msgspec.json.encode


class _Client:
    """One registered name: the last bar it acknowledged, and the connection it has at the moment."""

    def __init__(self, name: str, acked: int) -> None:
        self.name = name
        self.acked = acked
        self.connection: _Connection | None = None


class _Connection:
    """One socket with what waits to be written to it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket, self._transport = socket, transport
        self.client: _Client | None = None
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_MAX)

    def send(self, message: Mapping[str, Any]) -> bool:
        """Queue a message; False when the client has not read for too long."""
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(_encode(message))
            return True
        return False

    def abort(self) -> None:
        """Cut the connection without a closing frame."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Write what is queued, for as long as the socket lives."""
        with suppress(ConnectionError):
            while True:
                await self.socket.send_str((await self._waiting.get()).decode())


class Control:
    """Who plays along, and how far each has come.

    Parameters
    ----------
    speed : int
        Of the market; at 1 nobody is waited for.
    venue_ns : callable
        Venue time now.
    patience_s : float
        Wall time before a missing acknowledgement is reported.

    Attributes
    ----------
    session : str
        Names this market; another process plays another one.
    """

    def __init__(self, speed: int, venue_ns: Callable[[], int], *, patience_s: float = PATIENCE_S) -> None:
        self._speed, self._venue_ns, self._patience_s = speed, venue_ns, patience_s
        self.session = secrets.token_hex(8)
        self._clients: dict[str, _Client] = {}
        self._connections: set[_Connection] = set()
        self._changed = asyncio.Event()
        self._last: dict[str, Any] = {}
        self._ended: dict[str, Any] | None = None
        self.seq = 0
        self.paused_why = ""

    # --- the player's side -----------------------------------------------------------------------------------------------

    @property
    def is_waiting_needed(self) -> bool:
        """Whether the market stands still at a bar: it runs faster than the wall, and somebody plays along."""
        return self._speed > 1 and bool(self._clients)

    def release(self, venue_ns: int, bars: int) -> None:
        """Tell everybody that the bars of an instant are out."""
        self.seq += 1
        self._last = {"op": "bar", "seq": self.seq, "venue_ms": venue_ns // 1_000_000, "bars": bars}
        self._tell(self._last)

    def end(self, venue_ns: int) -> None:
        """Tell everybody, and whoever comes later, that the market is over."""
        self._ended = {"op": "ended", "seq": self.seq, "venue_ms": venue_ns // 1_000_000}
        self._tell(self._ended)

    async def wait_acknowledged(self) -> None:
        """Wait until every registered client has acknowledged the last bar; beyond patience say so and wait on."""
        await self._wait(lambda: not self._behind(), lambda: f"bar {self.seq} is not acknowledged by {', '.join(self._behind())}")

    async def wait_registered(self, count: int) -> None:
        """Wait until so many clients have registered."""
        await self._wait(
            lambda: len(self._clients) >= count, lambda: f"{len(self._clients)} of {count} clients to wait for have registered"
        )

    def clients(self) -> list[dict[str, Any]]:
        """Every registered client for the status: name, connected, the last bar acknowledged."""
        return [
            {"name": client.name, "connected": client.connection is not None, "acked": client.acked} for client in self._clients.values()
        ]

    async def _wait(self, is_met: Callable[[], bool], why: Callable[[], str]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._until(is_met)
        if is_met():
            return
        self.paused_why = why()
        _log.warning("market paused: %s", self.paused_why, extra={"kedge_fields": {"event": "market_paused"}})
        try:
            await self._until(is_met)
        finally:
            self.paused_why = ""
        _log.info("market goes on", extra={"kedge_fields": {"event": "market_resumed"}})

    async def _until(self, is_met: Callable[[], bool]) -> None:
        while not is_met():
            self._changed.clear()
            await self._changed.wait()

    def _behind(self) -> list[str]:
        return [client.name for client in self._clients.values() if client.acked < self.seq]

    def _tell(self, message: Mapping[str, Any]) -> None:
        for connection in [one for one in self._connections if one.client is not None]:
            self._send(connection, message)

    def _send(self, connection: _Connection, message: Mapping[str, Any]) -> None:
        if not connection.send(message):
            name = connection.client.name if connection.client else "?"
            _log.warning("control client cut: it reads nothing", extra={"kedge_fields": {"event": "control_client_cut", "client": name}})
            self._drop(connection)

    # --- the clients' side -----------------------------------------------------------------------------------------------

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one client of `/kedge/control` until it goes."""
        refusal = refuse_stranger(request)
        if refusal is not None:
            return refusal
        transport = request.transport
        socket = web.WebSocketResponse(timeout=_FAREWELL_S, max_msg_size=4_096, compress=False)
        await socket.prepare(request)
        connection = _Connection(socket, transport)
        self._connections.add(connection)
        writer = asyncio.ensure_future(connection.write())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._take(connection, message.data)
        finally:
            writer.cancel()
            self._forget(connection)
        return socket

    async def close(self) -> None:
        """Say good-bye to every client."""
        open_now = list(self._connections)
        await asyncio.gather(*(connection.socket.close() for connection in open_now), return_exceptions=True)

    def _take(self, connection: _Connection, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=_Message)
        except msgspec.DecodeError as error:
            self._send(connection, {"op": "error", "text": f"not understood: {error}"})
            return
        if message.op == "register":
            self._register(connection, message.name)
        elif connection.client is None:
            self._send(connection, {"op": "error", "text": "register first"})
        elif message.op == "leave":
            self._leave(connection.client)
        elif not 0 < message.seq <= self.seq:
            self._send(connection, {"op": "error", "text": f"bar {message.seq} was not sent; the last is {self.seq}"})
        else:
            connection.client.acked = max(connection.client.acked, message.seq)
            self._changed.set()

    def _register(self, connection: _Connection, name: str) -> None:
        if not 0 < len(name) <= NAME_MAX:
            self._send(connection, {"op": "error", "text": f"name {name[:NAME_MAX]!r}: 1 to {NAME_MAX} characters"})
            return
        if connection.client is not None and connection.client.name != name:
            self._send(connection, {"op": "error", "text": f"this connection is {connection.client.name!r}'s; one name each"})
            return
        client = self._clients.setdefault(name, _Client(name, self.seq))
        if client.connection not in (None, connection):
            self._drop(client.connection)
        client.connection, connection.client = connection, client
        venue_ms = self._venue_ns() // 1_000_000
        answer = {"op": "registered", "speed": self._speed, "venue_ms": venue_ms, "seq": self.seq, "session": self.session}
        self._send(connection, answer)
        if client.acked < self.seq:
            self._send(connection, self._last)
        if self._ended is not None:
            self._send(connection, self._ended)
        _log.info("control client registered", extra={"kedge_fields": {"event": "control_client_registered", "client": name}})
        self._changed.set()

    def _leave(self, client: _Client) -> None:
        self._clients.pop(client.name, None)
        _log.info("control client left", extra={"kedge_fields": {"event": "control_client_left", "client": client.name}})
        self._changed.set()

    def _drop(self, connection: _Connection | None) -> None:
        """End a connection at once; its handler then forgets it."""
        if connection is not None:
            self._forget(connection)
            connection.abort()

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if connection.client is not None and connection.client.connection is connection:
            connection.client.connection = None
        connection.client = None


class _Message(msgspec.Struct):
    op: str
    name: str = ""
    seq: int = 0

    def __post_init__(self) -> None:
        if self.op not in ("register", "ack", "leave"):
            raise ValueError(f"op is {self.op!r}; register, ack and leave are known")


def refuse_stranger(request: web.BaseRequest) -> web.Response | None:
    """403 for whoever is not on this machine, or comes from a web page; None for everybody else.

    A page may have its own name resolved to this machine; its requests then carry that name as their host.
    """
    if "Origin" in request.headers or not is_loopback(request.remote) or not is_local_name(request.headers.get("Host", "")):
        return web.json_response({"error": "only clients on this machine, and no web pages, may use this endpoint"}, status=403)
    return None


def is_local_name(host: str) -> bool:
    """Whether a Host header names this machine itself; clients that send none are no browsers."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return not host or name == "localhost" or is_loopback(name)


def is_loopback(address: str | None) -> bool:
    """Whether a peer's address is this machine's own."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
