"""Settled rates at the gate: each waits for the bar that closes at its instant or later, passes once, and never ahead of an older bar."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

from tests.builders import AAA, BBB, HOUR, MINUTE, T0, bar

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, TimerFired
from kedge.services.bar_gate import RATES_BEFORE_NS, BarGate, Hole
from kedge.services.live_bars import Bars


def rate(minute: int, rate_e8: int = 100, name: str = AAA) -> FundingKnown:
    return FundingKnown(T0 + minute * MINUTE, name, rate_e8)


def opened(last: dict[str, int], settled: dict[str, int] | None) -> BarGate:
    gate = BarGate(last, MINUTE, settled_ts_ns=settled)
    gate.is_open = True
    return gate


def asked(gate: BarGate) -> BarGate:
    """A gate whose history of settlements was asked for and is empty."""
    gate.fill_rates(Hole(AAA, 0, 0), [])
    gate.fill_rates(Hole(BBB, 0, 0), [])
    return gate


def test_a_rate_goes_right_before_the_bar_that_closes_at_its_instant() -> None:
    gate = asked(opened({AAA: T0}, {AAA: 0}))
    gate.hold(rate(2))
    assert gate.waiting == 0
    assert gate.passes(bar(1))
    assert not gate.passes(bar(2))
    gate.hold(bar(2))
    assert gate.release() == [rate(2), bar(2)]
    assert gate.passes(bar(3))


def test_a_rate_told_late_goes_before_the_next_bar_and_each_passes_once() -> None:
    gate = asked(opened({AAA: T0 + 3 * MINUTE}, {AAA: T0}))
    for one in (rate(3), rate(3, 999), rate(0)):
        gate.hold(one)
    gate.hold(bar(4))
    assert gate.release() == [rate(3), bar(4)]
    gate.hold(rate(3))
    gate.hold(bar(5))
    assert gate.release() == [bar(5)]


def test_no_rate_passes_before_older_bars_of_its_instrument() -> None:
    gate = asked(opened({AAA: T0, BBB: T0}, {AAA: 0, BBB: 0}))
    gate.hold(rate(3, name=BBB))
    gate.hold(bar(3))
    gate.hold(bar(1, 1_000, BBB))
    assert gate.release() == [bar(1, 1_000, BBB), bar(3)]
    gate.hold(bar(3, 1_000, BBB))
    gate.hold(bar(2, 1_000, BBB))
    assert gate.release() == [bar(2, 1_000, BBB), rate(3, name=BBB), bar(3, 1_000, BBB)]


def test_nothing_passes_before_history_was_asked_for_what_settled_before_it() -> None:
    gate = opened({AAA: 0}, {AAA: 0})
    assert not gate.passes(bar(1))
    assert gate.rate_holes() == []
    gate.hold(bar(1))
    gate.hold(bar(2))
    (hole,) = gate.rate_holes()
    assert hole == Hole(AAA, max(0, T0 + MINUTE - RATES_BEFORE_NS), T0 + 2 * MINUTE)
    gate.fill_rates(hole, [rate(-60), rate(2)])
    assert gate.rate_holes() == []
    assert gate.release() == [rate(-60), bar(1), rate(2), bar(2)]


def test_after_a_silence_history_is_asked_from_the_last_known_settlement() -> None:
    gate = asked(opened({AAA: T0}, {AAA: T0 - HOUR}))
    gate.rates_missed()
    gate.hold(bar(1))
    assert gate.rate_holes() == [Hole(AAA, T0 - HOUR, T0 + MINUTE)]


def test_history_that_holds_a_settlement_only_a_little_later_is_asked_again_by_the_next_bars() -> None:
    gate = asked(opened({AAA: T0}, {AAA: T0 - HOUR}))
    gate.rates_missed()
    got = []
    for minute, rates in ((1, []), (2, [rate(1)]), (3, [rate(1)])):
        assert not gate.passes(bar(minute))
        gate.hold(bar(minute))
        (hole,) = gate.rate_holes()
        gate.fill_rates(hole, rates)
        got += gate.release()
    assert got == [bar(1), rate(1), bar(2), bar(3)]
    assert gate.passes(bar(4))


def test_where_nobody_reads_funding_rates_are_dropped_and_nothing_is_asked() -> None:
    gate = opened({AAA: T0}, None)
    gate.rates_missed()
    gate.hold(rate(1))
    assert gate.passes(bar(1))
    gate.hold(rate(2))
    gate.hold(bar(2))
    assert gate.rate_holes() == []
    released = gate.release()
    assert released == [bar(2)]
    assert isinstance(released[0], BarClosed)


def test_a_rate_of_an_instrument_that_is_not_traded_is_dropped() -> None:
    gate = asked(opened({AAA: T0}, {AAA: 0}))
    gate.hold(rate(1, name=BBB))
    gate.hold(bar(1))
    assert gate.release() == [bar(1)]


# on their way into an engine -------------------------------------------------------------------------------------------


class Core:
    """What bars are handed to: keeps the events."""

    def __init__(self, now_ns: int) -> None:
        self.changed, self.events, self.now = asyncio.Event(), [], now_ns
        self.clock = SimpleNamespace(saw=lambda _: None)
        self.state = SimpleNamespace(by_index=[SimpleNamespace(instrument=AAA)])

    def now_ns(self) -> int:
        return self.now

    def step(self, event: object) -> None:
        self.events.append(event)


class History:
    """A venue's history of settlements and bars; fails as often as it is told to."""

    def __init__(self, rates: Sequence[FundingKnown], failures: int = 0) -> None:
        self.rates, self.failures, self.asked = list(rates), failures, 0

    async def bars(self, instrument: str, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        return [bar(n) for n in range(-3, 20) if from_ts_ns < T0 + n * MINUTE <= to_ts_ns]

    async def funding_rates(self, instrument: str, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise VenueUnavailable("no history now")
        return [one for one in self.rates if from_ts_ns < one.ts_ns <= to_ts_ns]


def bars_of(core: Core, venue: History, *, history_bars: int = 0) -> Bars:
    gate = BarGate({AAA: 0}, MINUTE, history_bars=history_bars, settled_ts_ns={AAA: 0})
    gate.is_open = True
    return Bars(core, venue, gate, MINUTE, in_step=True, spawn=asyncio.ensure_future)  # type: ignore[arg-type]


def test_history_is_asked_for_rates_once_and_they_come_in_order_with_its_bars() -> None:
    core, venue = Core(T0 + 5 * MINUTE), History([rate(-600), rate(2)])

    async def test() -> None:
        bars = bars_of(core, venue, history_bars=4)
        bars.take(bar(5))
        await bars.fill_holes()
        bars.release()
        bars.take(rate(6))
        bars.take(bar(6))
        await bars.fill_holes()
        bars.release()

    asyncio.run(test())
    told = [event for event in core.events if not isinstance(event, TimerFired)]
    assert told == [rate(-600), bar(1), rate(2), *(bar(n) for n in (2, 3, 4, 5)), rate(6), bar(6)]
    assert isinstance(core.events[0], TimerFired)
    assert venue.asked == 1


def test_rates_that_cannot_be_had_stop_no_bar_and_are_asked_for_again() -> None:
    core, venue = Core(T0), History([rate(-1)], failures=1)

    async def test() -> None:
        bars = bars_of(core, venue)
        for n in (1, 2):
            bars.take(bar(n))
            await bars.fill_holes()
            bars.release()
        bars.rates_missed()
        bars.take(bar(3))
        await bars.fill_holes()
        bars.release()

    asyncio.run(test())
    assert core.events == [bar(1), rate(-1), bar(2), bar(3)]
    assert venue.asked == 3
