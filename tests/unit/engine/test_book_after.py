"""The book that is kept up from sweep to sweep beside one made anew, and the situation that the gate is shown."""

from __future__ import annotations

import msgspec
import pytest
from tests.property.gate_storm import Result, Storm

from kedge.domain.events import InstrumentChanged, QuoteSampled
from kedge.domain.orders import ApprovedOrder, OrderIntent, Side
from kedge.domain.outputs import AmendSent, OrderSent
from kedge.domain.units import E8
from kedge.engine.book_after import BookOfEngine
from kedge.engine.engine import Engine
from kedge.engine.work import Worker
from kedge.risk.gate_state import Distance, Refusal, Situation
from kedge.risk.states import RiskState

from ...builders import AAA, BBB, CCC, MINUTE, T0, TIERS, Wish, accepted, bar, canceled, engine, filled, instrument, order

HARD, SOFT = Distance(20_000_000, 500), Distance(90_000_000, 3_000)
NAMES = (AAA, BBB, CCC)


def worker_of(one: Engine) -> Worker:
    worker: Worker = one._decide.__self__.worker  # type: ignore[attr-defined]
    return worker


def same(one: Engine, intent: OrderIntent) -> Situation:
    """The kept book says of everything what a new one says; returns the situation that was asked about."""
    at = one.situation(intent)
    kept, fresh = at.book, BookOfEngine(one.state)
    assert isinstance(kept, BookOfEngine)
    fresh.sweep()
    for slot in one.state.by_index:
        for side in Side:
            assert kept.others(slot, side) == fresh.others(slot, side)
    ticks = max(1, at.mark_ticks)
    for hard, soft in ((Distance(0, 0), Distance(0, 0)), (HARD, SOFT)):
        assert kept.margin(at, intent.signed_lots, ticks, hard, soft) == fresh.margin(at, intent.signed_lots, ticks, hard, soft)
    assert kept.tail(at, intent.signed_lots, ticks) == fresh.tail(at, intent.signed_lots, ticks)
    assert kept.held() == fresh.held()
    return at


class Compared(Storm):
    """A storm before each of whose orders the kept book is compared with a new one."""

    def _answer(self, order: OrderIntent) -> ApprovedOrder | Refusal:
        same(self.engine, order)
        return super()._answer(order)


@pytest.mark.parametrize("seed", [3, 8])
def test_through_a_storm_of_orders_fills_cancels_and_bars_it_is_the_book_made_anew(seed: int) -> None:
    result = Result()
    Compared(seed, result).run(120)
    assert result.tried > 50
    assert result.accepted > 10
    assert not result.breaches


def three() -> Engine:
    one = engine(Wish(), [instrument(name, base=name[5:8]) for name in NAMES])
    for name in NAMES:
        one.step(bar(1, instrument_id=name))
    return one


def send(one: Engine, intent: OrderIntent) -> None:
    one.apply(bar(1), (OrderSent(approved=ApprovedOrder(order=intent, limits_version="v")),))


def test_each_kind_of_change_is_seen() -> None:
    one, ask, resting = three(), order("ask", lots=500, instrument_id=CCC), order("o1", lots=2_000, limit=990, instrument_id=BBB)
    gross = [same(one, ask).gross_other_e8]

    def seen() -> int:
        gross.append(same(one, ask).gross_other_e8)
        return gross[-1] - gross[-2]

    send(one, resting)
    assert seen() == 2_000 * 1_000 * 10_000
    one.step(accepted(resting, T0 + MINUTE))
    assert seen() == 0
    one.apply(bar(2), (AmendSent(client_order_id="o1", qty_lots=3_000, limit_ticks=991),))
    assert seen() > 0, "while it is under way the larger quantity is open"
    one.step(filled(resting, T0 + 2 * MINUTE, 990, lots=1_000, leaves=1_000))
    seen()
    one.step(canceled(resting, T0 + 2 * MINUTE))
    assert seen() < 0
    one.step(bar(3, 1_100, BBB))
    assert gross[-1] + seen() == 1_000 * 1_100 * 10_000
    one.step(InstrumentChanged(T0 + 3 * MINUTE, instrument(BBB, base="BBB", taker_fee_e8=90_000)))
    same(one, ask)


def test_another_record_of_an_instrument_changes_its_margin() -> None:
    one, ask = three(), order("ask", lots=500, instrument_id=CCC)
    send(one, order("o1", lots=2_000, limit=990, instrument_id=BBB))
    at = same(one, ask)
    assert at.book is not None
    before = at.book.margin(at, 500, 1_000, HARD, SOFT).maintenance_e8
    dear = (msgspec.structs.replace(TIERS[0], maintenance_rate_e8=50_000_000),)
    one.step(InstrumentChanged(T0 + MINUTE, instrument(BBB, base="BBB", tiers=dear)))
    at = same(one, ask)
    assert at.book is not None
    assert at.book.margin(at, 500, 1_000, HARD, SOFT).maintenance_e8 - before == 2_000 * 1_000 * 10_000 * 49 // 100


