"""Every style of execution event by event: what it sends, moves and takes back, and how it goes on after each report.

The account holds 10,000 USDT, the mark is 100.0 (1,000 ticks); exposure 0.1 is 10,000 lots, which is one slice.
"""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.events import (
    Command,
    CommandGiven,
    Event,
    OrderAmended,
    OrderAmendRefused,
    OrderProvenAbsent,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    QuoteLost,
    QuoteSampled,
    Request,
    TimerFired,
)
from kedge.domain.orders import OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import AmendSent, CancelSent, Decided, OrderRefused, Output, TimerSet
from kedge.engine.engine import Engine
from kedge.engine.lifecycle import Status
from kedge.risk.limits import Limits
from kedge.strategy.execution import ChaseThen, ExecutionPolicy, SliceEntry, Style, WithoutQuote

from ...builders import AAA, MINUTE, T0, S, Wish, accepted, bar, canceled, engine, filled, sent

CHASE: dict[str, Any] = {"style": Style.CHASE, "chase_life_ns": 30 * S}
TWAP: dict[str, Any] = {"style": Style.TWAP, "twap_ns": 40 * S, "twap_slices": 4}


def quote(ts_ns: int, bid: int, ask: int) -> QuoteSampled:
    return QuoteSampled(ts_ns, AAA, bid, ask, 100, 100)


def timers(outputs: tuple[Output, ...]) -> dict[str, int]:
    """When timers were set to, in nanoseconds after the first bar's close."""
    return {o.timer_id.partition(":")[0]: o.due_ts_ns - T0 - MINUTE for o in outputs if isinstance(o, TimerSet)}


def amends(outputs: tuple[Output, ...]) -> list[AmendSent]:
    return [o for o in outputs if isinstance(o, AmendSent)]


def cancels(outputs: tuple[Output, ...]) -> list[tuple[str, str]]:
    return [(o.client_order_id, o.reason) for o in outputs if isinstance(o, CancelSent)]


def at(span_ns: int) -> int:
    """So long after the first bar's close."""
    return T0 + MINUTE + span_ns


Begun = tuple[Engine, Wish, tuple[Output, ...]]


def begin(exposure: float = 0.1, *, quoted: tuple[int, int] | None = (999, 1_001), **policy: Any) -> Begun:
    """An engine whose first bar brings a decision."""
    wish = Wish().say(exposure)
    changes = {name: policy.pop(name) for name in ("limits", "attempts_max") if name in policy}
    one = engine(wish, execution=ExecutionPolicy(**policy), **changes)
    if quoted is not None:
        one.step(quote(T0 + MINUTE, *quoted))
    return one, wish, one.step(bar(1))


def steps(one: Engine, *events: Event) -> tuple[Output, ...]:
    return tuple(output for event in events for output in one.step(event))


def work(one: Engine, span_ns: int) -> tuple[Output, ...]:
    return one.step(TimerFired(at(span_ns), f"work:{AAA}"))


def again(one: Engine, span_ns: int) -> tuple[Output, ...]:
    return one.step(TimerFired(at(span_ns), f"again:{AAA}"))


def terms(order: OrderIntent) -> tuple[str, str, str, int, int]:
    return order.side.value, order.kind.value, order.time_in_force.value, order.qty_lots, order.limit_ticks


# chase -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exposure", "side", "touch"), [(0.1, "buy", 999), (-0.1, "sell", 1_001)])
def test_a_chase_rests_post_only_at_its_own_side_of_the_touch(exposure: float, side: str, touch: int) -> None:
    one, _, outputs = begin(exposure, **CHASE)
    (order,) = sent(outputs)
    assert terms(order) == (side, "limit", "post_only", 10_000, touch)
    assert timers(outputs) == {"life": 30 * S, "again": S}
    decided = next(o for o in outputs if isinstance(o, Decided))
    assert decided.mid2_ticks == 2_000


