"""A withdrawal is no drawdown, a deposit hides no loss, and a day begins where the last one ended."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk.brake.test_books import row

from kedge.domain.units import E8, NS_PER_DAY
from kedge.domain.venue import LedgerKind
from kedge.risk.brake.losses import JUMPS_KEPT, Jumps, Marks


def marks(high: int = 1_000, start: int = 900, equity: int = 800) -> Marks:
    return Marks(high * E8, start * E8, 10, equity * E8)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(-(10**6), 10**6))
def test_what_is_lost_of_the_height_stays_the_same_share_after_any_flow(high: int, equity: int, change: int) -> None:
    if change <= -equity:
        change = -equity + 1
    books = marks(high=max(high, equity), start=max(high, equity), equity=equity)
    lost = Fraction(books.high_water_e8 - equity * E8, books.high_water_e8)
    books.flow(equity * E8, change * E8)
    after = (equity + change) * E8
    assert abs(Fraction(books.high_water_e8 - after, books.high_water_e8) - lost) < Fraction(1, 10**8)
    assert books.high_water_e8 >= after


def test_rows_that_are_no_flows_move_nothing_and_each_flow_is_taken_once_in_order() -> None:
    books = marks()
    found = books.flows(
        [row("t", -50 * E8), row("in", 200 * E8, kind=LedgerKind.TRANSFER), row("out", -400 * E8, kind=LedgerKind.TRANSFER)], 600 * E8
    )
    assert [one.entry_id for one in found] == ["in", "out"]
    assert books.high_water_e8 == 1_000 * E8 * 1_000 // 800 * 600 // 1_000
    assert books.equity_e8 == 600 * E8


def test_an_account_of_nothing_begins_with_its_first_money_and_keeps_what_it_had_lost() -> None:
    empty = Marks(0, 0, 10, 0)
    empty.flow(0, 500 * E8)
    assert (empty.high_water_e8, empty.day_start_e8) == (500 * E8, 500 * E8)
    ruined = marks()
    ruined.flow(-5, 500 * E8)
    assert ruined.high_water_e8 == 1_000 * E8


def test_a_height_only_rises_and_a_later_day_begins_with_the_last_equity() -> None:
    books = marks()
    assert not books.mark(700 * E8, 10 * NS_PER_DAY + 5)
    assert (books.high_water_e8, books.day_start_e8) == (1_000 * E8, 900 * E8)
    assert books.mark(1_200 * E8, 11 * NS_PER_DAY)
    assert (books.high_water_e8, books.day_start_e8, books.day) == (1_200 * E8, 700 * E8, 11)
    assert not books.mark(1_100 * E8, 9 * NS_PER_DAY), "no day comes back"
    books.reset(1_050 * E8)
    assert books.high_water_e8 == books.equity_e8 == 1_050 * E8


def test_a_flow_counts_as_of_its_jump_and_each_jump_once() -> None:
    jumps = Jumps()
    jumps.see(-400 * E8, 800 * E8)
    jumps.see(-400 * E8, 700 * E8)
    jumps.see(-200 * E8, 700 * E8)
    assert jumps.before_e8(-401 * E8) == 800 * E8, "what it was worth when the money went, not what it is worth now"
    assert jumps.before_e8(-401 * E8) is None
    assert jumps.before_e8(200 * E8) == 300 * E8
    jumps.see(50 * E8, 700 * E8)
    jumps.clear()
    assert jumps.before_e8(250 * E8) is None
    jumps.see(-7, 100)
    assert jumps.before_e8(-7) == 100


def test_a_fall_after_a_withdrawal_is_a_share_of_what_was_left() -> None:
    books, late = marks(1_000, 1_000, 1_000), marks(1_000, 1_000, 1_000)
    jumps = Jumps()
    jumps.see(-500 * E8, 1_000 * E8)
    rows = [row("out", -500 * E8, kind=LedgerKind.TRANSFER)]
    books.flows(rows, 450 * E8, jumps)
    late.flows(rows, 450 * E8)
    assert books.high_water_e8 == books.day_start_e8 == 500 * E8
    assert late.high_water_e8 < 480 * E8


def test_only_so_many_jumps_are_remembered() -> None:
    jumps = Jumps()
    for n in range(1, JUMPS_KEPT + 2):
        jumps.see(-n * n * E8, 10**6 * E8)
    assert jumps.before_e8(-E8) is None
    assert jumps.before_e8(-3 * E8) is not None
