"""Amends, conditional orders and stops of positions at the simulated venue, with bars and with a book: who trades when, and at which price.

Prices are in ticks; the venue has no costs and no latency unless said otherwise, and the mark stands at 1,000.
"""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
    StopPlaced,
    TimerFired,
)
from kedge.domain.orders import ApprovedOrder, FillCause, Liquidity, OrderIntent, Side, TimeInForce
from kedge.domain.outputs import AmendSent, OrderSent, StopWanted, TimerSet
from kedge.domain.units import E8
from kedge.kernel.account import EQUITY, FEES, REALISED, WALLET
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.book_matcher import BookMatcher
from kedge.simulation.exchange import ExchangeCore, FundingRate
from kedge.simulation.session import Session

from ...builders import AAA, BBB, MINUTE, T0, S, bar, instrument, order, venue


def marked(**changes: Any) -> ExchangeCore:
    core = venue(**changes)
    core.close_bars([bar(0)], [])
    return core


def play(core: ExchangeCore, one: Any, fundings: tuple[FundingRate, ...] = ()) -> list[Event]:
    """What a bar brings: its open, then the rest of it."""
    return [*core.open_bars([one]), *core.close_bars([one], fundings)]


def bought(core: ExchangeCore, lots: int = 1_000, side: Side = Side.BUY) -> None:
    core.place(order("entry", side, lots), T0)
    play(core, bar(1))
    assert abs(int(core.lots[0])) == lots


def fills(events: list[Event]) -> list[OrderFilled]:
    return [event for event in events if isinstance(event, OrderFilled)]


def waiting(side: Side, trigger: int, **more: Any) -> OrderIntent:
    return order("c1", side, trigger_ticks=trigger, trigger_rises=trigger > 1_000, **more)


# amends ----------------------------------------------------------------------------------------------------


def test_an_amend_moves_a_resting_order_and_keeps_what_was_filled_of_it() -> None:
    half = BarMatcher(BarCosts(half_spread_ticks=0, impact_bps=0, participation_e8=E8))
    core = marked(matcher=half)
    core.place(order("r", Side.BUY, 1_000, limit=990), T0)
    assert fills(play(core, bar(1, 1_000, low=989, volume=400)))[0].qty_lots == 400
    assert core.amend("r", 900, 995, T0 + MINUTE) == OrderAmended(T0 + MINUTE, "r", 900, 995)
    (fill,) = fills(play(core, bar(2, 1_000, low=994)))
    assert (fill.qty_lots, fill.price_ticks, fill.leaves_lots, fill.liquidity) == (500, 995, 0, Liquidity.MAKER)


def test_an_amend_of_what_is_over_unchanged_or_impossible_is_refused_and_changes_nothing() -> None:
    core = marked()
    core.place(order("r", Side.BUY, 1_000, limit=990), T0)
    play(core, bar(1, 1_000, low=989, volume=400))

    def code(name: str, qty: int | None, ticks: int | None) -> str:
        refused = core.amend(name, qty, ticks, T0 + MINUTE)
        assert isinstance(refused, OrderAmendRefused)
        return refused.code

    assert code("nobody", 1, 1) == "110001"
    assert code("r", None, None) == code("r", 1_000, 990) == "10001"
    assert code("r", 400, None) == "110064"
    assert code("r", 10**9, None) == "10001"
    assert code("r", None, 0) == "110003"
    (held,) = core.working[AAA].values()
    assert (held.order.qty_lots, held.order.limit_ticks, held.leaves_lots) == (1_000, 990, 600)
    core = marked(wallet_e8=12 * 10**9)
    core.place(order("r", Side.SELL, 1_000, limit=1_010), T0)
    assert code("r", 100_000, None) == "110007", "the margin is missing"
    assert isinstance(core.amend("r", 2_000, 1_020, T0), OrderAmended)


def test_fewer_lots_at_the_same_price_keep_their_place_and_a_post_only_order_moved_across_is_cancelled() -> None:
    core = marked()
    core.place(order("r", Side.BUY, 1_000, limit=990, time_in_force=TimeInForce.POST_ONLY), T0)
    play(core, bar(1))
    core.amend("r", 600, None, T0 + MINUTE)
    (held,) = core.working[AAA].values()
    assert (held.is_resting, held.leaves_lots) == (True, 600)
    core.amend("r", None, 1_001, T0 + MINUTE)
    assert [(e.client_order_id, e.reason) for e in play(core, bar(2)) if isinstance(e, OrderCanceled)] == [("r", "POST_ONLY_WOULD_TAKE")]


