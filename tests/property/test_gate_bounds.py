"""No approved order passes a limit, each limit being worked out again in fractions, in another way, from the same numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.orders import ApprovedOrder, OrderKind, Side
from kedge.domain.units import E8
from kedge.risk.gate import Gate
from kedge.risk.gate_state import GateState, Situation
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

from ..builders import AAA, T0, S, instrument, order, situation

LIMITS = (
    Limits(),
    Limits(position_notional_frac_max_e8=80_000_000, net_leverage_max_e8=60_000_000, gross_leverage_max_e8=90_000_000),
    Limits(order_notional_frac_max_e8=25_000_000, stale_bars_e2=300, orders_per_second_max=3, orders_per_10s_max=5),
)
lots = st.integers(0, 30_000)
near = st.integers(980, 1_020)


def mostly(calm: Any, wild: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A calm value five times of six, so that a fair share of the cases is approved."""
    return st.integers(0, 5).flatmap(lambda n: wild if n == 3 else st.just(calm))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Situation, Limits, list[int]]:
    limit = draw(st.sampled_from((0, 1_000, 995, 1_005, 1_011)))
    qty = draw(st.one_of(st.integers(50, 4_000), st.sampled_from((14_999, 15_000, 15_001, 20_001)), lots))
    intent = order(side=draw(st.sampled_from(Side)), lots=max(1, qty), limit=limit, reduce_only=draw(st.booleans()))
    others = st.integers(-16_000 * E8, 16_000 * E8)
    at = situation(
        ts_ns=T0 + 20 * S,
        state=draw(mostly(RiskState.RUNNING, st.sampled_from(RiskState))),
        mark_ticks=draw(mostly(1_000, near)),
        mark_age_ns=draw(mostly(0, st.integers(0, 200 * S))),
        volume_avg_lots=draw(mostly(200_000, st.integers(0, 200_000))),
        equity_e8=draw(mostly(10_000 * E8, st.integers(-E8, 20_000 * E8))),
        position_lots=draw(st.one_of(st.just(0), st.integers(-20_000, 20_000))),
        open_buy_lots=draw(mostly(0, lots)),
        open_sell_lots=draw(mostly(0, lots)),
        gross_other_e8=abs(draw(mostly(0, others))),
        net_other_e8=draw(mostly(0, others)),
        open_orders_instrument=draw(mostly(0, st.integers(18, 22))),
        open_orders_total=draw(mostly(0, st.integers(90, 110))),
        best_own_bid_ticks=draw(mostly(0, near)),
        best_own_ask_ticks=draw(mostly(0, near)),
        halt_code=draw(st.sampled_from(("", "FLATTEN", "STOP_UNCONFIRMED", "DRAWDOWN"))),
        bid_ticks=draw(mostly(0, near)),
        ask_ticks=draw(st.one_of(st.just(0), near)),
        quote_age_ns=draw(st.integers(0, 7 * S)),
        instrument=instrument(position_max_lots=40_000, market_qty_max_lots=20_000, order_qty_max_lots=25_000),
    )
    ages = draw(mostly([], st.lists(st.integers(0, 15 * S), max_size=9)))
    return intent, at, draw(st.sampled_from(LIMITS)), sorted(ages, reverse=True)


def money(ticks: int, qty: int) -> Fraction:
    """Quote currency: 0.1 a tick, 0.001 a lot."""
    return Fraction(ticks, 10) * Fraction(qty, 1_000)


def reach(at: Situation, signed: int) -> list[int]:
    """Every position that open orders of either side, wholly or not at all, and this order, wholly or not at all, can make."""
    return [at.position_lots + buy + sell + own for buy in (0, at.open_buy_lots) for sell in (0, -at.open_sell_lots) for own in (0, signed)]


@given(cases())
def test_no_approved_order_passes_a_limit(case: tuple[Any, Situation, Limits, list[int]]) -> None:
    intent, at, limits, ages = case
    recent = GateState()
    for n, age in enumerate(ages):
        recent.note_sent(order(f"x{n}", lots=2_000, slice_no=n + 1), at.ts_ns - age, 1)
    answer = Gate(limits).check(intent, at, recent)
    if not isinstance(answer, ApprovedOrder):
        assert answer.code
        assert answer.limit or answer.code == "HALTED"
        return

    def of_equity(frac_e8: int) -> Fraction:
        return Fraction(max(0, at.equity_e8), E8) * Fraction(frac_e8, E8)

    price = max(intent.limit_ticks, at.mark_ticks) if intent.side is Side.BUY and intent.limit_ticks else at.mark_ticks
    assert answer.order is intent
    assert answer.limits_version == limits.version
    assert at.state is not RiskState.HALTED
    same_side = at.open_sell_lots if intent.side is Side.SELL else at.open_buy_lots
    leans_out = at.position_lots * intent.signed_lots < 0 and intent.qty_lots + same_side <= abs(at.position_lots)
    is_smallest_way_out = leans_out and intent.reduce_only and intent.qty_lots == 1
    assert is_smallest_way_out or money(price, intent.qty_lots) <= of_equity(limits.order_notional_frac_max_e8)
    if at.state is RiskState.REDUCE_ONLY:
        assert leans_out
        assert intent.reduce_only
    if not leans_out:
        worst = max(abs(lots) for lots in reach(at, intent.signed_lots))
        assert worst <= 40_000
        assert money(price, worst) <= of_equity(limits.position_notional_frac_max_e8)
        assert money(price, worst) + Fraction(at.gross_other_e8, E8) <= of_equity(limits.gross_leverage_max_e8)
        sign = 1 if intent.side is Side.BUY else -1
        furthest = max(sign * lots for lots in reach(at, intent.signed_lots))
        assert sign * Fraction(at.net_other_e8, E8) + money(price, furthest) <= of_equity(limits.net_leverage_max_e8)
        assert intent.qty_lots <= at.volume_avg_lots * Fraction(limits.fat_finger_volume_frac_e8, E8)
    if intent.kind is OrderKind.LIMIT:
        assert abs(Fraction(intent.limit_ticks, at.mark_ticks) - 1) <= Fraction(100, 10_000)
    crossed = at.best_own_ask_ticks if intent.side is Side.BUY else at.best_own_bid_ticks
    if crossed:
        assert intent.limit_ticks
        assert intent.limit_ticks < crossed if intent.side is Side.BUY else intent.limit_ticks > crossed
    assert at.open_orders_instrument < limits.open_orders_instrument_max
    assert at.open_orders_total < limits.open_orders_total_max
    is_way_out = leans_out and intent.reduce_only and not intent.limit_ticks and at.state is RiskState.REDUCE_ONLY
    is_seen = (
        is_way_out and at.halt_code in ("FLATTEN", "STOP_UNCONFIRMED") and 0 < at.bid_ticks < at.ask_ticks and at.quote_age_ns <= 5 * S
    )
    if is_seen:
        assert is_smallest_way_out or money(at.ask_ticks, intent.qty_lots) <= of_equity(limits.order_notional_frac_max_e8)
    assert (min(at.mark_age_ns, at.quote_age_ns) if is_seen else at.mark_age_ns) * 100 < at.interval_ns * (limits.stale_bars_e2 + 1)
    assert sum(age < S for age in ages) < limits.orders_per_second_max
    assert sum(age < 10 * S for age in ages) < limits.orders_per_10s_max
    assert intent.instrument == AAA
