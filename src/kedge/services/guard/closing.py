"""Closes positions in slices, each instrument on its own, and says why where it cannot.

Rules: one slice of an instrument at a time; it is written down before it leaves, and looked up until its end is known; the next is worked
out from a position that was read after that end, and leaves only while the position is still to be closed. What cannot go on waits, calls a
person, and goes on by itself when it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, Final

from kedge.domain.errors import KedgeError
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Answer, Depth, GuardVenue, Refused, Taken, Unanswered
from kedge.risk.brake.flatten import Closing, Plan, Slice, Wait
from kedge.risk.brake.gate import approved
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import SliceAnswered, SliceSent, Waiting
from kedge.services.guard.timeline import Timeline

_LOG: Final = logging.getLogger(__name__)

LOOK_FIRST_S: Final = 0.02
LOOK_MOST_S: Final = 0.5
"""Between two look-ups of the same slice: longer each time, up to this."""
READ_AGE_NS: Final = 2 * NS_PER_S
"""A position, with its mark, that was read longer ago than this is no ground for an order."""
SAY_EVERY_NS: Final = NS_PER_S
"""Between two records of the same wait."""


class Closer:
    """Closes what the venue shows, under one latch after the other.

    Attributes
    ----------
    waits : dict
        Why an instrument is not being closed at this moment.
    """

    def __init__(
        self,
        account: str,
        closing: Closing,
        recv_window_s: float,
        truth: Truth,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._account, self._closing, self._known_after_ns = account, closing, round((recv_window_s + 0.5) * 1e9)
        self._truth, self._recorder, self._timeline = truth, recorder, timeline
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self.waits: dict[InstrumentId, str] = {}
        self._plan: Plan | None = None
        self._tasks: dict[InstrumentId, asyncio.Task[None]] = {}
        self._said_ns: dict[tuple[InstrumentId, str], int] = {}
        self._only: frozenset[InstrumentId] | None = frozenset()

    def begin(self, generation: int) -> None:
        """A latch under which positions are closed. Slices under way are followed to their end."""
        if self._plan is None or self._plan.generation != generation:
            pending = [] if self._plan is None else self._plan.pending
            self._plan = Plan(self._account, generation, self._closing, self._known_after_ns)
            for one in pending:
                self._plan.left(one, self._monotonic_ns())

    @property
    def pending(self) -> int:
        """Slices whose end nobody knows yet."""
        return 0 if self._plan is None else len(self._plan.pending)

    def leave(self) -> None:
        """Nothing is to be closed any more. Slices that left are followed to their end."""
        self._only = frozenset()
        self.waits.clear()

    def step(self, venue: GuardVenue, only: Collection[InstrumentId] | None = None) -> None:
        """Begin what can be begun, of these positions or of all; slices under way are followed in any case. Nothing is waited for here."""
        plan, read_ns, now_ns = self._plan, self._truth.positions_ns, self._monotonic_ns()
        self._only = None if only is None else frozenset(only)
        if plan is None or read_ns is None:
            return
        held = {one.instrument: one for one in self._truth.positions if self._is_wanted(one.instrument)}
        for name in dict.fromkeys((*held, *(one.instrument for one in plan.pending))):
            if name in self._tasks:
                continue
            if any(one.instrument == name for one in plan.pending):
                self._spawn(name, self._look_up(venue, plan, name))
            elif now_ns - read_ns > READ_AGE_NS:
                self._wait(Wait(instrument=name, held_lots=held[name].lots, why="the position was not read for too long"))
            elif plan.is_ready(name, read_ns=read_ns, now_ns=now_ns):
                self._spawn(name, self._close(venue, plan, name))
        for name in [name for name in self.waits if name not in held]:
            del self.waits[name]

    async def close(self) -> None:
        """Leave what is under way; the venue decides its end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # within -------------------------------------------------------------------------------------------------------------

    def _is_wanted(self, name: InstrumentId) -> bool:
        return self._only is None or name in self._only

    async def _close(self, venue: GuardVenue, plan: Plan, name: InstrumentId) -> None:
        spec = self._truth.records[name]
        depth = await self._depth(venue, name)
        position = next((one for one in self._truth.positions if one.instrument == name), None)
        read_ns, now_ns = self._truth.positions_ns, self._monotonic_ns()
        if position is None or read_ns is None or now_ns - read_ns > READ_AGE_NS:  # the book took long, or this process stood still
            return
        if not self._is_wanted(name):  # its stop came back, or the brake was released, while the book was asked for
            return
        mark_e8 = self._truth.mark_e8(position)
        action = plan.next(spec, position.lots, mark_e8, depth, read_ns=read_ns, now_ns=now_ns)
        if isinstance(action, Wait):
            self._wait(action)
        elif isinstance(action, Slice) and mark_e8 is not None:
            self.waits.pop(spec.instrument_id, None)
            await self._send(venue, plan, spec, action, mark_e8)

    async def _send(self, venue: GuardVenue, plan: Plan, spec: Instrument, one: Slice, mark_e8: int) -> None:
        order = approved(one, plan.generation, spec, mark_e8, self._closing)
        self._recorder.write(
            SliceSent(
                wall_ns=self._wall_ns(), client_order_id=one.client_order_id, instrument=one.instrument, side=one.side,
                qty_lots=one.qty_lots, limit_ticks=one.limit_ticks, mark_e8=mark_e8, held_lots=one.held_lots, attempt=one.attempt,
                generation=plan.generation,
            )
        )  # fmt: skip
        plan.left(one, self._monotonic_ns())
        self._timeline.slices += 1
        answer: Answer
        try:
            answer = await venue.place(order)
        except KedgeError as error:
            answer = Unanswered(error.what)
        plan.answered(one, answer, self._monotonic_ns())
        if isinstance(answer, Taken):
            await self._look_up(venue, plan, one.instrument)
            return
        words = f"{answer.code}: {answer.reason}" if isinstance(answer, Refused) else answer.why
        state = "refused" if isinstance(answer, Refused) else "unanswered"
        self._answered(one, state, 0, words)
        self.waits[one.instrument] = f"the last order was {state}: {words}"
        self._recorder.page(f"CLOSE {one.instrument}", f"closing {one.instrument}: the order was {state}, {words}; it goes on")
        if not isinstance(answer, Refused):
            await self._look_up(venue, plan, one.instrument)

    async def _look_up(self, venue: GuardVenue, plan: Plan, name: InstrumentId) -> None:
        """Ask until the end of the slice is known."""
        pause_s = LOOK_FIRST_S
        while (one := next((one for one in plan.pending if one.instrument == name), None)) is not None:
            asked_ns = self._monotonic_ns()
            try:
                row = await self._truth.within(venue.find_order(name, one.client_order_id))
            except KedgeError as error:
                self.waits[name] = f"nobody knows what became of the last order: {error.what}"
                self._recorder.page(f"CLOSE {name}", f"closing {name}: the last order cannot be looked up, {error.what}; it goes on")
            else:
                state = plan.found(name, asked_ns, row, self._monotonic_ns())
                if state:
                    self.waits.pop(name, None)
                    self._answered(one, state, 0 if row is None else row.cum_lots, "" if row is None else row.reason)
                    return
                if row is not None and plan.lingers(name, self._monotonic_ns()):
                    with suppress(KedgeError):
                        await venue.cancel(name, one.client_order_id)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_MOST_S)

    async def _depth(self, venue: GuardVenue, name: InstrumentId) -> Depth | None:
        try:
            return await self._truth.within(venue.depth(name))
        except KedgeError as error:
            _LOG.warning("the book of %s cannot be had: %s", name, error)
            return None

    def _wait(self, wait: Wait) -> None:
        name, now_ns = wait.instrument, self._monotonic_ns()
        self.waits[name] = wait.why
        self._recorder.page(f"CLOSE {name}", f"{wait.held_lots} lots of {name} cannot be closed now: {wait.why}; it is tried again")
        last_ns = self._said_ns.get((name, wait.why))
        if last_ns is None or now_ns - last_ns >= SAY_EVERY_NS:
            self._said_ns[(name, wait.why)] = now_ns
            self._recorder.write(Waiting(wall_ns=self._wall_ns(), instrument=name, held_lots=wait.held_lots, why=wait.why))

    def _answered(self, one: Slice, state: str, cum_lots: int, words: str) -> None:
        self._recorder.write(
            SliceAnswered(
                wall_ns=self._wall_ns(), client_order_id=one.client_order_id, instrument=one.instrument, state=state, cum_lots=cum_lots,
                words=words,
            )
        )  # fmt: skip

    def _spawn(self, name: InstrumentId, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"closing {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: InstrumentId, done: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            _LOG.error("closing %s: %s", name, error, exc_info=error)
            self._recorder.page(f"CLOSE {name}", f"closing {name} failed and is tried again: {error}")