# conditional orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "trigger", "prices", "price"),
    [
        (Side.BUY, 1_010, {"close": 1_012, "high": 1_015, "open": 1_000}, 1_010),
        (Side.BUY, 1_010, {"close": 1_030, "open": 1_020}, 1_020),
        (Side.SELL, 990, {"close": 995, "low": 988, "open": 1_000}, 990),
        (Side.SELL, 990, {"close": 980, "open": 985}, 985),
        (Side.SELL, 1_010, {"close": 1_000, "high": 1_010, "open": 1_000}, 1_010),
        (Side.BUY, 1_010, {"close": 1_009, "high": 1_009, "open": 1_000}, 0),
    ],
    ids=["inside", "gap up", "inside, falling", "gap down", "a sell that rises, touched", "not reached"],
)
def test_a_conditional_market_order_trades_at_its_trigger_or_at_an_open_that_is_past_it(
    side: Side, trigger: int, prices: dict[str, int], price: int
) -> None:
    core = marked()
    assert isinstance(core.place(waiting(side, trigger), T0), OrderWaits)
    found = play(core, bar(1, **prices))
    assert [type(e) for e in found] == ([OrderTriggered, OrderFilled] if price else [])
    assert [fill.price_ticks for fill in fills(found)] == ([price] if price else [])
    assert len(core.working[AAA]) == int(not price)


