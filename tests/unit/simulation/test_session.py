"""A session: one ordered stream of market, reports and timers, and time that does not run backwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import (
    BarClosed,
    Event,
    FeedGap,
    FundingKnown,
    InstrumentChanged,
    OrderCanceled,
    OrderFilled,
    RunEnded,
    TimerFired,
)
from kedge.domain.orders import ApprovedOrder, OrderIntent, Side
from kedge.domain.outputs import CancelSent, OrderSent, Output, TimerSet
from kedge.simulation import session as session_module
from kedge.simulation.exchange import FundingRate
from kedge.simulation.session import Session

from ...builders import AAA, BBB, MINUTE, T0, S, bar, flat_bars, instrument, order, venue


def send(intent: OrderIntent) -> OrderSent:
    return OrderSent(approved=ApprovedOrder(order=intent, limits_version="v"))


def drive(session: Session, script: dict[int, list[Output]]) -> list[Event]:
    """Collect the stream; after event number `n` send what the script holds."""
    seen: list[Event] = []
    for event in session:
        seen.append(event)
        if wanted := script.get(len(seen)):
            session.send(wanted)
    return seen


def kinds(events: list[Event]) -> list[str]:
    return [type(e).__name__ for e in events]


def test_bars_pass_through_and_the_end_is_told() -> None:
    bars = flat_bars(3)
    assert drive(Session(venue(), bars, ()), {}) == [*bars, RunEnded(bars[-1].ts_ns, "END_OF_DATA")]
    assert drive(Session(venue(), [], ()), {}) == [RunEnded(0, "END_OF_DATA")]


def test_an_order_is_answered_before_the_next_bar_closes() -> None:
    core = venue(latency_ns=50_000_000)
    seen = drive(Session(core, flat_bars(2), ()), {1: [send(order())]})
    assert kinds(seen) == ["BarClosed", "OrderAccepted", "OrderFilled", "BarClosed", "RunEnded"]
    assert [e.ts_ns - T0 - MINUTE for e in seen[1:3]] == [50_000_000, 50_000_000]


def test_timers_fire_in_order_between_bars() -> None:
    timers = [TimerSet(timer_id=name, due_ts_ns=T0 + MINUTE + at * S) for name, at in (("c", 90), ("a", 10), ("b", 60))]
    seen = drive(Session(venue(), flat_bars(3), ()), {1: [*timers]})
    assert [(e.timer_id, (e.ts_ns - T0) // S) for e in seen if isinstance(e, TimerFired)] == [("a", 70), ("b", 120), ("c", 150)]
    assert kinds(seen) == ["BarClosed", "TimerFired", "TimerFired", "BarClosed", "TimerFired", "BarClosed", "RunEnded"]


def test_what_a_timer_sends_reaches_the_same_bar() -> None:
    core = venue(latency_ns=S)
    timer = TimerSet(timer_id="t", due_ts_ns=T0 + MINUTE + 10 * S)
    seen = drive(Session(core, flat_bars(2), ()), {1: [timer], 2: [send(order())]})
    assert kinds(seen) == ["BarClosed", "TimerFired", "OrderAccepted", "OrderFilled", "BarClosed", "RunEnded"]
    assert seen[3].ts_ns == T0 + MINUTE + 11 * S


def test_cancels_reach_the_venue() -> None:
    cancel: list[Output] = [CancelSent(client_order_id="o1", reason="r")]
    seen = drive(Session(venue(), flat_bars(3), ()), {1: [send(order(limit=900))], 3: cancel, 4: cancel})
    assert kinds(seen) == ["BarClosed", "OrderAccepted", "BarClosed", "OrderCanceled", "BarClosed", "RunEnded"]


def test_the_latency_of_an_order_may_be_longer_than_bars() -> None:
    seen = drive(Session(venue(latency_ns=150 * S), flat_bars(5), ()), {1: [send(order())]})
    assert kinds(seen) == ["BarClosed", "BarClosed", "BarClosed", "OrderAccepted", "OrderFilled", "BarClosed", "BarClosed", "RunEnded"]


def test_bars_of_one_instant_are_one_instant() -> None:
    core = venue([instrument(), instrument(BBB)])
    bars = [bar(n, 1_000, name) for n in (1, 2) for name in (AAA, BBB)]
    seen = drive(Session(core, bars, ()), {1: [send(order())], 2: [send(order("o2", instrument_id=BBB))]})
    assert kinds(seen) == [*["BarClosed"] * 2, *["OrderAccepted"] * 2, *["OrderFilled"] * 2, *["BarClosed"] * 2, "RunEnded"]


def test_settlements_are_paid_once() -> None:
    rates = [FundingRate(T0 + n * MINUTE, AAA, 10_000) for n in (1, 3, 3, 90)]
    seen = drive(Session(venue(), flat_bars(4), rates[1:2] + rates[3:]), {1: [send(order())]})
    assert kinds(seen).count("FundingSettled") == 1


def test_gaps_and_changes_keep_their_place() -> None:
    new = instrument(lot_e8=1_000_000)
    events: list[Event] = [bar(1), FeedGap(T0 + 3 * MINUTE, AAA, T0 + MINUTE), InstrumentChanged(T0 + 3 * MINUTE, new), bar(4)]
    core = venue()
    seen = drive(Session(core, events, ()), {1: [send(order(limit=900)), TimerSet(timer_id="t", due_ts_ns=T0 + 2 * MINUTE)]})
    assert kinds(seen) == [
        "BarClosed",
        "OrderAccepted",
        "TimerFired",
        "FeedGap",
        "OrderCanceled",
        "InstrumentChanged",
        "BarClosed",
        "RunEnded",
    ]
    assert isinstance(seen[4], OrderCanceled)
    assert core.specs[0] is new


def test_a_stop_ends_after_the_present_instant() -> None:
    session = Session(venue(), flat_bars(9), ())
    seen: list[Event] = []
    for event in session:
        seen.append(event)
        if len(seen) == 3:
            session.stop("CTRL_C")
    assert seen[-1] == RunEnded(T0 + 3 * MINUTE, "CTRL_C")
    assert len(seen) == 4


def test_timers_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PENDING_MAX", 5)
    with pytest.raises(InvalidInput, match="5 reports and timers"):
        drive(Session(venue(), flat_bars(2), ()), {1: [TimerSet(timer_id=str(n), due_ts_ns=T0 + 900 * MINUTE) for n in range(6)]})


def backwards(events: list[Event]) -> list[tuple[str, int]]:
    latest, found = 0, []
    for event in events:
        if event.ts_ns < latest:
            found.append((type(event).__name__, latest - event.ts_ns))
        latest = max(latest, event.ts_ns)
    return found


def hourly() -> Iterator[BarClosed]:
    yield from (bar(n, span=60 * MINUTE) for n in range(1, 4))


def test_time_runs_backwards_only_where_a_settlement_falls_inside_a_longer_bar() -> None:
    """The settlement is booked with the bar's close but carries its own time, so a timer of the same bar may come first."""
    timer = TimerSet(timer_id="t", due_ts_ns=T0 + 170 * MINUTE)
    rate = FundingRate(T0 + 150 * MINUTE, AAA, 10_000)
    seen = drive(Session(venue(), hourly(), [rate]), {1: [send(order())], 2: [timer]})
    assert backwards(seen) == [("FundingSettled", 20 * MINUTE)]
    assert isinstance(seen[2], OrderFilled)
    assert backwards(drive(Session(venue(), hourly(), []), {1: [send(order(side=Side.SELL))], 2: [timer]})) == []


def test_settlements_are_told_before_the_bars_that_close_then_or_next_only_where_asked() -> None:
    rates = [FundingRate(T0 + 30 * S, AAA, 5), FundingRate(T0 + 2 * MINUTE, AAA, 7), FundingRate(T0 + 2 * MINUTE, BBB, 9)]
    both = [instrument(AAA), instrument(BBB)]
    bars = [bar(n, instrument_id=name) for n in (1, 2, 3) for name in (AAA, BBB)]
    silent = drive(Session(venue(both), bars, rates), {})
    told = drive(Session(venue(both), bars, rates, tell_funding=True), {})
    assert [e for e in told if not isinstance(e, FundingKnown)] == silent
    assert not any(isinstance(e, FundingKnown) for e in silent)
    news = [(e.ts_ns, e.instrument, e.rate_e8) for e in told if isinstance(e, FundingKnown)]
    assert news == [tuple(rate) for rate in rates]
    for n, event in enumerate(told):
        if isinstance(event, FundingKnown):
            following = next(e for e in told[n:] if isinstance(e, BarClosed))
            before = [e for e in told[:n] if isinstance(e, BarClosed)]
            assert following.ts_ns >= event.ts_ns
            assert all(e.ts_ns < event.ts_ns for e in before)
