"""The engine event by event: decisions, orders, reports of every kind, and what each leaves in the books.

The account holds 10,000 USDT, the mark is 100.0; exposure 0.1 is 10,000 lots (1,000 USDT), which is one slice.
"""

from __future__ import annotations

import math

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import (
    CashMoved,
    Command,
    CommandGiven,
    FeedGap,
    FundingSettled,
    InstrumentChanged,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
    TimerFired,
)
from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, RiskStateChanged, TimerSet
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.engine.fold_orders import NOT_SENT
from kedge.engine.lifecycle import Status
from kedge.kernel.account import EQUITY, FEES, FLOWS, FUNDING, GROSS, PEAK, WALLET
from kedge.learning.feature import Feature
from kedge.learning.operators import Operator
from kedge.risk.limits import Limits
from kedge.strategy.execution import ExecutionPolicy

from ...builders import (
    AAA,
    BBB,
    MINUTE,
    T0,
    WALLET_E8,
    S,
    Wish,
    accepted,
    bar,
    canceled,
    engine,
    filled,
    instrument,
    liquidated,
    order,
    sent,
)


def entered(exposure: float = 0.1, **changes: object) -> tuple[Engine, Wish, OrderIntent]:
    """An engine whose first bar has made one order of 10,000 lots."""
    wish = Wish().say(exposure)
    one = engine(wish, **changes)
    orders = sent(one.step(bar(1)))
    assert len(orders) == 1
    return one, wish, orders[0]


def halt_of(outputs: tuple[object, ...]) -> str:
    return next((f"{o.state} {o.code}" for o in outputs if isinstance(o, RiskStateChanged)), "")


# decisions -------------------------------------------------------------------------------------------------


def test_a_target_becomes_a_decision_and_an_order() -> None:
    wish = Wish().say(0.1, confidence=0.75, expected_return_frac=0.02, horizon_ns=MINUTE, reason="because")
    one = engine(wish)
    decided, order_sent = one.step(bar(1))
    assert isinstance(decided, Decided)
    assert msgspec.structs.asdict(decided) == {
        "decision_id": "run.1", "strategy": "wish", "instrument": AAA, "exposure_e8": 10_000_000, "target_lots": 10_000,
        "mark_ticks": 1_000,
        "equity_e8": WALLET_E8, "confidence_e8": 75_000_000, "expected_return_e8": 2_000_000, "horizon_ns": MINUTE, "reason": "because",
        "code": "OK", "observed": "", "limit": "", "prediction_id": "", "mid2_ticks": None,
        "bound_by": "", "allowed_e8": None,
    }  # fmt: skip
    (made,) = sent([order_sent])
    assert (made.side, made.kind, made.qty_lots, made.limit_ticks) == (Side.BUY, OrderKind.MARKET, 10_000, 0)
    assert (made.decision_id, made.slice_no, made.attempt, made.reduce_only) == ("run.1", 0, 0, False)
    assert one.step(bar(2)) == (), "on its way: nothing is sent twice"


@pytest.mark.parametrize(
    "target",
    [
        {"exposure_frac": math.nan},
        {"exposure_frac": math.inf},
        {"exposure_frac": -math.inf},
        {"exposure_frac": 100.1},
        {"exposure_frac": 0.1, "confidence": math.nan},
        {"exposure_frac": 0.1, "confidence": 1.01},
        {"exposure_frac": 0.1, "confidence": -0.01},
        {"exposure_frac": 0.1, "expected_return_frac": math.nan},
        {"exposure_frac": 0.1, "expected_return_frac": math.inf},
    ],
)
def test_a_target_that_is_no_number_is_refused_and_changes_nothing(target: dict[str, float]) -> None:
    one = engine(Wish().say(**target))
    (decided,) = one.step(bar(1))
    assert isinstance(decided, Decided)
    assert (decided.code, decided.exposure_e8, decided.target_lots) == ("INVALID_TARGET", 0, 0)
    assert (decided.confidence_e8, decided.expected_return_e8) == (None, None)
    assert one.state.funnel.as_plain()["vetoed"] == {"INVALID_TARGET": 1}


