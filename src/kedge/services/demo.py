"""The demo rung: the same run as a backtest, over a market that plays at speed and may never end.

Rules: it is labelled demo and synthetic or replay, never promotable; each decision is durable before it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kedge.domain.events import BarClosed, Event
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_S
from kedge.market.grid_bars import bar_events
from kedge.market.synthetic import SyntheticMarket
from kedge.simulation.exchange import FundingRate

CHUNK_BARS = 2_048


class SyntheticFeed:
    """Endless events of a synthetic market; settlements appear in `fundings` as their bars are made.

    Parameters
    ----------
    count : int, optional
        Bars per instrument after which the market ends; None for no end.
    """

    def __init__(
        self, instruments: tuple[Instrument, ...], seed: int, interval_ns: int, start_ts_ns: int, count: int | None = None
    ) -> None:
        self._market = SyntheticMarket(instruments, seed, interval_ns, start_ts_ns)
        self._instruments = {i.instrument_id: i for i in instruments}
        self._count = count
        self.fundings: list[FundingRate] = []

    def events(self) -> Iterator[Event]:
        """Bars in order of close time, then instrument id."""
        first = 0
        while self._count is None or first < self._count:
            size = CHUNK_BARS if self._count is None else min(CHUNK_BARS, self._count - first)
            self._add_fundings(first, size)
            bars = self._market.bars(size, first=first)
            yield from bar_events([(self._instruments[name], one) for name, one in bars.items()])
            first += size

    def _add_fundings(self, first: int, size: int) -> None:
        due = [
            FundingRate(ts_ns, name, rate)
            for name, one in self._market.funding(size, first=first).items()
            for ts_ns, rate in zip(one.ts_ns.tolist(), one.rate_e8.tolist(), strict=True)
        ]
        self.fundings += sorted(due)


def first_bars(events: Iterable[Event], bars: int) -> Iterator[Event]:
    """The events up to the last of so many different bar times."""
    last_ns = seen = 0
    for event in events:
        if isinstance(event, BarClosed) and event.ts_ns > last_ns:
            last_ns, seen = event.ts_ns, seen + 1
        if seen > bars:
            return
        yield event


class Pace(NamedTuple):
    """How venue time follows the wall's: `speed` times as fast, 0 for as fast as it goes."""

    speed: int
    wall_ns: Callable[[], int]
    wait_s: Callable[[float], None]


def paced(events: Iterable[Event], pace: Pace) -> Iterator[Event]:
    """Hold each bar back until its close is due; late bars are not skipped, and lost time is not made up by a burst."""
    if not pace.speed:
        yield from events
        return
    venue_at = wall_at = 0
    for event in events:
        if isinstance(event, BarClosed):
            if not venue_at:
                venue_at, wall_at = event.ts_ns, pace.wall_ns()
            due = wall_at + (event.ts_ns - venue_at) // pace.speed
            left_ns = due - pace.wall_ns()
            if left_ns > 0:
                pace.wait_s(left_ns / NS_PER_S)
            elif left_ns < -NS_PER_S:
                venue_at, wall_at = event.ts_ns, pace.wall_ns()
        yield event
