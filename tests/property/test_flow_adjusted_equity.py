"""Deposits and withdrawals are neither gains nor losses: drawdown and the day's loss are those of a fund's unit price.

The reference never touches the account's own peak: it keeps one exact number, the worth of a unit, that trades and marks move and flows
do not, as funds have been valued for ever.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from kedge.domain.units import E8, NS_PER_DAY
from kedge.kernel.account import (
    DAY_LOSS_E8,
    DRAWDOWN_E8,
    DRAWDOWN_MAX_E8,
    EQUITY,
    FLOWS,
    WALLET,
    book_fill,
    book_flow,
    book_funding,
    mark_account,
    new_account,
    open_account,
    revalue,
)

WALLET_E8 = 10_000 * E8
PRICE = 1_000
NEAR_E8 = 2
"""The peak is rounded up to 1e-8 of the quote currency at each flow, and each fraction to 1e-8: two units are rounding."""

marks = st.tuples(st.just("mark"), st.integers(900, 1_100), st.integers(0, NS_PER_DAY))
fills = st.tuples(st.just("fill"), st.integers(-2_000, 2_000).filter(bool), st.integers(950, 1_050))
fundings = st.tuples(st.just("funding"), st.integers(-20, 20), st.just(0))
flows = st.tuples(st.just("flow"), st.integers(-75, 300), st.just(0))
histories = st.lists(st.one_of(marks, fills, fundings, flows), min_size=1, max_size=60)


class Book:
    """One account with one instrument, and the worth of its unit."""

    def __init__(self) -> None:
        self.row = new_account()
        self.lots, self.costs, self.marks = (np.zeros(1, np.int64) for _ in range(3))
        self.tick_values = np.array([10_000], np.int64)
        self.ts_ns = 0
        open_account(self.row, WALLET_E8, 0)
        self.unit = self.peak = self.day_start = Fraction(1)
        self.worst = Fraction(0)

    @property
    def equity(self) -> int:
        return int(self.row[EQUITY])

    def apply(self, what: str, amount: int, more: int) -> None:
        """One happening, to the account and to the unit."""
        before = self.equity
        day = self.ts_ns // NS_PER_DAY
        if what == "mark":
            self.ts_ns += more
            mark_account(self.row, 0, amount, self.ts_ns, self.lots, self.costs, self.marks, self.tick_values)
        elif what == "fill":
            assume(abs(int(self.lots[0]) + amount) <= 30_000)
            book_fill(self.row, 0, amount, more, abs(amount), self.lots, self.costs, self.tick_values)
            revalue(self.row, self.lots, self.costs, self.marks, self.tick_values)
        elif what == "funding":
            book_funding(self.row, amount * E8)
        else:
            book_flow(self.row, before * amount // 100)
        assume(self.equity > WALLET_E8 // 50)
        if what == "flow":
            return
        if what == "mark" and self.ts_ns // NS_PER_DAY > day:
            self.day_start = self.unit
        self.unit *= Fraction(self.equity, before)
        if what == "mark":
            self.peak = max(self.peak, self.unit)
            self.worst = max(self.worst, 1 - self.unit / self.peak)

    def told(self, cell: int) -> int:
        return int(self.row[cell])


def played(history: list[tuple[str, int, int]]) -> Book:
    book = Book()
    for what in history:
        book.apply(*what)
    return book


@given(histories, st.integers(900, 1_100))
def test_drawdown_and_the_days_loss_are_those_of_the_unit(history: list[tuple[str, int, int]], price: int):
    book = played(history)
    book.apply("mark", price, 0)
    fall = max(Fraction(0), 1 - book.unit / book.peak)
    loss = max(Fraction(0), 1 - book.unit / book.day_start)
    assert abs(book.told(DRAWDOWN_E8) - fall * E8) <= NEAR_E8
    assert abs(book.told(DAY_LOSS_E8) - loss * E8) <= NEAR_E8
    assert abs(book.told(DRAWDOWN_MAX_E8) - book.worst * E8) <= NEAR_E8


@given(histories, st.lists(st.integers(-70, 200), min_size=1, max_size=4), st.booleans())
def test_a_flow_changes_no_lost_fraction_whenever_it_comes(history: list[tuple[str, int, int]], percent: list[int], over_midnight: bool):
    book, other = played(history), played(history)
    price = int(book.marks[0]) or PRICE
    for each in (book, other):  # what is gained or lost after a flow is a share of another equity
        each.apply("mark", price, 0)
    for one in percent:
        other.apply("flow", one, 0)
    for each in (book, other):
        each.apply("mark", price, NS_PER_DAY if over_midnight else 0)
    wallet_moved = other.told(WALLET) - book.told(WALLET)
    assert wallet_moved == other.told(FLOWS) - book.told(FLOWS)
    for cell in (DRAWDOWN_E8, DAY_LOSS_E8, DRAWDOWN_MAX_E8):
        assert abs(other.told(cell) - book.told(cell)) <= NEAR_E8


@given(histories, st.lists(st.integers(1, 10**12), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_flows_may_come_in_any_order(history: list[tuple[str, int, int]], amounts: list[int], rng: Any):
    book, other = played(history), played(history)
    for each in (book, other):
        each.apply("mark", int(each.marks[0]) or PRICE, 0)
    shuffled = rng.sample(amounts, len(amounts))
    for each, order in ((book, amounts), (other, shuffled)):
        for amount in order:
            book_flow(each.row, amount)
        each.apply("mark", int(each.marks[0]) or PRICE, 0)
    assert book.told(WALLET) == other.told(WALLET)
    for cell in (DRAWDOWN_E8, DAY_LOSS_E8, DRAWDOWN_MAX_E8):
        assert abs(other.told(cell) - book.told(cell)) <= NEAR_E8
