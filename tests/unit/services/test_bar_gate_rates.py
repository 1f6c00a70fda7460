"""Settled rates at the gate: each waits for the bar that closes at its instant or later, passes once, and never ahead of an older bar."""

from __future__ import annotations

from tests.builders import AAA, BBB, HOUR, MINUTE, T0, bar

from kedge.domain.events import BarClosed, FundingKnown
from kedge.services.bar_gate import RATES_BEFORE_NS, BarGate, Hole


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