def test_a_chase_follows_the_touch_at_its_pace_and_no_faster() -> None:
    one, _, outputs = begin(**CHASE, chase_ticks=2, chase_every_ns=2 * S)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), quote(at(S), 1_003, 1_005))
    early = again(one, S)
    assert amends(early) == [], "one second after it was sent"
    assert timers(early) == {"again": 2 * S}
    moved = again(one, 2 * S)
    assert amends(moved) == [AmendSent(client_order_id=order.client_order_id, limit_ticks=1_003, reason="FOLLOWS")]
    assert timers(moved) == {"again": 4 * S}
    assert one.state.orders.by_id[order.client_order_id].status is Status.PENDING_AMEND
    steps(one, quote(at(4 * S), 1_006, 1_008))
    assert amends(again(one, 4 * S)) == [], "the last move is not answered"
    steps(one, OrderAmended(at(4 * S + 1), order.client_order_id, 10_000, 1_003), quote(at(5 * S), 1_004, 1_006))
    assert amends(again(one, 6 * S)) == [], "one tick is less than two"
    steps(one, quote(at(7 * S), 1_001, 1_003))
    assert [o.limit_ticks for o in amends(again(one, 8 * S))] == [1_001], "it follows down too"


def test_a_refused_move_leaves_the_order_and_is_tried_again_later() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), quote(at(S), 1_003, 1_005))
    assert amends(again(one, S))
    steps(one, OrderAmendRefused(at(S + 1), order.client_order_id, "110001", "too late"))
    held = one.state.orders.by_id[order.client_order_id]
    assert (held.status, held.limit_ticks, held.asked_ticks) == (Status.OPEN, 999, None)
    assert [o.limit_ticks for o in amends(again(one, 2 * S))] == [1_003]


def test_a_lost_answer_to_a_move_keeps_the_order_and_moves_nothing_until_it_is_known() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), quote(at(S), 1_003, 1_005))
    assert amends(again(one, S))
    steps(one, OrderUnanswered(at(S + 1), order.client_order_id, Request.AMEND), quote(at(2 * S), 1_007, 1_009))
    outputs = again(one, 2 * S)
    assert (amends(outputs), sent(outputs)) == ([], [])
    steps(one, OrderAmended(at(3 * S), order.client_order_id, 10_000, 1_003))
    assert [o.limit_ticks for o in amends(again(one, 3 * S))] == [1_007]


def test_what_is_left_of_a_chase_crosses_when_its_life_is_over() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), filled(order, at(2), 999, lots=4_000, leaves=6_000))
    life = one.step(TimerFired(at(30 * S), f"life:{order.client_order_id}"))
    assert cancels(life) == [(order.client_order_id, "LIFE_OVER")]
    assert timers(one.step(canceled(order, at(30 * S + 5)))) == {"work": 31 * S + 5}
    (rest,) = sent(work(one, 31 * S + 5))
    assert terms(rest) == ("buy", "market", "ioc", 6_000, 0)


def test_a_chase_that_stops_leaves_the_rest() -> None:
    one, _, outputs = begin(**CHASE, chase_then=ChaseThen.STOP)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), TimerFired(at(30 * S), f"life:{order.client_order_id}"), canceled(order, at(30 * S + 5)))
    assert work(one, 31 * S + 5) == ()
    assert sent(one.step(bar(2))) == []
    assert one.summary()["unfilled_shortfall"] == "0.00000000", "the mark has not moved"


def test_the_next_slice_follows_when_one_is_filled() -> None:
    one, _, outputs = begin(0.15, **CHASE)
    (order,) = sent(outputs)
    assert order.qty_lots == 10_000
    steps(one, accepted(order, at(1)))
    assert timers(one.step(filled(order, at(2), 999))) == {"work": S + 2}
    (rest,) = sent(work(one, S + 2))
    assert terms(rest) == ("buy", "limit", "post_only", 5_000, 999)
    assert rest.client_order_id != order.client_order_id


def test_post_only_orders_that_would_have_taken_are_tried_again_up_to_a_bound() -> None:
    one, _, outputs = begin(**CHASE, chase_tries_max=3)
    span = 0
    for _ in range(3):
        (order,) = sent(outputs)
        assert order.time_in_force is TimeInForce.POST_ONLY
        one.step(accepted(order, at(span + 1)))
        assert timers(one.step(canceled(order, at(span + 2), "EC_PostOnlyWillTakeLiquidity"))) == {"work": span + S + 2}
        span += S + 2
        outputs = work(one, span)
    (order,) = sent(outputs)
    assert order.kind is OrderKind.MARKET


def test_without_a_whole_book_a_chase_rests_at_the_last_close_and_follows_closes_only() -> None:
    one, _, outputs = begin(quoted=None, **CHASE, chase_every_ns=S)
    (order,) = sent(outputs)
    assert (order.limit_ticks, next(o for o in outputs if isinstance(o, Decided)).mid2_ticks) == (1_000, None)
    one.step(accepted(order, at(1)))
    assert amends(again(one, 2 * S)) == []


