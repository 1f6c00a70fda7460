"""What the live loop needs of the engine: flattening, cancelling, adopted positions, books that differ, ids that count once."""

from __future__ import annotations

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.events import (
    BooksDiffer,
    CashMoved,
    Command,
    CommandGiven,
    FundingSettled,
    OrderRejected,
    OrderUnanswered,
    PositionAdopted,
    TimerFired,
)
from kedge.domain.orders import FillCause, OrderKind, Side
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, OrderSent, RiskStateChanged, TimerSet
from kedge.engine.engine import Engine
from kedge.kernel.account import FUNDING, WALLET
from kedge.risk.limits import Limits
from kedge.risk.states import FLATTEN, RiskState, judge
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, E8, MINUTE, T0, WALLET_E8, S, Wish, accepted, bar, canceled, engine, filled, order, sent

SLICED = ExecutionPolicy(slice_notional_frac_e8=4_000_000)


def given(n_s: int, command: Command) -> CommandGiven:
    return CommandGiven(T0 + n_s * S, command, "ann", "drill")


def held(one: Engine, wish: Wish, exposure: float = 0.1) -> None:
    """Open a position at the first bar."""
    one.step(bar(1))
    wish.say(exposure)
    for n, intent in enumerate(sent(one.step(bar(2)))):
        one.step(filled(intent, T0 + 2 * MINUTE, 1_000, fill_id=f"open{n}"))


def test_flattening_closes_with_reduce_only_market_orders_and_looks_again_until_flat():
    wish = Wish()
    one = engine(wish, execution=SLICED)
    held(one, wish)
    outputs = one.step(given(121, Command.FLATTEN))
    assert isinstance(outputs[0], RiskStateChanged)
    assert (outputs[0].state, outputs[0].code) == ("reduce_only", "FLATTEN")
    assert [(output.target_lots, output.reason) for output in outputs if isinstance(output, Decided)] == [(0, "FLATTEN")]
    orders = sent(outputs)
    assert {(intent.side, intent.kind, intent.reduce_only) for intent in orders} == {(Side.SELL, OrderKind.MARKET, True)}
    (timer,) = (output for output in outputs if isinstance(output, TimerSet))
    for intent in orders[:-1]:
        one.step(filled(intent, T0 + 122 * S, 1_000, fill_id=intent.client_order_id))
    one.step(canceled(orders[-1], T0 + 122 * S, "EC_NoImmediateQtyToFill"))
    again = one.step(TimerFired(timer.due_ts_ns + 5 * S, timer.timer_id))
    (rest,) = sent(again)
    assert rest.qty_lots == orders[-1].qty_lots
    one.step(filled(rest, T0 + 130 * S, 1_000, fill_id="rest"))
    assert one.state.slots[AAA].position_lots == 0
    assert one.step(TimerFired(T0 + 131 * S, timer.timer_id)) == ()


def test_while_flat_nobody_asks_the_strategy_and_a_person_ends_it():
    wish = Wish()
    one = engine(wish)
    held(one, wish)
    (close,) = sent(one.step(given(121, Command.FLATTEN)))
    one.step(filled(close, T0 + 122 * S, 1_000, fill_id="close"))
    asked = len(wish.seen)
    wish.say(0.1)
    assert one.step(bar(3)) == ()
    assert len(wish.seen) == asked
    assert one.step(TimerFired(T0 + 190 * S, f"work:{AAA}")) == ()
    resumed = one.step(given(200, Command.RESUME))
    assert isinstance(resumed[0], RiskStateChanged)
    assert resumed[0].state == "running"
    assert sent(one.step(bar(4)))


def test_flattening_cancels_what_would_open_and_a_late_fill_is_closed_a_second_later():
    wish = Wish()
    one = engine(wish, execution=ExecutionPolicy(entry=OrderKind.LIMIT))
    one.step(bar(1))
    wish.say(0.1)
    (resting,) = sent(one.step(bar(2)))
    one.step(accepted(resting, T0 + 2 * MINUTE))
    outputs = one.step(given(121, Command.FLATTEN))
    assert [type(output) for output in outputs] == [RiskStateChanged, CancelSent, Decided]
    one.step(filled(resting, T0 + 122 * S, 1_000, lots=100, leaves=resting.qty_lots - 100))
    one.step(canceled(resting, T0 + 122 * S))
    (close,) = sent(one.step(TimerFired(T0 + 123 * S, f"work:{AAA}")))
    assert (close.reduce_only, close.qty_lots) == (True, 100)


def test_an_order_of_unknown_fate_that_fills_while_a_person_flattens_is_closed_at_once():
    wish = Wish()
    one = engine(wish)
    one.step(bar(1))
    wish.say(0.1)
    (lost,) = sent(one.step(bar(2)))
    one.step(OrderUnanswered(T0 + 121 * S, lost.client_order_id))
    one.step(given(122, Command.FLATTEN))
    assert one.state.timers == {}, "nothing is held, so nothing is looked at again"
    (close,) = sent(one.step(filled(lost, T0 + 130 * S, 1_000)))
    assert (close.side, close.qty_lots, close.reduce_only) == (Side.SELL, lost.qty_lots, True)


