"""The stop of every position: where it lies, when it is wanted anew, and how a position is closed that stands without it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.events import (
    CashMoved,
    Command,
    CommandGiven,
    CostRestated,
    Event,
    InstrumentChanged,
    OrderFilled,
    OrderUnanswered,
    PositionAdopted,
    QuoteLost,
    QuoteSampled,
    StopPlaced,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.orders import FillCause, Liquidity, OrderKind, Side
from kedge.domain.outputs import Decided, OrderRefused, Output, RiskStateChanged, StopWanted, TimerSet
from kedge.engine.engine import Engine
from kedge.engine.fold import WORK_TIMER
from kedge.engine.stops import NEARER, first_liquidation_ticks, halfway, protects, stop_ticks
from kedge.risk.states import FLATTEN, STOP_UNCONFIRMED, RiskState
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, E8, MINUTE, T0, S, Wish, bar, canceled, engine, filled, instrument, sent

TENTH = 10_000_000
PRICE = 1_000


def kept(wish: Wish | None = None, **changes: Any) -> Engine:
    """An engine that wants a stop ten per cent away, at its first bar."""
    one = engine(wish or Wish(), stop_distance_frac_e8=TENTH, **changes)
    one.step(bar(1, PRICE))
    return one


def adopt(one: Engine, lots: int, price: int, n_s: int = 61, name: str = AAA) -> list[StopWanted]:
    spec = one.state.slots[name].spec
    return wanted(one.step(PositionAdopted(T0 + n_s * S, name, lots, lots * price * spec.tick_value_e8)))


def traded(side: Side, lots: int, price: int, n_s: int, *, cause: FillCause = FillCause.ADOPTED) -> OrderFilled:
    return OrderFilled(T0 + n_s * S, f"f{n_s}", "", AAA, side, lots, price, 0, Liquidity.TAKER, 0, cause)


def wanted(outputs: tuple[Output, ...]) -> list[StopWanted]:
    return [output for output in outputs if isinstance(output, StopWanted)]


def opened(one: Engine, wish: Wish, exposure: float = 0.1) -> int:
    """A position that an order of ours opened at the second bar; how many lots."""
    wish.say(exposure)
    for n, intent in enumerate(sent(one.step(bar(2, PRICE)))):
        one.step(filled(intent, T0 + 2 * MINUTE, PRICE, fill_id=f"open{n}"))
    return one.state.slots[AAA].position_lots


def unconfirmed(n_s: int = 126, name: str = AAA) -> StopUnconfirmed:
    return StopUnconfirmed(T0 + n_s * S, name, 5 * S, "refused: 10001 drill")


@pytest.mark.parametrize(("lots", "price", "ticks"), [(3, 1_000, 900), (-3, 1_000, 1_100), (3, 1_001, 901), (-3, 1_001, 1_101)])
def test_a_position_that_opens_wants_its_stop_in_the_same_step_rounded_towards_it(lots: int, price: int, ticks: int):
    one = kept()
    (stop,) = adopt(one, lots, price)
    assert (stop.instrument, stop.stop_ticks, stop.position_lots, stop.reason) == (AAA, ticks, lots, "opened")
    slot = one.state.slots[AAA]
    assert (slot.stop_wanted_ticks, slot.stop_lots, slot.stop_placed_ticks) == (ticks, lots, 0)


def test_an_engine_without_a_distance_wants_no_stops():
    one = engine(Wish())
    one.step(bar(1, PRICE))
    assert adopt(one, 5, PRICE) == []
    assert wanted(one.step(StopPlaced(T0 + 62 * S, AAA, 900))) == []


def test_a_stop_moves_with_the_average_by_more_than_a_tick_and_stays_where_a_part_is_closed():
    one = kept()
    adopt(one, 100, 1_000)
    one.step(StopPlaced(T0 + 62 * S, AAA, 900))
    assert wanted(one.step(traded(Side.BUY, 10, 1_010, 63))) == []
    (stop,) = wanted(one.step(traded(Side.BUY, 100, 1_020, 64)))
    assert (stop.stop_ticks, stop.reason) == (909, "average moved")
    assert one.state.slots[AAA].stop_placed_ticks == 900  # the old one lies there still
    assert wanted(one.step(traded(Side.SELL, 150, 1_200, 65))) == []


def test_a_position_that_ends_wants_its_stop_away_and_one_that_turns_round_wants_another():
    one = kept()
    adopt(one, 100, 1_000)
    one.step(StopPlaced(T0 + 62 * S, AAA, 900))
    (other,) = wanted(one.step(traded(Side.SELL, 150, 1_000, 63)))
    assert (other.stop_ticks, other.position_lots, other.reason) == (1_100, -50, "turned round")
    assert one.state.slots[AAA].stop_placed_ticks == 0  # the venue took the old one away
    (none,) = wanted(one.step(traded(Side.BUY, 50, 1_000, 64)))
    assert (none.stop_ticks, none.position_lots, none.reason) == (0, 0, "flat")
    assert wanted(one.step(StopPlaced(T0 + 65 * S, AAA, 0))) == []
    (again,) = adopt(one, 100, 1_000, 66)
    assert (again.stop_ticks, again.reason) == (900, "opened")


def test_a_stop_that_the_venue_shows_where_nothing_is_held_is_wanted_away():
    one = kept()
    (away,) = wanted(one.step(StopPlaced(T0 + 61 * S, AAA, 880)))
    assert (away.stop_ticks, away.position_lots) == (0, 0)
    assert one.state.slots[AAA].stop_placed_ticks == 880
    assert wanted(one.step(StopPlaced(T0 + 62 * S, AAA, 0))) == []


def test_a_stop_of_something_that_is_not_traded_is_nobodys():
    one = kept()
    assert one.step(StopPlaced(T0 + 61 * S, BBB, 880)) == ()
    assert one.step(unconfirmed(name=BBB)) == ()


@pytest.mark.parametrize(("lots", "ticks"), [(5, 900), (-5, 1_100)])
def test_a_stop_that_the_mark_has_passed_already_is_measured_from_the_mark(lots: int, ticks: int):
    one = kept()
    (stop,) = adopt(one, lots, 1_300 if lots > 0 else 700)
    assert stop.stop_ticks == ticks


def test_a_stop_never_lies_at_or_beyond_the_price_of_liquidation():
    one = engine(Wish(), stop_distance_frac_e8=50_000_000)
    one.step(bar(1, PRICE))
    spec = one.state.slots[AAA].spec
    lots = 4 * one.state.account_view[0] // (PRICE * spec.tick_value_e8)
    (stop,) = adopt(one, lots, PRICE)
    slot = one.state.slots[AAA]
    liquidation = first_liquidation_ticks(one.state, slot, PRICE, 1)
    assert 500 < liquidation < PRICE
    assert stop.stop_ticks == halfway(liquidation, PRICE)
    assert liquidation < stop.stop_ticks < PRICE
    (short,) = wanted(one.step(traded(Side.SELL, 2 * lots, PRICE, 62)))
    liquidation = first_liquidation_ticks(one.state, slot, PRICE, 2 * PRICE)
    assert PRICE < short.stop_ticks < liquidation < 1_500


def test_without_every_mark_nobody_knows_the_price_of_liquidation():
    one = engine(Wish(), [instrument(AAA), instrument(BBB)], stop_distance_frac_e8=50_000_000)
    one.step(bar(1, PRICE))
    one.step(PositionAdopted(T0 + 61 * S, BBB, 5, 5 * PRICE * one.state.slots[BBB].spec.tick_value_e8))
    spec = one.state.slots[AAA].spec
    (stop,) = adopt(one, 4 * one.state.account_view[0] // (PRICE * spec.tick_value_e8), PRICE, 62)
    assert stop.stop_ticks == 500
    assert first_liquidation_ticks(one.state, one.state.slots[AAA], PRICE, 1) == 0


def test_a_new_grid_wants_the_stop_anew_in_its_own_ticks():
    one = kept()
    adopt(one, 100, PRICE)
    one.step(StopPlaced(T0 + 62 * S, AAA, 900))
    spec = one.state.slots[AAA].spec
    finer = msgspec.structs.replace(spec, tick_e8=spec.tick_e8 // 2, tick_value_e8=spec.tick_value_e8 // 2)
    (stop,) = wanted(one.step(InstrumentChanged(T0 + 63 * S, finer)))
    assert stop.stop_ticks == 1_800
    assert one.state.slots[AAA].stop_placed_ticks == 0


@given(
    value=st.integers(1, 10**18),
    per_tick=st.integers(1, 10**12),
    distance=st.integers(1, 90_000_000),
    sign=st.sampled_from((1, -1)),
)
def test_a_stop_lies_at_most_its_distance_away_and_less_than_a_tick_nearer(value: int, per_tick: int, distance: int, sign: int):
    ticks = stop_ticks(sign, value, per_tick, distance)
    exact_e8 = value * (E8 - sign * distance)
    nearer_e8 = sign * (ticks * per_tick * E8 - exact_e8)
    assert 0 <= nearer_e8 < per_tick * E8


@given(liquidation=st.integers(1, 10**9), gap=st.integers(2, 10**6), is_long=st.booleans())
def test_halfway_lies_strictly_between_where_there_is_a_tick_between(liquidation: int, gap: int, is_long: bool):
    mark = liquidation + gap if is_long else max(1, liquidation - gap)
    if abs(mark - liquidation) >= 2:
        assert min(mark, liquidation) < halfway(liquidation, mark) < max(mark, liquidation)


@given(st.lists(st.tuples(st.integers(-40, 40).filter(bool), st.integers(700, 1_400)), min_size=1, max_size=25))
def test_whatever_is_traded_a_position_has_a_wish_that_protects_it_and_recovery_wants_the_same(trades: list[tuple[int, int]]):
    one, other = kept(), kept()
    slot = one.state.slots[AAA]
    for n, (lots, price) in enumerate(trades):
        events: list[Event] = [
            bar(n + 2, price),
            OrderFilled(
                T0 + (n + 2) * MINUTE, f"f{n}", "", AAA, Side.BUY if lots > 0 else Side.SELL, abs(lots), price, 0, Liquidity.TAKER, 0,
                FillCause.ADOPTED,
            ),
        ]  # fmt: skip
        for event in events:
            other.apply(event, one.step(event))
        held = slot.position_lots
        assert bool(slot.stop_wanted_ticks) == bool(held)
        if held:
            average = abs(int(one.state.costs[slot.index])) / (abs(held) * slot.spec.tick_value_e8)
            by_average = protects(held, slot.stop_wanted_ticks, round(average))
            by_mark = protects(held, slot.stop_wanted_ticks, int(one.state.marks[slot.index]))
            assert by_average or by_mark
    assert one.snapshot() == other.snapshot()


# a position without its stop -------------------------------------------------------------------------------------------


def test_a_position_without_its_stop_is_closed_at_once_and_trading_halts():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish)
    outputs = one.step(unconfirmed())
    change = outputs[0]
    assert isinstance(change, RiskStateChanged)
    assert (change.state, change.code) == ("halted", STOP_UNCONFIRMED)
    assert "5.0 s" in change.observed
    assert "drill" in change.observed
    assert [(output.target_lots, output.reason) for output in outputs if isinstance(output, Decided)] == [(0, STOP_UNCONFIRMED)]
    (close,) = sent(outputs)
    assert (close.side, close.kind, close.qty_lots, close.reduce_only) == (Side.SELL, OrderKind.MARKET, lots, True)
    (none,) = wanted(one.step(filled(close, T0 + 127 * S, PRICE, fill_id="close")))
    assert none.stop_ticks == 0
    assert one.state.risk_state is RiskState.HALTED


def test_it_is_closed_also_where_trading_is_halted_already_and_the_first_reason_stays():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    one.step(CommandGiven(T0 + 121 * S, Command.HALT, "ann", "drill"))
    outputs = one.step(unconfirmed())
    assert len(sent(outputs)) == 1
    assert one.state.halt_code == "COMMAND"


def test_a_flattening_goes_on_as_it_is():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    (close,) = sent(one.step(CommandGiven(T0 + 121 * S, Command.FLATTEN, "ann", "drill")))
    assert sent(one.step(unconfirmed())) == []  # one closing order is under way
    assert one.state.halt_code == FLATTEN
    one.step(filled(close, T0 + 127 * S, PRICE, fill_id="close"))
    assert one.state.slots[AAA].position_lots == 0


def quoted(n_s: int, bid: int = 995, ask: int = 997) -> QuoteSampled:
    return QuoteSampled(T0 + n_s * S, AAA, bid, ask, 10, 10)


def codes(outputs: tuple[Output, ...]) -> list[str]:
    return [output.code for output in outputs if isinstance(output, OrderRefused)]


def test_without_bars_a_position_without_its_stop_is_closed_on_a_fresh_quote_and_not_on_an_old_one():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish)
    one.step(quoted(300))
    late = one.step(unconfirmed(306))
    assert (sent(late), codes(late)) == ([], ["STALE_PRICE"])
    one.step(QuoteLost(T0 + 307 * S, AAA, "drill"))
    assert codes(one.step(TimerFired(T0 + 307 * S, WORK_TIMER + AAA))) == ["STALE_PRICE"]
    one.step(quoted(308))
    (close,) = sent(one.step(TimerFired(T0 + 308 * S, WORK_TIMER + AAA)))
    assert (close.side, close.qty_lots, close.reduce_only) == (Side.SELL, lots, True)


def test_without_bars_a_flattening_closes_on_a_fresh_quote_in_slices_that_the_dearer_price_allows():
    wish = Wish()
    one = kept(wish, execution=ExecutionPolicy(slice_notional_frac_e8=5_000_000))
    lots = opened(one, wish)
    one.step(quoted(400, 1_999, 2_000))
    outputs = one.step(CommandGiven(T0 + 401 * S, Command.FLATTEN, "ann", "drill"))
    closing = sent(outputs)
    assert lots > 9_000
    assert {one.reduce_only for one in closing} == {True}
    assert sum(one.qty_lots for one in closing) == lots
    assert 2_000 < max(one.qty_lots for one in closing) <= 2_750, "a slice at twice the mark, and its dust"
    assert codes(outputs) == []


def test_without_bars_nothing_but_a_way_out_is_sent_on_a_quote():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    wish.say(0.05)
    one.step(TimerFired(T0 + 300 * S, "catch-up"))
    one.step(quoted(300))
    outputs = one.step(bar(3, PRICE))
    assert (sent(outputs), codes(outputs)) == ([], ["STALE_PRICE"])


def test_an_opening_order_of_unknown_fate_does_not_hold_up_the_closing():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish, 0.05)
    wish.say(0.1)
    (more,) = sent(one.step(bar(3, PRICE)))
    one.step(OrderUnanswered(T0 + 181 * S, more.client_order_id))
    (close,) = sent(one.step(unconfirmed(186)))
    assert (close.side, close.qty_lots, close.reduce_only) == (Side.SELL, lots, True)


def test_what_was_not_closed_is_tried_again_until_nothing_is_held():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish)
    outputs = one.step(unconfirmed())
    (close,) = sent(outputs)
    (timer,) = [output for output in outputs if isinstance(output, TimerSet)]
    assert timer.timer_id == WORK_TIMER + AAA
    one.step(filled(close, T0 + 126 * S, PRICE, lots=lots - 10, leaves=10, fill_id="part"))
    one.step(canceled(close, T0 + 126 * S, "EC_NoImmediateQtyToFill"))
    (rest,) = sent(one.step(TimerFired(timer.due_ts_ns, timer.timer_id)))
    assert (rest.qty_lots, rest.reduce_only) == (10, True)
    one.step(canceled(rest, T0 + 128 * S, "EC_NoImmediateQtyToFill"))
    (last,) = sent(one.step(unconfirmed(131)) + one.step(TimerFired(T0 + 133 * S, timer.timer_id)))
    assert last.client_order_id not in (close.client_order_id, rest.client_order_id)
    one.step(filled(last, T0 + 134 * S, PRICE, fill_id="last"))
    assert one.state.slots[AAA].position_lots == 0


def test_nothing_new_is_risked_on_it_until_a_person_resumes():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    (close,) = sent(one.step(unconfirmed()))
    one.step(filled(close, T0 + 127 * S, PRICE, fill_id="close"))
    wish.say(0.1)
    (veto,) = [output for output in one.step(bar(3, PRICE)) if isinstance(output, Decided)]
    assert (veto.code, veto.target_lots) == (STOP_UNCONFIRMED, 0)
    one.step(TimerFired(T0 + 180 * S, WORK_TIMER + AAA))
    one.step(CommandGiven(T0 + 181 * S, Command.RESUME, "ann", "the venue takes stops again"))
    wish.say(0.1)
    assert len(sent(one.step(bar(4, PRICE)))) == 1


def test_whoever_resumes_while_the_position_is_still_bare_is_halted_again_and_the_closing_goes_on():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    (close,) = sent(one.step(unconfirmed()))
    one.step(canceled(close, T0 + 127 * S))
    resume = CommandGiven(T0 + 128 * S, Command.RESUME, "ann", "somebody has seen to it")
    states = [(o.state, o.code) for o in one.step(resume) if isinstance(o, RiskStateChanged)]
    assert states == [("running", "COMMAND"), ("halted", STOP_UNCONFIRMED)]
    wish.say(0.2)
    assert [o.code for o in one.step(bar(3, PRICE)) if isinstance(o, Decided)] == [STOP_UNCONFIRMED]
    (again,) = sent(one.step(TimerFired(T0 + 181 * S, WORK_TIMER + AAA)))
    assert (again.reduce_only, again.qty_lots) == (True, close.qty_lots)
    one.step(StopPlaced(T0 + 182 * S, AAA, one.state.slots[AAA].stop_wanted_ticks))
    one.step(msgspec.structs.replace(resume, ts_ns=T0 + 183 * S))
    assert (one.state.risk_state, one.state.slots[AAA].stop_failed) == (RiskState.RUNNING, False)


def test_other_instruments_keep_their_positions_and_are_not_traded():
    wish = Wish()
    one = engine(wish, [instrument(AAA), instrument(BBB)], stop_distance_frac_e8=TENTH)
    for name in (AAA, BBB):
        one.step(bar(1, PRICE, name))
        adopt(one, 5_000, PRICE, name=name)
    outputs = one.step(unconfirmed(66))
    assert [intent.instrument for intent in sent(outputs)] == [AAA]
    wish.say(0.05, BBB)
    assert sent(one.step(bar(2, PRICE, BBB))) == []
    assert one.state.slots[BBB].position_lots == 5_000


def test_a_report_that_outlived_its_position_changes_nothing():
    one = kept()
    assert one.step(unconfirmed(62)) == ()
    assert one.state.risk_state is RiskState.RUNNING


def test_a_stop_that_fired_is_booked_and_halts_trading():
    one = kept()
    adopt(one, 100, PRICE)
    outputs = one.step(traded(Side.SELL, 100, 899, 70, cause=FillCause.STOP))
    assert one.state.halt_code == "STOP_FIRED"
    assert [stop.stop_ticks for stop in wanted(outputs)] == [0]


def test_a_position_that_the_venue_closed_is_not_opened_again_by_its_old_decision_after_a_resume():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish, 0.01)
    (flat,) = [o for o in one.step(traded(Side.SELL, lots, 990, 130, cause=FillCause.STOP)) if isinstance(o, Decided)]
    assert (flat.target_lots, flat.exposure_e8, flat.reason) == (0, 0, "STOP_FIRED")
    one.step(CommandGiven(T0 + 131 * S, Command.RESUME, "ann", "seen"))
    assert one.state.risk_state is RiskState.RUNNING
    wish.targets = []
    assert sent(one.step(bar(3, PRICE))) == []
    wish.say(0.01)
    assert len(sent(one.step(bar(4, PRICE)))) == 1, "a fresh decision may"


def test_a_part_that_the_venue_took_off_leaves_the_target_to_a_person():
    wish = Wish()
    one = kept(wish)
    lots = opened(one, wish)
    outputs = one.step(traded(Side.SELL, lots // 2, PRICE, 130, cause=FillCause.ADL))
    assert [output for output in outputs if isinstance(output, Decided)] == []
    assert one.state.slots[AAA].target_lots == lots


def moved_out(n_s: int, amount: int) -> CashMoved:
    return CashMoved(T0 + n_s * S, amount * E8, "TRANSFER_OUT", f"out{n_s}")


def test_a_withdrawal_that_brings_liquidation_nearer_than_the_stop_moves_the_stop_before_it():
    one = kept()
    adopt(one, 20_000, PRICE)  # 2,000 USDT of 10,000
    assert wanted(one.step(moved_out(62, -7_000))) == [], "it still bears ten per cent"
    (stop,) = wanted(one.step(moved_out(63, -2_850)))
    slot = one.state.slots[AAA]
    liquidation = first_liquidation_ticks(one.state, slot, PRICE, 900)
    assert 900 < liquidation < stop.stop_ticks < PRICE
    assert (stop.stop_ticks, stop.position_lots, stop.reason) == (halfway(liquidation, PRICE), 20_000, NEARER)
    assert wanted(one.step(bar(2, PRICE))) == [], "it lies before it now, and does not trail"


def test_another_position_that_takes_the_margin_moves_the_stop_too():
    one = engine(Wish(), [instrument(AAA), instrument(BBB)], stop_distance_frac_e8=TENTH)
    for name in (AAA, BBB):
        one.step(bar(1, PRICE, name))
    adopt(one, -20_000, PRICE)
    one.step(moved_out(62, -9_750))
    before = one.state.slots[AAA].stop_wanted_ticks
    stops = {stop.instrument: stop for stop in adopt(one, 30_000, PRICE, 63, BBB)}
    assert stops[AAA].reason == NEARER
    assert PRICE < stops[AAA].stop_ticks < before


def test_a_stop_with_no_tick_between_the_mark_and_liquidation_is_wanted_once():
    one = engine(Wish(), stop_distance_frac_e8=TENTH)
    one.step(bar(1, 20))
    adopt(one, 1_000_000, 20)
    first = wanted(one.step(moved_out(62, -9_950)))
    assert [stop.stop_ticks for stop in first] == [19]
    assert wanted(one.step(moved_out(63, -1))) == []


def test_a_cost_that_is_restated_moves_the_stop_with_the_average():
    one = kept()
    adopt(one, 100, PRICE)
    value = one.state.slots[AAA].spec.tick_value_e8
    (stop,) = wanted(one.step(CostRestated(T0 + 63 * S, AAA, 100 * 1_010 * value)))
    assert (stop.stop_ticks, stop.reason) == (909, "average moved")


def test_a_state_with_stops_survives_a_snapshot():
    wish = Wish()
    one = kept(wish)
    opened(one, wish)
    one.step(StopPlaced(T0 + 122 * S, AAA, 900))
    one.step(unconfirmed())
    other = engine(Wish(), stop_distance_frac_e8=TENTH)
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    slot = other.state.slots[AAA]
    assert (slot.stop_wanted_ticks, slot.stop_placed_ticks, slot.stop_failed) == (900, 900, True)
