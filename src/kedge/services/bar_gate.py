"""The gate before the engine through which bars pass: in order, each once, without holes that nobody knows of, and only while it is open.

Rules: it is closed until the venue's books and ours have been compared, and again whenever we were blind. Bars that waited are handed
over in order of time, then instrument. Where bars are missing, history is asked; what history does not have becomes a `FeedGap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kedge.domain.events import BarClosed, FeedGap
from kedge.domain.instrument import InstrumentId

MarketEvent = BarClosed | FeedGap


class Hole(NamedTuple):
    """Bars of one instrument that end within `(from_ts_ns, to_ts_ns]` are missing."""

    instrument: InstrumentId
    from_ts_ns: int
    to_ts_ns: int


class BarGate:
    """What waits in front of one engine.

    Parameters
    ----------
    last_ts_ns : mapping of instrument to int
        Close of the last bar that the engine has had of each; 0 for none.
    interval_ns : int
        Length of a bar.
    history_bars : int
        Bars to fetch from history before the first one of an instrument.
    """

    def __init__(self, last_ts_ns: Mapping[InstrumentId, int], interval_ns: int, *, history_bars: int = 0) -> None:
        self.is_open = False
        self._last = dict(last_ts_ns)
        self._interval_ns, self._history_bars = interval_ns, history_bars
        self._waiting: list[MarketEvent] = []

    @property
    def waiting(self) -> int:
        """Bars and gaps that wait."""
        return len(self._waiting)

    def passes(self, bar: BarClosed) -> bool:
        """Whether this bar may go straight on: open, nothing waits, and it follows the last one of its instrument without a hole."""
        last = self._last.get(bar.instrument)
        if last is None or not self.is_open or self._waiting or bar.ts_ns <= last or self._from(bar, last) < bar.open_ts_ns:
            return False
        self._last[bar.instrument] = bar.ts_ns
        return True

    def hold(self, event: MarketEvent) -> None:
        """Let this event wait; one of the past, or of an instrument that is not traded, is dropped."""
        last = self._last.get(event.instrument)
        if last is not None and event.ts_ns > last:
            self._waiting.append(event)

    def holes(self) -> list[Hole]:
        """What has to be fetched before what waits may go on."""
        found: list[Hole] = []
        last = dict(self._last)
        for event in sorted(self._waiting, key=_order):
            name = event.instrument
            if isinstance(event, BarClosed) and (start := self._from(event, last[name])) < event.open_ts_ns:
                found.append(Hole(name, start, event.open_ts_ns))
            last[name] = max(last[name], event.ts_ns)
        return found

    def fill(self, hole: Hole, bars: Iterable[BarClosed]) -> None:
        """What history gave for a hole; what it did not give becomes a gap where bars came before."""
        known = [bar for bar in bars if hole.from_ts_ns < bar.ts_ns <= hole.to_ts_ns]
        at = hole.from_ts_ns
        if not self._last[hole.instrument]:  # nothing was promised: what there is is the beginning
            at = self._last[hole.instrument] = known[0].open_ts_ns if known else hole.to_ts_ns
        for bar in known:
            self._gap(hole.instrument, at, bar.open_ts_ns)
            self._waiting.append(bar)
            at = bar.ts_ns
        self._gap(hole.instrument, at, hole.to_ts_ns)

    def release(self) -> list[MarketEvent]:
        """Everything that waits and may go on, in order; nothing while the gate is closed."""
        if not self.is_open:
            return []
        ready, self._waiting = sorted(self._waiting, key=_order), []
        passed: list[MarketEvent] = []
        for event in ready:
            if event.ts_ns > self._last[event.instrument]:
                self._last[event.instrument] = event.ts_ns
                passed.append(event)
        return passed

    def last_ts_ns(self, instrument: InstrumentId) -> int:
        """Close of the newest bar that was let through; 0 for none."""
        return self._last[instrument]

    def held_at(self, ts_ns: int) -> int:
        """How many instruments have their bar or gap of this instant, waiting or let through."""
        here = {event.instrument for event in self._waiting if event.ts_ns >= ts_ns}
        return len(here | {name for name, last in self._last.items() if last >= ts_ns})

    def _from(self, bar: BarClosed, last: int) -> int:
        return last or max(0, bar.open_ts_ns - self._history_bars * self._interval_ns)

    def _gap(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> None:
        if from_ts_ns < to_ts_ns:
            self._waiting.append(FeedGap(to_ts_ns, instrument, from_ts_ns))


def _order(event: MarketEvent) -> tuple[int, InstrumentId, bool]:
    return event.ts_ns, event.instrument, isinstance(event, BarClosed)