def test_a_conditional_order_takes_costs_and_capacity_as_every_taker_and_its_rest_is_cancelled() -> None:
    core = marked(matcher=BarMatcher(BarCosts(half_spread_ticks=2, impact_bps=0, participation_e8=E8 // 2)))
    core.place(waiting(Side.BUY, 1_010), T0)
    found = play(core, bar(1, 1_012, open=1_000, volume=1_200))
    (fill,) = fills(found)
    assert (fill.qty_lots, fill.price_ticks, fill.liquidity) == (600, 1_012, Liquidity.TAKER)
    assert [e.reason for e in found if isinstance(e, OrderCanceled)] == ["IOC_REMAINDER"]


def test_a_conditional_limit_order_rests_once_it_is_triggered() -> None:
    core = marked()
    core.place(waiting(Side.BUY, 1_010, limit=1_005), T0)
    found = play(core, bar(1, 1_011, open=1_000))
    assert [type(e) for e in found] == [OrderTriggered]
    assert [fill.price_ticks for fill in fills(play(core, bar(2, 1_008, low=1_004)))] == [1_005]


def test_a_trigger_that_the_mark_has_reached_already_is_refused_and_a_waiting_order_can_be_cancelled_and_amended() -> None:
    core = marked()
    rising, falling = order("a", trigger_ticks=1_000, trigger_rises=True), order("b", Side.SELL, trigger_ticks=1_000)
    codes = [core.place(one, T0) for one in (rising, falling)]
    assert [e.code for e in codes if isinstance(e, OrderRejected)] == ["110092", "110093"]
    core.place(waiting(Side.BUY, 1_010), T0)
    assert core.amend("c1", 500, None, T0) == OrderAmended(T0, "c1", 500, 0, 1_010)
    assert isinstance(core.cancel("c1", T0), OrderCanceled)
    assert play(core, bar(1, 1_020)) == []


def test_a_book_triggers_at_the_first_print_that_reaches_it() -> None:
    core = marked(matcher=BookMatcher(seed=3, steps=5))
    core.place(waiting(Side.BUY, 1_010, limit=0), T0)
    assert fills(play(core, bar(1, 1_005, open=1_000))) == []
    found = play(core, bar(2, 1_020, open=1_005))
    triggered = next(e for e in found if isinstance(e, OrderTriggered))
    first = fills(found)[0]
    assert T0 + MINUTE < triggered.ts_ns == first.ts_ns < T0 + 2 * MINUTE
    assert first.price_ticks >= 1_010


# stops of positions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "stop", "prices", "price"),
    [
        (Side.BUY, 980, {"close": 990, "low": 975, "open": 1_000}, 980),
        (Side.BUY, 980, {"close": 975, "open": 970}, 970),
        (Side.SELL, 1_020, {"close": 1_010, "high": 1_030, "open": 1_000}, 1_020),
        (Side.SELL, 1_020, {"close": 1_030, "open": 1_040}, 1_040),
        (Side.BUY, 980, {"close": 981, "open": 1_000}, 0),
    ],
    ids=["long", "long, gap", "short", "short, gap", "not reached"],
)
def test_the_stop_of_a_position_closes_all_of_it(side: Side, stop: int, prices: dict[str, int], price: int) -> None:
    core = marked()
    bought(core, side=side)
    assert core.set_stop(AAA, stop, T0 + MINUTE) == StopPlaced(T0 + MINUTE, AAA, stop)
    found = fills(core.close_bars([bar(2, **prices)], []))
    closed = [(price, 1_000, FillCause.STOP, "")] if price else []
    assert [(f.price_ticks, f.qty_lots, f.cause, f.client_order_id) for f in found] == closed
    assert (int(core.lots[0]) == 0, AAA in core.stops) == (price > 0, not price)


def test_a_gap_at_the_open_stops_before_orders_meet_it_and_pays_the_takers_fee() -> None:
    core = marked(instruments=[instrument(taker_fee_e8=50_000)])
    bought(core)
    core.set_stop(AAA, 980, T0 + MINUTE)
    fees = int(core.account[FEES])
    core.place(order("late", Side.SELL, 400, reduce_only=True), T0 + MINUTE)
    found = core.open_bars([bar(2, 970)])
    assert [(f.cause, f.ts_ns) for f in fills(found)] == [(FillCause.STOP, T0 + MINUTE)]
    assert [e.reason for e in found if isinstance(e, OrderCanceled)] == ["REDUCE_ONLY_NO_POSITION"]
    assert int(core.account[FEES]) - fees == fills(found)[0].fee_e8 > 0


def test_a_stop_before_the_price_of_liquidation_is_met_first_and_one_beyond_it_never() -> None:
    for stop, cause in ((950, FillCause.STOP), (500, FillCause.LIQUIDATION)):
        core = marked(wallet_e8=12 * 10**9, leverage_e2=1_000)
        bought(core, 10_000)
        core.set_stop(AAA, stop, T0 + MINUTE)
        found = fills(core.close_bars([bar(2, 400, open=1_000)], []))
        assert [f.cause for f in found] == [cause]
        assert int(core.lots[0]) == 0


def test_a_stop_is_settled_after_funding_and_before_what_rests() -> None:
    core = marked()
    bought(core)
    core.set_stop(AAA, 990, T0 + MINUTE)
    core.place(order("r", Side.BUY, 100, limit=985), T0 + MINUTE)
    bar2 = bar(2, 984, open=1_000)
    found = play(core, bar2, (FundingRate(T0 + 2 * MINUTE, AAA, 1_000),))
    assert [type(e).__name__ + (f" {e.cause}" if isinstance(e, OrderFilled) else "") for e in found] == [
        "FundingSettled",
        "OrderFilled stop",
        "OrderFilled trade",
    ]


def test_a_stop_goes_with_its_position_and_needs_one() -> None:
    core = marked()
    assert core.set_stop(AAA, 980, T0).stop_ticks == 0
    bought(core)
    core.set_stop(AAA, 980, T0 + MINUTE)
    core.place(order("turn", Side.SELL, 3_000), T0 + MINUTE)
    play(core, bar(2))
    assert core.stops == {}
    core.set_stop(AAA, 1_020, T0 + 2 * MINUTE)
    core.set_stop(AAA, 0, T0 + 2 * MINUTE)
    assert core.stops == {}
    core.set_stop(AAA, 1_020, T0 + 2 * MINUTE)
    core.change_instrument(instrument(taker_fee_e8=1), T0 + 2 * MINUTE)
    assert core.stops == {AAA: 1_020}, "its ticks are what they were"
    core.change_instrument(instrument(tick_e8=5_000_000), T0 + 2 * MINUTE)
    assert core.stops == {}, "it was counted in the old ticks"


@pytest.mark.parametrize("matcher", [BarMatcher(BarCosts(half_spread_ticks=3, impact_bps=100)), BookMatcher(seed=1, spread_ticks=4)])
def test_a_stop_costs_what_a_taker_pays_and_money_is_conserved(matcher: Any) -> None:
    core = marked(matcher=matcher, instruments=[instrument(), instrument(BBB)])
    core.place(order("entry", Side.BUY, 1_000), T0)
    core.open_bars([bar(1), bar(1, instrument_id=BBB)])
    core.close_bars([bar(1), bar(1, instrument_id=BBB)], [])
    held = int(core.lots[0])
    assert held > 0
    core.set_stop(AAA, 980, T0 + MINUTE)
    (fill,) = fills(core.close_bars([bar(2, 985, low=970, volume=0), bar(2, instrument_id=BBB)], []))
    assert (fill.price_ticks < 980, fill.qty_lots, int(core.lots[0])) == (True, held, 0)
    account = core.account
    assert account[EQUITY] == account[WALLET]
    assert account[WALLET] == core.settings.wallet_e8 + account[REALISED] - account[FEES]
    assert matcher.taker_ticks(bar(3), Side.BUY, 10**9, 980) > 980 > matcher.taker_ticks(bar(3), Side.SELL, 10, 980)


# the session -----------------------------------------------------------------------------------------------


def test_a_session_carries_out_amends_and_stops_and_a_timer_that_is_set_anew_fires_once() -> None:
    core = venue(latency_ns=1)
    session, seen = Session(core, [bar(n) for n in range(4)], []), []
    for event in session:
        seen.append(event)
        if event == bar(0):
            resting = ApprovedOrder(order=order("r", Side.BUY, 100, limit=990), limits_version="v")
            taking = ApprovedOrder(order=order("m", Side.BUY, 100), limits_version="v")
            session.send([OrderSent(approved=resting), OrderSent(approved=taking)])
            session.send([TimerSet(timer_id="again:x", due_ts_ns=T0 + 100 * S), TimerSet(timer_id="again:x", due_ts_ns=T0 + 90 * S)])
        if event == bar(1):
            session.send([AmendSent(client_order_id="r", limit_ticks=991), StopWanted(instrument=AAA, stop_ticks=980, position_lots=100)])
    assert [e.ts_ns for e in seen if isinstance(e, TimerFired)] == [T0 + 90 * S]
    assert OrderAmended(T0 + MINUTE + 1, "r", 100, 991) in seen
    assert StopPlaced(T0 + MINUTE + 1, AAA, 980) in seen
    assert [type(e) for e in seen if isinstance(e, OrderAccepted)] == [OrderAccepted] * 2