def test_a_chase_over_bars_follows_their_closes() -> None:
    one, _, outputs = begin(quoted=None, style=Style.CHASE, chase_life_ns=10 * MINUTE)
    (order,) = sent(outputs)
    one.step(accepted(order, at(1)))
    assert [o.limit_ticks for o in amends(one.step(bar(2, 1_004)))] == [1_004]


def test_a_lost_book_moves_nothing_and_a_whole_one_does_again() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), QuoteLost(at(S), AAA, "sequence gap"))
    assert one.state.slots[AAA].mid2_ticks is None
    assert amends(again(one, S)) == []
    steps(one, quote(at(2 * S), 1_002, 1_004))
    assert [o.limit_ticks for o in amends(again(one, 2 * S))] == [1_002]


def test_a_chase_that_waits_for_a_book_sends_nothing_without_one() -> None:
    one, _, outputs = begin(quoted=None, **CHASE, without_quote=WithoutQuote.WAIT)
    assert (sent(outputs), timers(outputs)) == ([], {"again": S})
    steps(one, quote(at(2 * S), 998, 1_002))
    (order,) = sent(again(one, 2 * S))
    assert order.limit_ticks == 998


def test_a_quote_that_is_too_old_is_none() -> None:
    one, _, outputs = begin(**CHASE, without_quote=WithoutQuote.WAIT, quote_age_max_ns=S)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), canceled(order, at(2), "BY_VENUE"))
    late = work(one, 5 * S)
    assert sent(late) == []


def test_a_chase_follows_only_while_trading_runs_and_is_taken_back_when_it_is_halted() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    one.step(accepted(order, at(1)))
    halted = one.step(CommandGiven(at(2), Command.HALT, "ann", "drill"))
    assert cancels(halted) == [(order.client_order_id, "RISK_COMMAND")]
    assert one.step(canceled(order, at(3))) == ()
    steps(one, quote(at(S), 1_003, 1_005))
    assert again(one, S) == ()
    steps(one, CommandGiven(at(20 * S), Command.RESUME, "ann", "over"), quote(at(59 * S), 1_003, 1_005))
    outputs = one.step(bar(2, 1_004))
    assert [terms(o) for o in sent(outputs)] == [("buy", "market", "ioc", 10_000, 0)], "its life is over by then"


def test_exits_take_the_market_unless_they_are_to_chase_and_never_chase_when_people_flatten() -> None:
    def held(**more: Any) -> tuple[Engine, Wish]:
        one, wish, outputs = begin(**CHASE, **more)
        (order,) = sent(outputs)
        steps(one, accepted(order, at(1)), filled(order, at(2), 999))
        steps(one, quote(T0 + 2 * MINUTE, 999, 1_001))
        return one, wish

    one, wish = held()
    wish.say(0.0)
    assert [(o.kind, o.reduce_only) for o in sent(one.step(bar(2)))] == [(OrderKind.MARKET, True)]
    one, wish = held(chase_exits=True)
    wish.say(0.0)
    (leaving,) = sent(one.step(bar(2)))
    assert (terms(leaving), leaving.reduce_only) == (("sell", "limit", "post_only", 10_000, 1_001), True)
    one.step(accepted(leaving, at(MINUTE + 1)))
    flat = one.step(CommandGiven(at(MINUTE + 2), Command.FLATTEN, "ann", "now"))
    assert (leaving.client_order_id, "RISK_FLATTEN") in cancels(flat), "what rests is no exit in a hurry"
    one.step(canceled(leaving, at(MINUTE + 3)))
    (out,) = sent(work(one, MINUTE + 2 + S))
    assert (out.kind, out.reduce_only) == (OrderKind.MARKET, True)


def test_a_new_decision_takes_the_chase_back_and_works_the_new_target() -> None:
    one, wish, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    one.step(accepted(order, at(1)))
    wish.say(-0.1)
    steps(one, quote(T0 + 2 * MINUTE, 999, 1_001))
    superseded = one.step(bar(2))
    assert cancels(superseded) == [(order.client_order_id, "SUPERSEDED")]
    assert timers(one.step(canceled(order, at(MINUTE + 1))))["work"] == MINUTE + S + 1
    (other,) = sent(work(one, MINUTE + S + 1))
    assert terms(other) == ("sell", "limit", "post_only", 10_000, 1_001)
    assert one.state.slots[AAA].tries == 0, "its cancel was ours"


