"""A client's connection to the simulated venue: its streams, and the way of what it asks for.

Rules: nothing arrives at a client that is closed or whose process is gone; rows keep their order unless a fault says otherwise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tests.simulation.auditor import Auditor
from tests.simulation.rows import OrderReader, news_of
from tests.simulation.world import World

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BarClosed
from kedge.domain.venue import (
    Answer,
    Stream,
    StreamDown,
    StreamUp,
    Unanswered,
    VenueNews,
)
from kedge.simulation.venue_types import Change, ExecutionRow, OrderRow

LATE: Final = (("late_orders", OrderRow), ("late_executions", ExecutionRow))
"""Troubles in which rows of one kind come later than the others."""
T = TypeVar("T")


class Connection:
    """One connection of one trader: its streams, which break, lose and delay, and what it asks for."""

    has_market = True
    """Whether it listens to the market's stream."""

    def __init__(self, world: World, auditor: Auditor) -> None:
        self.world, self.auditor = world, auditor
        self.is_gone = False
        self._queue: deque[VenueNews] = deque()
        self._arrived = asyncio.Event()
        self._reader = OrderReader()
        self._private_up = self._public_up = True
        self._private_due_s = self._public_due_s = self._late_due_s = 0.0
        self._cuts = {Stream.PRIVATE: 0, Stream.PUBLIC: 0}
        self._waiting: list[asyncio.Future[Answer]] = []
        self._skew_ns = 0

    # coming and going -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._list("start", lambda: None)
        self._skew_ns = self.world.armoury.skew_ns(self.world.now_ns)
        self.world.clients.append(self)
        for stream in Stream:
            self._put(StreamUp(stream, False))

    async def close(self) -> None:
        self.vanish()

    def vanish(self) -> None:
        """The process is gone, or has closed its connections."""
        self.is_gone = True
        if self in self.world.clients:
            self.world.clients.remove(self)

    def cut(self, is_private: bool, away_ms: int, late_ms: int) -> None:
        """A stream breaks: what happens from now on is missed; that is noticed `late_ms` later.

        Whoever has connected again has left the broken connection behind: its end is not told after the new one's beginning.
        """
        stream = Stream.PRIVATE if is_private else Stream.PUBLIC
        self._cuts[stream] += 1
        number = self._cuts[stream]
        self._set(stream, is_up=False)
        self.world.later(min(late_ms, away_ms), lambda: self._notice(stream, number))
        self.world.later(away_ms + 1, lambda: self._mend(stream, number))

    def _notice(self, stream: Stream, number: int) -> None:
        if self._cuts[stream] == number:  # else a later break counts, and is told by itself
            self._put(StreamDown(stream, "the connection broke"))

    def hang_up(self) -> None:
        """The trade connection breaks: nobody learns what became of what was asked."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(Unanswered("the connection broke"))
        self._waiting.clear()

    def _mend(self, stream: Stream, number: int) -> None:
        if self._cuts[stream] == number:
            self._set(stream, is_up=True)
            if stream is Stream.PRIVATE:
                self._reader = OrderReader()
            self._put(StreamUp(stream, True))

    def _set(self, stream: Stream, *, is_up: bool) -> None:
        if stream is Stream.PRIVATE:
            self._private_up = is_up
        else:
            self._public_up = is_up

    # news -------------------------------------------------------------------------------------------------------------

    def hear_bars(self, bars: Sequence[BarClosed]) -> None:
        """The market's stream has bars."""
        if self._public_up and not self.is_gone:
            self._public_due_s = self._in_order(self._public_due_s, lambda: [self._put(bar) for bar in bars])

    def hear_private(self, batch: Sequence[Change]) -> None:
        """The account's stream has rows."""
        if self._private_up and not self.is_gone:
            cut = self._cuts[Stream.PRIVATE]
            late: Sequence[Change] = ()
            if self.world.holds("lose_trades"):
                batch = [row for row in batch if isinstance(row, OrderRow)]
            for what, kind in LATE:
                if self.world.holds(what):
                    late, batch = [row for row in batch if isinstance(row, kind)], [row for row in batch if not isinstance(row, kind)]
            self._private_due_s = self._in_order(self._private_due_s, lambda: self._rows(batch, cut))
            if late:
                self._late_due_s = self._in_order(self._late_due_s, lambda: self._rows(late, cut), self.world.rows_late_ms)

    def _rows(self, batch: Sequence[Change], cut: int) -> None:
        if cut == self._cuts[Stream.PRIVATE]:  # else the connection that carried them broke
            for row in batch:
                for news in news_of(row, self._reader):
                    self._put(news)

    def _in_order(self, last_due_s: float, then: Callable[[], object], late_ms: int = 0) -> float:
        due_s = max(last_due_s + 1e-6, self.world.loop.time() + (self.world.delay_ms() + late_ms) / 1e3)
        self.world.loop.call_at(due_s, then, context=self.world.outside)
        return due_s

    def _put(self, news: VenueNews) -> None:
        if not self.is_gone:
            self._queue.append(news)
            self._arrived.set()

    async def news(self) -> VenueNews:
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._hand(self._queue.popleft())

    def news_at_hand(self) -> list[VenueNews]:
        found = [self._hand(one) for one in self._queue]
        self._queue.clear()
        return found

    def _hand(self, news: VenueNews) -> VenueNews:
        if isinstance(news, StreamUp):
            self.auditor.stream(news.stream, True, not news.again)
        elif isinstance(news, StreamDown):
            self.auditor.stream(news.stream, False, False)
        return news

    async def barrier(self) -> None:
        """Whatever the private stream sent before has arrived when this returns."""
        await self._list("barrier", lambda: None)
        if not self._private_up:
            raise VenueUnavailable("no private stream", why="its connection is broken", fix="wait for it")
        wait_s = max(self._private_due_s, self._late_due_s) - self.world.loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s + 1e-6)

    # asking -------------------------------------------------------------------------------------------------------------

    async def _list(self, name: str, read: Callable[[], T], about: str = "") -> T:
        world, epoch = self.world, self.auditor.epoch
        await asyncio.sleep(world.delay_ms() / 1e3)
        now_ns = world.now_ns
        if world.holds("deaf") or world.armoury.lasts("ban", now_ns) or world.armoury.lasts("maintenance", now_ns):
            await asyncio.sleep(0.05)
            raise VenueUnavailable(f"{name} is not answered", why="the venue is not to be reached", fix="wait")
        found, read_ns = read(), (now_ns, world.wall_ns)
        await asyncio.sleep(world.delay_ms() / 1e3)
        self.auditor.listed(name, about, epoch=epoch, read_ns=read_ns)
        return found
