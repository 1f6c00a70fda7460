"""Rows and frames on their way: what is held comes later and in order, what is doubled twice, what is lost never."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import AAA, T0, instrument

from kedge.domain.orders import OrderKind, Side
from kedge.domain.units import E8, NS_PER_MS
from kedge.simulation.faults import Fault
from kedge.simulation.faults_armed import Armoury, FrameFate
from kedge.simulation.faults_wire import PRIVATE_ROWS, FrameLine, Outbox
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import BookDelta, Change, Crowd, ExecutionRow, OrderRequest, TickerRow, VenueSettings

ACCOUNT = "7"
MS = NS_PER_MS


def one_trade() -> list[Change]:
    """What a venue says of one market order."""
    venue = Venue([instrument(AAA)], VenueSettings(crowd=Crowd(levels=2)), T0)
    venue.open_account(ACCOUNT, 10_000 * E8, T0)
    venue.set_prices(AAA, 1_000, 10**10, 10**10, T0, flow_lots=1_000)
    venue.drain()
    venue.place(ACCOUNT, OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100), T0)
    return list(venue.drain())


def sent(*faults: Fault) -> list[Any]:
    armoury = Armoury()
    for fault in faults:
        armoury.arm(fault, 0)
    return Outbox(armoury).send(ROWS, 0)


ROWS = one_trade()
PRIVATE = [row for row in ROWS if isinstance(row, PRIVATE_ROWS)]
EXECUTIONS = [row for row in ROWS if isinstance(row, ExecutionRow)]


def test_without_faults_an_operation_leaves_as_it_is() -> None:
    assert sent() == [ROWS]
    assert Outbox(Armoury()).send([], 0) == []
    assert EXECUTIONS
    assert len(PRIVATE) > len(EXECUTIONS)
    assert len(ROWS) > len(PRIVATE)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lose_private", [[row for row in ROWS if row not in PRIVATE]]),
        ("duplicate_private", [ROWS, PRIVATE]),
        ("duplicate_execution", [ROWS, EXECUTIONS]),
        ("reorder_private", [[row] for row in reversed(ROWS)]),
    ],
)
def test_private_rows_are_lost_doubled_or_turned_round(kind: Any, expected: list[Any]) -> None:
    assert sent(Fault(kind)) == expected


def test_executions_cannot_be_doubled_where_there_are_none_and_public_rows_are_not_struck() -> None:
    armoury = Armoury()
    armoury.arm(Fault("duplicate_execution"), 0)
    outbox = Outbox(armoury)
    rest = [row for row in ROWS if not isinstance(row, ExecutionRow)]
    public = [row for row in ROWS if row not in PRIVATE]
    assert outbox.send(rest, 0) == [rest]
    assert outbox.send(public, 0) == [public]
    assert armoury.done == {}


def test_what_is_held_back_is_released_in_order_before_what_comes_after() -> None:
    armoury = Armoury()
    armoury.arm(Fault("delay_private", ms=10), 0)
    armoury.arm(Fault("stale_book", ms=20), 0)
    outbox = Outbox(armoury)
    market = (*PRIVATE_ROWS, BookDelta, TickerRow)
    assert outbox.send(ROWS, 0) == [[row for row in ROWS if not isinstance(row, market)]]
    assert outbox.due_ns == 10 * MS
    assert outbox.send(EXECUTIONS, 15 * MS) == [PRIVATE, EXECUTIONS]  # each kind for its own time, and nothing passes what is older
    assert outbox.due_ns == 20 * MS
    held = [row for row in ROWS if isinstance(row, market) and row not in PRIVATE]
    assert outbox.send([], 19 * MS) == []
    assert outbox.send(EXECUTIONS, 21 * MS) == [held, EXECUTIONS]
    assert (outbox.due_ns, list(outbox.release())) == (None, [])


def test_a_frame_that_is_turned_round_comes_after_the_next_that_goes_out() -> None:
    line: FrameLine[int] = FrameLine()
    fates = [FrameFate.PASS, FrameFate.REORDER, FrameFate.DROP, FrameFate.DUPLICATE, FrameFate.REORDER, FrameFate.REORDER, FrameFate.PASS]
    assert [line.send(n, fate) for n, fate in enumerate(fates)] == [[0], [], [], [3, 3, 1], [], [5, 4], [6]]


@given(st.lists(st.sampled_from(list(FrameFate)), max_size=40))
def test_no_frame_is_invented_and_only_dropped_or_waiting_ones_are_missing(fates: list[FrameFate]) -> None:
    line: FrameLine[int] = FrameLine()
    out = [frame for n, fate in enumerate(fates) for frame in line.send(n, fate)]
    dropped = {n for n, fate in enumerate(fates) if fate is FrameFate.DROP}
    missing = set(range(len(fates))) - set(out) - dropped
    assert not dropped & set(out)
    assert len(missing) <= 1
    doubled = {n for n, fate in enumerate(fates) if fate is FrameFate.DUPLICATE}
    assert all(out.count(n) == (2 if n in doubled else 1) for n in set(out))
