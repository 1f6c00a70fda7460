"""What the private feed puts together from remembered parts is to the byte what is written from nothing."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.units import E8
from kedge.simulation.venue_account import copy_position
from kedge.simulation.venue_types import ExecutionRow, OrderRow, PositionRow, WalletRow
from kedge.venues.exchange import rows
from kedge.venues.exchange.rows import execution_fast_text, execution_fast_ws, execution_text, execution_ws, order_text, order_ws
from kedge.venues.exchange.rows_account import PositionTexts, WalletTexts, position_ws, wallet_ws
from kedge.venues.exchange.texts import Grid, e8_text, known_e8_text

from ....builders import AAA, instrument
from .test_rows_laws import drawn

GRID = Grid(instrument(AAA))
signed = st.integers(-(10**18), 10**18)
money = st.one_of(st.just(0), st.integers(-(2 * E8), 2 * E8), signed)
wallets = drawn(
    WalletRow, wallet_e8=money, equity_e8=money, unrealised_e8=money, position_initial_e8=st.sampled_from((0, 5 * E8)),
    order_initial_e8=money.map(abs), available_e8=money, cum_realised_e8=money,
)  # fmt: skip
positions = drawn(
    PositionRow, account=st.sampled_from(("a", "b")), lots=st.sampled_from((0, 7, -7)), cost_e8=signed, unrealised_e8=signed,
    mark_e8=st.none() | st.integers(1, 10**14), liq_price_e8=st.none() | st.integers(1, 10**14), current_realised_e8=signed,
)  # fmt: skip


@given(st.lists(st.tuples(wallets, money.map(abs), money), max_size=6))
def test_a_wallet_from_parts_is_the_wallet_written_whole(told: list[tuple[WalletRow, int, int]]) -> None:
    texts = WalletTexts("USDT")
    for row, orders_e8, available_e8 in told:
        for later in (row, msgspec.structs.replace(row, order_initial_e8=orders_e8, available_e8=available_e8)):
            assert texts.text(later).encode() == wallet_ws(later, "USDT")


@given(drawn(OrderRow, cum_lots=st.just(0), cum_value_e8=st.just(0), cum_fee_e8=st.just(0), closed_pnl_e8=st.just(0)))
def test_an_order_that_never_traded_is_written_in_one_piece_as_from_its_members(row: OrderRow) -> None:
    assert order_text(row, GRID).encode() == order_ws(row, GRID)


@given(st.lists(st.tuples(positions, st.lists(st.integers(0, 10**18), max_size=3)), max_size=6))
def test_a_position_that_only_grew_older_is_written_as_if_anew(told: list[tuple[PositionRow, list[int]]]) -> None:
    texts = PositionTexts(GRID)
    for row, times in told:
        for updated_ns in (row.updated_ns, *times):
            later = copy_position(row)
            later.updated_ns = updated_ns
            assert texts.text(later).encode() == position_ws(later, GRID)


def test_a_row_that_changes_after_it_was_written_is_written_anew() -> None:
    texts = PositionTexts(GRID)
    row = PositionRow("a", AAA, 1_000, 1, 10**15, 1, 2, 5, 10**12, 10**10)
    first = texts.text(row)
    row.lots = 6
    assert texts.text(row) != first
    assert texts.text(row).encode() == position_ws(row, GRID)


@given(drawn(OrderRow), drawn(ExecutionRow))
def test_remembered_words_are_those_that_would_be_written_now(order: OrderRow, execution: ExecutionRow) -> None:
    texts = order_text(order, GRID), execution_text(execution, GRID)
    for memory in (rows._state, rows._how, rows._origin, rows._terms):
        memory.cache_clear()
    assert (order_text(order, GRID), execution_text(execution, GRID)) == texts
    assert (order_ws(order, GRID), execution_ws(execution, GRID)) == tuple(text.encode() for text in texts)
    assert execution_fast_ws(execution, GRID) == execution_fast_text(execution, GRID).encode()


@given(st.integers(0, 10**9), st.integers(-(10**9), 10**9), signed)
def test_remembered_numbers_are_those_that_would_be_written_now(ticks: int, lots: int, value_e8: int) -> None:
    assert GRID.price(ticks) == GRID.write_price(ticks)
    assert GRID.qty(lots) == GRID.write_qty(lots)
    assert GRID.price_e8(ticks * 777) == GRID.write_price_e8(ticks * 777)
    assert known_e8_text(value_e8) == e8_text(value_e8)
