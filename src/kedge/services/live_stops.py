"""The stop of every position, put at the venue and seen to lie there.

What is wanted, and what the venue has shown, stands in the engine's state; this carries the one to the other. Rules: one request at a
time for each instrument, and the newest wish wins. An answer is no proof: the stop counts when the venue's own row of the position shows
it, on the private stream or in its list. A request without an answer, or one that was refused, is followed by a look at the list, then by
another try. A position that has stood for `deadline_ns` of wall time without the stop it should have is reported to the engine, which
closes it; and again after as long, for as long as it stands so. Where the venue refuses a stop that the price has passed, and its list
shows the position without one, there is nothing to wait for: that is reported at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from kedge.domain.errors import KedgeError, MarketGone
from kedge.domain.events import Event, OrderFilled, StopPlaced, StopUnconfirmed
from kedge.domain.outputs import Output, StopWanted
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Answer, Refused, Taken, TradingVenue, Unanswered, VenuePosition
from kedge.engine.state import Slot
from kedge.engine.stops import SAME_POSITION
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import one_market

_log: Final = logging.getLogger("kedge.live")

ASKED_KEPT: Final = 8
"""Stops asked for that are known again when the venue shows one late."""

_NEVER: Final[int | None] = None
_NOTHING_YET: Final = "nothing was answered yet"

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class StopPace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take, in wall time.

    Attributes
    ----------
    deadline_ns : int
        How long a position may stand without the stop it should have before it is to be closed.
    last_look_ns : int
        So long before the deadline the venue is asked once more, and so long it may take to answer.
    shown_within_s : float
        How long the private stream may take to show a stop that the venue took, before its list is read.
    retry_first_s, retry_max_s : float
        The wait before another try; it doubles from the first to the second.
    """

    deadline_ns: int = 5 * NS_PER_S
    last_look_ns: int = NS_PER_S
    shown_within_s: float = 0.5
    retry_first_s: float = 0.1
    retry_max_s: float = 2.0


