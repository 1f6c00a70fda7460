"""Making a broken book whole again: its topic is subscribed anew, and again if no snapshot comes, until the book says that it is whole.

Rules: the first question leaves at once; when books break again right after they were mended, the next one waits a little longer each
time; a connection that refuses or does not confirm is ended, because a new one begins with new snapshots.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

import msgspec

from kedge.domain.errors import VenueUnavailable
from kedge.venues.bybit.book import Book
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.socket_words import subscribe

_LOG: Final = logging.getLogger(__name__)


class MendingPace(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time: how long a snapshot may take, the shortest and longest pause before asking again, how long a book that was mended
    must stay whole for the next break to be asked about at once, and how long the venue may take to confirm a subscription."""

    snapshot_within_s: float = 2.0
    pause_least_s: float = 0.05
    pause_most_s: float = 2.0
    calm_s: float = 0.25
    confirm_within_s: float = 5.0


class BookMender:
    """Keeps one book whole.

    Attributes
    ----------
    asked : int
        How often a snapshot was asked for.
    """

    def __init__(self, book: Book, topic: str, pace: MendingPace) -> None:
        self.asked = 0
        self._book, self._topic, self._pace = book, topic, pace
        self._pause_s = 0.0
        self._whole_s = float("-inf")
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def subscribed(self, connection: Connection) -> None:
        """The topic was subscribed on a new connection: its snapshot is on the way, and asked for if it does not come."""
        self._begin(connection, is_on_its_way=True)

    def broke(self, connection: Connection) -> None:
        """The book was found broken."""
        _LOG.warning(
            "book of %s is broken: %s; asking for a snapshot", self._topic, self._book.why, extra={"kedge_fields": {"event": "book_broken"}}
        )
        self._told.set()
        if self._task is None or self._task.done():
            calm = asyncio.get_running_loop().time() - self._whole_s >= self._pace.calm_s
            self._pause_s = 0.0 if calm else self._longer()
            self._begin(connection, is_on_its_way=False)

    def is_whole_again(self) -> None:
        """A row made it whole; whoever waits for that goes on."""
        self._whole_s = asyncio.get_running_loop().time()
        self._told.set()

    async def close(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _begin(self, connection: Connection, *, is_on_its_way: bool) -> None:
        if self._task is not None:
            self._task.cancel()
        self._told.clear()
        self._task = asyncio.create_task(self._mend(connection, is_on_its_way), name=f"snapshot of {self._topic}")

    async def _mend(self, connection: Connection, is_on_its_way: bool) -> None:
        if is_on_its_way and not self._book.is_whole:
            await self._wait_told()
        while self._is_wanted(connection):
            await asyncio.sleep(self._pause_s)
            self._pause_s = self._longer()
            if not self._is_wanted(connection):
                return
            self._told.clear()
            if not await self._ask(connection):
                return
            if not self._book.is_whole:
                await self._wait_told()

    def _is_wanted(self, connection: Connection) -> bool:
        return not self._book.is_whole and connection.is_open

    async def _ask(self, connection: Connection) -> bool:
        self.asked += 1
        try:
            async with asyncio.timeout(self._pace.confirm_within_s):
                await subscribe(connection, [self._topic], op="unsubscribe")
                await subscribe(connection, [self._topic])
        except (TimeoutError, VenueUnavailable) as error:
            why = error.why if isinstance(error, VenueUnavailable) else f"nothing confirmed within {self._pace.confirm_within_s:g} s"
            connection.abort(f"no new snapshot of {self._topic}: {why}")
            return False
        return True

    async def _wait_told(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.snapshot_within_s):
                await self._told.wait()

    def _longer(self) -> float:
        return min(max(2 * self._pause_s, self._pace.pause_least_s), self._pace.pause_most_s)
