"""One book topic: a snapshot for whoever joins, then what changed, at the venue's pace.

Rules: a frame goes out as soon as its pace allows, and the last change is never kept back for longer than that. Depth 1 sends
snapshots only, and the last one again after three silent seconds. A delta names both sides and deletes only what was shown.
Faults to order strike deltas, as all followers of the topic hear them; a snapshot always comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from kedge.domain.units import NS_PER_MS
from kedge.simulation.faults_armed import FrameFate
from kedge.simulation.faults_wire import FrameLine
from kedge.simulation.venue_depth import DepthFrame, DepthStream
from kedge.simulation.venue_types import PriceLevel
from kedge.venues.exchange.frames import text_frame
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.subscriptions import Audience
from kedge.venues.exchange.texts import Grid

PACE_S: Final = {1: 0.010, 50: 0.020, 200: 0.100, 1000: 0.200}
"""Seconds of venue time between two frames of a depth."""

REPEAT_S: Final = 3.0
"""Seconds of silence after which depth 1 says the same again."""


class BookStream:
    """What the followers of `orderbook.{levels}.{symbol}` have been told.

    Parameters
    ----------
    now_s : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, hall: Hall, audience: Audience, symbol: str, levels: int, grid: Grid, now_s: Callable[[], float]) -> None:
        self.topic = f"orderbook.{levels}.{symbol}"
        self._hall, self._audience, self._grid, self._now_s = hall, audience, grid, now_s
        self._symbol, self._levels = symbol, levels
        self._depth = DepthStream(levels)
        self._line: FrameLine[bytes] = FrameLine()
        self._pace_s = PACE_S[levels] / hall.speed
        self._told_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def moved(self) -> None:
        """The book changed: tell it now, or when the pace allows."""
        if self._timer is not None:
            return
        wait_s = self._told_s + self._pace_s - self._now_s()
        if wait_s <= 0:
            self.tell()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tell_late)

    def tell(self) -> None:
        """Send what changed since the last frame, if anything did."""
        book = self._hall.shown_book(self._symbol, self._levels)
        frame = self._depth.follow(book)
        if frame is None:
            return
        if self._levels == 1 and not frame.is_snapshot:
            frame = self._depth.snapshot(book)
        self._told_s = self._now_s()
        fate = FrameFate.PASS if frame.is_snapshot else self._hall.frame_fate(self._symbol)
        for text in self._line.send(self._encode(frame), fate):
            self._audience.write(self.topic, text)

    def snapshot(self) -> bytes:
        """The first frame of a follower who joins now; the others are told first, so that all stand at the same update."""
        self.tell()
        return self._encode(self._depth.snapshot(self._hall.shown_book(self._symbol, self._levels)))

    def repeat(self, now_s: float) -> None:
        """Say depth 1 again when it has been silent for long."""
        if self._levels == 1 and now_s - self._told_s >= REPEAT_S:
            self._told_s = now_s
            frame = self._depth.snapshot(self._hall.shown_book(self._symbol, 1))
            self._audience.write(self.topic, self._encode(frame))

    def end(self) -> None:
        """Nobody listens any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_late(self) -> None:
        self._timer = None
        self.tell()

    def _encode(self, frame: DepthFrame) -> bytes:
        ts_ms = frame.ts_ns // NS_PER_MS
        word = "snapshot" if frame.is_snapshot else "delta"
        return text_frame(
            f'{{"topic":"{self.topic}","type":"{word}","ts":{ts_ms},"data":{{"s":"{self._symbol}",'
            f'"b":[{self._side(frame.bids)}],"a":[{self._side(frame.asks)}],'
            f'"u":{frame.update},"seq":{frame.seq}}},"cts":{ts_ms}}}'.encode()
        )

    def _side(self, levels: Iterable[PriceLevel]) -> str:
        price, qty = self._grid.price, self._grid.qty
        return ",".join([f'["{price(ticks)}","{qty(lots) if lots else 0}"]' for ticks, lots in levels])
