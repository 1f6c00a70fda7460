"""Matching against a twin written from the rules in fractions, and the limits against trying every outcome."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from kedge.domain.units import E8
from kedge.kernel.limits import reduces, within_collar, worst_case_lots
from kedge.kernel.matching import match_bar

ticks = st.integers(1, 200)


@st.composite
def orders_and_bars(draw: st.DrawFn) -> tuple[int, ...]:
    low, opened, closed, high = (lambda p: (p[0], p[1], p[2], p[3]))(sorted(draw(st.lists(ticks, min_size=4, max_size=4))))
    if draw(st.booleans()):
        opened, closed = closed, opened
    order = (draw(st.sampled_from([1, -1])), draw(st.integers(0, 1)), draw(ticks), draw(st.integers(0, 1)), draw(st.integers(1, 5_000)))
    terms = (draw(st.integers(0, 10_000)), draw(st.integers(0, E8)), draw(st.integers(0, 3)), draw(st.integers(0, 2_000)))
    return *order, opened, high, low, closed, *terms


def by_the_rules(*terms: int) -> tuple[int, int, int]:
    side, is_market, limit, is_resting, leaves, opened, high, low, _, volume, participation, spread, bps = terms
    fill = min(leaves, math.floor(Fraction(volume * participation, E8)))
    if not fill:
        return 0, 0, 0
    worse = spread + math.ceil(Fraction(opened * bps * fill, volume * 10_000))
    taken = max(1, opened + worse if side == 1 else opened - worse)
    acceptable = taken <= limit if side == 1 else taken >= limit
    if is_market or (not is_resting and acceptable):
        return fill, taken, 0
    through = low < limit if side == 1 else high > limit
    return (fill, limit, 1) if through else (0, 0, 0)


@given(orders_and_bars())
def test_a_match_follows_the_rules(terms: tuple[int, ...]) -> None:
    answer: Any = match_bar(*terms)  # type: ignore[arg-type]
    assert answer == match_bar.py_func(*terms) == by_the_rules(*terms)  # type: ignore[attr-defined]
    event("none" if not answer[0] else "maker" if answer[2] else "taker")


@given(orders_and_bars())
def test_no_limit_is_passed_and_no_more_than_the_share_is_had(terms: tuple[int, ...]) -> None:
    side, is_market, limit, _, leaves, *_, volume, participation, _, _ = terms
    fill, price, is_maker = match_bar(*terms)  # type: ignore[arg-type]
    assert 0 <= fill <= min(leaves, volume * participation // E8)
    if fill and not is_market:
        assert side * price <= side * limit
    if is_maker:
        assert price == limit
        assert not is_market


positions, opens, order_lots = st.integers(-20, 20), st.integers(0, 10), st.integers(-15, 15)


@given(positions, opens, opens, order_lots)
def test_worst_case_is_the_worst_of_all_outcomes(position: int, buys: int, sells: int, order: int) -> None:
    outcomes = [abs(position + b - s + o) for b, s, o in product(range(buys + 1), range(sells + 1), {0, order})]
    assert worst_case_lots(position, buys, sells, order) == max(outcomes)


@given(positions, opens, opens, order_lots.filter(bool))
def test_reduces_means_no_outcome_of_its_side_flips_or_grows(position: int, buys: int, sells: int, order: int) -> None:
    same = range(buys + 1) if order > 0 else [-sold for sold in range(sells + 1)]
    side = 1 if order > 0 else -1
    steps = range(1, abs(order) + 1)
    shrinks = [position * (position + done + side * step) >= 0 and abs(position + done + side * step) < abs(position + done)
               for done in same for step in steps]  # fmt: skip
    assert reduces(position, buys, sells, order) == int(position != 0 and all(shrinks))


@given(st.integers(1, 2**61), st.integers(1, 2**61), st.integers(0, 10_000))
def test_the_collar_is_exact_at_any_size(price: int, mark: int, bps: int) -> None:
    assert within_collar(price, mark, bps) == int(abs(price - mark) * 10_000 <= mark * bps)