def test_low_confidence_is_vetoed_and_the_old_target_stays() -> None:
    one = engine(Wish().say(0.1, confidence=0.5999), confidence_min_e8=60_000_000)
    (decided,) = one.step(bar(1))
    assert isinstance(decided, Decided)
    assert (decided.code, decided.observed, decided.limit) == ("CONFIDENCE_LOW", "0.5999", "0.6000")
    assert one.state.slots[AAA].exposure_frac == 0.0
    two = engine(Wish().say(0.1, confidence=0.6), confidence_min_e8=60_000_000)
    assert len(sent(two.step(bar(1)))) == 1, "exactly at the limit passes"
    assert len(sent(engine(Wish().say(0.1), confidence_min_e8=60_000_000).step(bar(1)))) == 1, "a rule without a model has none"


def test_below_the_venues_minimum_goes_flat() -> None:
    one, wish, first = entered()
    one.step(filled(first, T0 + MINUTE + 1, 1_000))
    wish.say(0.0004)  # 40 lots, 4 USDT
    decided, close = one.step(bar(2))
    assert isinstance(decided, Decided)
    assert (decided.code, decided.target_lots, decided.exposure_e8, decided.limit) == ("BELOW_MINIMUM", 0, 40_000, "1 lots")
    (made,) = sent([close])
    assert (made.side, made.qty_lots, made.reduce_only) == (Side.SELL, 10_000, True)


def test_without_a_price_there_is_no_size() -> None:
    one = engine(Wish().say(0.1, BBB), [instrument(), instrument(BBB)])
    (decided,) = one.step(bar(1))
    assert isinstance(decided, Decided)
    assert (decided.code, decided.instrument, decided.mark_ticks) == ("NO_PRICE", BBB, 0)


def test_a_target_for_an_unknown_instrument_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="'test:ZZZ'"):
        engine(Wish().say(0.1, "test:ZZZ")).step(bar(1))
    with pytest.raises(InvalidInput, match="'test:ZZZ'"):
        engine().step(bar(1, instrument_id="test:ZZZ"))


def test_the_same_target_again_is_no_decision() -> None:
    one, wish, _ = entered()
    wish.say(0.1)
    assert one.step(bar(2)) == ()


def test_a_large_change_is_sliced_and_a_crossing_closes_first() -> None:
    one, wish, first = entered(0.1)
    one.step(filled(first, T0 + MINUTE + 1, 1_000))
    wish.say(-0.15)
    made = sent(one.step(bar(2)))
    assert [(o.qty_lots, o.reduce_only, o.slice_no) for o in made] == [(10_000, True, 0), (10_000, False, 1), (5_000, False, 2)]
    assert len({o.client_order_id for o in made}) == 3
    assert {o.side for o in made} == {Side.SELL}


def test_a_slice_with_its_dust_stays_within_the_venues_largest_order() -> None:
    one = engine(Wish().say(0.14), [instrument(market_qty_max_lots=10_000)])
    outputs = one.step(bar(1))
    assert sum(o.qty_lots for o in sent(outputs)) == 14_000
    assert max(o.qty_lots for o in sent(outputs)) <= 10_000
    assert not [o for o in outputs if isinstance(o, OrderRefused)]
    two = engine(Wish().say(0.1), [instrument(market_qty_max_lots=9_500)])
    assert not [o for o in two.step(bar(1)) if isinstance(o, OrderRefused)]


def test_the_funnel_adds_up() -> None:
    one, wish, first = entered()
    one.step(OrderRejected(T0 + MINUTE, first.client_order_id, "110007", "no money"))
    wish.say(math.nan)
    one.step(bar(2))
    wish.say(0.0001)
    one.step(bar(3))
    funnel = one.state.funnel.as_plain()
    vetoed, refused = funnel["vetoed"], funnel["refused"]
    assert isinstance(vetoed, dict)
    assert isinstance(refused, dict)
    assert funnel["signals"] == funnel["sized"] + vetoed["INVALID_TARGET"] + vetoed["BELOW_MINIMUM"]  # type: ignore[operator]
    assert refused == {"110007": 1}
    assert (funnel["bars"], funnel["sent"], funnel["filled"]) == (3, 2, 0)


# reports ---------------------------------------------------------------------------------------------------


