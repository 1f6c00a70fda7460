"""One open WebSocket: what may be written to it, when it last spoke, and how it ends.

Writing never waits and never raises. Whoever does not read what is written to it is cut off, so that a slow reader costs its own
connection and never the memory of the exchange.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.frames import GOING_AWAY, close_frame

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
    """

    __slots__ = (
        "kind", "conn_id", "ip", "key", "topics", "buffer_max", "idle_s", "active_s", "end_reason",
        "_transport", "_now_s",
    )  # fmt: skip

    def __init__(
        self, kind: Kind, transport: asyncio.WriteTransport, conn_id: str, ip: str, now_s: Callable[[], float], buffer_max: int,
        idle_s: float,
    ) -> None:  # fmt: skip
        self.kind, self.conn_id, self.ip = kind, conn_id, ip
        self.key: ApiKey | None = None
        self.topics: dict[str, None] = {}
        self.buffer_max, self.idle_s = buffer_max, idle_s
        self.active_s = now_s()
        self.end_reason = ""
        self._transport, self._now_s = transport, now_s

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
        """Send whole frames, now or as soon as the reader takes them; nothing on a connection that is ending."""
        transport = self._transport
        if transport.is_closing():
            return
        transport.write(frames)
        self.active_s = self._now_s()
        waiting = transport.get_write_buffer_size()
        if waiting > self.buffer_max:
            self.cut(f"slow reader: {waiting} bytes wait, at most {self.buffer_max} may")

    def cut(self, reason: str) -> None:
        """End it at once; what waits is thrown away."""
        if not self.end_reason:
            self.end_reason = reason
            _log.warning("cut %s socket %s of account %s: %s", self.kind, self.conn_id, self.account or "-", reason)
        self._transport.abort()

    def part(self) -> None:
        """Say farewell and close once everything is sent."""
        if not self._transport.is_closing():
            self._transport.write(close_frame(GOING_AWAY, "going away"))
            self._transport.close()
