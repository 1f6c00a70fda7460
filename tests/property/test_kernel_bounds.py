"""The laws at exactly the bounds that an instrument proves, against fractions; and the bounds are tight."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import RATE_MAX_E8, Instrument, RiskTier
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.bounds import lots_max
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8
from kedge.kernel.margin import initial_margin_e8, maintenance_margin_e8
from kedge.kernel.positions import apply_fill, unrealised_e8, value_at_e8


def instrument(tick_e8: int, lot_e8: int, price_max_ticks: int, position_max_lots: int, order_max_lots: int) -> Instrument:
    return Instrument(
        instrument_id="venue:EDGE", base="EDGE", quote="USDT", tick_e8=tick_e8, lot_e8=lot_e8, tick_value_e8=tick_e8 * lot_e8 // E8,
        price_max_ticks=price_max_ticks, order_qty_min_lots=1, order_qty_max_lots=order_max_lots, market_qty_max_lots=1,
        position_max_lots=position_max_lots, notional_min_e8=0, maker_fee_e8=20_000, taker_fee_e8=55_000, leverage_max_e2=10_000,
        tiers=(RiskTier(notional_max_e8=INT64_MAX, maintenance_rate_e8=500_000, deduction_e8=0, leverage_max_e2=10_000),),
        funding_interval_ns=0, price_collar_bps=500,
    )  # fmt: skip


def edge(largest: int) -> st.SearchStrategy[int]:
    """1 .. largest, often the largest itself."""
    return st.integers(1, largest) | st.just(largest)


@st.composite
def extreme_instruments(draw: st.DrawFn) -> Instrument:
    """The largest price that the proof allows on a drawn grid and position limit: one tick more is refused."""
    tick_power = draw(st.integers(0, 8))
    tick_e8, lot_e8 = 10**tick_power, 10 ** draw(st.integers(8 - tick_power, 8))
    tick_value = tick_e8 * lot_e8 // E8
    half = min(10**9, INT64_MAX // 4 // tick_value // tick_e8) // 2
    order, position = draw(edge(half)), draw(edge(half))
    lots = position + order
    low, high = 1, INT64_MAX // (2 * lots * tick_value)
    while low < high:  # the bounds are several, so the largest accepted price is found by asking
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _accepted(tick_e8, lot_e8, middle, position, order) else (low, middle - 1)
    return instrument(tick_e8, lot_e8, low, position, order)


def _accepted(*terms: int) -> bool:
    try:
        instrument(*terms)
    except InvalidInput:
        return False
    return True


rates = st.integers(-RATE_MAX_E8, RATE_MAX_E8) | st.sampled_from([RATE_MAX_E8, -RATE_MAX_E8, 0, 55_000, -5_000])
signs = st.sampled_from([1, -1])


def both(law: Any, *arguments: Any) -> Any:
    """The compiled answer, which must be that of the plain twin."""
    answer = law(*arguments)
    assert answer == law.py_func(*arguments)
    return answer


@given(extreme_instruments())
def test_one_tick_past_the_bound_is_refused(i: Instrument) -> None:
    with pytest.raises(InvalidInput, match="reaches"):
        instrument(i.tick_e8, i.lot_e8, i.price_max_ticks + 1, i.position_max_lots, i.order_qty_max_lots)


@given(extreme_instruments(), signs, st.data())
def test_fills_at_the_bound(i: Instrument, sign: int, data: st.DataObject) -> None:
    lots = sign * data.draw(edge(i.position_max_lots))
    fill = data.draw(signs) * data.draw(edge(i.order_qty_max_lots))
    entry, price = data.draw(edge(i.price_max_ticks)), data.draw(edge(i.price_max_ticks))
    value = i.tick_value_e8
    cost = entry * lots * value
    after, cost_after, realised = both(apply_fill, lots, cost, fill, price, value)
    assert after == lots + fill
    assert cost_after == cost + price * fill * value + realised
    closed = 0 if lots * fill > 0 else sign * min(abs(lots), abs(fill))
    assert realised == (price - entry) * closed * value  # at one entry price every share of the cost is whole


@given(extreme_instruments(), signs, st.data())
def test_values_funding_and_fees_at_the_bound(i: Instrument, sign: int, data: st.DataObject) -> None:
    lots = sign * data.draw(edge(lots_max(i)))
    price_e8 = data.draw(edge(min(i.price_max_ticks * i.tick_e8 + i.tick_e8 - 1, INT64_MAX)))
    rate = data.draw(rates)
    exact = Fraction(price_e8 * abs(lots) * i.tick_value_e8, i.tick_e8)
    worth = sign * round(exact)
    assert both(value_at_e8, price_e8, lots, i.tick_e8, i.tick_value_e8) == worth
    assert both(funding_paid_e8, lots, price_e8, rate, i.tick_e8, i.tick_value_e8) == math.ceil(Fraction(worth * rate, E8))
    assert both(fee_e8, abs(worth), rate) == math.ceil(Fraction(abs(worth) * rate, E8))
    mark = data.draw(edge(i.price_max_ticks))
    cost = data.draw(edge(i.price_max_ticks)) * lots * i.tick_value_e8
    assert both(unrealised_e8, lots, cost, mark, i.tick_value_e8) == lots * mark * i.tick_value_e8 - cost


@given(extreme_instruments(), st.integers(100, 20_000) | st.just(100), st.booleans(), st.integers(0, 1_000_000), st.data())
def test_margins_at_the_bound_lie_within_their_roundings(i: Instrument, leverage: int, long: bool, fee: int, data: st.DataObject) -> None:
    value = data.draw(edge(i.price_max_ticks)) * data.draw(edge(lots_max(i))) * i.tick_value_e8
    rate = data.draw(st.integers(0, E8 // 2))
    tiers = np.array([[INT64_MAX, rate, 0]], dtype=np.int64)
    closing = Fraction(value * (leverage - 100 if long else leverage + 100), leverage) * fee / E8
    initial = both(initial_margin_e8, value, leverage, int(long), fee)
    maintenance = both(maintenance_margin_e8, value, leverage, int(long), fee, tiers)
    assert 0 <= initial - (Fraction(value * 100, leverage) + closing) < 3
    assert 0 <= maintenance - (Fraction(value * rate, E8) + closing) < 3


@given(st.lists(st.tuples(signs, st.integers(1, 1_000), st.integers(1, 10**6)), min_size=1, max_size=40), st.integers(1, 10_000))
def test_no_unit_is_lost_between_cost_and_profit(fills: list[tuple[int, int, int]], tick_value: int) -> None:
    lots = cost = cash = profit = 0
    for sign, size, price in fills:
        lots, cost, realised = both(apply_fill, lots, cost, sign * size, price, tick_value)
        cash -= sign * size * price * tick_value
        profit += realised
        assert profit - cost == cash
        assert (cost > 0) == (lots > 0)
        assert (cost < 0) == (lots < 0)


@given(st.lists(st.tuples(signs, st.integers(1, 1_000), st.integers(1, 10**6)), min_size=1, max_size=40), st.integers(1, 10_000))
def test_a_mirrored_history_earns_the_opposite(fills: list[tuple[int, int, int]], tick_value: int) -> None:
    ours = theirs = (0, 0, 0)
    for sign, size, price in fills:
        ours = apply_fill(ours[0], ours[1], sign * size, price, tick_value)
        theirs = apply_fill(theirs[0], theirs[1], -sign * size, price, tick_value)
        assert ours == tuple(-part for part in theirs)