def test_an_unanswered_order_keeps_its_reservation() -> None:
    one, wish, first = entered()
    one.step(OrderUnanswered(T0 + MINUTE + 5 * S, first.client_order_id))
    assert one.state.orders.by_id[first.client_order_id].status is Status.UNKNOWN
    assert one.state.orders.open_lots(AAA) == (10_000, 0)
    wish.say(0.2)
    outputs = one.step(bar(2))
    assert sent(outputs) == [], "nothing is sent while the outcome is unknown"
    situation = one._decide.__self__.worker._situation(one.state.slots[AAA], 1_000, Side.BUY)  # type: ignore[attr-defined]
    assert (situation.open_buy_lots, situation.open_orders_total) == (10_000, 1)
    one.step(OrderProvenAbsent(T0 + 2 * MINUTE + 1, first.client_order_id))
    assert one.state.orders.open_lots(AAA) == (0, 0)
    again = sent(one.step(bar(3)))
    assert [o.qty_lots for o in again] == [10_000, 10_000]
    assert first.client_order_id not in {o.client_order_id for o in again}


def test_an_absent_order_is_tried_again_under_a_new_name_only_after_proof() -> None:
    one, _, first = entered()
    one.step(OrderUnanswered(T0 + MINUTE + 5 * S, first.client_order_id))
    assert sent(one.step(bar(2))) == []
    one.step(OrderProvenAbsent(T0 + 2 * MINUTE, first.client_order_id))
    (again,) = sent(one.step(bar(3)))
    assert (again.attempt, again.qty_lots) == (1, 10_000)
    assert again.client_order_id != first.client_order_id


def test_the_same_proof_told_twice_counts_once() -> None:
    one, _, first = entered()
    one.step(OrderUnanswered(T0 + MINUTE + 5 * S, first.client_order_id))
    for _ in range(5):
        one.step(OrderProvenAbsent(T0 + 2 * MINUTE, first.client_order_id))
    assert one.state.slots[AAA].attempt == 1
    two, _, second = entered()
    for _ in range(5):
        two.step(OrderRejected(T0 + 2 * MINUTE, second.client_order_id, "1", "no"))
    assert (two.state.slots[AAA].attempt, two.state.funnel.refused) == (1, {"1": 1})


def test_a_decision_that_is_refused_too_often_is_given_up() -> None:
    one, wish, made = entered(attempts_max=2)
    one.step(OrderRejected(T0 + MINUTE + 1, made.client_order_id, "110007", "no"))
    (made,) = sent(one.step(bar(2)))
    one.step(OrderRejected(T0 + 2 * MINUTE + 1, made.client_order_id, "110007", "no"))
    assert sent(one.step(bar(3))) == []
    wish.say(0.05)
    assert len(sent(one.step(bar(4)))) == 1, "until the next decision"


def test_partial_fills_and_the_late_acknowledgement() -> None:
    one, _, made = entered()
    name = made.client_order_id
    one.step(filled(made, T0 + MINUTE + 1, 1_001, lots=4_000, leaves=6_000, fill_id="a", fee_e8=100))
    assert (one.state.orders.open_lots(AAA), one.state.slots[AAA].position_lots) == ((6_000, 0), 4_000)
    one.step(accepted(made, T0 + MINUTE + 2))
    assert one.state.orders.by_id[name].venue_order_id == "v1"
    one.step(filled(made, T0 + MINUTE + 3, 1_002, lots=6_000, fill_id="b", fee_e8=200))
    assert (one.state.orders.live_count, one.state.slots[AAA].position_lots) == (0, 10_000)
    assert one.state.account_view[FEES] == 300
    assert one.state.funnel.filled == 2


def test_a_fill_told_twice_is_booked_once() -> None:
    one, _, made = entered()
    for _ in range(3):
        assert one.step(filled(made, T0 + MINUTE + 1, 1_000, lots=4_000, leaves=6_000)) == ()
    assert one.state.slots[AAA].position_lots == 4_000
    for _ in range(2):
        one.step(filled(made, T0 + MINUTE + 2, 1_000, lots=6_000, fill_id="f2"))
    assert one.state.slots[AAA].position_lots == 10_000
    assert one.state.funnel.filled == 2


def test_a_fill_after_the_cancel_is_booked() -> None:
    one, _, made = entered()
    one.step(accepted(made, T0 + MINUTE + 1))
    one.step(canceled(made, T0 + MINUTE + 2))
    outputs = one.step(filled(made, T0 + MINUTE + 3, 1_000, lots=3_000, leaves=7_000))
    assert outputs == ()
    assert one.state.slots[AAA].position_lots == 3_000
    assert one.state.orders.open_lots(AAA) == (0, 0)


