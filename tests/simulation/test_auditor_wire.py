"""The auditor is told lies about changes, stops, halts, questions and idleness, and notices each."""

from __future__ import annotations

import pytest
from tests.simulation.audit_base import IDLE_NS
from tests.simulation.auditor import BOOKS, S
from tests.simulation.test_auditor import NAME, START, Told, violates

from kedge.domain.events import BarClosed, OrderFilled, OrderUnanswered
from kedge.domain.orders import Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output, RiskStateChanged, StopWanted
from kedge.simulation.venue_types import Status


@pytest.fixture
def told() -> Told:
    return Told()


def rests(told: Told) -> None:
    told.send(kind=OrderKind.LIMIT, limit_ticks=9_990, time_in_force=TimeInForce.POST_ONLY)
    told.take()


def decided(told: Told, *outputs: Output) -> None:
    told.record(BarClosed(told.now_ns, NAME, told.now_ns - S, 10_000, 10_000, 10_000, 10_000, 1_000), *outputs)


def test_a_cancel_leaves_only_as_it_is_recorded(told: Told) -> None:
    rests(told)
    with violates("CHANGE_NOT_DURABLE"):
        told.auditor.left_change("cancel", "a", None, None)
    decided(told, CancelSent(client_order_id="a", reason="old"))
    told.auditor.left_change("cancel", "a", None, None)


def test_an_amend_leaves_only_as_it_is_recorded_and_with_a_young_permit(told: Told) -> None:
    rests(told)
    with violates("CHANGE_NOT_DURABLE"):
        told.auditor.left_change("amend", "a", None, 9_995)
    decided(told, AmendSent(client_order_id="a", limit_ticks=9_995))
    told.auditor.left_change("amend", "a", None, 9_995)
    with violates("CHANGE_NOT_DURABLE"):
        told.auditor.left_change("amend", "a", None, 9_996)
    told.now_ns += 3 * S
    with violates("NO_PERMIT"):
        told.auditor.left_change("amend", "a", None, 9_995)


def test_an_amend_beyond_the_limit_is_noticed(told: Told) -> None:
    rests(told)
    with violates("LIMIT"):
        decided(told, AmendSent(client_order_id="a", qty_lots=100_000, limit_ticks=9_995))


def test_an_order_that_was_decided_before_a_halt_and_leaves_after_it_is_noticed(told: Told) -> None:
    told.auditor.explained = frozenset({"BOOKS"})
    approved = told.order()
    decided(told, OrderSent(approved=approved))
    told.record(OrderUnanswered(told.now_ns, "other"), RiskStateChanged(state="halted", code="BOOKS", observed="", limit=""))
    told.now_ns += S
    with violates("HALTED"):
        told.auditor.left_create(approved)


def held(told: Told, lots: int) -> None:
    """The journal holds a position at 10,000 ticks."""
    told.auditor.journal.fill(NAME, lots, 10_000, 0)
    told.auditor.stop_bps = 1_000


@pytest.mark.parametrize(
    ("lots", "good", "bad"),
    [(100, (9_000, 9_500, 9_990), (8_990, 10_001, 11_000)), (-100, (11_000, 10_500, 10_010), (11_010, 9_999, 9_000))],
)
def test_a_stop_on_the_wrong_side_or_too_far_away_is_noticed(lots: int, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    for ticks in good:
        told = Told()
        held(told, lots)
        decided(told, StopWanted(instrument=NAME, stop_ticks=ticks, position_lots=lots))
        told.auditor.left_stop(NAME, ticks)
    for ticks in bad:
        told = Told()
        held(told, lots)
        with violates("STOP_PRICE"):
            decided(told, StopWanted(instrument=NAME, stop_ticks=ticks, position_lots=lots))


def test_a_stop_for_what_is_not_held_and_one_that_nobody_recorded_are_noticed(told: Told) -> None:
    held(told, 100)
    with violates("STOP_PRICE"):
        decided(told, StopWanted(instrument=NAME, stop_ticks=9_000, position_lots=90))
    with violates("STOP_PRICE"):
        decided(told, StopWanted(instrument=NAME, stop_ticks=0, position_lots=100))
    with violates("STOP_NOT_DURABLE"):
        told.auditor.left_stop(NAME, 9_001)


def test_a_question_from_before_the_interruption_proves_nothing(told: Told) -> None:
    epoch = told.auditor.epoch
    told.auditor.stream("private", False, False)
    told.auditor.stream("private", True, False)
    told.auditor.granted_ns = told.now_ns
    for book in BOOKS:
        told.auditor.listed(book, epoch=epoch)
    with violates("NOT_COMPARED"):
        told.send()
    for book in BOOKS:
        told.auditor.listed(book, epoch=told.auditor.epoch)
    told.send("b")


def test_a_look_counts_by_when_the_venue_read_and_not_by_when_it_answered(told: Told) -> None:
    told.send()
    flight = told.auditor.flights["a"]
    told.now_ns += 10 * S
    told.auditor.listed("find_order", "a", read_ns=(START + S, START + S))
    assert flight.looks == 0
    told.auditor.listed("find_order", "a", read_ns=(told.now_ns, told.now_ns))
    assert flight.looks == 1


def test_a_fill_that_is_booked_to_another_order_is_noticed(told: Told) -> None:
    told.send()
    told.send("b", decision_id="d2")
    told.take()
    told.trade()
    told.row("a", 100, 0, Status.FILLED)
    with violates("OTHER_FILL"):
        told.record(OrderFilled(told.now_ns, "e1", "b", NAME, Side.BUY, 100, 10_000, 55, Liquidity.TAKER, 0))


def test_a_trader_that_could_trade_and_does_not_is_noticed(told: Told) -> None:
    auditor = told.auditor
    auditor.plays_until_ns = START + 10 * IDLE_NS

    def passes(seconds: int) -> None:
        for _ in range(seconds):
            told.now_ns += S
            auditor.granted_ns = told.now_ns
            auditor.tick()

    passes(IDLE_NS // S)
    told.send()
    passes(IDLE_NS // S)
    told.now_ns += 3 * S
    auditor.tick()  # nobody permitted anything
    passes(IDLE_NS // S)
    with violates("IDLE"):
        passes(1)
