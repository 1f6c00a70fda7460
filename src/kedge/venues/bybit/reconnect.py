"""A socket that comes back: connect, greet (authenticate, subscribe), keep alive, and after a break the same again.

Rules: a break is told once, and its end once; a refusal of the key at the start is raised, later it is told and tried again; the
heart beats with the application's own ping, and a connection without a pong in time is cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from kedge.domain.errors import AccessRefused, KedgeError, VenueUnavailable
from kedge.domain.venue import ActionNeeded, Stream, StreamDown, StreamUp
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.socket import Connection, TurnedAway, connect

_LOG: Final = logging.getLogger(__name__)

CLOSE_WITHIN_S: Final = 1.0
"""How long an orderly close may take: what was written must leave first, and a dead line takes nothing."""


class Dialect(Protocol):
    """What one of the venue's sockets says and understands."""

    def read(self, connection: Connection, text: bytes) -> None:
        """Take one frame. Raising ends the connection."""

    async def greet(self, connection: Connection) -> None:
        """Authenticate and subscribe; returns when the venue has confirmed all of it."""

    def ping_text(self, request_id: str) -> bytes:
        """The ping of this socket."""


class SocketPace(msgspec.Struct, frozen=True, kw_only=True):
    """Time-outs of one socket, in seconds of wall time."""

    connect_s: float = 5.0
    greet_s: float = 5.0
    ping_every_s: float = 20.0
    pong_within_s: float = 10.0
    steady_after_s: float = 5.0