def test_a_fill_of_an_order_that_is_not_ours_is_booked_once_and_halts() -> None:
    one, _, _ = entered()
    strange = filled(order("foreign", Side.SELL, 500), T0 + MINUTE + 1, 1_000, fee_e8=7)
    outputs = one.step(strange)
    assert halt_of(outputs) == "halted FILL_NOT_UNDERSTOOD"
    for _ in range(3):
        assert one.step(strange) == ()
    assert (one.state.slots[AAA].position_lots, one.state.account_view[FEES]) == (-500, 7)


def test_a_fill_that_the_table_forbids_is_booked_once_and_halts() -> None:
    one, _, made = entered()
    one.step(OrderRejected(T0 + MINUTE, made.client_order_id, "110007", "no"))
    for n in range(3):
        outputs = one.step(filled(made, T0 + MINUTE + 1, 1_000))
        assert halt_of(outputs) == ("" if n else "halted FILL_NOT_UNDERSTOOD")
    assert one.state.slots[AAA].position_lots == 10_000


def test_a_liquidation_told_twice_is_booked_once() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    for _ in range(2):
        one.step(liquidated(T0 + MINUTE + 2, Side.SELL, 10_000, 900, fee_e8=5))
    assert one.state.slots[AAA].position_lots == 0
    assert one.state.account_view[EQUITY] == one.state.account_view[WALLET] == WALLET_E8 - 100 * E8 - 5


def test_fills_and_funding_of_an_instrument_that_we_do_not_trade_halt() -> None:
    one, _, _ = entered()
    assert halt_of(one.step(filled(order("x", instrument_id="test:ZZZ"), T0 + MINUTE, 5))) == "halted FOREIGN_INSTRUMENT"
    two, _, _ = entered()
    assert halt_of(two.step(FundingSettled(T0 + MINUTE, "test:ZZZ", 1, 1, 1, 1))) == "halted FOREIGN_INSTRUMENT"


@pytest.mark.parametrize("kind", ["accepted", "canceled", "unanswered", "rejected", "absent"])
def test_a_report_on_an_unknown_order_halts_and_cancels(kind: str) -> None:
    one, _, made = entered()
    event = {
        "accepted": accepted(order("foreign"), T0 + MINUTE),
        "canceled": canceled(order("foreign"), T0 + MINUTE),
        "unanswered": OrderUnanswered(T0 + MINUTE, "foreign"),
        "rejected": OrderRejected(T0 + MINUTE, "foreign", "1", "no"),
        "absent": OrderProvenAbsent(T0 + MINUTE, "foreign"),
    }[kind]
    outputs = one.step(event)
    assert halt_of(outputs) == "halted FOREIGN_ORDER"
    assert [o for o in outputs if isinstance(o, CancelSent)] == [
        CancelSent(client_order_id=made.client_order_id, reason="RISK_FOREIGN_ORDER"),
    ]


def test_an_illegal_report_halts_and_leaves_the_order() -> None:
    one, _, made = entered()
    outputs = one.step(OrderProvenAbsent(T0 + MINUTE, made.client_order_id))
    assert halt_of(outputs) == "halted ILLEGAL_TRANSITION"
    assert one.state.orders.by_id[made.client_order_id].status is Status.PENDING_CANCEL, "cancelled by the halt, not by the report"


# money beside fills ----------------------------------------------------------------------------------------


def test_funding_is_booked_as_the_venue_gives_it() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    one.step(FundingSettled(T0 + MINUTE + 2, AAA, 10_000, 100 * E8, 10_000, 10_000_000))
    assert (one.state.account_view[FUNDING], one.state.differences) == (10_000_000, 1)  # the difference is the fill's fee of 0
    one.step(FundingSettled(T0 + MINUTE + 3, AAA, 10_000, 100 * E8, 10_000, 10_000_001))
    assert (one.state.account_view[FUNDING], one.state.differences) == (20_000_001, 2)
    assert halt_of(one.step(FundingSettled(T0 + MINUTE + 4, AAA, 10_000, 100 * E8, 9_999, 5))) == "halted POSITION_DIFFERS"
    assert one.state.account_view[FUNDING] == 20_000_006, "money moved all the same"


