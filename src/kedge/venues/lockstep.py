"""The client of an exchange's lock-step endpoint: hears of each closed bar, and says when everything it caused has been sent.

Rules: a broken connection is made again by itself, under the same name, and an acknowledgement that may have been lost is repeated.
Another market at the same address is never gone on with: its prices and wallets are others, and its time began anew.
A bar is handed out once per process; a process that died gets the bar it had not acknowledged again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

import aiohttp
import msgspec

from kedge.domain.errors import AccessRefused, InvalidInput, MarketGone, VenueUnavailable

CONTROL_PATH: Final = "/kedge/control"
STATUS_PATH: Final = "/kedge/status"

_RETRY_FIRST_S: Final = 0.05
_RETRY_MAX_S: Final = 1.0
_CONNECT_S: Final = 5.0

_log: Final = logging.getLogger("kedge.lockstep")


class Released(msgspec.Struct, frozen=True):
    """The bars of an instant are out: `bars` of them, closed at `venue_ms`. `ended` says that no more will come."""

    seq: int
    venue_ms: int
    bars: int = 0
    ended: bool = False


class Registration(msgspec.Struct, frozen=True):
    """What the exchange said: how many times faster than the wall it plays, its venue time, the last bar, and which market this is."""

    speed: int
    venue_ms: int
    seq: int = 0
    session: str = ""


class _Message(msgspec.Struct):
    op: str
    seq: int = 0
    venue_ms: int = 0
    bars: int = 0
    speed: int = 1
    session: str = ""
    text: str = ""


class LockStep:
    """One registered client.

    Parameters
    ----------
    url : str
        The exchange's address, such as `http://127.0.0.1:8100`.
    name : str
        Who registers; the same name after a restart is the same client.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url.rstrip("/") + CONTROL_PATH, name
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._registration: Registration | None = None
        self._received = self._acknowledged = 0

    @property
    def registration(self) -> Registration:
        """What the exchange said last.

        Raises
        ------
        InvalidInput
            Before `connect`.
        """
        if self._registration is None:
            raise InvalidInput("lock-step is not connected", why="the exchange has said nothing yet", fix="await connect() first")
        return self._registration

    async def connect(self) -> Registration:
        """Register once, without repeating.

        Raises
        ------
        VenueUnavailable
            Nobody answers there.
        AccessRefused
            The exchange refuses this client: it is on another machine, or its name is refused.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S))
        await self._drop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                self._socket = await self._session.ws_connect(self._url, heartbeat=10.0)
                return await self._register(self._socket)
        except aiohttp.WSServerHandshakeError as error:
            raise self._refused(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self._drop()
            raise VenueUnavailable(
                f"no lock-step with {self._url}", why=str(error) or type(error).__name__, fix="start the exchange, or check its address"
            ) from None

    async def next_bar(self) -> Released:
        """The next bar, or the end of the market; waits for as long as it takes, through broken connections.

        Raises
        ------
        AccessRefused
            The exchange does not take this client any more.
        MarketGone
            The exchange was started again and plays another market.
        """
        while True:
            message = await self._receive()
            if message.op == "ended":
                return Released(message.seq, message.venue_ms, ended=True)
            if message.op == "error":
                _log.warning("lock-step: %s", message.text, extra={"kedge_fields": {"event": "lockstep_error"}})
            elif message.op == "bar" and message.seq > self._received:
                self._received = message.seq
                return Released(message.seq, message.venue_ms, message.bars)
            elif message.op == "bar" and message.seq <= self._acknowledged:
                await self._send({"op": "ack", "seq": message.seq})

    async def acknowledge(self, seq: int) -> None:
        """Say that everything bar `seq` caused has been sent; a broken connection is mended by the next `next_bar`."""
        self._acknowledged = max(self._acknowledged, seq)
        await self._send({"op": "ack", "seq": seq})

    async def leave(self) -> None:
        """Tell the exchange not to wait for this client any more."""
        await self._send({"op": "leave"})

    async def close(self) -> None:
        """Close the connection. The exchange still waits for this client, unless it left."""
        await self._drop()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- inside ----------------------------------------------------------------------------------------------------------

    async def _register(self, socket: aiohttp.ClientWebSocketResponse) -> Registration:
        await socket.send_str(_text({"op": "register", "name": self._name}))
        message = _read(await socket.receive())
        if message is None:
            raise aiohttp.ClientConnectionError("the exchange closed the connection")
        if message.op != "registered":
            raise AccessRefused(f"lock-step of {self._name!r} is refused", why=message.text or message.op, fix="use another name")
        known, self._registration = self._registration, Registration(message.speed, message.venue_ms, message.seq, message.session)
        if known is not None and known.session != message.session:
            _log.error("the exchange began another market", extra={"kedge_fields": {"event": "lockstep_new_market"}})
            raise MarketGone(
                f"the exchange at {self._url} plays another market now",
                why="it was started again: its prices, wallets and time are not those of the run that is going on",
                fix="start the trader again: it then begins another run",
            )
        return self._registration

    async def _receive(self) -> _Message:
        """The next message, over as many connections as it takes."""
        wait_s = _RETRY_FIRST_S
        while True:
            if self._socket is not None:
                message = _read(await self._socket.receive())
                if message is not None:
                    return message
                _log.warning("lock-step connection lost", extra={"kedge_fields": {"event": "lockstep_lost"}})
                await self._drop()
            try:
                await self.connect()
            except VenueUnavailable:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_MAX_S)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._socket is not None:
            with suppress(aiohttp.ClientError, OSError):
                await self._socket.send_str(_text(message))

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    def _refused(self, error: aiohttp.WSServerHandshakeError) -> AccessRefused | VenueUnavailable:
        if error.status in (401, 403):
            return AccessRefused(
                f"lock-step with {self._url} is refused",
                why="the exchange takes clients on its own machine only",
                fix="run the trader beside it, or play at speed 1",
            )
        return VenueUnavailable(
            f"no lock-step with {self._url}", why=f"it answers HTTP {error.status}", fix="name the address of a kedge exchange"
        )


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def _read(message: aiohttp.WSMessage) -> _Message | None:
    """A message of the exchange; None when the connection is over."""
    if message.type is not aiohttp.WSMsgType.TEXT:
        return None
    return msgspec.json.decode(message.data, type=_Message)
