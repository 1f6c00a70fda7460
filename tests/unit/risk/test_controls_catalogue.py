"""The control catalogue's own test of every pre-trade control, C-RISK-01 to C-RISK-21, one each and named by it.

The account holds 10,000 USDT and the mark is 100.0 (1,000 ticks); a lot is 0.001, so 1,000 lots are worth 100 USDT. Where a control lives
in the engine, it is asked of an engine.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import Forbidden
from kedge.domain.events import (
    BooksAgreed,
    BooksDiffer,
    CashMoved,
    Command,
    CommandGiven,
    FeedGap,
    InstrumentChanged,
    OrderCanceled,
    OverrideGranted,
    QuoteLost,
    QuoteSampled,
    VenueRestricted,
)
from kedge.domain.instrument import RiskTier
from kedge.domain.orders import ApprovedOrder, OrderIntent, Side, client_order_id
from kedge.domain.outputs import CancelSent, OrderRefused, OrderSent, RiskStateChanged
from kedge.domain.people import Role
from kedge.domain.units import E8
from kedge.governance.actions import RULES as ACTS
from kedge.governance.actions import Action
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.gate import Gate
from kedge.risk.gate_conduct import MANUAL
from kedge.risk.gate_state import Distance, GateState, Margin, Near, Refusal, Situation, Tail
from kedge.risk.limits import Limits
from kedge.risk.states import BRAKE, RiskState
from kedge.services.limits_store import LimitsStore

from ...builders import AAA, BBB, MINUTE, T0, S, Wish, bar, engine, filled, flat_bars, instrument, order, sent, situation

BUY, SELL = Side.BUY, Side.SELL
WIDE = Limits(
    order_notional_frac_soft_e8=100_000_000, order_notional_frac_max_e8=100_000_000, position_notional_frac_max_e8=100_000_000,
    gross_leverage_max_e8=1_000_000_000, net_leverage_max_e8=1_000_000_000,
)  # fmt: skip


def check(intent: OrderIntent, limits: Limits | None = None, recent: GateState | None = None, **at: Any) -> ApprovedOrder | Refusal:
    return Gate(limits or Limits()).check(intent, situation(**at), recent or GateState())


def code(answer: ApprovedOrder | Refusal) -> str:
    """'' where it was approved."""
    return answer.code if isinstance(answer, Refusal) else ""


def refusals(outputs: Any) -> list[str]:
    return [one.code for one in outputs if isinstance(one, OrderRefused)]


NO_MARGIN = Margin(0)


class Book:
    """A book with this margin and this tail after every order."""

    def __init__(self, margin: Margin = NO_MARGIN, tail: Tail | None = None) -> None:
        self._margin, self._tail = margin, tail

    def margin(self, at: Situation, order_lots: int, reference_ticks: int, hard: Distance, soft: Distance) -> Margin:
        return self._margin

    def tail(self, at: Situation, order_lots: int, reference_ticks: int) -> Tail | None:
        return self._tail


@given(st.integers(min_value=50, max_value=30_000))
def test_c_risk_01_order_notional_at_the_limit_passes_and_a_lot_more_is_refused(lots: int) -> None:
    answer = check(order(lots=lots))
    assert (code(answer) == "") is (lots <= 15_000), "15 % of 10,000 USDT"
    assert not isinstance(answer, Refusal) or (answer.observed, answer.limit) == (f"{lots / 10:.2f}", "1500.00")


def test_c_risk_02_a_venue_that_lowers_its_largest_order_is_followed_without_a_restart() -> None:
    wish = Wish()
    run = engine(wish, [instrument()])
    run.step(bar(1))
    run.step(InstrumentChanged(T0 + MINUTE + 1, instrument(market_qty_max_lots=500)))
    slices = sent(run.step(bar_wish(wish, 2, 0.09)))
    assert slices
    assert max(one.qty_lots for one in slices) <= 500, "slices follow the venue's largest order"
    gate = Gate(Limits())
    assert code(gate.check(order(), situation(instrument=instrument(market_qty_max_lots=999)), GateState())) == "ORDER_QTY"
    assert code(gate.check(order(), situation(), GateState())) == ""


def bar_wish(wish: Wish, n: int, exposure: float, name: str = AAA, **more: Any) -> Any:
    wish.say(exposure, name)
    return bar(n, instrument_id=name, **more)


def test_c_risk_03_open_orders_count_and_of_two_that_breach_together_exactly_one_passes() -> None:
    assert code(check(order(lots=10_000), position_lots=15_000)) == ""
    assert code(check(order(lots=10_000), position_lots=15_000, open_buy_lots=1)) == "POSITION_NOTIONAL"
    recent, gate = GateState(), Gate(Limits())
    first = gate.check(order("o1", lots=13_000), situation(), recent)
    assert isinstance(first, ApprovedOrder)
    second = gate.check(order("o2", lots=13_000, decision_id="d2"), situation(open_buy_lots=13_000), recent)
    assert code(second) == "POSITION_NOTIONAL"
    tight = msgspec.structs.replace(Limits(), var99_max_e8=3_500_000, es975_max_e8=4_000_000)
    assert code(check(order(), tight, book=Book(tail=Tail(3_500_000, 4_000_000, "fhs-ewma")))) == ""
    assert code(check(order(), tight, book=Book(tail=Tail(3_500_001, 4_000_000, "fhs-ewma")))) == "VAR99"
    assert code(check(order(), tight, book=Book(tail=Tail(3_500_000, 4_000_001, "fhs-ewma")))) == "ES975"
    assert code(check(order(), tight)) == "VAR99", "what cannot be told refuses"
    assert code(check(order(side=SELL), tight, position_lots=1_000)) == "", "what truly reduces is exempt"


def test_c_risk_04_a_price_at_the_collar_passes_and_fills_that_stray_on_average_stop_new_risk() -> None:
    assert code(check(order(limit=1_010))) == ""
    assert code(check(order(limit=1_011))) == "PRICE_COLLAR"
    limits = msgspec.structs.replace(Limits(), fill_deviation_bps_max=50, fill_deviation_fills_min=3)
    recent = GateState()
    for n in range(3):
        recent.note_deviation(T0 + n, 5_000, limits.fill_deviation_window_ns)
    assert code(check(order(), limits, recent)) == ""
    recent.note_deviation(T0 + 3, 5_100, limits.fill_deviation_window_ns)
    refused = check(order(), limits, recent)
    assert refused == Refusal("FILL_DEVIATION", "50.2 bps over 4 fills", "50 bps")
    assert code(check(order(side=SELL), limits, recent, position_lots=1_000)) == ""
    late = T0 + 4 + limits.fill_deviation_window_ns
    assert code(check(order(), limits, recent, ts_ns=late)) == "", "old fills are forgotten"


def test_c_risk_04_an_engine_notes_how_far_its_fills_lie_from_the_mark() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    (buy,) = sent(run.step(bar_wish(wish, 2, 0.05)))
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_005))
    assert list(run.state.gate.deviations) == [(T0 + 2 * MINUTE + 1, 5_000)], "five ticks above 1,000 are 50 basis points"


def test_c_risk_05_of_a_burst_of_a_hundred_no_more_than_the_limit_leave_and_cancels_still_pass() -> None:
    gate, recent, released = Gate(WIDE), GateState(), 0
    for n in range(100):
        one = order(f"o{n}", lots=1_000 + n, decision_id=f"d{n}")
        if isinstance(gate.check(one, situation(ts_ns=T0 + n * 10_000_000), recent), ApprovedOrder):
            recent.note_sent(one, T0 + n * 10_000_000, 1)
            released += 1
    assert released == Limits().orders_per_second_max
    run, wish = engine(w := Wish()), w
    run.step(bar(1))
    (buy,) = sent(run.step(bar_wish(wish, 2, 0.05)))
    for n in range(20):
        run.state.gate.note_message(T0 + 2 * MINUTE + n)
    outputs = run.step(CommandGiven(T0 + 2 * MINUTE + S, Command.CANCEL_ALL, "p1", "tidy"))
    assert [one.client_order_id for one in outputs if isinstance(one, CancelSent)] == [buy.client_order_id]


def test_c_risk_06_a_strategy_that_stuffs_quotes_is_halted() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    for n in range(60):
        run.state.gate.note_message(T0 + 2 * MINUTE - n)
    outputs = run.step(bar_wish(wish, 2, 0.05))
    assert refusals(outputs) == ["MESSAGE_RATE"]
    assert run.state.risk_state is RiskState.HALTED
    assert run.state.halt_code == "MESSAGE_RATE"


def test_c_risk_07_the_same_decision_twice_is_one_order() -> None:
    assert client_order_id("a", "d1", 1, 0, 0) == client_order_id("a", "d1", 1, 0, 0)
    recent, gate = GateState(), Gate(Limits())
    assert isinstance(gate.check(order(), situation(), recent), ApprovedOrder)
    recent.note_sent(order(), T0, Limits().duplicate_window_ns)
    assert code(gate.check(order("o2"), situation(ts_ns=T0 + S), recent)) == "DUPLICATE_ORDER"
    assert code(gate.check(order("o2", slice_no=1), situation(ts_ns=T0 + S), recent)) == "", "the next slice is none"


@pytest.mark.parametrize("factor", [10, 100])
def test_c_risk_08_a_decimal_shift_is_refused_with_code_value_and_limit(factor: int) -> None:
    recent = GateState()
    for n in range(10):
        recent.note_sent(order(f"o{n}", lots=1_000), T0 - 60 * S, 1)
    lots = 3_000 * factor
    assert check(order(lots=lots), WIDE, recent, equity_e8=10**6 * E8) == Refusal(
        "FAT_FINGER", f"{lots} lots", "20000 lots, 20 x the usual order"
    )
    assert check(order(lots=lots)) == Refusal("ORDER_NOTIONAL", f"{lots / 10:.2f}", "1500.00")


def test_c_risk_08_price_and_quantity_swapped_are_refused_and_a_person_alone_gives_no_large_order() -> None:
    swapped = order(lots=1_000, limit=15_000)  # meant: 15,000 lots at 1,000
    assert check(swapped) == Refusal("PRICE_COLLAR", "140000.0 bps from mark", "100 bps")
    limits = msgspec.structs.replace(Limits(), manual_order_frac_soft_e8=5_000_000)
    assert code(check(order(lots=5_000, strategy=MANUAL), limits)) == ""
    assert check(order(lots=5_001, strategy=MANUAL), limits) == Refusal("MANUAL_ORDER", "500.10", "500.00 by one person")
    assert code(check(order(lots=5_001), limits)) == ""


def test_c_risk_09_a_pair_that_would_cross_is_refused_at_home() -> None:
    assert code(check(order(side=SELL, limit=1_000), position_lots=0, best_own_bid_ticks=1_000)) == "SELF_TRADE"
    assert code(check(order(side=SELL, limit=1_001), best_own_bid_ticks=1_000)) == ""


LOSSES = msgspec.structs.replace(
    Limits(), daily_loss_soft_e8=100_000, daily_loss_reduce_e8=200_000, daily_loss_halt_e8=300_000, drawdown_soft_e8=100_000,
    drawdown_reduce_e8=200_000, drawdown_halt_e8=300_000,
)  # fmt: skip
"""Losses of 0.1, 0.2 and 0.3 per cent: an order of 1,000 USDT makes them."""


def test_c_risk_10_the_loss_of_the_day_halts_on_the_bar_that_crosses_it_and_flows_change_nothing() -> None:
    wish = Wish()
    run = engine(wish, limits=msgspec.structs.replace(LOSSES, drawdown_soft_e8=E8, drawdown_reduce_e8=E8, drawdown_halt_e8=E8))
    run.step(bar(1))
    (buy,) = sent(run.step(bar_wish(wish, 2, 0.1)))
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_000))
    run.step(CashMoved(T0 + 2 * MINUTE + 2, -2_000 * E8, "withdrawn"))
    told = []
    for n, close in enumerate((996, 990, 985, 980, 975), 3):  # of 8,000 USDT: 0.05, 0.125, 0.1875, 0.25 and 0.3125 %
        changes = [one for one in run.step(bar(n, close)) if isinstance(one, RiskStateChanged)]
        told.append([(one.state, one.code, one.observed) for one in changes])
    assert told == [[], [], [], [("reduce_only", "DAILY_LOSS", "0.2500%")], [("halted", "DAILY_LOSS", "0.3125%")]]
    run.step(CashMoved(T0 + 9 * MINUTE, 50_000 * E8, "deposited"))
    run.step(bar(10, 975))
    assert run.summary()["daily_loss"] == "0.00312501", "a deposit hides no loss; the proportion rounds against us"
    assert run.state.risk_state is RiskState.HALTED


def test_c_risk_11_a_restart_does_not_reset_the_high_water_mark() -> None:
    wish = Wish()
    limits = msgspec.structs.replace(LOSSES, daily_loss_soft_e8=E8, daily_loss_reduce_e8=E8, daily_loss_halt_e8=E8)
    run = engine(wish, limits=limits)
    run.step(bar(1))
    (buy,) = sent(run.step(bar_wish(wish, 2, 0.1)))
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_000))
    run.step(bar(3, 1_010))
    run.step(bar(4, 1_000))
    fresh = engine(Wish(), limits=limits)
    fresh.restore(run.snapshot())
    assert fresh.summary()["peak_equity"] == run.summary()["peak_equity"] == "10010.00000000"
    for one in (run, fresh):
        one.step(bar(5, 979))
        assert (one.state.risk_state, one.state.halt_code) == (RiskState.HALTED, "DRAWDOWN")
        assert one.summary()["drawdown_now"] == "0.00309691", "31 of 10,010 USDT"


def test_c_risk_12_no_order_beyond_the_most_that_may_be_open() -> None:
    assert code(check(order(), open_orders_instrument=19, open_orders_total=99)) == ""
    assert code(check(order(), open_orders_instrument=20, open_orders_total=20)) == "OPEN_ORDERS"
    assert code(check(order(), open_orders_instrument=0, open_orders_total=100)) == "OPEN_ORDERS"
    assert code(check(order(), open_orders_instrument=0, open_orders_total=500)) == "OPEN_ORDERS", "what the venue takes back at once"


def test_c_risk_13_margin_liquidation_and_the_loss_at_the_stop_are_kept_after_the_order() -> None:
    limits = msgspec.structs.replace(
        Limits(), margin_ratio_max_e8=30_000_000, liquidation_distance_min_e8=20_000_000, liquidation_sigmas_min_e2=500,
        trade_risk_frac_max_e8=2_000_000,
    )  # fmt: skip
    assert code(check(order(), limits, book=Book(Margin(3_000 * E8)))) == ""
    assert check(order(), limits, book=Book(Margin(3_000 * E8 + 1))) == Refusal("MARGIN_RATIO", "30.0000%", "30.0000%")
    near = Book(Margin(E8, Near(AAA, 24_000_000, 25_000_000)))
    assert check(order(), limits, book=near) == Refusal("LIQUIDATION_DISTANCE", f"24.0000% on {AAA}", "at least 25.0000%")
    assert code(check(order(), limits)) == "MARGIN_RATIO", "what cannot be told refuses"
    assert code(check(order(lots=15_000), limits, book=Book(), stop_frac_e8=10_000_000)) == ""
    at_stop = check(order(lots=5_000), limits, book=Book(), position_lots=15_000, stop_frac_e8=10_000_000)
    assert at_stop == Refusal("TRADE_RISK", "2.0110%", "2.0000%"), "10 % of 2,000 USDT and the fee of leaving, of 10,000 USDT"


@pytest.mark.parametrize("name", [AAA, "AAAUSDT", "AAA"])
def test_c_risk_14_a_denied_symbol_is_refused_and_may_be_left(name: str) -> None:
    limits = msgspec.structs.replace(Limits(), restricted=(name,))
    refused = check(order(), limits)
    assert refused == Refusal("RESTRICTED", f"{name} is on the restricted list", f"not on the list of {limits.version}")
    assert code(check(order(side=SELL), limits, position_lots=1_000)) == ""
    assert code(check(order(instrument_id=BBB), limits, instrument=instrument(BBB, base="BBB"))) == ""


def test_c_risk_15_the_decision_too_many_is_blocked_until_somebody_who_may_lets_it_go_on() -> None:
    limits = msgspec.structs.replace(Limits(), decisions_max=3)
    wish = Wish()
    run = engine(wish, limits=limits)
    run.step(bar(1))
    outputs: Any = ()
    for n, exposure in enumerate((0.01, 0.02, 0.03, 0.04), 2):
        outputs = run.step(bar_wish(wish, n, exposure))
        for one in sent(outputs):
            run.step(filled(one, T0 + n * MINUTE + 1, 1_000, fill_id=f"f{n}"))
    assert refusals(outputs) == ["REPEATED_EXECUTION"]
    assert (run.state.risk_state, run.state.halt_code) == (RiskState.REDUCE_ONLY, "REPEATED_EXECUTION")
    assert refusals(run.step(bar_wish(wish, 6, 0.05))) == ["REDUCE_ONLY"]
    run.step(bar_wish(wish, 30, 0.04))
    assert run.state.risk_state is RiskState.REDUCE_ONLY, "time alone does not end it"
    assert Role.VIEWER not in ACTS[Action.RESUME].roles
    assert Role.RESEARCHER not in ACTS[Action.RESUME].roles
    run.step(CommandGiven(T0 + 31 * MINUTE, Command.RESUME, "p1", "looked at", roles=(Role.RISK,)))
    assert run.state.risk_state is RiskState.RUNNING
    assert [one.side for one in sent(run.step(bar_wish(wish, 32, 0.06)))] == [BUY]


def test_c_risk_16_a_frozen_feed_books_not_compared_and_a_lost_quote_stop_new_risk_in_time() -> None:
    limits = msgspec.structs.replace(Limits(), position_age_max_ns=120 * S, quote_gap_max_ns=60 * S)
    assert code(check(order(), limits, mark_age_ns=90 * S)) == ""
    assert code(check(order(), limits, mark_age_ns=91 * S)) == "STALE_PRICE"
    assert code(check(order(), limits, books_age_ns=120 * S)) == ""
    assert check(order(), limits, books_age_ns=121 * S) == Refusal("BOOKS_STALE", "121 s", "120 s")
    assert check(order(), limits, quote_gap_ns=61 * S) == Refusal("QUOTE_GAP", "61 s", "60 s")
    assert code(check(order(side=SELL), limits, position_lots=1_000, books_age_ns=9_999 * S, quote_gap_ns=9_999 * S)) == ""
    wish = Wish()
    run = engine(wish, limits=limits)
    run.step(bar(1))
    run.step(BooksAgreed(T0 + MINUTE))
    run.step(QuoteSampled(T0 + MINUTE, AAA, 999, 1_001, 5, 5))
    assert refusals(run.step(bar_wish(wish, 2, 0.01))) == []
    assert refusals(run.step(bar_wish(wish, 4, 0.03))) == [], "the order under way comes first"


def test_c_risk_16_an_engine_counts_the_age_of_its_books_and_the_gap_of_its_quotes() -> None:
    limits = msgspec.structs.replace(Limits(), position_age_max_ns=120 * S, quote_gap_max_ns=90 * S)
    wish = Wish()
    run = engine(wish, limits=limits)
    run.step(bar(1))
    run.step(BooksAgreed(T0 + MINUTE))
    assert refusals(run.step(bar_wish(wish, 4, 0.05))) == ["BOOKS_STALE"]
    run.step(BooksAgreed(T0 + 4 * MINUTE))
    run.step(QuoteSampled(T0 + 4 * MINUTE, AAA, 999, 1_001, 5, 5))
    run.step(QuoteLost(T0 + 4 * MINUTE + 1, AAA, "crossed"))
    run.step(BooksAgreed(T0 + 6 * MINUTE))
    assert refusals(run.step(bar(6))) == ["QUOTE_GAP"]
    run.step(QuoteSampled(T0 + 6 * MINUTE + 1, AAA, 999, 1_001, 5, 5))
    assert [one.side for one in sent(run.step(bar(7)))] == [BUY]
    run.step(FeedGap(T0 + 9 * MINUTE, AAA, T0 + 7 * MINUTE))
    run.step(BooksDiffer(T0 + 9 * MINUTE, "CLOCK_BEYOND_LIMIT", "", "", 0, 1))
    assert run.state.risk_state is RiskState.HALTED, "a clock beyond its limit halts by itself"


def test_c_risk_17_an_order_not_acknowledged_yet_reserves_its_exposure() -> None:
    limits = msgspec.structs.replace(
        Limits(), position_notional_frac_max_e8=15_000_000, gross_leverage_max_e8=15_000_000, net_leverage_max_e8=15_000_000
    )
    wish = Wish()
    run = engine(wish, [instrument(AAA), instrument(BBB, base="BBB")], limits=limits)
    run.step(bar(1))
    run.step(bar(1, instrument_id=BBB))
    (buy,) = sent(run.step(bar_wish(wish, 2, 0.09)))
    outputs = run.step(bar_wish(wish, 2, 0.09, BBB))
    (refused,) = (one for one in outputs if isinstance(one, OrderRefused))
    assert (refused.code, refused.observed, refused.limit) == ("GROSS_EXPOSURE", "1800.00", "1500.00")
    run.step(OrderCanceled(T0 + 2 * MINUTE + 10 * S, buy.client_order_id, "never came"))
    assert len(sent(run.step(bar_wish(wish, 3, 0.08, BBB)))) == 1


def test_c_risk_18_an_override_is_for_one_order_by_two_people_and_expires() -> None:
    def granted(**changes: Any) -> GateState:
        given: dict[str, Any] = {
            "approval_id": "a1", "instrument": AAA, "side": BUY, "qty_max_lots": 20_000, "rules": ("ORDER_NOTIONAL",),
            "expires_ts_ns": T0 + 60 * S, "requester": "p1", "approver": "p2", "reason": "a block",
        }  # fmt: skip
        recent = GateState()
        recent.grant(OverrideGranted(T0, **{**given, **changes}))
        return recent

    large = order(lots=20_000)
    assert check(large, recent=granted()) == ApprovedOrder(order=large, limits_version=Limits().version, override_id="a1")
    refused: dict[str, Any] = {
        "expires_ts_ns": T0, "approver": "p1", "side": SELL, "qty_max_lots": 19_999, "rules": ("FAT_FINGER",), "instrument": BBB,
    }  # fmt: skip
    for name, value in refused.items():
        assert code(check(large, recent=granted(**{name: value}))) == "ORDER_NOTIONAL", name
    assert code(check(large, recent=granted(), state=RiskState.HALTED)) == "HALTED", "no halt is set aside"
    used = granted()
    used.use("a1")
    assert code(check(large, recent=used)) == "ORDER_NOTIONAL"
    used.grant(OverrideGranted(T0, "a1", AAA, BUY, 20_000, ("ORDER_NOTIONAL",), T0 + 60 * S, "p1", "p2", "again"))
    assert code(check(large, recent=used)) == "ORDER_NOTIONAL", "used once"


def test_c_risk_18_an_engine_uses_an_override_for_the_order_that_was_refused() -> None:
    wish = Wish()
    run = engine(wish, limits=msgspec.structs.replace(Limits(), fat_finger_volume_frac_e8=100_000))
    run.step(bar(1))
    assert refusals(run.step(bar_wish(wish, 2, 0.05))) == ["FAT_FINGER"]
    assert refusals(run.step(bar(3))) == []
    grant = OverrideGranted(T0 + 3 * MINUTE + 1, "a1", AAA, BUY, 10_000, ("FAT_FINGER",), T0 + 9 * MINUTE, "p1", "p2", "thin market")
    (order_sent,) = (one for one in run.step(grant) if isinstance(one, OrderSent))
    assert order_sent.approved.override_id == "a1"
    assert not run.state.gate.overrides
    assert list(run.state.gate.used) == ["a1"]


def test_c_risk_19_one_person_tightens_at_once_and_loosens_nothing(tmp_path: Any) -> None:
    store = LimitsStore(tmp_path, "acct", wall_ns=lambda: 7)
    first = store.begin(Limits(), TriggerLimits(), "trader")
    tighter = store.tighten({"order_notional_frac_max": "0.12"}, actor="p1", reason="a quiet week")
    assert (tighter.number, tighter.supersedes, tighter.typed().order_notional_frac_max_e8) == (2, first.version, 12_000_000)
    with pytest.raises(Forbidden, match="order_notional_frac_max from 0.12 to 0.15.*loosening a limit takes two people"):
        store.tighten({"order_notional_frac_max": "0.15"}, actor="p1", reason="back again")
    with pytest.raises(Forbidden):
        store.tighten({"order_notional_frac_max": "0.13", "open_orders_total_max": "50"}, actor="p1", reason="both ways")
    assert store.newest() == tighter


def test_c_risk_20_a_missing_fill_or_a_phantom_position_stops_trading() -> None:
    run = engine()
    run.step(bar(1))
    run.step(BooksDiffer(T0 + MINUTE + 1, "POSITION_DIFFERS", AAA, "", 0, 5))
    assert (run.state.risk_state, run.state.halt_code) == (RiskState.HALTED, "POSITION_DIFFERS")
    strange = engine()
    strange.step(bar(1))
    strange.step(filled(order(), T0 + MINUTE + 1, 1_000))
    assert strange.state.halt_code == "FILL_NOT_UNDERSTOOD"
    assert strange.state.slots[AAA].position_lots == 1_000, "money moved, so it is booked"


def test_c_risk_21_the_venue_s_brackets_and_its_reduce_only_flag_are_ceilings() -> None:
    def tiers(top: int, leverage_e2: int = 5_000) -> tuple[RiskTier, ...]:
        return (RiskTier(notional_max_e8=top * E8, maintenance_rate_e8=1_000_000, deduction_e8=0, leverage_max_e2=leverage_e2),)

    assert code(check(order(lots=10_000), instrument=instrument(tiers=tiers(1_000)))) == ""
    lowered = check(order(lots=10_000), instrument=instrument(tiers=tiers(999)))
    assert lowered == Refusal("VENUE_TIER", "1000.00", "999.00")
    steep: dict[str, Any] = {"equity_e8": 500 * E8, "instrument": instrument(tiers=tiers(9_000, 150))}
    assert check(order(lots=10_000), msgspec.structs.replace(WIDE, order_notional_frac_max_e8=E8), **steep) in (
        Refusal("ORDER_NOTIONAL", "1000.00", "500.00"),
    )
    geared = check(order(lots=5_000), WIDE, **steep, position_lots=5_000)
    assert geared == Refusal("VENUE_TIER", "2.00 x equity", "1.50 x at this size")
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    run.step(VenueRestricted(T0 + MINUTE + 1, AAA, True))
    assert refusals(run.step(bar_wish(wish, 2, 0.05))) == ["VENUE_REDUCE_ONLY"]
    run.step(VenueRestricted(T0 + 2 * MINUTE + 1, AAA, False))
    assert len(sent(run.step(bar_wish(wish, 3, 0.06)))) == 1


def test_the_brake_s_code_refuses_everything() -> None:
    out = order(side=SELL, lots=1_000, reduce_only=True)
    assert check(out, state=RiskState.HALTED, halt_code=BRAKE, position_lots=1_000) == Refusal("HALTED", BRAKE, "running")


def test_an_order_that_ends_frees_what_it_reserved() -> None:
    wish = Wish()
    run = engine(wish)
    for one in flat_bars(2):
        run.step(one)
    (buy,) = sent(run.step(bar_wish(wish, 3, 0.05)))
    run.step(OrderCanceled(T0 + 3 * MINUTE + 1, buy.client_order_id, "gone"))
    assert run.state.orders.open_lots(AAA) == (0, 0)
