"""The account by example: days, flows, drawdown, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX, NS_PER_DAY
from kedge.kernel import account as ac


class Book:
    """Two slots with a tick value of 1, and an open account."""

    def __init__(self, wallet: int = 1_000, ts_ns: int = 0) -> None:
        self.row = ac.new_account()
        self.lots, self.costs, self.marks = (np.zeros(2, dtype=np.int64) for _ in range(3))
        self.tick_values = np.ones(2, dtype=np.int64)
        ac.open_account(self.row, wallet, ts_ns)

    def mark(self, price: int, ts_ns: int = 0, slot: int = 0) -> int:
        return ac.mark_account(self.row, slot, price, ts_ns, self.lots, self.costs, self.marks, self.tick_values)

    def fill(self, lots: int, price: int, fee: int = 0, slot: int = 0) -> int:
        return ac.book_fill(self.row, slot, lots, price, fee, self.lots, self.costs, self.tick_values)


def test_the_peak_rises_and_the_drawdown_rounds_up() -> None:
    book = Book()
    book.fill(1, 500)
    assert book.mark(1_000) == 1_500
    assert book.mark(999) == 1_499
    assert book.row[ac.PEAK] == 1_500
    assert book.row[ac.DRAWDOWN_E8] == 66_667
    book.mark(1_000)
    assert book.row[ac.DRAWDOWN_E8] == 0
    assert book.row[ac.DRAWDOWN_MAX_E8] == 66_667


def test_a_fill_away_from_a_stale_mark_makes_no_peak() -> None:
    book = Book()
    book.mark(100)
    assert book.fill(1, 90, fee=1) == 0
    assert book.row[ac.EQUITY] == 999
    assert book.row[ac.PEAK] == 1_000
    assert book.mark(90) == 999


def test_a_new_day_starts_from_the_last_known_equity() -> None:
    book = Book(ts_ns=5 * NS_PER_DAY)
    book.fill(1, 500)
    book.mark(600, 6 * NS_PER_DAY - 1)
    assert book.row[ac.DAY_START] == 1_000
    book.mark(550, 6 * NS_PER_DAY)
    assert (book.row[ac.DAY], book.row[ac.DAY_START]) == (6, 1_100)
    assert book.row[ac.DAY_LOSS_E8] == 4_545_455
    book.mark(700, 6 * NS_PER_DAY + 1)
    assert book.row[ac.DAY_LOSS_E8] == 0


def test_a_withdrawal_is_no_drawdown_and_a_deposit_hides_no_loss() -> None:
    book = Book()
    ac.book_flow(book.row, -500)
    book.mark(1)
    assert book.row[ac.DRAWDOWN_E8] == book.row[ac.DAY_LOSS_E8] == 0
    book.fill(1, 300)
    book.mark(200)  # equity 400 of a peak of 500: 20 % down
    assert book.row[ac.DRAWDOWN_E8] == 20_000_000
    for amount in (100, 40_000, -40_300):
        ac.book_flow(book.row, amount)
        book.mark(200)
        assert book.row[ac.DRAWDOWN_E8] == pytest.approx(20_000_000, rel=0.01), amount
    assert book.row[ac.FLOWS] == -700


def test_taking_everything_out_is_no_loss_and_paying_in_after_a_wipe_out_does_not_undo_it() -> None:
    book = Book()
    ac.book_flow(book.row, -1_000)
    book.mark(1)
    assert book.row[ac.DRAWDOWN_MAX_E8] == 0
    wiped = Book()
    wiped.fill(10, 200)
    wiped.mark(100)  # equity 0
    ac.book_flow(wiped.row, 500)
    wiped.mark(100)
    assert wiped.row[ac.PEAK] == 1_000
    assert wiped.row[ac.DRAWDOWN_E8] == 50_000_000


def test_funding_leaves_the_wallet_and_is_counted() -> None:
    book = Book()
    ac.book_funding(book.row, 7)
    assert (book.row[ac.WALLET], book.row[ac.EQUITY], book.row[ac.FUNDING]) == (993, 993, 7)


def test_a_position_without_a_mark_stands_at_its_cost() -> None:
    book = Book()
    book.fill(3, 100, slot=1)
    assert book.mark(50, slot=0) == 1_000
    assert (book.row[ac.GROSS], book.row[ac.NET]) == (300, 300)


def test_gross_and_net_of_a_long_and_a_short() -> None:
    book = Book()
    book.fill(3, 100)
    book.fill(-2, 100, slot=1)
    book.mark(110)
    book.mark(120, slot=1)
    assert (book.row[ac.GROSS], book.row[ac.NET], book.row[ac.UNREALISED]) == (570, 90, -10)


@pytest.mark.parametrize(
    ("base", "now", "loss"),
    [
        (3, 2, 33_333_334),
        (2, 3, 0),
        (100, -100, 2 * E8),
        (0, 0, 0),
        (-5, 7, E8),
        (INT64_MAX // 10, -INT64_MAX, INT64_MAX),
        (1, -INT64_MAX, INT64_MAX),
    ],
)
def test_loss_fraction(base: int, now: int, loss: int) -> None:
    assert ac.loss_frac_e8(base, now) == loss


def test_a_mark_that_is_no_price_or_a_slot_that_is_not_there_is_refused() -> None:
    book = Book()
    for price, slot in [(0, 0), (-1, 0), (1, 2), (1, -1)]:
        with pytest.raises(InvalidInput, match="mark_account"):
            book.mark(price, slot=slot)
    for slot in (2, -1):
        with pytest.raises(InvalidInput, match="book_fill"):
            book.fill(1, 1, slot=slot)


def test_an_account_opens_with_a_whole_row_and_no_debt() -> None:
    with pytest.raises(InvalidInput, match="open_account"):
        ac.open_account(ac.new_account(), -1, 0)
    with pytest.raises(InvalidInput, match="open_account"):
        ac.open_account(np.zeros(3, dtype=np.int64), 1, 0)


def test_opening_again_forgets_the_past() -> None:
    book = Book()
    book.fill(1, 5, fee=3)
    ac.open_account(book.row, 50, 3 * NS_PER_DAY)
    assert book.row[[ac.WALLET, ac.EQUITY, ac.PEAK, ac.DAY_START, ac.DAY, ac.FEES]].tolist() == [50, 50, 50, 50, 3, 0]


def test_a_plain_view_shows_the_same_cells_as_python_integers() -> None:
    book = Book()
    view = ac.plain_view(book.row)
    book.fill(1, 500, fee=7)
    assert view[ac.WALLET] == 993
    assert type(view[ac.WALLET]) is int


@pytest.mark.parametrize("held", [5, -5])
def test_marking_in_one_call_equals_marking_when_nothing_can_be_liquidated(held: int) -> None:
    one, two = Book(10_000), Book(10_000)
    for book in (one, two):
        book.fill(held, 100)
        book.mark(100)
    columns = (two.lots, two.costs, two.marks, two.tick_values)
    one.mark(104, 77)
    assert ac.mark_if_safe(two.row, 0, 90, 110, 104, 77, *columns) == 1
    assert two.row.tolist() == one.row.tolist()
    assert two.marks.tolist() == one.marks.tolist()
    before = two.row.tolist()
    low, high = (1, 110) if held > 0 else (90, 2_200)
    two.row[ac.EQUITY] = before[ac.EQUITY] = 900  # as if the wallet were small: the extreme no longer leaves the whole notional
    assert ac.mark_if_safe(two.row, 0, low, high, 104, 78, *columns) == 0
    assert (two.row.tolist(), two.marks.tolist()) == (before, one.marks.tolist())


def test_a_flat_slot_only_takes_the_mark() -> None:
    book = Book()
    before = book.row.tolist()
    assert ac.mark_if_safe(book.row, 0, 1, 900, 500, 9, book.lots, book.costs, book.marks, book.tick_values) == 1
    assert book.row.tolist() == before
    assert int(book.marks[0]) == 500