def test_a_settlement_told_after_a_later_fill_is_not_compared_with_the_position_of_now() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 2, 1_000))
    known = one.state.differences
    assert halt_of(one.step(FundingSettled(T0 + MINUTE + 1, AAA, 10_000, 100 * E8, 0, 7))) == ""
    assert (one.state.account_view[FUNDING], one.state.differences) == (7, known)


def test_a_fill_away_from_a_stale_mark_is_no_new_peak() -> None:
    one, wish, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 900))  # the market gapped down before our mark heard of it
    assert one.state.account_view[PEAK] == WALLET_E8
    assert one.state.account_view[GROSS] == 1_000 * E8
    one.step(bar(2, 900))
    assert one.state.account_view[PEAK] == WALLET_E8
    assert one.summary()["drawdown"] == "0.00000000"
    assert wish.seen == [AAA, AAA]


# gaps, changes, several instruments ------------------------------------------------------------------------


class Averaging(Wish):
    features = (Feature("ema", Operator.EMA, 4),)


@pytest.mark.parametrize(("missing", "restarts"), [(3, False), (4, True)])
def test_a_gap_longer_than_carried_starts_the_warm_up_again(missing: int, restarts: bool) -> None:
    one = engine(Averaging(), gap_bars_carried=3)
    for n in range(1, 6):
        one.step(bar(n, volume=1_600))
    slot = one.state.slots[AAA]
    assert slot.ready
    one.step(FeedGap(T0 + (5 + missing) * MINUTE, AAA, T0 + 5 * MINUTE))
    assert slot.ready is not restarts
    one.step(bar(6 + missing, volume=1_600))
    assert slot.ready is not restarts
    assert slot.volume_avg_lots == 1_600, "the usual volume does not grow by a gap"
    assert one.state.funnel.gaps == 1


def test_a_changed_grid_re_expresses_exactly() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    equity = one.state.account_view[EQUITY]
    coarser = instrument(lot_e8=1_000_000, tick_e8=1_000_000, valid_from_ns=T0 + 90 * S)  # lot 0.01, tick 0.01
    assert one.step(InstrumentChanged(T0 + 90 * S, coarser)) == ()
    slot = one.state.slots[AAA]
    assert (slot.position_lots, slot.target_lots, int(one.state.marks[0])) == (1_000, 1_000, 10_000)
    assert one.state.account_view[EQUITY] == equity
    assert slot.spec is coarser
    assert one.step(bar(2, 10_000)) == (), "already there"
    assert one.state.account_view[EQUITY] == equity


def test_an_order_that_never_left_uses_up_no_try_of_its_decision() -> None:
    one, _, made = entered(attempts_max=1)
    one.step(OrderRejected(T0 + MINUTE, made.client_order_id, NOT_SENT, "the order before it, which closes, was not taken"))
    slot = one.state.slots[AAA]
    assert (slot.attempt, one.state.funnel.refused) == (0, {NOT_SENT: 1})
    (again,) = sent(one.step(bar(2)))
    assert again.qty_lots == made.qty_lots
    assert again.client_order_id != made.client_order_id


def test_a_targets_lots_are_re_expressed_towards_zero() -> None:
    wish = Wish()
    one = engine(wish)
    one.step(bar(1))
    wish.say(-0.001)
    (made,) = sent(one.step(bar(2)))
    one.step(canceled(made, T0 + 2 * MINUTE))
    slot = one.state.slots[AAA]
    assert slot.target_lots == -100
    one.step(InstrumentChanged(T0 + 121 * S, instrument(lot_e8=300_000)))
    assert slot.target_lots == -33


def test_a_change_that_does_not_fit_halts_and_changes_nothing() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000, lots=9_999, leaves=1))
    one.step(canceled(made, T0 + MINUTE + 2))
    assert halt_of(one.step(InstrumentChanged(T0 + 90 * S, instrument(lot_e8=1_000_000)))) == "halted INSTRUMENT_CHANGED"
    assert one.state.slots[AAA].position_lots == 9_999
    assert one.state.slots[AAA].spec == instrument()
    two, _, _ = entered()
    assert halt_of(two.step(InstrumentChanged(T0 + 90 * S, instrument(tick_e8=1_000_000)))) == "halted INSTRUMENT_CHANGED", (
        "an order is open"
    )