def test_a_move_out_of_the_collar_is_refused_and_blocks_nothing() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), quote(at(S), 1_020, 1_022))
    refused = [o for o in again(one, S) if isinstance(o, OrderRefused)]
    assert [(o.code, o.order.limit_ticks) for o in refused] == [("PRICE_COLLAR", 1_020)]
    assert not one.state.slots[AAA].blocked
    steps(one, quote(at(2 * S), 1_004, 1_006))
    assert [o.limit_ticks for o in amends(again(one, 2 * S))] == [1_004]


def test_moves_stop_at_half_of_the_message_limit_and_never_halt() -> None:
    limits = Limits(messages_per_3s_max=4)
    one, _, outputs = begin(**CHASE, limits=limits, chase_every_ns=1)
    (order,) = sent(outputs)
    one.step(accepted(order, at(1)))
    moves = 0
    for n in range(2, 40):
        steps(one, quote(at(n), 999 + n % 2, 1_002))
        moved = amends(again(one, n))
        moves += len(moved)
        for amend in moved:
            one.step(OrderAmended(at(n), order.client_order_id, 10_000, amend.limit_ticks or 0))
    assert moves == 1, "with the order itself two messages in three seconds"
    assert one.state.risk_state == "running"


def test_an_unknown_order_holds_everything_back_until_it_is_resolved() -> None:
    one, _, outputs = begin(**CHASE)
    (order,) = sent(outputs)
    steps(one, OrderUnanswered(at(5 * S), order.client_order_id), quote(at(6 * S), 1_003, 1_005))
    outputs = again(one, 6 * S)
    assert (sent(outputs), amends(outputs)) == ([], [])
    one.step(OrderProvenAbsent(at(7 * S), order.client_order_id))
    steps(one, quote(T0 + 2 * MINUTE, 1_003, 1_005))
    (other,) = sent(one.step(bar(2, 1_004)))
    assert other.client_order_id != order.client_order_id


# TWAP ------------------------------------------------------------------------------------------------------


def test_a_twap_slices_evenly_over_its_span() -> None:
    one, _, outputs = begin(**TWAP)
    done = []
    for n in range(4):
        (order,) = sent(outputs)
        assert terms(order) == ("buy", "market", "ioc", 2_500, 0)
        done.append(order.client_order_id)
        assert timers(outputs).get("again") == (10 * S * (n + 1) if n < 3 else None)
        steps(one, accepted(order, at(10 * S * n + 1)), filled(order, at(10 * S * n + 2), 1_001, fill_id=f"f{n}"))
        assert sent(work(one, 10 * S * n + S + 2)) == [], "not before its time"
        outputs = again(one, 10 * S * (n + 1))
    assert sent(outputs) == []
    assert len(set(done)) == 4
    assert one.state.slots[AAA].position_lots == 10_000


def test_late_slices_are_caught_up_within_the_cap() -> None:
    one, _, outputs = begin(0.2, **TWAP, slice_notional_frac_e8=6_000_000)
    (order,) = sent(outputs)
    assert order.qty_lots == 5_000
    steps(one, accepted(order, at(1)), filled(order, at(2), 1_000))
    assert sent(work(one, S + 2)) == []
    late = again(one, 35 * S)
    assert [o.qty_lots for o in sent(late)] == [6_000], "three slices are due, and a child holds a cap"
    (order,) = sent(late)
    assert timers(one.step(filled(order, at(35 * S + 1), 1_000, fill_id="f2"))) == {"work": 36 * S + 1}
    assert [o.qty_lots for o in sent(work(one, 36 * S + 1))] == [6_000]


def test_slices_below_the_venues_minimum_join_the_next_and_leave_no_rest_below_it() -> None:
    one, _, outputs = begin(0.001, **TWAP)  # 100 lots; at least 5 USDT, which is 50 lots
    assert (sent(outputs), timers(outputs)) == ([], {"again": 10 * S})
    (first,) = sent(again(one, 10 * S))
    assert first.qty_lots == 50
    one.step(filled(first, at(10 * S + 1), 1_000))
    assert sent(work(one, 11 * S + 1)) == []
    assert sent(again(one, 20 * S)) == []
    assert [o.qty_lots for o in sent(again(one, 30 * S))] == [50]