def test_a_book_that_was_swept_before_a_restart_s_state_came_sees_it() -> None:
    one, ask = three(), order("ask", lots=500, instrument_id=CCC)
    send(one, order("o1", lots=2_000, limit=990, instrument_id=BBB))
    later = engine(Wish(), [instrument(name, base=name[5:8]) for name in NAMES])
    same(later, ask)
    later.restore(one.snapshot())
    assert same(later, ask).gross_other_e8 == same(one, ask).gross_other_e8 > 0
    assert later.state.orders.live_count == 1


def test_every_field_of_a_situation_says_what_its_name_says() -> None:
    one = engine(Wish(), [instrument(name, base=name[5:8]) for name in NAMES], stop_distance_frac_e8=7_000_000)
    for name in NAMES:
        one.step(bar(1, instrument_id=name))
    for intent in (
        order("b1", Side.BUY, 300, 980),
        order("b2", Side.BUY, 10, 975),
        order("s1", Side.SELL, 70, 1_020),
        order("o1", Side.BUY, 50, 990, BBB),
    ):
        send(one, intent)
    send(one, order("m1", Side.SELL, 40, 0))
    one.step(filled(order("m1", Side.SELL, 40, 0), T0 + MINUTE, 1_000))
    one.step(QuoteSampled(T0 + MINUTE + 1, AAA, 998, 1_001, 5, 5))
    state, slot = one.state, one.state.slots[AAA]
    state.ts_ns, state.books_ts_ns = T0 + 2 * MINUTE, T0 + MINUTE + 3
    slot.volume_avg_lots, slot.only_reduces = 123_456, True
    at = one.situation(order("ask", Side.BUY, 5))
    assert at._asdict() == {
        "state": RiskState.RUNNING,
        "halt_code": "",
        "instrument": slot.spec,
        "ts_ns": T0 + 2 * MINUTE,
        "mark_ticks": 1_000,
        "mark_age_ns": MINUTE,
        "equity_e8": state.account_view[2],
        "position_lots": -40,
        "net_other_e8": 50 * 1_000 * 10_000,
        "quote_age_ns": MINUTE - 1,
        "interval_ns": MINUTE,
        "volume_avg_lots": 123_456,
        "open_buy_lots": 310,
        "open_sell_lots": 70,
        "gross_other_e8": 50 * 1_000 * 10_000,
        "open_orders_instrument": 3,
        "open_orders_total": 4,
        "best_own_bid_ticks": 980,
        "best_own_ask_ticks": 1_020,
        "bid_ticks": 998,
        "ask_ticks": 1_001,
        "quote_age_max_ns": one.settings.execution.quote_age_max_ns,
        "quote_gap_ns": 0,
        "stop_frac_e8": 7_000_000,
        "books_age_ns": MINUTE - 3,
        "only_reduces": True,
        "book": worker_of(one)._book,
    }
    assert one.situation(order("ask", Side.SELL, 5)).net_other_e8 == 0
    slot.bid_ticks = slot.ask_ticks = 0
    slot.quote_lost_ts_ns, slot.stop_failed, state.books_ts_ns = T0 + MINUTE, True, 0
    at = one.situation(order("ask", Side.BUY, 5))
    assert (at.state, at.halt_code, at.quote_gap_ns, at.books_age_ns) == (RiskState.REDUCE_ONLY, "STOP_UNCONFIRMED", MINUTE, -1)
    assert (at.bid_ticks, at.ask_ticks) == (0, 0)
    assert at.equity_e8 < 10_001 * E8


def test_around_an_order_that_rests_the_tail_is_the_one_without_it_and_nothing_of_that_stays() -> None:
    one, resting = three(), order("o1", lots=2_000, limit=990, instrument_id=BBB)
    ask = order("ask", lots=500, instrument_id=BBB)
    bare = same(one, ask)
    assert bare.book is not None
    without = bare.book.tail(bare, 500, 1_000)
    send(one, resting)
    state, slot = one.state, one.state.slots[BBB]
    beside = worker_of(one)._situation(slot, 1_000, Side.BUY, besides=state.orders.by_id["o1"])
    assert beside.book is not None
    assert beside.book.tail(beside, 500, 1_000) == without
    at = same(one, ask)
    assert at.book is not None
    found = at.book.tail(at, 500, 1_000)
    assert found is not None
    assert without is not None
    assert found.var99_e8 == pytest.approx(5 * without.var99_e8, abs=5)


def test_without_equity_nothing_of_the_tail_can_be_told() -> None:
    one, ask = three(), order("ask", lots=500, instrument_id=BBB)
    one.state.account[2] = 0
    at = one.situation(ask)
    assert at.book is not None
    assert at.book.tail(at, 500, 1_000) is None
