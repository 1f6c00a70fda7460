"""The gate rule by rule: exactly at a limit passes, one step beyond is refused with code, observed and limit.

The account holds 10,000 USDT and the mark is 100.0 (1,000 ticks); a lot is 0.001, so 1,000 lots are worth 100 USDT.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kedge.domain.orders import ApprovedOrder, OrderIntent, Side
from kedge.domain.units import E8
from kedge.risk.gate import Gate
from kedge.risk.gate_rules import HALTING, PASSING, RULES
from kedge.risk.gate_state import GateState, Refusal, duplicate_key
from kedge.risk.limits import Limits
from kedge.risk.states import FLATTEN, STOP_UNCONFIRMED, RiskState

from ...builders import AAA, BBB, MINUTE, T0, S, instrument, order, situation

BUY, SELL = Side.BUY, Side.SELL
WIDE = Limits(
    order_notional_frac_max_e8=100_000_000, position_notional_frac_max_e8=100_000_000, gross_leverage_max_e8=1_000_000_000,
    net_leverage_max_e8=1_000_000_000,
)  # fmt: skip


def check(intent: OrderIntent, limits: Limits | None = None, recent: GateState | None = None, **at: Any) -> ApprovedOrder | Refusal:
    return Gate(limits or Limits()).check(intent, situation(**at), recent or GateState())


def passes(answer: ApprovedOrder | Refusal) -> bool:
    return isinstance(answer, ApprovedOrder)


def refused(answer: ApprovedOrder | Refusal) -> tuple[str, str, str]:
    assert isinstance(answer, Refusal)
    return tuple(answer)


def test_approval_carries_the_order_and_the_version_of_the_limits() -> None:
    answer = check(order())
    assert answer == ApprovedOrder(order=order(), limits_version=Limits().version)
    assert Limits(stale_bars_e2=151).version != Limits().version


def test_order_notional_at_the_limit_and_one_lot_beyond() -> None:  # C-RISK-01
    assert passes(check(order(lots=15_000)))  # 1,500 USDT, 15 % of 10,000
    assert refused(check(order(lots=15_001))) == ("ORDER_NOTIONAL", "1500.10", "1500.00")


def test_the_least_that_the_venue_trades_may_always_leave_however_small_the_account_has_become() -> None:  # C-RISK-01
    poor: dict[str, Any] = {"equity_e8": 5 * E8, "position_lots": 20}
    assert passes(check(order(side=SELL, lots=1, reduce_only=True), **{**poor, "equity_e8": -E8}))
    assert refused(check(order(side=SELL, lots=20, reduce_only=True), **poor))[0] == "ORDER_NOTIONAL"
    assert refused(check(order(side=SELL, lots=1), **{**poor, "equity_e8": 0}))[0] == "ORDER_NOTIONAL"
    assert refused(check(order(side=BUY, lots=1, reduce_only=True), **{**poor, "equity_e8": 0}))[0] == "ORDER_NOTIONAL"


def test_taking_risk_off_is_no_quoting_but_keeps_to_the_message_rate() -> None:  # C-RISK-06
    recent = GateState()
    for n in range(250):
        recent.note_message(T0 - 250 * S + n * S)
    at: dict[str, Any] = {"ts_ns": T0, "position_lots": 1_000}
    out = order(side=SELL, lots=1_000, reduce_only=True)
    assert refused(check(out, recent=recent, **at))[0] == "ORDER_TO_TRADE"
    assert passes(check(out, recent=recent, state=RiskState.REDUCE_ONLY, **at))
    for _ in range(60):
        recent.note_message(T0)
    assert refused(check(out, recent=recent, state=RiskState.REDUCE_ONLY, **at))[0] == "MESSAGE_RATE"


def test_a_buy_is_valued_at_the_higher_of_limit_and_mark_a_sale_at_the_mark() -> None:  # C-RISK-01
    assert passes(check(order(lots=15_000, limit=1_000)))
    assert passes(check(order(lots=15_000, limit=999)))
    assert refused(check(order(lots=15_000, limit=1_001)))[0] == "ORDER_NOTIONAL"
    assert passes(check(order(side=SELL, lots=15_000, limit=1_001)))


def test_notional_below_the_venues_minimum() -> None:
    assert passes(check(order(lots=50)))  # 5 USDT
    assert refused(check(order(lots=49))) == ("NOTIONAL_MIN", "4.90", "5.00")
    assert passes(check(order(side=SELL, lots=49, reduce_only=True), position_lots=49)), "a rest can always be closed"


@pytest.mark.parametrize(("limit", "largest"), [(0, 9_000), (1_000, 12_000)])
def test_order_quantity_by_kind(limit: int, largest: int) -> None:  # C-RISK-02
    spec = instrument(market_qty_max_lots=9_000, order_qty_max_lots=12_000, order_qty_min_lots=100)
    assert passes(check(order(lots=largest, limit=limit), instrument=spec))
    assert refused(check(order(lots=largest + 1, limit=limit), instrument=spec)) == (
        "ORDER_QTY", f"{largest + 1} lots", f"at most {largest} lots",
    )  # fmt: skip
    assert refused(check(order(lots=99, limit=limit), instrument=spec)) == ("ORDER_QTY", "99 lots", "at least 100 lots")


def test_a_lowered_venue_limit_acts_at_once() -> None:  # C-RISK-02
    gate = Gate(Limits())
    assert passes(gate.check(order(), situation(), GateState()))
    lowered = situation(instrument=instrument(market_qty_max_lots=999))
    assert refused(gate.check(order(), lowered, GateState()))[0] == "ORDER_QTY"


def test_position_counts_open_orders_of_the_side() -> None:  # C-RISK-03
    assert passes(check(order(lots=5_000), position_lots=12_000, open_buy_lots=8_000))  # 25,000 lots, 2,500 USDT, 25 %
    assert refused(check(order(lots=5_001), position_lots=12_000, open_buy_lots=8_000)) == ("POSITION_NOTIONAL", "2500.10", "2500.00")
    assert refused(check(order(side=SELL, lots=5_001), position_lots=-12_000, open_sell_lots=8_000))[0] == "POSITION_NOTIONAL"


def test_gross_and_net_exposure() -> None:  # C-RISK-03
    tight = Limits(gross_leverage_max_e8=100_000_000, net_leverage_max_e8=50_000_000)
    assert passes(check(order(lots=10_000), tight, gross_other_e8=9_000 * E8, net_other_e8=4_000 * E8))
    assert refused(check(order(lots=10_000), tight, gross_other_e8=9_000 * E8 + 1)) == ("GROSS_EXPOSURE", "10000.00", "10000.00")
    assert refused(check(order(lots=10_000), tight, net_other_e8=4_001 * E8)) == ("NET_EXPOSURE", "5001.00", "5000.00")
    assert refused(check(order(side=SELL, lots=10_000), tight, net_other_e8=-4_001 * E8))[0] == "NET_EXPOSURE"
    assert passes(check(order(side=SELL, lots=10_000), tight, net_other_e8=5_001 * E8)), "it leans against the rest of the book"


def test_the_venues_largest_position_is_never_passed() -> None:  # C-RISK-21, and the bound that the kernel's proof stands on
    spec = instrument(position_max_lots=20_000)
    assert passes(check(order(lots=5_000), instrument=spec, position_lots=10_000, open_buy_lots=5_000))
    assert refused(check(order(lots=5_001), instrument=spec, position_lots=10_000, open_buy_lots=5_000)) == (
        "POSITION_QTY", "20001 lots", "20000 lots",
    )  # fmt: skip


def test_what_truly_reduces_is_free_of_exposure_limits_and_nothing_else_is() -> None:
    beyond = {"position_lots": 90_000, "gross_other_e8": 90_000 * E8}
    assert passes(check(order(side=SELL, lots=10_000, reduce_only=True), **beyond))
    assert passes(check(order(side=SELL, lots=10_000, reduce_only=True), open_sell_lots=80_000, **beyond))
    assert refused(check(order(side=SELL, lots=10_000, reduce_only=True), open_sell_lots=80_001, **beyond))[0] == "POSITION_NOTIONAL"
    assert refused(check(order(side=SELL, lots=15_001, reduce_only=True), **beyond))[0] == "ORDER_NOTIONAL"


def test_two_orders_that_together_breach_exactly_one_passes() -> None:  # C-RISK-03, C-RISK-17
    first, second = order("o1", lots=15_000), order("o2", lots=15_000, slice_no=1)
    gate, recent = Gate(Limits()), GateState()
    assert passes(gate.check(first, situation(), recent))
    recent.note_sent(first, T0, Limits().duplicate_window_ns)
    assert refused(gate.check(second, situation(open_buy_lots=15_000, open_orders_instrument=1), recent))[0] == "POSITION_NOTIONAL"


@pytest.mark.parametrize("side", [BUY, SELL])
def test_price_collar(side: Side) -> None:  # C-RISK-04: 100 bps of 1,000 ticks are 10 ticks
    for limit in (990, 1_000, 1_010):
        assert passes(check(order(side=side, limit=limit)))
    for limit in (989, 1_011):
        assert refused(check(order(side=side, limit=limit))) == ("PRICE_COLLAR", "110.0 bps from mark", "100 bps")


def burst(count: int, limits: Limits) -> list[int]:
    """How many of `count` orders pass at each tenth of a second, everything sent being noted."""
    gate, recent, released = Gate(limits), GateState(), []
    for n in range(count):
        ts_ns = T0 + n * S // 100
        if passes(gate.check(order(f"o{n}", slice_no=n), situation(ts_ns=ts_ns), recent)):
            recent.note_sent(order(f"o{n}", slice_no=n), ts_ns, limits.duplicate_window_ns)
            released.append(ts_ns)
    return released


def test_a_burst_of_a_hundred_in_a_second_releases_no_more_than_the_limit_and_cancels_still_pass() -> None:  # C-RISK-05
    released = burst(100, Limits())
    assert len(released) == Limits().orders_per_second_max == 7
    recent = GateState()
    for at in released:
        recent.note_sent(order(), at, 1)
    before = len(recent.messages_ns)
    recent.note_message(released[-1])  # a cancel asks no rule: it is only counted
    assert len(recent.messages_ns) == before + 1


def test_order_rate_over_a_second_and_over_ten() -> None:  # C-RISK-05
    recent = GateState()
    for n in range(7):
        recent.note_sent(order(slice_no=n), T0, 1)
    fresh = order(slice_no=7)
    assert refused(check(fresh, None, recent, ts_ns=T0 + S - 1)) == ("ORDER_RATE", "8 in 1 s", "7 in 1 s")
    assert passes(check(fresh, None, recent, ts_ns=T0 + S))
    slow = GateState()
    for n in range(50):
        slow.note_sent(order(slice_no=n), T0 + n * S // 5, 1)
    fresh = order(slice_no=50)
    assert refused(check(fresh, None, slow, ts_ns=T0 + 10 * S - 1)) == ("ORDER_RATE", "51 in 10 s", "50 in 10 s")
    assert passes(check(fresh, None, slow, ts_ns=T0 + 10 * S))


def test_message_rate_and_messages_per_fill() -> None:  # C-RISK-06
    recent = GateState()
    for _ in range(59):
        recent.note_message(T0)
    assert passes(check(order(), None, recent))
    recent.note_message(T0)
    assert refused(check(order(), None, recent)) == ("MESSAGE_RATE", "61 in 3 s", "60 in 3 s")
    quiet = GateState()
    for n in range(200):
        quiet.note_message(T0 + n * S)
    assert refused(check(order(), None, quiet, ts_ns=T0 + 210 * S)) == ("ORDER_TO_TRADE", "200 messages on 1 fills", "100 a fill")
    quiet.note_fill(T0)
    quiet.note_fill(T0)
    assert passes(check(order(), None, quiet, ts_ns=T0 + 210 * S))
    assert passes(check(order(), None, quiet, ts_ns=T0 + 210 * S)), "asking changes nothing"


def test_duplicate_inside_the_window_only() -> None:  # C-RISK-07
    recent, window = GateState(), Limits().duplicate_window_ns
    recent.note_sent(order(), T0, window)
    again = order("another-name")
    assert refused(check(again, None, recent, ts_ns=T0 + window - 1)) == ("DUPLICATE_ORDER", "sent 1999 ms ago", "2000 ms")
    assert passes(check(again, None, recent, ts_ns=T0 + window))
    assert passes(check(order(slice_no=1), None, recent)), "the next slice is no duplicate"
    assert passes(check(order(decision_id="d2"), None, recent))
    assert len({duplicate_key(order(lots=n, slice_no=n)) for n in range(1, 400)}) == 399


def test_duplicates_are_forgotten_without_end_of_memory() -> None:
    recent = GateState()
    for n in range(1_000):
        recent.note_sent(order(slice_no=n), T0 + n * S, 2 * S)
    assert len(recent.recent) < 110
    assert len(recent.sent_ns) <= 11
    assert len(recent.messages_ns) <= 301


def usual(lots: int, count: int = 10) -> GateState:
    recent = GateState()
    for n in range(count):
        recent.note_sent(order(lots=lots, slice_no=n), T0 - 60 * S, 1)
    return recent


@pytest.mark.parametrize("factor", [10, 100])
def test_a_shifted_decimal_is_refused(factor: int) -> None:  # C-RISK-08
    assert passes(check(order(lots=12_000)))
    assert isinstance(check(order(lots=12_000 * factor)), Refusal)
    small = Limits(fat_finger_multiple=5)
    assert passes(check(order(lots=100), small, usual(100)))
    assert refused(check(order(lots=100 * factor), small, usual(100)))[0] == "FAT_FINGER"


def test_price_and_quantity_swapped_are_refused() -> None:  # C-RISK-08: 12,000 lots at 1,000 ticks become 1,000 lots at 12,000 ticks
    assert passes(check(order(lots=12_000, limit=1_000)))
    assert isinstance(check(order(lots=1_000, limit=12_000)), Refusal)


def test_fat_finger_against_the_usual_order_and_the_usual_volume() -> None:  # C-RISK-08
    assert passes(check(order(lots=1_000), None, usual(50)))
    assert refused(check(order(lots=1_001), None, usual(50))) == ("FAT_FINGER", "1001 lots", "1000 lots, 20 x the usual order")
    assert passes(check(order(lots=1_001), None, usual(50, count=9))), "nine orders are no habit yet"
    assert passes(check(order(lots=1_000), volume_avg_lots=4_000))
    assert refused(check(order(lots=1_001), volume_avg_lots=4_000))[:2] == ("FAT_FINGER", "1001 lots")
    assert refused(check(order(), volume_avg_lots=0))[0] == "FAT_FINGER", "unknown volume is no volume"
    assert passes(check(order(side=SELL, lots=1_001), None, usual(50), position_lots=5_000)), "a way out is never too large"


def test_own_orders_never_cross() -> None:  # C-RISK-09
    assert refused(check(order(limit=1_005), best_own_ask_ticks=1_005)) == (
        "SELF_TRADE", "own resting order at 1005 ticks", "no crossing of own orders",
    )  # fmt: skip
    assert passes(check(order(limit=1_004), best_own_ask_ticks=1_005))
    assert refused(check(order(side=SELL, limit=995), best_own_bid_ticks=995))[0] == "SELF_TRADE"
    assert passes(check(order(side=SELL, limit=996), best_own_bid_ticks=995))
    assert refused(check(order(), best_own_ask_ticks=1_010))[0] == "SELF_TRADE"
    assert refused(check(order(side=SELL), best_own_bid_ticks=1))[0] == "SELF_TRADE"
    assert passes(check(order(), best_own_bid_ticks=1_000))


def test_the_way_out_at_the_market_passes_an_own_order_that_is_being_taken_back() -> None:  # C-RISK-09
    at = {"state": RiskState.REDUCE_ONLY, "position_lots": -50, "best_own_ask_ticks": 1_010, "open_sell_lots": 20}
    assert passes(check(order(lots=50, reduce_only=True), **at))
    assert refused(check(order(lots=50, reduce_only=True, limit=1_010), **at))[0] == "SELF_TRADE", "a resting one waits"
    assert refused(check(order(lots=50, reduce_only=True), **at | {"state": RiskState.RUNNING}))[0] == "SELF_TRADE"
    assert refused(check(order(lots=51, reduce_only=True), **at))[0] == "REDUCE_ONLY", "no more than is held"


def test_open_orders_and_the_501st() -> None:  # C-RISK-12
    assert passes(check(order(), open_orders_instrument=19, open_orders_total=99))
    assert refused(check(order(), open_orders_instrument=20, open_orders_total=20)) == ("OPEN_ORDERS", "21 on it", "20")
    assert refused(check(order(), open_orders_instrument=0, open_orders_total=100)) == ("OPEN_ORDERS", "101 in all", "100")
    assert isinstance(check(order(), Limits(open_orders_instrument_max=500, open_orders_total_max=500), open_orders_total=500), Refusal)


def test_stale_or_unknown_price() -> None:  # C-RISK-16
    assert passes(check(order(), mark_age_ns=MINUTE * 3 // 2))
    assert refused(check(order(), mark_age_ns=MINUTE * 151 // 100)) == ("STALE_PRICE", "1.51 bars", "1.50 bars")
    assert refused(check(order(), mark_age_ns=-1))[0] == "STALE_PRICE"
    assert refused(check(order(), mark_ticks=0)) == ("STALE_PRICE", "no price yet", "a mark price")


WAY_OUT = {
    "state": RiskState.REDUCE_ONLY, "halt_code": FLATTEN, "position_lots": 1_000, "mark_age_ns": 10 * MINUTE,
    "bid_ticks": 999, "ask_ticks": 1_001, "quote_age_ns": S,
}  # fmt: skip


@pytest.mark.parametrize("code", [FLATTEN, STOP_UNCONFIRMED])
def test_a_way_out_is_judged_by_the_younger_of_mark_and_quote(code: str) -> None:  # C-RISK-16
    at = WAY_OUT | {"halt_code": code}
    close = order(side=SELL, lots=1_000, reduce_only=True)
    assert passes(check(close, **at))
    assert passes(check(close, **at | {"quote_age_ns": 5 * S}))
    assert passes(check(close, **at | {"mark_age_ns": 0, "ask_ticks": 0})), "a young mark needs no quote"
    assert refused(check(close, **at | {"interval_ns": 2 * S, "quote_age_ns": 4 * S})) == ("STALE_PRICE", "2.00 bars", "1.50 bars")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"quote_age_ns": 5 * S + 1}, id="old"),
        pytest.param({"quote_age_ns": -1}, id="of the future"),
        pytest.param({"bid_ticks": 0, "ask_ticks": 0}, id="lost"),
        pytest.param({"bid_ticks": 0}, id="one side"),
        pytest.param({"bid_ticks": 1_001}, id="locked"),
        pytest.param({"bid_ticks": 1_002}, id="crossed"),
        pytest.param({"mark_ticks": 0}, id="no mark yet"),
        pytest.param({"mark_age_ns": -1}, id="a mark of the future"),
        pytest.param({"halt_code": "DRAWDOWN"}, id="reduced for a loss"),
        pytest.param({"halt_code": "DAILY_LOSS"}, id="reduced for a loss of the day"),
        pytest.param({"state": RiskState.RUNNING, "halt_code": ""}, id="running"),
    ],
)
def test_a_quote_stands_for_no_mark(changes: dict[str, Any]) -> None:  # C-RISK-16
    assert refused(check(order(side=SELL, lots=1_000, reduce_only=True), **WAY_OUT | changes))[0] == "STALE_PRICE"


def test_whatever_opens_rests_or_waits_needs_a_young_mark() -> None:  # C-RISK-16
    running = WAY_OUT | {"state": RiskState.RUNNING}
    assert refused(check(order(lots=1_000), **running))[0] == "STALE_PRICE"
    assert refused(check(order(side=SELL, lots=1_000), **running))[0] == "STALE_PRICE"
    assert refused(check(order(side=SELL, lots=1_000, limit=1_001, reduce_only=True), **WAY_OUT))[0] == "STALE_PRICE"
    trigger = order(side=SELL, lots=1_000, trigger_ticks=990, reduce_only=True)
    assert refused(check(trigger, **WAY_OUT))[0] == "STALE_PRICE"
    assert refused(check(order(side=SELL, lots=1_001, reduce_only=True), **WAY_OUT))[0] == "REDUCE_ONLY"


def test_a_way_out_is_as_large_as_the_dearer_of_mark_and_quote_says() -> None:
    at = WAY_OUT | {"position_lots": 20_000}
    cheap, dear = {"bid_ticks": 799, "ask_ticks": 800}, {"bid_ticks": 1_999, "ask_ticks": 2_000}
    for lots, quote in ((15_000, cheap), (7_500, dear)):
        assert passes(check(order(side=SELL, lots=lots, reduce_only=True), **at | quote))
        assert refused(check(order(side=SELL, lots=lots + 1, reduce_only=True), **at | quote))[0] == "ORDER_NOTIONAL"


def test_risk_states() -> None:  # C-RISK-10, C-RISK-11
    reducing = order(side=SELL, lots=1_000, reduce_only=True)
    assert refused(check(reducing, state=RiskState.HALTED, halt_code="DRAWDOWN", position_lots=1_000)) == ("HALTED", "DRAWDOWN", "running")
    assert passes(check(reducing, state=RiskState.REDUCE_ONLY, position_lots=1_000))
    assert refused(check(reducing, state=RiskState.REDUCE_ONLY, position_lots=999)) == ("REDUCE_ONLY", "", "orders that reduce")
    assert refused(check(order(side=SELL), state=RiskState.REDUCE_ONLY, position_lots=1_000))[0] == "REDUCE_ONLY", "unmarked"


NOT_WHOLE = [float("nan"), float("inf"), -float("inf"), 1.0, True, None, "1"]
NUMBERS = [name for name in situation()._fields if name not in ("state", "halt_code", "instrument", "only_reduces", "book")]


@pytest.mark.parametrize("name", NUMBERS)
def test_an_absurd_situation_is_never_approved(name: str) -> None:  # fail closed
    for value in NOT_WHOLE:
        assert refused(check(order(), **{name: value}))[:2] == ("GATE_FAILED", f"{name} is {value!r}")


@pytest.mark.parametrize("value", [float("nan"), 1, 0, None, "no"])
def test_whether_the_venue_restricts_is_yes_or_no(value: Any) -> None:  # fail closed
    assert refused(check(order(), only_reduces=value))[:2] == ("GATE_FAILED", f"only_reduces is {value!r}")


@pytest.mark.parametrize(
    "change", [{"qty_lots": float("nan")}, {"limit_ticks": float("nan")}, {"qty_lots": -5}, {"instrument": BBB}, {"qty_lots": 0}]
)
def test_an_absurd_order_is_never_approved(change: dict[str, Any]) -> None:
    assert isinstance(check(msgspec.structs.replace(order(limit=1_000), **change)), Refusal)


@pytest.mark.parametrize("at", [{"equity_e8": 0}, {"equity_e8": -1}, {"interval_ns": 0}, {"instrument": None}, {"open_buy_lots": -1}])
def test_missing_or_impossible_input_refuses(at: dict[str, Any]) -> None:
    assert isinstance(check(order(), **at), Refusal)


def test_a_rule_that_breaks_refuses_with_its_text() -> None:
    answer = check(order(), position_lots=2**63)
    assert refused(answer)[0] in {"GATE_FAILED", "POSITION_QTY"}
    assert refused(check(order(), state=RiskState.RUNNING, instrument=None))[0] == "GATE_FAILED"


def test_the_register_of_rules() -> None:
    codes = [code for rule in RULES for code in rule.codes]
    assert len(codes) == len(set(codes))
    assert set(codes) >= PASSING | HALTING
    assert {f"C-RISK-{n:02}" for n in range(1, 13)} <= {control for rule in RULES for control in rule.control.split(", ")}
    assert situation().instrument.instrument_id == AAA
    assert passes(check(order(lots=90_000), WIDE))
