"""The incremental book against sorting whole portfolios, and against itself in every other order of events."""

from __future__ import annotations

import math
import pickle
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from tests.unit.risk.var.book_plain import exact, plain

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.risk.var import fhs, filters, historical
from kedge.risk.var.book import VarBook
from kedge.risk.var.laws import scenarios

RNG = np.random.default_rng(21)
DAYS, COUNT = 120, 4
RETURNS = RNG.standard_t(4, (DAYS, COUNT)) * 0.03
NAMES = ["A", "B", "C", "D"]
CLOSE = 1e-7
"""Notionals are whole quanta of 2^-26 to 2^-27 of equity and returns whole 2^-28: nothing near a sampling error."""


def book_of(notionals: list[float], **options: Any) -> VarBook:
    book = VarBook(NAMES, RETURNS, **options)
    for index, notional in enumerate(notionals):
        book.set_notional(index, notional)
    return book


def test_it_answers_what_sorting_the_whole_portfolio_answers() -> None:
    weights = [0.5, -0.3, 0.2, 0.05]
    pnl = RETURNS @ np.array(weights)
    expected = (historical.value_at_risk(pnl, 0.99), historical.expected_shortfall(pnl, 0.975))
    assert book_of(weights).var_es() == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("days", [1, 2, 3, 39, 40, 41, 100, 119])
def test_it_does_so_for_any_number_of_days(days: int) -> None:
    book = VarBook(NAMES, RETURNS[:days])
    book.set_notional(0, 0.7)
    pnl = RETURNS[:days, 0] * 0.7
    expected = (historical.value_at_risk(pnl, 0.99), historical.expected_shortfall(pnl, 0.975))
    assert book.var_es() == pytest.approx(expected, abs=CLOSE)


def test_it_is_exactly_the_plain_twin_on_whole_numbers() -> None:
    weights = [50_000_000, -30_000_000, 20_000_000, 5_000_000]
    book = VarBook(NAMES, RETURNS)
    for index, notional in enumerate(weights):
        book.set_notional_e8(index, notional)
    assert book.var_es() == exact(RETURNS, weights, E8)


def test_a_question_changes_nothing_and_tells_what_would_be() -> None:
    book = book_of([0.5, -0.3, 0.2, 0.05])
    before = book.var_es()
    asked = book.after(1, 0.25)
    assert book.var_es() == before
    book.set_notional(1, -0.05)
    assert book.var_es() == pytest.approx(asked, abs=1e-15)


def test_money_and_fractions_are_the_same_question() -> None:
    book = VarBook(NAMES, RETURNS, equity_e8=12_345 * E8)
    book.set_notional(0, 0.5)
    assert book.notional_e8(0) == 12_345 * E8 // 2
    assert book.after(1, 0.1) == book.after_e8(1, 123_450_000_000)


