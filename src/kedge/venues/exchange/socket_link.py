"""One open WebSocket: what may be written to it, when it last spoke, and how it ends.

Writing never waits and never raises. What is written within one turn of the event loop leaves together, in its order: handing it to the
system costs more than making it. Whoever does not read what is written to it is cut off, so that a slow reader costs its own connection
and never the memory of the exchange.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.frames import GOING_AWAY, close_frame

TOGETHER_MAX: Final = 64 * 1024
"""Bytes that may be collected before they are handed to the system at once."""

_log: Final = logging.getLogger("kedge.exchange.sockets")


class Kind(StrEnum):
    """The three sockets."""

    PUBLIC = "public"
    PRIVATE = "private"
    TRADE = "trade"


class Link:
    """One connection.

    Parameters
    ----------
    kind : Kind
    transport : asyncio.WriteTransport
    conn_id, ip : str
        The id that its acknowledgements carry; the address it came from.
    now_s : callable
        Seconds of a clock that never goes back.
    buffer_max : int
        Bytes that may wait to be sent before the connection is cut.
    idle_s : float
        Seconds without anything sent or heard after which it is cut.
    soon : callable, optional
        Calls a function when what happens now is done, as an event loop's `call_soon` does; without it everything leaves at once.
    """

    __slots__ = (
        "kind", "conn_id", "ip", "key", "topics", "buffer_max", "idle_s", "active_s", "end_reason",
        "_transport", "_now_s", "_soon", "_waiting", "_waiting_bytes",
    )  # fmt: skip

    def __init__(
        self, kind: Kind, transport: asyncio.WriteTransport, conn_id: str, ip: str, now_s: Callable[[], float], buffer_max: int,
        idle_s: float, soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.conn_id, self.ip = kind, conn_id, ip
        self.key: ApiKey | None = None
        self.topics: dict[str, None] = {}
        self.buffer_max, self.idle_s = buffer_max, idle_s
        self.active_s = now_s()
        self.end_reason = ""
        self._transport, self._now_s, self._soon = transport, now_s, soon
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def account(self) -> str:
        """Whose it is; empty before it authenticated."""
        return self.key.account if self.key is not None else ""

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def heard(self) -> None:
        """Something came in."""
        self.active_s = self._now_s()

    def write(self, frames: bytes) -> None:
        """Send whole frames as soon as the reader takes them; nothing on a connection that is ending."""
        waiting = self._waiting
        waiting.append(frames)
        self._waiting_bytes += len(frames)
        if self._soon is None or self._waiting_bytes > TOGETHER_MAX:
            self._hand_over()
        elif len(waiting) == 1:
            self._soon(self._hand_over)

    def _hand_over(self) -> None:
        waiting, transport = self._waiting, self._transport
        if not waiting:
            return
        self._waiting, self._waiting_bytes = [], 0
        if transport.is_closing():
            return
        transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))
        self.active_s = self._now_s()
        unsent = transport.get_write_buffer_size()
        if unsent > self.buffer_max:
            self.cut(f"slow reader: {unsent} bytes wait, at most {self.buffer_max} may")

    def cut(self, reason: str) -> None:
        """End it at once; what the system has not taken is thrown away."""
        self._hand_over()
        if not self.end_reason:
            self.end_reason = reason
            _log.warning("cut %s socket %s of account %s: %s", self.kind, self.conn_id, self.account or "-", reason)
        self._transport.abort()

    def part(self) -> None:
        """Say farewell and close once everything is sent."""
        self._hand_over()
        if not self._transport.is_closing():
            self._transport.write(close_frame(GOING_AWAY, "going away"))
            self._transport.close()
