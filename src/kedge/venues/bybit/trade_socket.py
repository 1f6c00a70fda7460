"""The trade socket: requests by id, answers matched by it, and what is known when no answer comes.

Rules: nothing is sent twice; a request that was written and not answered is unknown, whatever the reason; one that was never written
says so, and only that one may go another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kedge.domain.errors import VenueUnavailable
from kedge.venues.bybit.codec import TradeReply, decode_trade_reply, encode
from kedge.venues.bybit.codes import Operation, Reaction, reaction
from kedge.venues.bybit.reconnect import SteadySocket
from kedge.venues.bybit.signing import Signer, socket_auth_args
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.socket_words import AUTH_VALID_MS, ClockWasOff, refusal

_AUTH_ID: Final = "auth"


class NotSent(VenueUnavailable):
    """The socket is down and nothing was written: the request may go another way."""


class Unknown(VenueUnavailable):
    """The request was written and no answer came: it may have been carried out."""


def request_frame(request_id: str, op: str, body: bytes, timestamp_ms: int, recv_window_ms: int) -> bytes:
    """A request as it leaves; `body` is the REST body of the same operation."""
    return b'{"reqId":"%s","header":{"X-BAPI-TIMESTAMP":"%d","X-BAPI-RECV-WINDOW":"%d"},"op":"%s","args":[%s]}' % (
        request_id.encode(),
        timestamp_ms,
        recv_window_ms,
        op.encode(),
        body,
    )


class TradeDialect:
    """What the trade socket speaks; see `reconnect.Dialect`. Answers without `reqId` are those to `auth` and `ping`."""

    def __init__(self, signer: Signer, wall_ms: Callable[[], int], clock_was_off: ClockWasOff | None = None) -> None:
        self._signer, self._wall_ms, self._clock_was_off = signer, wall_ms, clock_was_off

    def read(self, connection: Connection, text: bytes) -> None:
        reply = decode_trade_reply(text)
        if reply.op == "pong":
            connection.ponged("")
        elif reply.op == "auth":
            connection.acknowledge(_AUTH_ID, reply)
        elif reply.req_id:
            connection.acknowledge(reply.req_id, reply)

    async def greet(self, connection: Connection) -> None:
        answer = connection.expect_ack(_AUTH_ID)
        asked_ms = self._wall_ms()
        args = socket_auth_args(self._signer, asked_ms + AUTH_VALID_MS)
        connection.send(encode({"reqId": _AUTH_ID, "op": "auth", "args": args}))
        reply = await answer
        assert isinstance(reply, TradeReply)
        code = -1 if reply.ret_code is None else reply.ret_code
        judged = reaction(code, Operation.SET, reply.ret_msg)
        if judged in (Reaction.FATAL, Reaction.REFUSED):
            raise await refusal("trade", code, reply.ret_msg, asked_ms, self._clock_was_off)
        if judged is Reaction.CLOCK and self._clock_was_off is not None:
            await self._clock_was_off(asked_ms)
        if judged not in (Reaction.OK, Reaction.ALREADY):
            raise VenueUnavailable(
                "the trade socket was not opened", why=f"the venue says: {code} {reply.ret_msg}", fix="it is tried again by itself"
            )

    def ping_text(self, request_id: str) -> bytes:
        return b'{"op":"ping"}'


class TradeSocket:
    """Requests over a steady socket.

    Parameters
    ----------
    prefix : str
        Begins every request id, so that ids of two processes of one account differ; at most 12 characters. Time and count follow it,
        because the venue refuses an id it has seen, and a restarted process counts from one again.
    """

    def __init__(self, socket: SteadySocket, prefix: str) -> None:
        self._socket, self._prefix = socket, prefix
        self._count = 0

    @property
    def is_up(self) -> bool:
        return self._socket.connection is not None

    async def request(self, op: str, body: bytes, timestamp_ms: int, recv_window_ms: int, *, within_s: float) -> TradeReply:
        """Send one request and wait for its answer.

        Raises
        ------
        NotSent
            The socket is down; nothing was written.
        Unknown
            It was written, and the connection broke or the time ran out.
        """
        connection = self._socket.connection
        if connection is None:
            raise NotSent("the trade socket is down", why=self._socket.last_why, fix="the request may go over REST")
        self._count += 1
        request_id = f"{self._prefix}-{timestamp_ms:x}-{self._count}"
        answer = connection.expect_ack(request_id)
        try:
            connection.send(request_frame(request_id, op, body, timestamp_ms, recv_window_ms))
            async with asyncio.timeout(within_s):
                reply = await answer
        except (TimeoutError, VenueUnavailable) as error:
            why = f"no answer within {within_s:g} s" if isinstance(error, TimeoutError) else error.why
            raise Unknown(f"{op} was sent and not answered", why=why, fix="look it up by its client id") from None
        finally:
            connection.forget(request_id)
        assert isinstance(reply, TradeReply)
        return reply