def test_the_usual_order_is_forgotten_with_its_lots() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    assert list(one.state.gate.sizes[AAA]) == [10_000]
    one.step(InstrumentChanged(T0 + 90 * S, instrument(lot_e8=1_000_000)))
    assert AAA not in one.state.gate.sizes


def test_open_orders_elsewhere_count_for_the_net_limit() -> None:
    limits = Limits(net_leverage_max_e8=15_000_000, position_notional_frac_max_e8=15_000_000)
    wish = Wish().say(0.1, AAA).say(0.1, BBB)
    one = engine(wish, [instrument(), instrument(BBB)], limits=limits)
    one.step(bar(1, instrument_id=AAA))
    wish.say(0.1, BBB)
    outputs = one.step(bar(1, instrument_id=BBB))
    assert [o.code for o in outputs if isinstance(o, OrderRefused)] == ["NET_EXPOSURE"]
    assert one.state.orders.live_count == 1


def test_several_instruments_keep_apart() -> None:
    wish = Wish().say(0.1, AAA)
    one = engine(wish, [instrument(), instrument(BBB, tick_e8=1_000_000)])
    (a,) = sent(one.step(bar(1, 1_000, AAA)))
    wish.say(-0.1, BBB)
    (b,) = sent(one.step(bar(1, 20_000, BBB)))
    assert (a.instrument, a.side, b.instrument, b.side, b.qty_lots) == (AAA, Side.BUY, BBB, Side.SELL, 5_000)
    one.step(filled(b, T0 + MINUTE + 1, 20_000, fill_id="fb"))
    one.step(filled(a, T0 + MINUTE + 1, 1_000, fill_id="fa"))
    assert [p["qty"] for p in one.summary()["positions"]] == ["10.000", "-5.000"]
    with pytest.raises(InvalidInput, match="ordered by id"):
        engine(Wish(), [instrument(BBB), instrument()])


# limit entries, timers, people -----------------------------------------------------------------------------

RESTING = ExecutionPolicy(entry=OrderKind.LIMIT, limit_life_ns=90 * S)


def test_a_resting_entry_ends_with_its_life_and_is_planned_again() -> None:
    wish = Wish().say(0.1)
    one = engine(wish, execution=RESTING)
    outputs = one.step(bar(1))
    (made,) = sent(outputs)
    assert (made.kind, made.limit_ticks) == (OrderKind.LIMIT, 1_000)
    (timer,) = [o for o in outputs if isinstance(o, TimerSet)]
    assert timer == TimerSet(timer_id=f"life:{made.client_order_id}", due_ts_ns=T0 + MINUTE + 90 * S)
    one.step(accepted(made, T0 + MINUTE + 1))
    assert one.step(bar(2)) == ()
    assert one.step(TimerFired(timer.due_ts_ns, timer.timer_id)) == (CancelSent(client_order_id=made.client_order_id, reason="LIFE_OVER"),)
    assert one.step(TimerFired(timer.due_ts_ns, timer.timer_id)) == (), "once"
    one.step(canceled(made, T0 + 151 * S))
    (again,) = sent(one.step(bar(3, 1_004)))
    assert (again.limit_ticks, again.client_order_id != made.client_order_id) == (1_004, True)


def test_the_life_timer_of_a_filled_order_does_nothing() -> None:
    one = engine(Wish().say(0.1), execution=RESTING)
    (made,) = sent(one.step(bar(1)))
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    assert one.step(TimerFired(T0 + 150 * S, f"life:{made.client_order_id}")) == ()
    assert one.step(TimerFired(T0 + 150 * S, "life:nobody")) == ()


@pytest.mark.parametrize("exposure", [0.0, -0.1])
def test_a_new_decision_takes_back_the_entry_that_rests_for_the_old_one(exposure: float) -> None:
    wish = Wish().say(0.1)
    one = engine(wish, execution=RESTING)
    (made,) = sent(one.step(bar(1)))
    one.step(accepted(made, T0 + MINUTE + 1))
    wish.say(exposure)
    outputs = one.step(bar(2))
    assert CancelSent(client_order_id=made.client_order_id, reason="SUPERSEDED") in outputs
    assert sent(outputs) == []