class _Care:
    """One instrument's stop: what is being done about it, and since when the position has been without it.

    Attributes
    ----------
    side : int
        Which side is held without its stop: 1, -1, or 0 for a stop that lies at no position.
    since_ns : int or None
        Since when, on the wall's clock; None while all is as it should be.
    asked : deque of int
        Stops, in ticks, that were asked for last.
    is_told : bool
        Whether it was reported ahead of its deadline.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot, self.side, self.since_ns = slot, 0, _NEVER
        self.why, self.is_told = _NOTHING_YET, False
        self.asked: deque[int] = deque(maxlen=ASKED_KEPT)
        self.shown_ns = 0
        self.moved = asyncio.Event()
        self.carrying: asyncio.Task[None] | None = None
        self.watching: asyncio.Task[None] | None = None

    @property
    def missing(self) -> int | None:
        """The stop, in ticks, that should lie at the venue and was not shown there; None where all is as it should be."""
        slot = self.slot
        if slot.position_lots:
            wanted = slot.stop_wanted_ticks
            return wanted if wanted and wanted != slot.stop_placed_ticks else None
        return 0 if slot.stop_placed_ticks else None


class Stops:
    """Puts the stops of one trader's positions at its venue.

    Parameters
    ----------
    spawn : callable
        Starts a task whose failure stops the trader.
    monotonic_ns : callable
        The wall's clock that the deadline is measured on.
    want : callable
        Asks for the books to be compared soon, with the reason.
    same_market : callable
        Raises where what the venue has just said was said by another market.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        spawn: Spawn,
        monotonic_ns: Callable[[], int],
        pace: StopPace,
        *,
        want: Callable[[str], None],
        same_market: Callable[[], Awaitable[None]] = one_market,
    ) -> None:
        self._core, self._venue, self._spawn, self._monotonic_ns, self._pace = core, venue, spawn, monotonic_ns, pace
        self._want, self._same_market = want, same_market
        self._cares = {slot.instrument: _Care(slot) for slot in core.state.by_index}

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """What is being carried to the venue; a task ends when the venue shows what is wanted."""
        return [care.carrying for care in self._cares.values() if care.carrying is not None and not care.carrying.done()]

    @property
    def missing(self) -> dict[str, float]:
        """Instruments whose position stands without its stop, and for how many seconds."""
        now_ns = self._monotonic_ns()
        held = {name: care for name, care in self._cares.items() if care.side}
        return {name: (now_ns - care.since_ns) / NS_PER_S for name, care in held.items() if care.since_ns is not None}

    def want(self, wanted: StopWanted) -> None:
        """Carry out a wish of the engine, which stands in its state already."""
        self._look_after(self._cares[wanted.instrument])

    def saw(self, event: Event, outputs: Sequence[Output]) -> None:
        """A step was taken. Rows from before the trade that opened a position, or turned it round, are of another one."""
        if isinstance(event, OrderFilled):
            for output in outputs:
                if isinstance(output, StopWanted) and output.reason not in SAME_POSITION:
                    care = self._cares[output.instrument]
                    care.shown_ns = max(care.shown_ns, event.ts_ns)

    def arm(self) -> None:
        """Take up what a recovered state wants and the venue has not shown."""
        for care in self._cares.values():
            self._look_after(care)

    def shown(self, position: VenuePosition) -> None:
        """The venue shows a position. One older than the last one shown, or other than the one in our books, tells nothing of a stop."""
        care = self._cares.get(position.instrument)
        if care is None or position.ts_ns < care.shown_ns:
            return
        care.shown_ns = position.ts_ns
        if _side(position.lots) != _side(care.slot.position_lots):
            return
        if position.stop_loss_ticks != care.slot.stop_placed_ticks:
            if position.stop_loss_ticks and position.stop_loss_ticks in care.asked and care.since_ns is not None:
                care.since_ns = self._monotonic_ns()  # it has a stop of ours; what is wanted has moved on since
            self._core.step(StopPlaced(position.ts_ns, position.instrument, position.stop_loss_ticks))
        self._look_after(care)

    def shown_all(self, positions: Sequence[VenuePosition]) -> None:
        """The venue's whole list of positions that are not flat."""
        for position in positions:
            self.shown(position)

    # one instrument -----------------------------------------------------------------------------------------------------

    def _look_after(self, care: _Care) -> None:
        """Begin, go on, or end carrying a stop to where it should be."""
        care.moved.set()
        if care.missing is None:
            care.side, care.since_ns, care.why, care.is_told = 0, _NEVER, _NOTHING_YET, False
            if care.watching is not None:
                care.watching.cancel()
                care.watching = None
            return
        side = _side(care.slot.position_lots)
        if care.since_ns is None or care.side != side:  # another position: its time begins now
            care.side, care.since_ns, care.is_told = side, self._monotonic_ns(), False
        if care.carrying is None or care.carrying.done():
            care.carrying = self._spawn(self._carry(care))
        if care.watching is None:
            care.watching = self._spawn(self._watch(care))

    async def _carry(self, care: _Care) -> None:
        wait_s = self._pace.retry_first_s
        while (ticks := care.missing) is not None:
            care.asked.append(ticks)
            answer = await self._ask(care, ticks)
            if isinstance(answer, Taken):
                care.why = "the venue took it and does not show it"
                await self._until_shown(care, ticks)
            else:
                care.why = _why(answer)
                _log.warning("stop not taken: %s", care.why, extra={"event": "stop_not_taken", "instrument": care.slot.instrument})
            if care.missing == ticks:
                was_looked_up = await self._look(care)
                if was_looked_up and isinstance(answer, Refused) and care.since_ns is not None and self._is_passed(care, ticks):
                    care.is_told = True
                    self._report(care, care.since_ns)
            if care.missing == ticks:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._pace.retry_max_s)

    async def _ask(self, care: _Care, ticks: int) -> Answer:
        """The venue's answer; whatever goes wrong on the way, nobody knows whether the stop lies there."""
        try:
            return await self._venue.set_stop_loss(care.slot.instrument, ticks)
        except KedgeError as error:
            return Unanswered(error.what)

    async def _until_shown(self, care: _Care, ticks: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.shown_within_s):
                while care.missing == ticks:
                    care.moved.clear()
                    await care.moved.wait()

    def _is_passed(self, care: _Care, ticks: int) -> bool:
        """Whether the position stands where this stop would have ended it, which nobody was told yet."""
        mark_ticks = int(self._core.state.marks[care.slot.index])
        return not care.is_told and care.missing == ticks and mark_ticks > 0 and care.side * (mark_ticks - ticks) < 0

    async def _look(self, care: _Care) -> bool:
        """Ask for the venue's positions. One that is not held there needs no stop: its time begins when it is. Whether it answered."""
        try:
            async with asyncio.timeout(self._pace.last_look_ns / NS_PER_S):
                positions = await self._venue.positions()
                await self._same_market()
        except MarketGone:
            raise
        except (KedgeError, TimeoutError) as error:
            _log.info("positions not shown: %s", error, extra={"event": "stop_not_looked_up", "instrument": care.slot.instrument})
            return False
        self.shown_all(positions)
        theirs = next((_side(one.lots) for one in positions if one.instrument == care.slot.instrument), 0)
        if care.side and theirs != care.side:
            care.since_ns = self._monotonic_ns()
            self._want("position")
            return False
        return True

    async def _watch(self, care: _Care) -> None:
        """Report the position each time it has stood for the whole deadline."""
        pace = self._pace
        while (since_ns := care.since_ns) is not None:
            await self._sleep_until(since_ns + pace.deadline_ns - pace.last_look_ns)
            if care.side and care.since_ns == since_ns:
                await self._look(care)
            await self._sleep_until(since_ns + pace.deadline_ns)
            if care.since_ns == since_ns:
                self._report(care, since_ns)

    def _report(self, care: _Care, since_ns: int) -> None:
        care.since_ns = now_ns = self._monotonic_ns()
        if care.side:  # what lies at no position harms nobody
            name = care.slot.instrument
            _log.error("position without its stop: %s", care.why, extra={"event": "stop_unconfirmed", "instrument": name})
            self._core.step(StopUnconfirmed(self._core.now_ns(), name, now_ns - since_ns, care.why))

    async def _sleep_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._monotonic_ns()) > 0:
            await asyncio.sleep(max(0.001, left_ns / NS_PER_S))


def _side(lots: int) -> int:
    return (lots > 0) - (lots < 0)


def _why(answer: Refused | Unanswered) -> str:
    return f"unanswered: {answer.why}" if isinstance(answer, Unanswered) else f"refused: {answer.code} {answer.reason}"
