"""The guard's own books: to the last unit, in spite of lists that lag, and nothing explained away."""

from __future__ import annotations

import pytest

from kedge.domain.events import OrderFilled
from kedge.domain.orders import Liquidity, Side
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import LedgerEntry, LedgerKind
from kedge.risk.brake.books import KEPT, LATE_NS, PositionBook, WalletBook, is_flow

S = NS_PER_S


def row(name: str, change_e8: int, ts_ns: int = 100 * S, kind: LedgerKind = LedgerKind.TRADE) -> LedgerEntry:
    return LedgerEntry(
        entry_id=name, ts_ns=ts_ns, kind=kind, word=kind, instrument="", change_e8=change_e8, cash_flow_e8=change_e8, funding_e8=0,
        fee_e8=0, balance_e8=None, fill_id="",
    )  # fmt: skip


def fill(name: str, lots: int, instrument: str = "a", ts_ns: int = 100 * S) -> OrderFilled:
    side = Side.BUY if lots > 0 else Side.SELL
    return OrderFilled(ts_ns, name, "", instrument, side, abs(lots), 10, 0, Liquidity.TAKER, 0)


def names(rows: list[LedgerEntry] | None) -> list[str] | None:
    return None if rows is None else [one.entry_id for one in rows]


def test_a_wallet_that_did_not_move_needs_no_row_and_one_that_did_needs_its_rows() -> None:
    book = WalletBook(1_000, 0)
    assert names(book.explain(1_000)) == []
    assert book.explain(900) is None
    book.take([row("r1", -60), row("r2", -40, 101 * S)])
    assert names(book.explain(900)) == ["r1", "r2"]
    assert (book.wallet_e8, book.ts_ns) == (900, 101 * S)


def test_a_wallet_that_was_read_between_two_rows_is_explained_by_the_first() -> None:
    book = WalletBook(1_000, 0)
    book.take([row("r1", -60), row("r2", -40)])
    assert names(book.explain(940)) == ["r1"]
    assert names(book.explain(900)) == ["r2"]


def test_a_list_that_is_read_again_tells_nothing_twice() -> None:
    book = WalletBook(1_000, 0, ["old"])
    book.take([row("old", 5), row("r1", -60)])
    book.take([row("r1", -60)])
    assert names(book.explain(940)) == ["r1"]
    assert book.explain(880) is None


def test_a_row_that_is_known_and_not_in_the_wallet_yet_is_read_again_by_the_next_process() -> None:
    book = WalletBook(1_000, 0, ["old"])
    book.take([row("r1", -60), row("r2", -40)])
    assert names(book.explain(940)) == ["r1"]
    assert book.ids_at == ("old", "r1")
    after = WalletBook(book.wallet_e8, book.ts_ns, book.ids_at)
    after.take([row("old", 5), row("r1", -60), row("r2", -40)])
    assert names(after.explain(900)) == ["r2"]


def test_one_unit_too_many_is_not_explained() -> None:
    book = WalletBook(1_000, 0)
    book.take([row("r1", -60)])
    assert book.explain(939) is None
    assert book.explain(941) is None
    assert book.wallet_e8 == 1_000


def test_a_row_that_was_in_the_beginning_already_and_is_listed_late_is_left() -> None:
    book = WalletBook(1_000, 100 * S)
    book.take([row("before", -7, 99 * S), row("late", -5, 100 * S + LATE_NS), row("new", -60, 200 * S)])
    assert names(book.explain(940)) == ["new"]


def test_a_row_that_is_not_late_is_never_left() -> None:
    book = WalletBook(1_000, 100 * S)
    book.take([row("r1", -5, 100 * S + LATE_NS + 1), row("r2", -60, 200 * S)])
    assert book.explain(940) is None


def test_the_most_rows_that_add_up_are_taken() -> None:
    book = WalletBook(1_000, 0)
    book.take([row("in", 50), row("out", -50), row("r1", -60)])
    assert names(book.explain(1_000)) == ["in", "out"]


def test_remembered_ids_are_bounded() -> None:
    book = WalletBook(0, 0)
    book.take(row(f"r{number}", 0) for number in range(KEPT + 100))
    assert book.ids_at == (), "what has not explained a wallet yet must be read again"
    book.explain(0)
    assert len(book.ids_at) == 50
    assert book.ids_at[-1] == f"r{KEPT + 99}"


def test_each_position_is_explained_by_its_own_fills() -> None:
    book = PositionBook({"a": 10, "z": 0}, 0)
    assert book.lots == {"a": 10}
    assert book.explain({"a": 10}) == []
    assert book.explain({"a": 4, "b": 3}) == ["a is 4 lots, executions explain 10", "b is 3 lots, executions explain 0"]
    book.take([fill("f1", -6), fill("f2", 2, "b")])
    assert book.explain({"a": 4, "b": 3}) == ["b is 3 lots, executions explain 0"]
    book.take([fill("f2", 2, "b"), fill("f3", 1, "b")])
    assert book.explain({"a": 4, "b": 3}) == []
    assert book.explain({"b": 3}) == ["a is 0 lots, executions explain 4"]


def test_what_was_opened_and_closed_between_two_readings_waits_no_longer() -> None:
    book = PositionBook({}, 0)
    book.take([fill("f1", -100), fill("f2", -100)])
    assert book.explain({}) == []
    assert [one.fill_id for one in book.waiting] == ["f1", "f2"]
    book.take([fill("f3", 200)])
    assert book.explain({}) == []
    assert book.waiting == []


def test_fills_from_before_the_books_are_left() -> None:
    book = PositionBook({"a": 10}, 100 * S, ["known"])
    book.take([fill("old", 5, ts_ns=99 * S), fill("known", 5), fill("late", 5, ts_ns=101 * S), fill("new", -10, ts_ns=200 * S)])
    assert book.explain({}) == []
    book.take(fill(f"x{number}", 1, "q") for number in range(KEPT + 5))
    assert book.explain({"q": KEPT + 5}) == []


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_what_is_neither_profit_nor_loss_is_a_flow_and_the_unknown_never_hides_a_loss(kind: LedgerKind) -> None:
    flows = {LedgerKind.TRANSFER, LedgerKind.CONVERSION, LedgerKind.BONUS, LedgerKind.INTEREST}
    assert is_flow(row("r", -5, kind=kind)) == (kind in flows)
    assert is_flow(row("r", 5, kind=kind)) == (kind in flows or kind is LedgerKind.OTHER)