def test_no_limit_on_messages_ends_a_flattening_and_it_is_tried_again_a_second_later():
    wish = Wish()
    one = engine(wish, limits=Limits(messages_per_3s_max=4))
    held(one, wish)
    for _ in range(4):
        one.state.gate.note_message(T0 + 150 * S)
    outputs = one.step(given(150, Command.FLATTEN))
    assert [output.code for output in outputs if isinstance(output, OrderRefused)] == ["MESSAGE_RATE"]
    assert (one.state.risk_state, one.state.halt_code) == (RiskState.REDUCE_ONLY, FLATTEN)
    assert sent(one.step(TimerFired(T0 + 151 * S, f"work:{AAA}"))) == []
    assert len(sent(one.step(TimerFired(T0 + 154 * S, f"work:{AAA}")))) == 1


def test_a_flattening_goes_on_at_the_next_bar_after_the_venue_refused_all_tries():
    wish = Wish()
    one = engine(wish, attempts_max=1)
    held(one, wish)
    (close,) = sent(one.step(given(150, Command.FLATTEN)))
    one.step(OrderRejected(T0 + 150 * S, close.client_order_id, "10016", "internal error"))
    assert one.step(TimerFired(T0 + 151 * S, f"work:{AAA}")) == ()
    decided, *rest = one.step(bar(3))
    assert isinstance(decided, Decided)
    assert (decided.reason, decided.target_lots) == (FLATTEN, 0)
    (again,) = sent(rest)
    assert (again.qty_lots, again.client_order_id != close.client_order_id) == (close.qty_lots, True)


def test_a_loss_does_not_stop_a_flattening():
    assert judge(RiskState.REDUCE_ONLY, FLATTEN, E8, E8, engine().settings.limits, day_over=True) is None


def test_cancelling_all_keeps_the_state_and_covers_reducing_orders_too():
    wish = Wish()
    one = engine(wish)
    held(one, wish)
    wish.say(0.0)
    (close,) = sent(one.step(bar(3)))
    outputs = one.step(given(200, Command.CANCEL_ALL))
    assert outputs == (CancelSent(client_order_id=close.client_order_id, reason="COMMAND"),)
    assert one.state.risk_state is RiskState.RUNNING


def test_an_adopted_position_replaces_ours_with_its_cost():
    one = engine()
    one.step(bar(1))
    one.step(PositionAdopted(T0 + MINUTE, AAA, -300, -3_000_000_000))
    assert (one.state.slots[AAA].position_lots, int(one.state.costs[0])) == (-300, -3_000_000_000)
    one.step(bar(2, 990))
    assert one.summary()["unrealised"] == "0.30000000"


def test_books_that_differ_halt_with_their_code_and_both_figures():
    one = engine()
    (change,) = one.step(BooksDiffer(T0 + S, "WALLET_DIFFERS", "", "", 5, 7))
    assert isinstance(change, RiskStateChanged)
    assert (change.state, change.code, change.observed) == ("halted", "WALLET_DIFFERS", "account: 5 here, 7 at the venue")
    (change,) = one.step(BooksDiffer(T0 + S, "FOREIGN_ORDER", AAA, "x", 0, 7))
    assert change.observed == f"{AAA} x: 0 here, 7 at the venue"  # type: ignore[union-attr]


def test_settlements_and_cash_with_an_id_count_once_and_without_one_every_time():
    one = engine()
    one.step(bar(1))
    for _ in range(2):
        one.step(FundingSettled(T0 + MINUTE, AAA, 0, 10_000_000_000, 0, 7, "f1"))
        one.step(CashMoved(T0 + MINUTE, 1_000, "TRANSFER_IN", "c1"))
    assert one.state.account_view[FUNDING] == 7
    assert one.state.account_view[WALLET] == WALLET_E8 - 7 + 1_000
    for _ in range(2):
        one.step(CashMoved(T0 + MINUTE, 1_000, "DEPOSIT"))
    assert one.state.account_view[WALLET] == WALLET_E8 - 7 + 3_000


def test_an_adopted_fill_is_booked_once_without_an_order_and_without_a_halt():
    one = engine()
    one.step(bar(1))
    fill = filled(order("x"), T0 + MINUTE, 1_000, lots=50, fill_id="a1")
    adopted = msgspec.structs.replace(fill, client_order_id="", cause=FillCause.ADOPTED)
    for _ in range(2):
        assert one.step(adopted) == ()
    assert one.state.slots[AAA].position_lots == 50


def test_new_fields_leave_old_bytes_as_they_were():
    assert b"cash_id" not in encode(CashMoved(1, 2, "DEPOSIT"))
    assert b"funding_id" not in encode(FundingSettled(1, AAA, 1, 1, 1, 1))
    assert b"command_id" not in encode(CommandGiven(1, Command.HALT, "ann", "x"))


def test_a_flattening_that_the_venue_refuses_again_and_again_is_given_up_until_it_is_asked_for_anew():
    wish = Wish()
    one = engine(wish)
    held(one, wish)
    outputs = one.step(given(121, Command.FLATTEN))
    for n in range(3):
        (intent,) = sent(outputs)
        one.step(OrderRejected(T0 + (122 + 5 * n) * S, intent.client_order_id, "110001", "drill"))
        outputs = one.step(TimerFired(T0 + (125 + 5 * n) * S, f"work:{AAA}"))
    assert outputs == ()
    assert one.state.timers == {}
    assert [output for output in one.step(given(200, Command.FLATTEN)) if isinstance(output, OrderSent)]
