"""One instrument's confirmed bars in order: repeats dropped, holes filled from history before any later bar, else named as gaps.

Rules: while a hole is being filled, later bars wait; what history cannot give after several tries becomes one `FeedGap`; a bar that
was handed out is never handed out again, whichever way it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BarClosed, FeedGap

_LOG: Final = logging.getLogger(__name__)

FILL_PAUSES_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Tries of one fill: history may lag the stream by a moment."""

History = Callable[[int, int | None], Awaitable[Sequence[BarClosed]]]
"""Closed bars that end within (from, to], oldest first; `to` None for up to now."""


class BarLine:
    """The bars of one instrument.

    Parameters
    ----------
    history : callable
        Asks the venue's history; may raise `VenueUnavailable`.
    tell : callable
        Gets the bars and gaps, in order.
    """

    def __init__(
        self,
        instrument: str,
        interval_ns: int,
        history: History,
        tell: Callable[[BarClosed | FeedGap], None],
        pauses_s: Sequence[float] = FILL_PAUSES_S,
    ) -> None:
        self.instrument, self.interval_ns = instrument, interval_ns
        self.last_ts_ns = 0
        self.repeats = self.filled = self.gaps = 0
        self._history, self._tell, self._pauses_s = history, tell, pauses_s
        self._waiting: dict[int, BarClosed] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_filling(self) -> bool:
        return self._task is not None

    def on_bar(self, bar: BarClosed) -> None:
        """A confirmed bar from the stream."""
        if bar.ts_ns <= self.last_ts_ns or bar.ts_ns in self._waiting:
            self.repeats += 1
        elif self._task is not None:
            self._waiting[bar.ts_ns] = bar
        elif not self.last_ts_ns or bar.open_ts_ns == self.last_ts_ns:
            self._hand_out(bar)
        else:
            self._waiting[bar.ts_ns] = bar
            self.fill()

    def fill(self) -> None:
        """Ask history for what may be missing since the last bar; nothing to do before the first or while asking."""
        if self._task is None and self.last_ts_ns:
            self._task = asyncio.create_task(self._fill(), name=f"fill {self.instrument}")

    async def settled(self) -> None:
        """Wait until no fill is running."""
        while (task := self._task) is not None:
            await asyncio.wait((task,))

    async def close(self) -> None:
        """Stop a running fill."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _fill(self) -> None:
        try:
            while True:
                goal = self._waiting[min(self._waiting)] if self._waiting else None
                await self._reach(goal)
                self._hand_out_following()
                while goal is not None and self._waiting and min(self._waiting) <= goal.ts_ns:
                    self._name_gap(self._waiting.pop(min(self._waiting)))
                    self._hand_out_following()
                if not self._waiting:
                    return
        finally:
            self._task = None

    async def _reach(self, goal: BarClosed | None) -> None:
        to_ns = goal.open_ts_ns if goal is not None else None
        for pause_s in self._pauses_s:
            await asyncio.sleep(pause_s)
            try:
                bars = await self._history(self.last_ts_ns, to_ns)
            except VenueUnavailable as error:
                _LOG.warning("history of %s: %s", self.instrument, error)
                continue
            for bar in bars:
                if bar.open_ts_ns == self.last_ts_ns:
                    self.filled += 1
                    self._hand_out(bar)
                elif bar.ts_ns > self.last_ts_ns:
                    self._waiting.setdefault(bar.ts_ns, bar)
            if goal is None or self.last_ts_ns >= goal.open_ts_ns:
                return

    def _hand_out_following(self) -> None:
        """Hand out what waits up to the first hole."""
        for ts_ns in sorted(self._waiting):
            bar = self._waiting[ts_ns]
            if bar.ts_ns <= self.last_ts_ns:
                self.repeats += 1
            elif bar.open_ts_ns == self.last_ts_ns:
                self._hand_out(bar)
            else:
                return
            del self._waiting[ts_ns]

    def _name_gap(self, bar: BarClosed) -> None:
        """History was asked for what is missing before `bar` and did not have it."""
        self.gaps += 1
        self._tell(FeedGap(bar.open_ts_ns, self.instrument, self.last_ts_ns))
        self._hand_out(bar)

    def _hand_out(self, bar: BarClosed) -> None:
        self.last_ts_ns = bar.ts_ns
        self._tell(bar)