def test_a_resting_slice_crosses_when_its_life_is_over_and_the_next_one_rests_again() -> None:
    one, _, outputs = begin(**TWAP, slice_entry=SliceEntry.LIMIT, slice_life_ns=3 * S)
    (order,) = sent(outputs)
    assert (terms(order), timers(outputs)) == (("buy", "limit", "gtc", 2_500, 999), {"life": 3 * S, "again": 10 * S})
    steps(one, accepted(order, at(1)), filled(order, at(2), 999, lots=500, leaves=2_000, fill_id="f1"))
    one.step(TimerFired(at(3 * S), f"life:{order.client_order_id}"))
    assert timers(one.step(canceled(order, at(3 * S + 1)))) == {"work": 4 * S + 1}
    (rest,) = sent(work(one, 4 * S + 1))
    assert terms(rest) == ("buy", "market", "ioc", 2_000, 0)
    one.step(filled(rest, at(4 * S + 2), 1_001, fill_id="f2"))
    assert sent(work(one, 5 * S + 2)) == []
    one.step(quote(at(10 * S), 1_000, 1_002))
    (second,) = sent(again(one, 10 * S))
    assert terms(second) == ("buy", "limit", "gtc", 2_500, 1_000)


def test_what_a_market_slice_found_nobody_for_waits_for_the_next_slice() -> None:
    one, _, outputs = begin(**TWAP)
    (order,) = sent(outputs)
    steps(one, accepted(order, at(1)), filled(order, at(2), 1_000, lots=1_000, leaves=1_500))
    assert one.step(canceled(order, at(3), "IOC_REMAINDER")) == ()
    assert [o.qty_lots for o in sent(again(one, 10 * S))] == [4_000]


def test_a_twap_that_crosses_zero_closes_first_and_then_slices() -> None:
    one, wish, outputs = begin(style=Style.TWAP, twap_ns=40 * S, twap_slices=1)
    (order,) = sent(outputs)
    steps(one, filled(order, at(2), 1_000))
    wish.say(-0.1)
    (closing,) = sent(one.step(bar(2)))
    assert (terms(closing), closing.reduce_only) == (("sell", "market", "ioc", 10_000, 0), True)
    assert timers(one.step(filled(closing, at(MINUTE + 2), 1_000, fill_id="f2"))) == {"work": MINUTE + S + 2}
    (opening,) = sent(work(one, MINUTE + S + 2))
    assert (terms(opening), opening.reduce_only) == (("sell", "market", "ioc", 10_000, 0), False)


def test_a_halted_twap_begins_a_fresh_schedule_when_it_is_resumed() -> None:
    one, _, outputs = begin(**TWAP)
    (order,) = sent(outputs)
    steps(one, filled(order, at(2), 1_000), CommandGiven(at(3), Command.HALT, "ann", "drill"))
    assert (work(one, S + 2), again(one, 10 * S)) == ((), ())
    one.step(CommandGiven(at(59 * S), Command.RESUME, "ann", "over"))
    (first,) = sent(one.step(bar(2)))
    assert first.qty_lots == 1_875, "7,500 lots in four slices"


# participation ---------------------------------------------------------------------------------------------


def test_participation_takes_a_share_of_what_traded_since_its_last_slice() -> None:
    one, _, outputs = begin(style=Style.PARTICIPATION, participation_e8=1_000_000)
    assert sent(outputs) == [], "nothing has traded since the decision"
    (first,) = sent(one.step(bar(2, volume=400_000)))
    assert terms(first) == ("buy", "market", "ioc", 4_000, 0)
    one.step(filled(first, at(MINUTE + 1), 1_000))
    assert sent(work(one, MINUTE + 1 + S)) == [], "that volume is used"
    assert [o.qty_lots for o in sent(one.step(bar(3, volume=50_000)))] == [500]


def test_participation_leaves_no_rest_below_the_minimum_and_gathers_thin_volume() -> None:
    one, _, _ = begin(0.001, style=Style.PARTICIPATION, participation_e8=1_000_000)
    assert sent(one.step(bar(2, volume=3_000))) == [], "30 lots are less than the venue takes"
    assert [o.qty_lots for o in sent(one.step(bar(3, volume=3_000)))] == [50], "of 60, so that 50 are left"


