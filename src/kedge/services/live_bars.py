"""Bars on their way into the engine of a live trader: through the gate, holes filled from history, the past recognised as past."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, TimerFired
from kedge.domain.venue import TradingVenue
from kedge.services.bar_gate import BarGate, MarketEvent
from kedge.services.live_core import LiveCore

CATCH_UP_TIMER: Final = "catch-up"
"""Fires before bars of the past are handed over, so that the engine knows the time and refuses to trade on their prices."""

FIRST_WAIT_S: Final = 0.2
"""So long a process waits for its first bars: what the exchange sent before it listened does not come, and history has it."""

_log: Final = logging.getLogger("kedge.live")


class Bars:
    """The market's way into one engine.

    Parameters
    ----------
    in_step : bool
        In lock-step bars wait until their instant is released, and move no clock by themselves.
    spawn : callable
        Starts a task whose failure stops the trader.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        gate: BarGate,
        interval_ns: int,
        *,
        in_step: bool,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.gate = gate
        self._core, self._venue, self._interval_ns, self._in_step, self._spawn = core, venue, interval_ns, in_step, spawn
        self._catching: asyncio.Task[None] | None = None
        self._held = False
        self.last: BarClosed | None = None

    def take(self, event: MarketEvent) -> None:
        """A bar, a gap or a settled rate has arrived."""
        if not self._in_step:
            self._core.clock.saw(event.ts_ns)
            if isinstance(event, BarClosed) and self.gate.passes(event):
                self._step(event)
                return
        self.gate.hold(event)
        self._core.changed.set()
        if not self._in_step:
            self._catch_up_soon()

    def rates_missed(self) -> None:
        """The public stream was away: settlements of that time are asked of history before the next bar."""
        self.gate.rates_missed()

    def open(self) -> None:
        """The books agree, or trading is halted: bars may pass."""
        self.gate.is_open = not self._held
        if not self._in_step:
            self._catch_up_soon()

    def close(self) -> None:
        """We are blind: bars wait."""
        self.gate.is_open = False

    def hold(self) -> None:
        """The trader is being stopped: no bar passes any more."""
        self._held, self.gate.is_open = True, False

    def release(self) -> None:
        """Hand over what waited, where the gate is open."""
        core = self._core
        events = self.gate.release()
        first = next((event for event in events if not isinstance(event, FundingKnown)), None)
        if first is not None and first.ts_ns <= core.now_ns() - self._interval_ns:
            core.step(TimerFired(core.now_ns(), CATCH_UP_TIMER))
        for event in events:
            self._step(event)

    async def arrived(self, ts_ns: int, bars: int, wait_s: float, drain: Callable[[], int]) -> None:
        """In lock-step: wait for the bars of an instant, of which the exchange has sent `bars`; what does not come is asked for."""
        expected = min(bars, len(self._core.state.by_index)) if ts_ns % self._interval_ns == 0 else 0
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s if self.last is not None else min(wait_s, FIRST_WAIT_S)):
                while drain() >= 0 and self.gate.held_at(ts_ns) < expected:
                    self._core.changed.clear()
                    await self._core.changed.wait()
        if self.gate.held_at(ts_ns) < expected:
            await self._ask(ts_ns)
        await self.fill_holes()

    async def fill_holes(self) -> None:
        """Fetch what is missing before what waits, settlements too; bars that history does not have become a gap."""
        for hole in self.gate.holes():
            bars: Sequence[BarClosed] = ()
            try:
                bars = await self._venue.bars(hole.instrument, hole.from_ts_ns, hole.to_ts_ns)
            except VenueUnavailable as error:
                _log.warning("bars not fetched: %s", error, extra={"event": "bars_missing", "instrument": hole.instrument})
            self.gate.fill(hole, bars)
        for hole in self.gate.rate_holes():
            try:
                self.gate.fill_rates(hole, await self._venue.funding_rates(hole.instrument, hole.from_ts_ns, hole.to_ts_ns))
            except VenueUnavailable as error:  # asked again before the next bar; until then the rate is as it was
                _log.warning("funding not fetched: %s", error, extra={"event": "funding_missing", "instrument": hole.instrument})

    async def _ask(self, ts_ns: int) -> None:
        for slot in self._core.state.by_index:
            last = self.gate.last_ts_ns(slot.instrument)
            with suppress(VenueUnavailable):
                for bar in await self._venue.bars(slot.instrument, last or ts_ns - self._interval_ns, ts_ns):
                    self.gate.hold(bar)

    def _catch_up_soon(self) -> None:
        if self.gate.is_open and self.gate.waiting and (self._catching is None or self._catching.done()):
            self._catching = self._spawn(self._catch_up())

    async def _catch_up(self) -> None:
        while self.gate.waiting and self.gate.is_open:
            await self.fill_holes()
            self.release()

    def _step(self, event: MarketEvent) -> None:
        if isinstance(event, BarClosed):
            self.last = event
        self._core.step(event)