@pytest.mark.parametrize("delta", [3.0, 30.0, 3_000.0, -40_000.0])
def test_an_order_many_times_the_book_is_judged_as_well_as_a_small_one(delta: float) -> None:
    book = book_of([0.01, -0.02, 0.0, 0.0])
    pnl = RETURNS @ np.array([0.01, -0.02, delta, 0.0])
    expected = (historical.value_at_risk(pnl, 0.99), historical.expected_shortfall(pnl, 0.975))
    assert book.after(2, delta) == pytest.approx(expected, rel=1e-6)
    book.set_open_e8(3, E8 // 100, 0)
    assert book.worst_after_e8(2, round(delta * E8))[0] >= expected[0] - abs(delta) * CLOSE
    assert book.var_es() == book_of([0.01, -0.02, 0.0, 0.0]).var_es()


def test_equity_that_halves_doubles_the_fractions() -> None:
    book = book_of([0.5, -0.3, 0.2, 0.05])
    var, es = book.var_es()
    book.set_equity_e8(E8 // 2)
    assert book.var_es() == pytest.approx((2 * var, 2 * es), abs=CLOSE)


def test_without_equity_a_position_risks_all_of_it_and_no_position_nothing() -> None:
    for equity in (0, -E8):
        book = VarBook(NAMES, RETURNS, equity_e8=equity)
        assert book.var_es() == (0.0, 0.0)
        book.set_notional_e8(0, E8)
        assert book.var_es() == (math.inf, math.inf)


def test_a_moved_mark_moves_the_notional() -> None:
    book = VarBook(NAMES, RETURNS, equity_e8=1_000 * E8)
    book.set_position(0, lots=-50, mark_ticks=2_000, tick_value_e8=100_000)
    assert book.notional_e8(0) == -10_000_000_000
    book.set_mark(0, 2_100)
    assert book.notional_e8(0) == -10_500_000_000
    other = VarBook(NAMES, RETURNS, equity_e8=1_000 * E8)
    other.set_notional_e8(0, -10_500_000_000)
    assert book.var_es() == other.var_es()


def test_the_order_of_events_cannot_be_told_from_the_answer() -> None:
    """Updates leave the very bits that a fresh book has, however many they are: sums of whole numbers do not drift."""
    walked = VarBook(NAMES, RETURNS, equity_e8=10_000 * E8)
    rng = np.random.default_rng(3)
    final = [0] * COUNT
    for _ in range(800):
        index, notional = int(rng.integers(COUNT)), int(rng.integers(-(10**13), 10**13))
        walked.set_notional_e8(index, notional)
        walked.set_open_e8(index, int(rng.integers(0, 10**12)), int(rng.integers(0, 10**12)))
        final[index] = notional
        if rng.random() < 0.1:
            walked.set_equity_e8(int(rng.integers(1, 10**14)))
    walked.set_equity_e8(7_777 * E8)
    for index in range(COUNT):
        walked.set_open_e8(index, 5_000, 70_000_000_000)
    fresh = VarBook(NAMES, RETURNS, equity_e8=7_777 * E8)
    for index in reversed(range(COUNT)):
        fresh.set_open_e8(index, 5_000, 70_000_000_000)
        fresh.set_notional_e8(index, final[index])
    assert walked.var_es() == fresh.var_es()
    assert walked.worst() == fresh.worst()
    assert walked.after_e8(2, 10**12) == fresh.after_e8(2, 10**12)
    assert walked.worst_after_e8(2, -(10**12)) == fresh.worst_after_e8(2, -(10**12))


def test_a_pickled_book_goes_on_as_it_was() -> None:
    book = book_of([0.5, -0.3, 0.2, 0.05], sigmas=np.full((DAYS + 1, COUNT), 0.03))
    book.set_open_e8(1, 1_000, 2_000)
    twin = pickle.loads(pickle.dumps(book))
    for one in (book, twin):
        one.set_notional(2, -0.4)
        one.rescale([0.05, 0.02, 0.03, 0.03])
    assert (twin.var_es(), twin.worst(), twin.after(1, 0.2)) == (book.var_es(), book.worst(), book.after(1, 0.2))


def test_open_orders_count_only_where_they_hurt() -> None:
    book = book_of([0.4, 0.0, 0.0, 0.0])
    calm = book.worst()
    assert calm == book.var_es()
    book.set_open_e8(0, 0, 40_000_000)
    assert book.worst()[0] == pytest.approx(book.var_es()[0], abs=CLOSE)  # selling what is held only takes gains away
    book.set_open_e8(1, 30_000_000, 30_000_000)
    pnl = RETURNS[:, 0] * 0.4 - np.abs(RETURNS[:, 1]) * 0.3
    pnl -= np.where(RETURNS[:, 0] > 0, RETURNS[:, 0], 0.0) * 0.4
    assert book.worst() == pytest.approx((historical.value_at_risk(pnl, 0.99), historical.expected_shortfall(pnl, 0.975)), abs=CLOSE)


def test_the_worst_is_never_milder_than_any_way_the_orders_may_fill() -> None:
    book, rng = book_of([0.4, -0.2, 0.0, 0.1]), np.random.default_rng(5)
    buys, sells = rng.integers(0, 50_000_000, COUNT), rng.integers(0, 50_000_000, COUNT)
    for index in range(COUNT):
        book.set_open_e8(index, int(buys[index]), int(sells[index]))
    var, es = book.worst_after_e8(1, -20_000_000)
    sells[1] += 20_000_000
    for _ in range(150):
        filled = rng.choice([0.0, 0.5, 1.0], COUNT) * buys - rng.choice([0.0, 0.5, 1.0], COUNT) * sells
        other = book_of([0.4, -0.2, 0.0, 0.1])
        for index in range(COUNT):
            other.set_notional_e8(index, other.notional_e8(index) + int(filled[index]))
        assert other.var_es()[0] <= var + CLOSE
        assert other.var_es()[1] <= es + CLOSE


@pytest.mark.parametrize(("buy", "sell"), [(-1, 0), (0, -1)])
def test_a_negative_side_of_orders_is_refused(buy: int, sell: int) -> None:
    with pytest.raises(InvalidInput, match="open orders"):
        book_of([0.0] * 4).set_open_e8(0, buy, sell)


def test_filtered_returns_are_those_of_filtered_simulation() -> None:
    sigmas = np.column_stack([filters.ewma_sigma(column) for column in RETURNS.T])
    weights = [0.5, -0.3, 0.2, 0.05]
    expected = fhs.portfolio_var_es(RETURNS, sigmas, weights)
    assert book_of(weights, sigmas=sigmas).var_es() == pytest.approx((expected.var_frac, expected.es_frac), abs=CLOSE)


def test_a_new_sigma_rescales_its_column_alone() -> None:
    sigmas = np.column_stack([filters.ewma_sigma(column) for column in RETURNS.T])
    book = book_of([0.5, -0.3, 0.2, 0.05], sigmas=sigmas)
    to_come = sigmas[-1] * np.array([2.0, 1.0, 1.0, 0.5])
    book.rescale(to_come.tolist())
    louder = np.vstack([sigmas[:-1], to_come])
    assert book.var_es() == book_of([0.5, -0.3, 0.2, 0.05], sigmas=louder).var_es()
    for wrong in ([0.02] * 3, [0.02, 0.02, 0.0, 0.02], [0.02, math.nan, 0.02, 0.02]):
        with pytest.raises(InvalidInput, match="sigmas"):
            book.rescale(wrong)
    with pytest.raises(InvalidInput, match="unfiltered"):
        book_of([0.5, -0.3, 0.2, 0.05]).rescale([0.02] * 4)


def test_a_renewed_book_carries_positions_orders_and_equity_over() -> None:
    book = VarBook(NAMES, RETURNS, equity_e8=500 * E8, confidence_var=0.95, confidence_es=0.9)
    book.set_position(0, 10, 300, E8 // 100)
    book.set_notional(1, -0.2)
    book.set_open_e8(2, E8, 2 * E8)
    longer = np.vstack([RETURNS[1:], RETURNS[:1]])
    new, fresh = book.renewed(longer), VarBook(NAMES, longer, equity_e8=500 * E8, confidence_var=0.95, confidence_es=0.9)
    fresh.set_position(0, 10, 300, E8 // 100)
    fresh.set_notional(1, -0.2)
    fresh.set_open_e8(2, E8, 2 * E8)
    assert (new.var_es(), new.worst()) == (fresh.var_es(), fresh.worst())
    new.set_mark(0, 310)
    fresh.set_mark(0, 310)
    assert new.var_es() == fresh.var_es()
    assert new.var_es() == pytest.approx(book.var_es(), rel=0.1)


def test_an_instrument_without_history_is_added_at_its_stated_loss_both_ways() -> None:
    unknown = RETURNS.copy()
    unknown[:, 2] = np.nan
    weights = [0.5, -0.3, 0.0, 0.0]
    alone = plain(RETURNS, weights)
    for side in (0.2, -0.2):
        book = VarBook(NAMES, unknown, priors=[None, None, (0.13, 0.15), None])
        for index, weight in enumerate([0.5, -0.3, side, 0.0]):
            book.set_notional(index, weight)
        expected = (alone[0] + 0.2 * 0.13, alone[1] + 0.2 * 0.15)
        assert book.var_es() == pytest.approx(expected, abs=CLOSE)
        assert book.after(2, side) == pytest.approx((alone[0] + 0.4 * 0.13, alone[1] + 0.4 * 0.15), abs=CLOSE)
        book.set_open_e8(2, 30_000_000, 10_000_000)
        reach = max(abs(side + 0.3), abs(side - 0.1))
        assert book.worst()[0] == pytest.approx(alone[0] + reach * 0.13, abs=CLOSE)
        reach = max(abs(side + 0.3), abs(side - 0.3))
        assert book.worst_after_e8(2, -20_000_000)[0] == pytest.approx(alone[0] + reach * 0.13, abs=CLOSE)


def test_a_book_of_stated_losses_only_needs_no_days() -> None:
    book = VarBook(["NEW"], np.zeros((0, 1)), sigmas=np.ones((1, 1)), priors=[(0.13, 0.15)])
    assert book.days == 0
    assert book.var_es() == (0.0, 0.0)
    book.set_notional(0, -0.5)
    assert book.var_es() == pytest.approx((0.065, 0.075))
    assert book.after(0, 0.5) == (0.0, 0.0)
    book.rescale([0.1])
    assert book.var_es() == pytest.approx((0.065, 0.075))


HOLED = RETURNS.copy()
HOLED[3, 1] = np.nan
SPLIT = RETURNS.copy()
SPLIT[5, 0] = 40.0
BARE = RETURNS.copy()
BARE[:, 0] = np.nan


@pytest.mark.parametrize(
    ("returns", "options", "named"),
    [
        (RETURNS[:, :3], {}, "4 instruments"),
        (RETURNS[0], {}, "shape"),
        (HOLED, {}, "not finite"),
        (SPLIT, {}, "3,200"),
        (BARE, {}, "no history"),
        (BARE, {"priors": [(0.0, 0.1), None, None, None]}, "no history"),
        (RETURNS, {"sigmas": np.full((DAYS, COUNT), 0.02)}, "sigmas"),
        (RETURNS, {"sigmas": np.zeros((DAYS + 1, COUNT))}, "sigma"),
        (RETURNS, {"confidence_var": 1.0}, "confidence"),
    ],
)
def test_what_cannot_be_a_book_is_refused(returns: np.ndarray, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        VarBook(NAMES, returns, **options)


def test_the_heap_keeps_the_smallest_whatever_their_order() -> None:
    one = np.ones((1, 60), np.int64)
    for order in (np.arange(60), np.arange(60)[::-1], np.zeros(60, int), RNG.permutation(60)):
        for kept in (1, 2, 3, 7, 60):
            tail = np.zeros(kept, np.int64)
            sums = np.ascontiguousarray(order, dtype=np.int64)
            scenarios.smallest(sums, one, 0, 0, 0, 0, np.arange(kept), tail)
            assert tail.tolist() == sorted(order.tolist())[:kept]


@given(
    values=st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40)), min_size=1, max_size=80),
    seed=st.integers(0, 1_000),
    share=st.floats(0.01, 1.0),
    change=st.integers(-9, 9),
)
def test_whatever_days_are_looked_at_first_the_tail_is_the_same_and_they_stay_days(
    values: list[int], seed: int, share: float, change: int
) -> None:
    rng, days = np.random.default_rng(seed), len(values)
    sums, shocks = np.array(values, np.int64), rng.integers(-50, 50, (1, days))
    kept, buy, sell = math.ceil(share * days), int(rng.integers(0, 9)), int(rng.integers(0, 9))
    near, tail = rng.permutation(days)[:kept].astype(np.int64), np.zeros(kept, np.int64)
    after = [value + (change + buy if shock < 0 else change - sell) * int(shock) for value, shock in zip(values, shocks[0], strict=True)]
    for _ in range(2):
        scenarios.smallest(sums, shocks, 0, change, buy, sell, near, tail)
        assert tail.tolist() == sorted(after)[:kept]
        assert len(set(near.tolist())) == kept
        assert 0 <= near.min() <= near.max() < days
    assert sums.tolist() == values


def test_days_far_from_the_tail_are_chosen_anew() -> None:
    one, sums, near, tail = np.ones((1, 60), np.int64), np.arange(60)[::-1] // 2, np.arange(5), np.zeros(5, np.int64)
    scenarios.smallest(sums, one, 0, 0, 0, 0, near, tail)
    assert tail.tolist() == [0, 0, 1, 1, 2]
    assert set(near.tolist()) - {54, 55} == {56, 57, 58, 59}, "with one of the two days that are the largest of the tail"


def test_a_column_that_is_set_at_once_is_the_one_set_in_parts() -> None:
    whole, parts = book_of([0.4, -0.2, 0.0, 0.1]), book_of([0.4, -0.2, 0.0, 0.1])
    for held, buy, sell in ((30_000_000, 5, 0), (-7, 10**7, 2 * 10**7), (-7, 10**7, 2 * 10**7), (10**12, 0, 10**11), (0, 0, 0)):
        whole.set_column_e8(1, held, buy, sell)
        parts.set_notional_e8(1, held)
        parts.set_open_e8(1, buy, sell)
        assert (whole.var_es(), whole.worst()) == (parts.var_es(), parts.worst())
        assert whole.worst_after_e8(1, -(10**9)) == parts.worst_after_e8(1, -(10**9))


def test_the_largest_sums_stay_within_64_bits() -> None:
    """Every bound at once: returns just below 3,200 %, and an order four times a book that is all quanta."""
    wild = np.full((50, 2), -31.999)
    book = VarBook(["A", "B"], wild, equity_e8=(1 << 27) - 1)
    book.set_notional_e8(0, (1 << 27) - 1)
    var, _ = book.after_e8(0, 3 * ((1 << 27) - 1))
    assert var == pytest.approx(4 * 31.999, rel=1e-6)
    book.set_open_e8(1, 1 << 40, 1 << 40)
    assert book.worst()[0] == pytest.approx(31.999 * (1 + (1 << 40) / ((1 << 27) - 1)), rel=1e-6)
