"""The step of a live trader: learn, decide, make durable, and only then hand on what is wanted.

Everything here runs without waiting, so no two steps can mix. If the journal fails, nothing is handed on and the trader stops. Where the
journal groups records (in lock-step), only news of the market may wait for their group: it ends with whatever else is learned, before an
order or a cancel leaves, and before an instant is acknowledged. An engine that is ahead of its journal, because a step broke in between,
takes no further step and is in no snapshot: whoever goes on would have books that no record gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kedge.domain.errors import RecordingFailed
from kedge.domain.events import (
    BarClosed,
    CommandGiven,
    Event,
    FeedGap,
    FundingKnown,
    OverrideGranted,
    QuoteLost,
    QuoteSampled,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output, StopWanted, TimerSet
from kedge.engine.engine import Engine
from kedge.services.backtest import RunJournal
from kedge.services.kill_points import KillPoints
from kedge.services.seen import Seen, id_of
from kedge.services.venue_clock import VenueClock

_LEAVING: Final = frozenset({OrderSent, AmendSent, CancelSent, StopWanted})
"""Outputs that leave the process."""
_MARKET: Final = frozenset({BarClosed, FeedGap, FundingKnown, QuoteSampled, QuoteLost})
"""Events that the exchange tells again after a crash, since it waits for the acknowledgement of their instant; quotes are asked again."""
_DECIDING: Final = frozenset({BarClosed, TimerFired, CommandGiven, StopUnconfirmed, OverrideGranted})
"""Events that let the engine decide, so that it should know the quotes of that moment first."""

Watcher = Callable[[Event, Sequence[Output]], None]


class LiveCore:
    """Engine, journal and what has been seen, of one account.

    Attributes
    ----------
    send : callable
        Takes the outputs of a step once they are durable; set by whoever carries them out.
    watchers : list of callable
        Told of each step after its outputs were handed on; they must not raise.
    steps : int
        Steps taken by this process.
    """

    def __init__(self, engine: Engine, journal: RunJournal, seen: Seen, clock: VenueClock, kill: KillPoints, snapshot_every: int) -> None:
        self.engine, self.journal, self.seen, self.clock, self.kill = engine, journal, seen, clock, kill
        self.state = engine.state
        self.send: Callable[[Sequence[Output]], None] = _nothing
        self.watchers: list[Watcher] = []
        self.before_deciding: Callable[[Event], None] = _nobody_asks
        self.changed = asyncio.Event()
        self.on_timers: Callable[[], None] = _nobody
        self.on_snapshot_due: Callable[[], None] = _nobody
        self.steps = 0
        self._is_ahead = False
        self._snapshot_every, self._next_snapshot, self._snapshot_due = snapshot_every, snapshot_every, False

    def now_ns(self) -> int:
        """Venue time for events that carry none of their own."""
        return max(self.clock.now_ns(), self.state.ts_ns)

    def step(self, event: Event) -> Sequence[Output]:
        """Take one event through the engine and the journal; what was booked before is dropped.

        Raises
        ------
        RecordingFailed
            The step could not be made durable, or an earlier one was not. Nothing was handed on, and the trader must stop.
        """
        self._check_ahead()
        booked = id_of(event)
        if booked and event in self.seen:
            return ()
        if type(event) in _DECIDING:
            self.before_deciding(event)
        kill = self.kill
        if kill.armed:
            kill.reach("before_step")
        self._is_ahead = True
        outputs = self.engine.step(event)
        if outputs and (blobs := self.engine.take_blobs()):
            self.journal.keep(blobs)
        if kill.armed:
            kill.reach("before_commit")
        self.journal.commit(event, outputs)
        if type(event) not in _MARKET or any(type(output) in _LEAVING for output in outputs):
            self.journal.flush()
        self._is_ahead = False
        if kill.armed:
            kill.reach("after_commit")
        if booked:
            self.seen.add(event)
        self.steps += 1
        if outputs:
            self.send(outputs)
            if any(type(output) is TimerSet for output in outputs):
                self.on_timers()
        self._then(event, outputs)
        return outputs

    def _then(self, event: Event, outputs: Sequence[Output]) -> None:
        self.changed.set()
        for watcher in self.watchers:
            watcher(event, outputs)
        if self.steps >= self._next_snapshot and not self._snapshot_due:  # a step within a step can pass the number
            self._snapshot_due = True
            self.on_snapshot_due()

    def _check_ahead(self) -> None:
        if self._is_ahead:
            raise RecordingFailed(
                "the engine is ahead of its journal",
                why="a step broke before it was recorded",
                fix="start the trader again: it goes on from what is recorded",
            )

    def save_snapshot(self) -> None:
        """Keep the engine's state as of the last record.

        Raises
        ------
        RecordingFailed
            The state is not that of the last record, because a step broke before it was recorded.
        """
        self._check_ahead()
        self.kill.reach("before_snapshot")
        self.journal.save_snapshot(self.journal.count - 1, self.engine.snapshot())
        self._next_snapshot, self._snapshot_due = self.steps + self._snapshot_every, False
        self.kill.reach("after_snapshot")


def _nothing(_: Sequence[Output]) -> None:
    """Nobody carries anything out."""


def _nobody_asks(_: Event) -> None:
    """Nobody samples quotes."""


def _nobody() -> None:
    """Nobody wants to know."""
