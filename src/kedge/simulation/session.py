"""A session at the simulated venue: merges market events, the venue's reports and timers into one ordered stream.

It is the gateway too: what the engine wants is handed to the exchange core between two events of the iteration. One
caller drives it: `for event in session: outputs = step(event); session.send(outputs)`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, Event, FundingKnown, InstrumentChanged, RunEnded, TimerFired
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output, StopWanted, TimerSet
from kedge.simulation.exchange import ExchangeCore, FundingRate

PENDING_MAX = 100_000
"""Reports and timers that may wait at once; more means that something sets timers without end."""


class Session:
    """One run against one exchange core.

    Parameters
    ----------
    market : iterable of Event
        Bars, gaps and instrument changes ordered by `ts_ns`, then instrument id.
    fundings : sequence of FundingRate
        Settlements to come, ordered by `ts_ns`, then instrument id.
    tell_funding : bool
        Whether each settlement is told as news of the market too (`FundingKnown`), right before the bars that close then or next:
        for an engine whose features read funding.
    """

    def __init__(self, core: ExchangeCore, market: Iterable[Event], fundings: Sequence[FundingRate], *, tell_funding: bool = False) -> None:
        self._core = core
        self._market = market
        self._fundings = fundings
        self._next_funding = 0
        self._tell_funding = tell_funding
        self._pending: list[tuple[int, int, Event]] = []
        self._timers: dict[str, int] = {}
        self._sent = 0
        self._now_ns = 0
        self._stopped = ""

    def stop(self, reason: str) -> None:
        """End after the present event, as a person asked."""
        self._stopped = reason

    def send(self, outputs: Sequence[Output]) -> None:
        """Carry out what the engine wants: orders, amends, cancels and stops to the venue, timers to the clock; one set again moves."""
        for output in outputs:
            kind = type(output)
            if kind is OrderSent:
                self._push(self._core.place(output.approved.order, self._now_ns))  # type: ignore[union-attr]
            elif kind is CancelSent:
                report = self._core.cancel(output.client_order_id, self._now_ns)  # type: ignore[union-attr]
                if report is not None:
                    self._push(report)
            elif kind is TimerSet:
                self._timers[output.timer_id] = output.due_ts_ns  # type: ignore[union-attr]
                self._push(TimerFired(output.due_ts_ns, output.timer_id))  # type: ignore[union-attr]
            elif kind is AmendSent:
                self._push(self._core.amend(output.client_order_id, output.qty_lots, output.limit_ticks, self._now_ns))  # type: ignore[union-attr]
            elif kind is StopWanted:
                self._push(self._core.set_stop(output.instrument, output.stop_ticks, self._now_ns))  # type: ignore[union-attr]

    def __iter__(self) -> Iterator[Event]:
        close_bars, fundings = self._core.close_bars, self._fundings
        for batch in _instants(self._market):
            if self._stopped:
                break
            first = batch[0]
            close_ns = first.ts_ns
            if type(first) is not BarClosed:
                yield from self._change(first)
                continue
            bars = cast("list[BarClosed]", batch)
            if self._core.has_arrivals or self._pending:
                yield from self._inside(bars, close_ns)
            due = self._next_funding < len(fundings) and fundings[self._next_funding].ts_ns <= close_ns
            settled = self._funding_until(close_ns) if due else []
            for event in close_bars(bars, settled):
                self._now_ns = max(self._now_ns, event.ts_ns)
                yield event
            if self._pending:
                yield from self._due(close_ns)
            self._now_ns = close_ns
            if settled and self._tell_funding:
                yield from (FundingKnown(one.ts_ns, one.instrument, one.rate_e8) for one in settled)
            yield from bars
        yield RunEnded(self._now_ns, self._stopped or "END_OF_DATA")

    def _inside(self, bars: list[BarClosed], close_ns: int) -> Iterator[Event]:
        """What arrives or comes due before the bars close, in order of time; answers may bring more."""
        core = self._core
        while True:
            if core.has_arrivals:
                for report in core.open_bars(bars):
                    self._push(report)
            if not self._pending or self._pending[0][0] >= close_ns:
                return
            yield from self._pop()

    def _change(self, event: Event) -> Iterator[Event]:
        yield from self._due(event.ts_ns)
        self._now_ns = max(self._now_ns, event.ts_ns)
        if isinstance(event, InstrumentChanged):
            yield from self._core.change_instrument(event.instrument, event.ts_ns)
        yield event

    def _due(self, until_ns: int) -> Iterator[Event]:
        while self._pending and self._pending[0][0] <= until_ns:
            yield from self._pop()

    def _pop(self) -> Sequence[Event]:
        """The next report or timer; nothing for a timer that was set anew."""
        ts_ns, _, event = heapq.heappop(self._pending)
        if type(event) is TimerFired:
            if self._timers.get(event.timer_id) != ts_ns:
                return ()
            del self._timers[event.timer_id]
        if ts_ns > self._now_ns:
            self._now_ns = ts_ns
        return (event,)

    def _push(self, event: Event) -> None:
        if len(self._pending) >= PENDING_MAX:
            raise InvalidInput(f"{PENDING_MAX} reports and timers are waiting", why="more than any strategy needs", fix="set fewer timers")
        self._sent += 1
        heapq.heappush(self._pending, (event.ts_ns, self._sent, event))

    def _funding_until(self, until_ns: int) -> list[FundingRate]:
        """Settlements due at or before `until_ns`, each once."""
        start = at = self._next_funding
        while at < len(self._fundings) and self._fundings[at].ts_ns <= until_ns:
            at += 1
        self._next_funding = at
        return list(self._fundings[start:at])


def _instants(market: Iterable[Event]) -> Iterator[list[Event]]:
    """Bars that close at one time together; every other event by itself."""
    batch: list[Event] = []
    batch_ns = -1
    for event in market:
        if batch and (event.ts_ns != batch_ns or type(event) is not BarClosed):
            yield batch
            batch = []
        if type(event) is BarClosed:
            batch.append(event)
            batch_ns = event.ts_ns
        else:
            yield [event]
    if batch:
        yield batch
