"""The account against an independent ledger that only ever adds up cash: any history, any number of slots."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.units import E8, NS_PER_DAY
from kedge.kernel.account import (
    DAY_LOSS_E8,
    DAY_START,
    DRAWDOWN_E8,
    DRAWDOWN_MAX_E8,
    EQUITY,
    FEES,
    FLOWS,
    FUNDING,
    GROSS,
    NET,
    PEAK,
    REALISED,
    UNREALISED,
    WALLET,
    book_fill,
    book_flow,
    book_funding,
    mark_account,
    new_account,
    open_account,
)
from kedge.kernel.arithmetic import WIDE_RESULT_MAX

SLOTS = 4
slots = st.integers(0, SLOTS - 1)
prices = st.integers(1, 100_000)
lots = st.integers(-1_000, 1_000).filter(bool)
money = st.integers(-(10**12), 10**12)
histories = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), slots, prices, st.integers(0, 3 * NS_PER_DAY)),
        st.tuples(st.just("fill"), slots, lots, prices, st.integers(-1_000, 10**6)),
        st.tuples(st.just("funding"), money),
        st.tuples(st.just("flow"), money),
    ),
    max_size=40,
)


class Ledger:
    """Cash in, cash out, and what is held: no wallet, no cost, no realised profit. Rules of the day and the peak by fractions."""

    def __init__(self, cash: int, values: Iterable[int]) -> None:
        self.cash, self.values = cash, tuple(values)
        self.held = [0] * SLOTS
        self.marks: dict[int, int] = {}
        self.peak, self.day, self.day_start = cash, 0, cash
        self.worst = 0

    def equity(self) -> int:
        return self.cash + sum(self.worth(slot) for slot in range(SLOTS))

    def worth(self, slot: int) -> int:
        return self.held[slot] * self.marks[slot] * self.values[slot] if self.held[slot] else 0

    def loss(self, base: int) -> int:
        if base == 0 <= self.equity():
            return 0
        return E8 if base <= 0 else max(0, math.ceil(Fraction((base - self.equity()) * E8, base)))


def scaled(base: int, after: int, before: int) -> int:
    return min(WIDE_RESULT_MAX, math.ceil(Fraction(max(0, base) * max(0, after), before)))


class Play:
    """One history told to the laws and to the ledger at once, compared after every line."""

    def __init__(self, opening: int, values: list[int], laws: Any) -> None:
        self.laws, self.opening, self.now = laws, opening, 0
        self.account, self.ledger = new_account(), Ledger(opening, values)
        self.tick_values = np.array(values, dtype=np.int64)
        self.held, self.costs, self.marks = (np.zeros(SLOTS, dtype=np.int64) for _ in range(3))
        laws[open_account](self.account, opening, 0)

    def mark(self, slot: int, price: int, later_ns: int) -> None:
        account, ledger = self.account, self.ledger
        self.now += later_ns
        if self.now // NS_PER_DAY > ledger.day:
            ledger.day, ledger.day_start = self.now // NS_PER_DAY, int(account[EQUITY])
        ledger.marks[slot] = price
        equity = self.laws[mark_account](account, slot, price, self.now, self.held, self.costs, self.marks, self.tick_values)
        assert equity == ledger.equity() == account[EQUITY]
        ledger.peak = max(ledger.peak, ledger.equity())
        ledger.worst = max(ledger.worst, ledger.loss(ledger.peak))
        assert account[DRAWDOWN_E8] == ledger.loss(ledger.peak)
        assert account[DAY_LOSS_E8] == ledger.loss(ledger.day_start)
        worths = [ledger.worth(other) for other in range(SLOTS)]
        assert (account[NET], account[GROSS]) == (sum(worths), sum(map(abs, worths)))

    def fill(self, slot: int, size: int, price: int, fee: int) -> None:
        if self.marks[slot] == 0:  # the ledger knows no cost to stand at, so its first fill comes after a mark
            self.mark(slot, price, 0)
        before = int(self.account[EQUITY])
        self.laws[book_fill](self.account, slot, size, price, fee, self.held, self.costs, self.tick_values)
        assert self.account[EQUITY] == before - fee
        self.ledger.cash -= size * price * self.ledger.values[slot] + fee
        self.ledger.held[slot] += size

    def funding(self, paid: int) -> None:
        self.laws[book_funding](self.account, paid)
        self.ledger.cash -= paid

    def flow(self, amount: int) -> None:
        self.laws[book_flow](self.account, amount)
        ledger, before = self.ledger, int(self.account[EQUITY]) - amount
        ledger.cash += amount
        if before > 0:  # the fractions lost stay what they were
            ledger.peak, ledger.day_start = (scaled(base, before + amount, before) for base in (ledger.peak, ledger.day_start))

    def check(self) -> None:
        account = self.account
        assert account[EQUITY] == account[WALLET] + account[UNREALISED]
        assert account[WALLET] == self.opening + account[REALISED] - account[FEES] - account[FUNDING] + account[FLOWS]
        assert self.held.tolist() == self.ledger.held
        assert (account[PEAK], account[DAY_START]) == (self.ledger.peak, self.ledger.day_start)
        assert account[DRAWDOWN_MAX_E8] == self.ledger.worst


def play(history: list[Any], opening: int, values: list[int], laws: Any) -> list[int]:
    told = Play(opening, values, laws)
    for kind, *terms in history:
        getattr(told, kind)(*terms)
        told.check()
    return [int(part) for part in told.account]


class Plain:
    def __getitem__(self, law: Any) -> Any:
        return law.py_func


class Compiled:
    def __getitem__(self, law: Any) -> Any:
        return law


@given(histories, st.integers(0, 10**13), st.lists(st.integers(1, 10_000), min_size=SLOTS, max_size=SLOTS))
def test_any_history_equals_the_cash_ledger_in_both_forms(history: list[Any], opening: int, values: list[int]) -> None:
    assert play(history, opening, values, Compiled()) == play(history, opening, values, Plain())
