"""The gate before the engine through which bars pass: in order, each once, without holes that nobody knows of, and only while it is open.

Rules: it is closed until the venue's books and ours have been compared, and again whenever we were blind. Bars that waited are handed
over in order of time, then instrument. Where bars are missing, history is asked; what history does not have becomes a `FeedGap`.
A settled funding rate waits for the first bar of its instrument that closes at that instant or later, and goes right before it, so that
no bar ever knows a rate of its future; one that is told late goes before the next bar. Each settlement passes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from kedge.domain.events import BarClosed, FeedGap, FundingKnown
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_DAY

MarketEvent = BarClosed | FeedGap | FundingKnown

RATES_BEFORE_NS: Final = 3 * NS_PER_DAY
"""How far before the first bar settlements are asked for, so that its rate is known; funding settles at least once a day."""

RATES_ASKS: Final = 3
"""How many bars in a row ask history after an interruption: it may hold a settlement of this moment only a little later."""


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
    settled_ts_ns : mapping of instrument to int, optional
        The last settlement that the engine has had of each, 0 for none. None where nobody wants to know of settlements.
    """

    def __init__(
        self,
        last_ts_ns: Mapping[InstrumentId, int],
        interval_ns: int,
        *,
        history_bars: int = 0,
        settled_ts_ns: Mapping[InstrumentId, int] | None = None,
    ) -> None:
        self.is_open = False
        self._settled = None if settled_ts_ns is None else dict(settled_ts_ns)
        self._rates: list[FundingKnown] = []
        self._unasked: dict[InstrumentId, int] = dict.fromkeys(self._settled or (), 1)
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
        if bar.instrument in self._unasked or any(rate.ts_ns <= bar.ts_ns for rate in self._rates):
            return False
        self._last[bar.instrument] = bar.ts_ns
        return True

    def hold(self, event: MarketEvent) -> None:
        """Let this event wait; one of the past, or of an instrument that is not traded, is dropped."""
        last = self._last.get(event.instrument)
        if isinstance(event, FundingKnown):
            if self._settled is not None and event.ts_ns > self._settled.get(event.instrument, event.ts_ns):
                self._hold_rate(event)
        elif last is not None and event.ts_ns > last:
            self._waiting.append(event)

    def _hold_rate(self, event: FundingKnown) -> None:
        """Keep it, unless the same settlement waits already."""
        if not any((rate.ts_ns, rate.instrument) == (event.ts_ns, event.instrument) for rate in self._rates):
            self._rates.append(event)

    def rates_missed(self) -> None:
        """Settlements may have been missed: history is to be asked before each of the next bars of each instrument."""
        self._unasked = dict.fromkeys(self._settled or (), RATES_ASKS)

    def rate_holes(self) -> list[Hole]:
        """Spans of settlements to ask for before what waits may go on; to be called when the bars' own holes are filled."""
        found: list[Hole] = []
        for name in sorted(self._unasked):
            times = [event.ts_ns for event in self._waiting if event.instrument == name]
            if times and self._settled is not None:
                known = self._settled[name]
                found.append(Hole(name, max(0, known or min(times) - RATES_BEFORE_NS), max(times)))
        return found

    def fill_rates(self, hole: Hole, rates: Iterable[FundingKnown]) -> None:
        """What history gave for a span of settlements."""
        left = self._unasked.pop(hole.instrument, 0) - 1
        if left > 0:
            self._unasked[hole.instrument] = left
        for rate in rates:
            self.hold(rate)

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
        ready, self._waiting = sorted([*self._waiting, *self._due_rates()], key=_order), []
        passed: list[MarketEvent] = []
        for event in ready:
            last = self._last if not isinstance(event, FundingKnown) else self._settled
            if last is not None and event.ts_ns > last[event.instrument]:
                last[event.instrument] = event.ts_ns
                passed.append(event)
        return passed

    def _due_rates(self) -> list[FundingKnown]:
        """Settlements whose bar is there; they wait no more."""
        until: dict[InstrumentId, int] = {}
        for event in self._waiting:
            until[event.instrument] = max(event.ts_ns, until.get(event.instrument, 0))
        due = [rate for rate in self._rates if rate.ts_ns <= until.get(rate.instrument, -1)]
        self._rates = [rate for rate in self._rates if rate not in due]
        return due

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


def _order(event: MarketEvent) -> tuple[int, InstrumentId, int]:
    rank = 0 if isinstance(event, FundingKnown) else 2 if isinstance(event, BarClosed) else 1
    return event.ts_ns, event.instrument, rank
