"""One WebSocket connection to the venue: text frames in and out, pings answered in order, and one word on why it ended.

Rules: a frame reaches `on_text` in the order of its arrival, inside the loop's read callback, so nothing queues in front of it;
whatever a reader raises ends the connection, because a frame that was not understood cannot be skipped; nothing is ever re-sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import picows

from kedge.domain.errors import VenueUnavailable

_TEXT, _BINARY, _CLOSE, _CONTINUATION = (
    picows.WSMsgType.TEXT,
    picows.WSMsgType.BINARY,
    picows.WSMsgType.CLOSE,
    picows.WSMsgType.CONTINUATION,
)
_FORBIDDEN = 403


class Connection(picows.WSListener):
    """A live connection. Made by `connect`, used by one stream.

    Attributes
    ----------
    gone : Future[str]
        Done when the connection has ended, with the reason; never an exception.
    """

    def __init__(self, on_text: Callable[[Connection, bytes], None]) -> None:
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_text = on_text
        self._transport: picows.WSTransport | None = None
        self._why = ""
        self._parts: list[bytes] = []
        self._pings: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._acks: dict[str, asyncio.Future[object]] = {}
        self._count = 0

    @property
    def is_open(self) -> bool:
        """Whether what is sent now can still leave."""
        return self._transport is not None and not self.gone.done() and not self._why

    def send(self, text: bytes) -> None:
        """Write one text frame.

        Raises
        ------
        VenueUnavailable
            The connection is gone; nothing was written.
        """
        if not self.is_open:
            raise VenueUnavailable(
                "a frame cannot be sent", why=self._why or "the connection is gone", fix="wait until it is connected again"
            )
        assert self._transport is not None
        self._transport.send(_TEXT, text)

    def close(self, why: str) -> None:
        """End the connection; what was written is sent first."""
        self._end(why, graceful=True)

    def abort(self, why: str) -> None:
        """End the connection at once: the other side has been silent or has sent nonsense."""
        self._end(why, graceful=False)

    def next_id(self) -> str:
        """An id for a request that is used once on this connection."""
        self._count += 1
        return f"r{self._count}"

    def expect_ack(self, request_id: str) -> asyncio.Future[object]:
        """A future for the answer to `request_id`; it fails with `VenueUnavailable` when the connection ends first."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._acks[request_id] = future
        return future

    def forget(self, request_id: str) -> None:
        """Nobody waits for this answer any more; one that still comes is let go."""
        self._acks.pop(request_id, None)

    def acknowledge(self, request_id: str, answer: object) -> bool:
        """Hand an answer to whoever expects it; False where nobody does."""
        future = self._acks.pop(request_id, None)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def ping(self, text: bytes, request_id: str) -> asyncio.Future[None]:
        """Send an application ping; the future is done with its pong, after every frame that came before it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send(text)
        self._pings.append((request_id, future))
        return future

    def ponged(self, request_id: str) -> None:
        """A pong came. Pongs come in the order of the pings; one that names its ping also answers those before it."""
        while self._pings:
            expected, future = self._pings.popleft()
            if not future.done():
                future.set_result(None)
            if not request_id or request_id == expected:
                return

    async def ended(self) -> str:
        """Wait for the end and return its reason, a breach of the protocol among them."""
        why = await asyncio.shield(self.gone)
        assert self._transport is not None
        try:
            await self._transport.wait_disconnected()
        except (picows.WSError, OSError) as error:
            return f"the venue broke the WebSocket protocol: {error}"
        return why

    # The listener's side: called by picows inside the loop.

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is _CLOSE or kind == _CLOSE:
            self._why = self._why or f"the venue closed it: {frame.get_close_code()} {frame.get_close_reason() or ''}".rstrip()
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if kind not in (_TEXT, _CONTINUATION, _BINARY):
            return
        payload = frame.get_payload_as_bytes()
        if not frame.fin or self._parts:
            self._parts.append(payload)
            if not frame.fin:
                return
            payload = b"".join(self._parts)
            self._parts.clear()
        if not self._why:
            self._read(payload)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        why = self._why or "the connection broke"
        self._why = why
        if not self.gone.done():
            self.gone.set_result(why)
        lost = [future for _, future in self._pings] + list(self._acks.values())
        self._pings.clear()
        self._acks.clear()
        for future in lost:
            if not future.done():
                future.set_exception(
                    VenueUnavailable("no answer came", why=why, fix="it is unknown what the venue did with the request; ask it")
                )
                future.exception()  # a reader may have given up; that is no defect

    def _read(self, payload: bytes) -> None:
        try:
            self._on_text(self, payload)
        except Exception as error:  # noqa: BLE001 - a frame that was not understood must not be skipped, whatever it broke
            self.abort(f"a frame could not be read: {error}")

    def _end(self, why: str, *, graceful: bool) -> None:
        self._why = self._why or why
        if self._transport is None:
            return
        if graceful:
            self._transport.send_close(picows.WSCloseCode.OK)
        self._transport.disconnect(graceful)


class TurnedAway(VenueUnavailable):
    """The venue answered 403: it turns this address away, and asking again prolongs that."""


async def connect(url: str, on_text: Callable[[Connection, bytes], None], *, timeout_s: float) -> Connection:
    """Open a connection.

    Raises
    ------
    TurnedAway
        The address is banned.
    VenueUnavailable
        Refused, unreachable, no WebSocket there, or not within `timeout_s`.
    """
    connection = Connection(on_text)
    where = url.partition("?")[0]
    try:
        async with asyncio.timeout(timeout_s + 0.5):
            await picows.ws_connect(lambda: connection, url, websocket_handshake_timeout=timeout_s, max_redirects=0)
    except picows.WSInvalidStatusError as error:
        status = 0 if error.response is None else int(error.response.status)
        kind = TurnedAway if status == _FORBIDDEN else VenueUnavailable
        raise kind(
            f"cannot connect to {where}", why=f"no WebSocket there: HTTP {status}", fix="check the address and the network"
        ) from None
    except (OSError, TimeoutError, picows.WSError) as error:
        said = str(error) or f"nothing answered within {timeout_s:g} s"
        raise VenueUnavailable(f"cannot connect to {where}", why=said.splitlines()[0], fix="check the address and the network") from None
    return connection