def test_what_the_rate_holds_back_follows_a_second_later() -> None:
    small = ExecutionPolicy(slice_notional_frac_e8=1_000_000)
    wish = Wish().say(0.1)
    one = engine(wish, execution=small)
    outputs = one.step(bar(1))
    orders = sent(outputs)
    assert [o.qty_lots for o in orders] == [1_000] * 7
    assert [o.code for o in outputs if isinstance(o, OrderRefused)] == ["ORDER_RATE"]
    due = T0 + MINUTE + S
    assert outputs[-1] == TimerSet(timer_id=f"work:{AAA}", due_ts_ns=due)
    assert one.timers() == (outputs[-1],), "whoever recovers this engine sets it again"
    for n, made in enumerate(orders):
        one.step(filled(made, T0 + MINUTE + 1, 1_000, fill_id=f"f{n}"))
    assert [o.qty_lots for o in sent(one.step(TimerFired(due, f"work:{AAA}")))] == [1_000] * 3
    assert one.state.slots[AAA].target_lots == 10_000


def test_a_stale_price_waits_for_a_bar_and_sets_no_timer() -> None:
    wish = Wish()
    one = engine(wish, [instrument(), instrument(BBB)], execution=ExecutionPolicy(slice_notional_frac_e8=1_000_000))
    one.step(bar(1, instrument_id=AAA))
    wish.say(0.1)
    orders = sent(one.step(bar(2, instrument_id=AAA)))
    for n, made in enumerate(orders):
        one.step(filled(made, T0 + 2 * MINUTE + 1, 1_000, fill_id=f"f{n}"))
    outputs = one.step(TimerFired(T0 + 5 * MINUTE, f"work:{AAA}"))
    assert [(type(o), getattr(o, "code", "")) for o in outputs] == [(OrderRefused, "STALE_PRICE")]
    assert len(sent(one.step(bar(6, instrument_id=AAA)))) == 3


def test_a_strategy_that_stuffs_messages_is_halted() -> None:  # C-RISK-06
    limits = Limits(messages_per_3s_max=5)
    one = engine(Wish().say(0.1), execution=ExecutionPolicy(slice_notional_frac_e8=1_000_000), limits=limits)
    outputs = one.step(bar(1))
    assert halt_of(outputs) == "halted MESSAGE_RATE"
    assert len([o for o in outputs if isinstance(o, CancelSent)]) == 5, "and what it sent is cancelled"


def test_people_halt_and_resume() -> None:
    one, wish, made = entered()
    outputs = one.step(CommandGiven(T0 + MINUTE + 1, Command.HALT, "ann", "drill"))
    assert outputs == (
        RiskStateChanged(state="halted", code="COMMAND", observed="ann: drill", limit=""),
        CancelSent(client_order_id=made.client_order_id, reason="RISK_COMMAND"),
    )
    assert one.step(CommandGiven(T0 + MINUTE + 2, Command.HALT, "ann", "again")) == ()
    one.step(canceled(made, T0 + MINUTE + 3))
    wish.say(0.2)
    assert sent(one.step(bar(2))) == []
    assert halt_of(one.step(CommandGiven(T0 + 2 * MINUTE + 1, Command.RESUME, "bob", "drill over"))) == "running COMMAND"
    assert one.step(CommandGiven(T0 + 2 * MINUTE + 1, Command.RESUME, "bob", "again")) == ()
    assert len(sent(one.step(bar(3)))) == 2


# cash ------------------------------------------------------------------------------------------------------


def test_a_withdrawal_is_no_drawdown_and_a_deposit_hides_none() -> None:
    one, _, made = entered()
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    one.step(CashMoved(T0 + MINUTE + 2, -5_000 * E8, "WITHDRAWAL"))
    one.step(bar(2))
    assert one.summary()["drawdown_now"] == "0.00000000"
    one.step(CashMoved(T0 + 2 * MINUTE + 2, 3_000 * E8, "DEPOSIT"))
    one.step(bar(3, 900))  # 100 USDT lost of 8,000
    assert one.summary()["drawdown_now"] == one.summary()["daily_loss"] == "0.01250000"
    assert one.state.account_view[FLOWS] == -2_000 * E8