# stop entry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exposure", "side", "trigger", "rises"), [(0.1, Side.BUY, 1_005, True), (-0.1, Side.SELL, 995, False)])
def test_a_stop_entry_waits_for_the_mark_beyond_the_decisions(exposure: float, side: Side, trigger: int, rises: bool) -> None:
    one, _, outputs = begin(exposure, style=Style.STOP_ENTRY, trigger_bps=50)
    (order,) = sent(outputs)
    assert (order.side, order.kind, order.trigger_ticks, order.trigger_rises) == (side, OrderKind.MARKET, trigger, rises)
    one.step(OrderWaits(at(1), order.client_order_id, "v1"))
    held = one.state.orders.by_id[order.client_order_id]
    assert (held.status, sum(one.state.orders.open_lots(AAA))) == (Status.WAITING, 10_000)
    assert one.step(bar(2)) == ()
    steps(one, OrderTriggered(at(MINUTE + 1), order.client_order_id), filled(order, at(MINUTE + 1), trigger))
    assert abs(one.state.slots[AAA].position_lots) == 10_000


def test_a_stop_entry_is_taken_back_by_another_decision_and_enters_at_once_where_the_mark_is_past_it() -> None:
    one, wish, outputs = begin(style=Style.STOP_ENTRY, trigger_bps=50)
    (order,) = sent(outputs)
    one.step(OrderWaits(at(1), order.client_order_id, "v1"))
    wish.say(0.12)
    assert cancels(one.step(bar(2))) == [(order.client_order_id, "SUPERSEDED")]
    one.step(canceled(order, at(MINUTE + 1)))
    assert one.step(bar(3, 1_006)) == (), "planned again a second after its end"
    late = sent(work(one, 2 * MINUTE + S))
    assert [(o.trigger_ticks, o.kind) for o in late] == [(0, OrderKind.MARKET)] * 2
    assert sum(o.qty_lots for o in late) == 12_000


def test_the_gate_values_a_conditional_order_where_it_would_trade() -> None:
    one, _, outputs = begin(0.1, style=Style.STOP_ENTRY, trigger_bps=10_000, limits=Limits(order_notional_frac_soft_e8=10_000_000))
    refused = [o for o in outputs if isinstance(o, OrderRefused)]
    assert [o.code for o in refused] == ["ORDER_NOTIONAL"], "twice the mark"


# all of them -----------------------------------------------------------------------------------------------

EVERY = {
    "chase": CHASE, "chase stop": {**CHASE, "chase_then": ChaseThen.STOP}, "twap": TWAP,
    "twap limit": {**TWAP, "slice_entry": SliceEntry.LIMIT}, "participation": {"style": Style.PARTICIPATION},
    "stop entry": {"style": Style.STOP_ENTRY}, "limit": {"style": Style.LIMIT}, "market": {"style": Style.MARKET},
}  # fmt: skip


@pytest.mark.parametrize("policy", EVERY.values(), ids=EVERY.keys())
def test_folding_what_was_recorded_leads_to_the_same_bytes(policy: dict[str, Any]) -> None:
    one, wish, outputs = begin(**policy)
    two = engine(Wish(), execution=ExecutionPolicy(**policy))
    two.apply(quote(T0 + MINUTE, 999, 1_001), ())
    two.apply(bar(1), outputs)
    events: list[Event] = [bar(2, 1_002), quote(at(MINUTE + S), 1_003, 1_005), TimerFired(at(MINUTE + S), f"again:{AAA}")]
    for n, order in enumerate(sent(outputs)):
        events += [accepted(order, at(1)), filled(order, at(2), 1_001, lots=100, leaves=order.qty_lots - 100, fill_id=f"f{n}")]
        events += [TimerFired(at(MINUTE), f"life:{order.client_order_id}"), canceled(order, at(MINUTE + 2))]
    events += [TimerFired(at(MINUTE + 2 * S), f"work:{AAA}"), bar(3, 1_004)]
    for event in events:
        two.apply(event, one.step(event))
        assert one.snapshot() == two.snapshot()
    three = engine(Wish(), execution=ExecutionPolicy(**policy))
    three.restore(one.snapshot())
    assert three.snapshot() == one.snapshot()
    wish.say(0.0)
    last = one.step(bar(4, 1_003))
    assert sent(last) == sent(_said(three, 0.0).step(bar(4, 1_003))), "the memory of the work is in the snapshot"


def _said(one: Engine, exposure: float) -> Engine:
    one.strategy.say(exposure)  # type: ignore[attr-defined]
    return one
