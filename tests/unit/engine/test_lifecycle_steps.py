"""Every cell of the life-cycle table through `Engine.step`: where the order ends, what stays reserved, what a repeat does, what halts."""

from __future__ import annotations

import pytest

from kedge.domain.events import OrderAmended, OrderFilled
from kedge.domain.orders import Liquidity, OrderIntent
from kedge.domain.outputs import RiskStateChanged
from kedge.engine.engine import Engine
from kedge.engine.lifecycle import LIVE, NEXT, Report, Status
from kedge.risk.states import RiskState

from ...builders import AAA, T0
from .lives import LOTS, MORE, NAME, PATHS, brought_to, part, tell

CONDITIONAL = {Report.WAITS, Report.TRIGGERED}
FILLS = {Report.PART_FILL, Report.LAST_FILL}
MAPPED = {(status, Report.NO_REPLY) for status in Status if status not in (Status.PENDING_NEW, Status.UNKNOWN, Status.ABSENT)}
"""No event can report these: the creation of an order that was shown cannot stay without a reply, so it counts as an answer lost."""
MAPPED |= {(Status.FILLED, Report.LAST_FILL), (Status.CANCELED, Report.LAST_FILL), (Status.WAITING, Report.ACCEPTED)}
"""Nor these: a last trade told after the end is a part that was missed, and an acknowledged conditional order waits."""

LEGAL = [pair for pair in NEXT if pair not in MAPPED]
ILLEGAL = [(s, r) for s in Status for r in Report if (s, r) not in NEXT and (s, r) not in MAPPED]


def start(status: Status, report: Report) -> tuple[Engine, OrderIntent]:
    conditional = status is Status.WAITING or report in CONDITIONAL
    path = PATHS[status]
    if conditional:
        path = tuple(Report.TRIGGERED if step is Report.ACCEPTED else step for step in path)
    return brought_to(status, conditional=conditional, path=path)


def reserved(one: Engine) -> int:
    return sum(one.state.orders.open_lots(AAA))


@pytest.mark.parametrize(("status", "report"), LEGAL)
def test_a_legal_cell_leads_where_the_table_says_reserves_what_may_trade_and_can_be_told_again(status: Status, report: Report) -> None:
    one, intent = start(status, report)
    before, order = one.state.slots[AAA].position_lots, one.state.orders.by_id[NAME]
    after = NEXT[status, report]
    assert tell(one, report, intent) == ()
    assert order.status is after
    assert one.state.slots[AAA].position_lots == before + (100 if report in FILLS else 0)
    whole = MORE if order.asked_lots or order.qty_lots == MORE else LOTS
    untold = order.qty_lots - order.filled_lots if after is Status.FILLED else 0  # the parts before its last trade
    assert reserved(one) == (whole - order.filled_lots if after in LIVE else untold)
    outputs = tell(one, report, intent)
    assert one.state.slots[AAA].position_lots == before + (100 if report in FILLS else 0), "a trade told twice is booked once"
    again = after if report in FILLS else NEXT.get((after, report))
    halted = Status.PENDING_CANCEL if after in LIVE and after is not Status.UNKNOWN else after
    assert order.status is (halted if again is None else again), "a halt cancels what is live"
    assert [output.code for output in outputs if isinstance(output, RiskStateChanged)] == ([] if again else ["ILLEGAL_TRANSITION"])


@pytest.mark.parametrize(("status", "report"), ILLEGAL)
def test_an_illegal_cell_changes_nothing_and_halts(status: Status, report: Report) -> None:
    one, intent = start(status, report)
    order = one.state.orders.by_id[NAME]
    kept, before = (reserved(one), order.filled_lots, order.leaves_lots), one.state.slots[AAA].position_lots
    outputs = tell(one, report, intent)
    code = "FILL_NOT_UNDERSTOOD" if report in FILLS else "ILLEGAL_TRANSITION"
    assert [(output.state, output.code) for output in outputs if isinstance(output, RiskStateChanged)] == [("halted", code)]
    assert order.status is (Status.PENDING_CANCEL if status in LIVE and status is not Status.UNKNOWN else status), "a halt cancels"
    assert (reserved(one), order.filled_lots, order.leaves_lots) == kept
    assert one.state.slots[AAA].position_lots == before + (100 if report in FILLS else 0), "money moved, so it is booked"


def test_the_creation_of_an_order_that_was_shown_may_lose_its_answer_in_any_status() -> None:
    for status in Status:
        if status in (Status.PENDING_NEW, Status.UNKNOWN, Status.ABSENT):
            continue
        one, intent = start(status, Report.NO_REPLY)
        assert tell(one, Report.NO_REPLY, intent) == ()
        assert one.state.orders.by_id[NAME].status is status


def test_a_cancel_that_left_before_an_unanswered_creation_leaves_the_order_unknown() -> None:
    one, intent = brought_to(Status.PENDING_CANCEL, path=(Report.CANCEL_SENT,))
    assert tell(one, Report.NO_REPLY, intent) == ()
    assert one.state.orders.by_id[NAME].status is Status.UNKNOWN
    assert reserved(one) == LOTS


def test_a_trade_told_after_the_whole_order_was_filled_is_not_understood_but_booked() -> None:
    one, intent = brought_to(Status.FILLED)
    outputs = one.step(part("more", LOTS, 0, intent))
    assert [output.code for output in outputs if isinstance(output, RiskStateChanged)] == ["FILL_NOT_UNDERSTOOD"]
    assert one.state.slots[AAA].position_lots == 200 + LOTS


def test_a_last_trade_told_after_the_cancel_is_booked_and_the_order_stays_over() -> None:
    one, intent = brought_to(Status.CANCELED)
    assert tell(one, Report.LAST_FILL, intent) == ()
    assert one.state.orders.by_id[NAME].status is Status.CANCELED
    assert (one.state.slots[AAA].position_lots, reserved(one)) == (200, 0)


def test_terms_that_nobody_asked_for_stand_and_settle_nothing() -> None:
    one, _ = brought_to(Status.PENDING_AMEND)
    one.step(OrderAmended(T0, NAME, 800, 991))
    order = one.state.orders.by_id[NAME]
    assert (order.status, order.qty_lots, order.limit_ticks) == (Status.PENDING_AMEND, 800, 991)
    assert reserved(one) == MORE, "what was asked for may still come"
    one.step(OrderAmended(T0, NAME, MORE, 995))
    assert (order.status, order.qty_lots, order.limit_ticks, order.is_amending) == (Status.OPEN, MORE, 995, False)


def test_a_snapshot_taken_in_the_middle_of_an_amend_goes_on_with_it() -> None:
    one, intent = brought_to(Status.PENDING_AMEND)
    other, _ = brought_to(Status.PENDING_NEW)
    other.restore(one.snapshot())
    assert other.state.risk_state is RiskState.RUNNING
    for live in (one, other):
        assert tell(live, Report.AMENDED, intent) == ()
    assert one.snapshot() == other.snapshot()


def test_an_amend_that_lost_to_the_last_trade_reserves_nothing() -> None:
    one, intent = brought_to(Status.PENDING_AMEND)
    last = OrderFilled(T0, "all", NAME, AAA, intent.side, LOTS, 990, 1, Liquidity.MAKER, 0)
    assert one.step(last) == ()
    assert (reserved(one), one.state.orders.live_count) == (0, 0)
    assert tell(one, Report.AMEND_REFUSED, intent) == ()
    assert one.state.orders.by_id[NAME].status is Status.FILLED
