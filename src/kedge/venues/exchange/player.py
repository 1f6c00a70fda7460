"""Plays a market into the venue: recorded or synthetic bars as seeded price steps, paced by the wall, in step with whoever registered.

Rules: what is played depends on the bars and the seed alone, never on the speed. Everybody hears of a step before the next one, and
the event loop runs between any two. A hole in the bars lets time pass and is counted; a change of an instrument is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, Event, FeedGap, InstrumentChanged
from kedge.domain.units import NS_PER_S
from kedge.market.intervals import utc_text
from kedge.simulation.venue_types import PriceStep
from kedge.venues.exchange.clocks import PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.prices_funding import FundingFeed

STEPS_PER_BAR: Final = 16
"""Prices that a bar is played in; fewer where it holds fewer lots, so that every step trades."""
STEPS_MIN: Final = 4
"""A path has four corners."""
STEPS_MAX: Final = 64
_PULSE_NS: Final = NS_PER_S // 10
"""Between steps that are far apart time is let pass this often (wall), so that klines close and tickers come on time."""

_log: Final = logging.getLogger("kedge.exchange")


class Instant(NamedTuple):
    """What ends at one close time: the bars of all instruments, and where bars are missing."""

    ts_ns: int
    bars: list[BarClosed]
    gaps: list[FeedGap]


def instants(events: Iterable[Event]) -> Iterator[Instant]:
    """Events grouped by their time.

    Raises
    ------
    InvalidInput
        An instrument changes its grid, or an event that no price source has.
    """
    for ts_ns, group in groupby(events, key=lambda event: event.ts_ns):
        together = list(group)
        for event in together:
            if isinstance(event, InstrumentChanged):
                name = event.instrument.instrument_id
                raise InvalidInput(
                    f"{name} changes its tick or lot at {utc_text(ts_ns // 1_000_000)}",
                    why="open orders and positions of a running exchange cannot be put on another grid",
                    fix="cut the file at that time and play one part",
                )
        bars = [event for event in together if isinstance(event, BarClosed)]
        gaps = [event for event in together if isinstance(event, FeedGap)]
        if len(bars) + len(gaps) < len(together):
            raise InvalidInput(f"an event at {ts_ns} is neither bar nor gap", why="a price source gives nothing else", fix="filter it")
        yield Instant(ts_ns, bars, gaps)


class Player:
    """One market on its way through the venue.

    Parameters
    ----------
    hall : Hall
        Its clock must be `clock`.
    events : iterable of Event
        Bars and gaps, ordered by time, then instrument.
    funding : FundingFeed
    control : Control
    steps : int
        Price steps of a bar, at least 4.
    wait_for : int
        Registrations to wait for before anything but the opening prices is played.
    """

    def __init__(
        self,
        hall: Hall,
        clock: PlayClock,
        events: Iterable[Event],
        funding: FundingFeed,
        control: Control,
        *,
        steps: int = STEPS_PER_BAR,
        wait_for: int = 0,
    ) -> None:
        if steps < STEPS_MIN:
            raise InvalidInput(f"{steps} steps a bar", why="a path has four corners", fix=f"play at least {STEPS_MIN}")
        self._hall, self._clock, self._funding, self._control = hall, clock, funding, control
        self._steps, self._wait_for = steps, wait_for
        self._instants = instants(events)
        self._script: deque[tuple[int, str, PriceStep]] = deque()
        self._present: Instant | None = None
        self.bars = self.gaps = 0
        self.playing = self.ended = False
        self.failed = ""

    @property
    def paused_why(self) -> str:
        """Whom the market is waiting for, beyond patience; empty while it is not."""
        return self._control.paused_why

    async def prime(self) -> None:
        """Feed the opening prices, so that whoever comes first finds a market.

        Raises
        ------
        InvalidInput
            There is no bar to play.
        """
        if not self._next() or not self._script:
            raise InvalidInput("the market holds no bar", why="an exchange without prices cannot trade", fix="name another file or span")
        opening = self._script[0][0]
        self._clock.reach(opening)
        self._funding.foretell(self._hall.venue)
        while self._script and self._script[0][0] == opening:
            self._step()
        self._clock.freeze()

    async def play(self) -> None:
        """Play to the end of the market; the exchange then stands still at its last prices."""
        await self._control.wait_registered(self._wait_for)
        self._clock.thaw()
        self.playing = True
        try:
            while self._present is not None:
                await self._play_instant(self._present)
                if not self._next():
                    break
        except Exception as error:
            self.failed = str(error) or type(error).__name__
            raise
        finally:
            self.playing = False
            self._clock.freeze()
        self.ended = True
        self._control.end(self._clock.venue_ns())
        _log.info("market ended after %d bars", self.bars, extra={"kedge_fields": {"event": "market_ended", "bars": self.bars}})

    async def _play_instant(self, instant: Instant) -> None:
        while self._script:
            await self._reach(self._script[0][0])
            self._step()
        await self._reach(instant.ts_ns)
        self._pass_time(instant.ts_ns)
        self.bars += len(instant.bars)
        if instant.bars:
            self._control.release(instant.ts_ns, len(instant.bars))
            if self._control.is_waiting_needed:
                self._clock.freeze()
                await self._control.wait_acknowledged()
                self._clock.thaw()

    async def close(self) -> None:
        """Nothing is held."""

    def _next(self) -> bool:
        """Take the next instant and write its script; False at the end."""
        instant = self._present = next(self._instants, None)
        if instant is None:
            return False
        self._funding.refresh()
        for gap in instant.gaps:
            self.gaps += 1
            _log.warning(
                "no bars of %s from %s to %s: time passes without prices",
                gap.instrument, utc_text(gap.from_ts_ns // 1_000_000), utc_text(gap.ts_ns // 1_000_000),
                extra={"kedge_fields": {"event": "market_gap", "instrument": gap.instrument}},
            )  # fmt: skip
        self._script = self._script_of(instant.bars)
        return True

    def _script_of(self, bars: Sequence[BarClosed]) -> deque[tuple[int, str, PriceStep]]:
        """Steps of all bars in order of time, then instrument."""
        venue = self._hall.venue
        found = (
            (step.ts_ns, bar.instrument, step)
            for bar in bars
            for step in venue.bar_steps(bar, min(self._steps, max(STEPS_MIN, bar.volume_lots)))
        )
        return deque(sorted(found, key=lambda point: point[:2]))

    def _step(self) -> None:
        _, name, step = self._script.popleft()
        self._hall.venue.play_step(name, step)
        self._hall.publish()

    async def _reach(self, ts_ns: int) -> None:
        """Let time reach an instant, through every settlement on the way."""
        while (due_ns := self._funding.due_ns) <= ts_ns:
            self._funding.fix(self._hall.venue)
            self._hall.publish()
            await self._until(due_ns)
            self._funding.settle(self._hall.venue)
            self._hall.publish()
        await self._until(ts_ns)

    async def _until(self, ts_ns: int) -> None:
        clock = self._clock
        clock.announce(ts_ns)
        left_ns = clock.left_ns(ts_ns)
        if left_ns <= 0:
            await asyncio.sleep(0)
        while left_ns > 0:
            await asyncio.sleep(min(left_ns, _PULSE_NS) / NS_PER_S)
            left_ns = clock.left_ns(ts_ns)
            if left_ns > 0:
                self._pass_time(clock.venue_ns())
        clock.reach(ts_ns)

    def _pass_time(self, ts_ns: int) -> None:
        self._hall.venue.advance(ts_ns)
        self._hall.publish()