class SteadySocket:
    """Keeps one connection of a stream alive until closed.

    Parameters
    ----------
    tell : callable
        Gets `StreamUp`, `StreamDown`, and once per break `ActionNeeded` where the key is refused; from inside the loop.
    on_ban : callable, optional
        Told why when the venue turns this address away, so that everything else rests too.
    """

    def __init__(
        self,
        stream: Stream,
        url: str,
        dialect: Dialect,
        tell: Callable[[StreamUp | StreamDown | ActionNeeded], None],
        *,
        backoff: Backoff,
        budget: ConnectBudget,
        pace: SocketPace,
        on_ban: Callable[[str], None] | None = None,
    ) -> None:
        self.stream, self.url = stream, url
        self.interruptions = 0
        self._dialect, self._tell = dialect, tell
        self._backoff, self._budget, self._pace, self._on_ban = backoff, budget, pace, on_ban
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._was_up = False
        self._last_why = "not connected yet"
        self._refused: AccessRefused | None = None
        self._attempted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection | None:
        """The greeted connection, None while there is none."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    @property
    def last_why(self) -> str:
        """Why it was down last."""
        return self._last_why

    async def start(self, within_s: float) -> None:
        """Connect and greet for the first time.

        Raises
        ------
        AccessRefused
            The venue refuses the key.
        VenueUnavailable
            Not connected and subscribed within `within_s`; says why the last attempt failed.
        """
        self._refused = None
        self._task = asyncio.create_task(self._run(), name=f"{self.stream} socket")
        try:
            async with asyncio.timeout(within_s):
                while not self._up.is_set() and self._refused is None:
                    self._attempted.clear()
                    await self._attempted.wait()
        except TimeoutError:
            await self.close()
            raise VenueUnavailable(
                f"the {self.stream} stream is not up after {within_s:g} s",
                why=self._last_why,
                fix=f"check that {self.url.partition('?')[0]} is the venue's {self.stream} address and can be reached",
            ) from None
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._refused is not None and not self._up.is_set():
            refused = self._refused
            await self.close()
            raise refused

    async def close(self) -> None:
        """Leave; the connection is closed in order, and not opened again."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def wait_up(self, within_s: float) -> Connection:
        """The connection, waiting for it at most `within_s`.

        Raises
        ------
        VenueUnavailable
            It did not come up in time.
        """
        try:
            async with asyncio.timeout(within_s):
                while (connection := self.connection) is None:
                    self._up.clear()
                    await self._up.wait()
                return connection
        except TimeoutError:
            raise VenueUnavailable(
                f"the {self.stream} stream is down", why=self._last_why, fix="it is being reconnected; ask again later"
            ) from None

    async def ping(self, within_s: float) -> None:
        """Send a ping and wait for its pong: everything the venue sent on this connection before has then been read.

        Raises
        ------
        VenueUnavailable
            The stream is down, breaks meanwhile, or does not answer in time.
        """
        connection = await self.wait_up(within_s)
        request_id = connection.next_id()
        try:
            async with asyncio.timeout(within_s):
                await connection.ping(self._dialect.ping_text(request_id), request_id)
        except TimeoutError:
            raise VenueUnavailable(
                f"the {self.stream} stream does not answer a ping", why=f"no pong within {within_s:g} s", fix="ask again later"
            ) from None

    async def _run(self) -> None:
        while True:
            held_s = 0.0
            try:
                held_s = await self._live_once()
            except Exception as error:  # noqa: BLE001 - a stream that is not made again leaves its trader blind, whatever broke it
                self._failed(error)
            if held_s >= self._pace.steady_after_s:
                self._backoff.reset()
            self._attempted.set()
            await asyncio.sleep(self._backoff.next_s())

    def _failed(self, error: Exception) -> None:
        self._last_why = str(error)
        if isinstance(error, TurnedAway) and self._on_ban is not None:
            self._on_ban(f"{self.stream} stream: {error.why}")
        if isinstance(error, AccessRefused):
            if self._was_up and self._refused is None:
                self._tell(ActionNeeded("KEY_REFUSED", error.what, error.fix))
            self._refused = error
            _LOG.error("%s stream refused: %s", self.stream, error)
        elif not isinstance(error, KedgeError):
            _LOG.exception("%s stream: a defect", self.stream)
        else:
            _LOG.warning("%s stream not up: %s", self.stream, error)

    async def _live_once(self) -> float:
        """One connection from its beginning to its end; returns how many seconds it was up."""
        loop = asyncio.get_running_loop()
        while wait_s := self._budget.take(loop.time()):
            self._last_why = f"{wait_s:.0f} s until the venue takes another connection"
            await asyncio.sleep(wait_s)
        connection = await connect(self.url, self._dialect.read, timeout_s=self._pace.connect_s)
        heart: asyncio.Task[None] | None = None
        try:
            await self._greet(connection)
            up_s = loop.time()
            heart = asyncio.create_task(self._beat(connection), name=f"{self.stream} heart")
            self._raised(connection)
            try:
                why = await connection.ended()
            except Exception as error:
                self._lowered(str(error))
                raise
            self._lowered(why)
            return loop.time() - up_s
        finally:
            if heart is not None:
                heart.cancel()
            await _end(connection)
            self._connection = None

    async def _greet(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._pace.greet_s):
                await self._dialect.greet(connection)
        except TimeoutError:
            raise VenueUnavailable(
                f"the {self.stream} stream was not subscribed",
                why=f"the venue did not confirm within {self._pace.greet_s:g} s",
                fix="it is tried again; check the venue's status page if it stays so",
            ) from None

    def _raised(self, connection: Connection) -> None:
        self._connection = connection
        self._refused = None
        again, self._was_up = self._was_up, True
        if again:
            self.interruptions += 1
        self._tell(StreamUp(self.stream, again))
        self._up.set()
        self._attempted.set()

    def _lowered(self, why: str) -> None:
        self._connection = None
        self._up.clear()
        self._last_why = why
        _LOG.warning("%s stream down: %s", self.stream, why)
        self._tell(StreamDown(self.stream, why))

    async def _beat(self, connection: Connection) -> None:
        pace = self._pace
        while connection.is_open:
            await asyncio.sleep(pace.ping_every_s)
            try:
                request_id = connection.next_id()
                async with asyncio.timeout(pace.pong_within_s):
                    await connection.ping(self._dialect.ping_text(request_id), request_id)
            except TimeoutError:
                connection.abort(f"silent: no pong within {pace.pong_within_s:g} s")
                return
            except VenueUnavailable:
                return  # it ended meanwhile, and `gone` says why


async def _end(connection: Connection) -> None:
    if not connection.gone.done():
        connection.close("left by us")
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await asyncio.shield(connection.gone)
                return
        connection.abort("left by us")
