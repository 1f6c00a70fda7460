"""The life of an order, cell by cell, against a drawing made independently of the table in the code.

Rows are where the order is, columns what is reported, `-` is illegal. Letters: N pending new, O open, P pending cancel,
U unknown, F filled, C canceled, R rejected, A absent.
"""

from __future__ import annotations

import pytest

from kedge.domain.errors import IllegalTransition
from kedge.engine.lifecycle import LIVE, NEXT, Report, Status, advance
from kedge.engine.orders import Orders

from ...builders import order

LETTERS = {
    "N": Status.PENDING_NEW,
    "O": Status.OPEN,
    "P": Status.PENDING_CANCEL,
    "U": Status.UNKNOWN,
    "F": Status.FILLED,
    "C": Status.CANCELED,
    "R": Status.REJECTED,
    "A": Status.ABSENT,
}
COLUMNS = (
    Report.ACCEPTED,
    Report.REFUSED,
    Report.PART_FILL,
    Report.LAST_FILL,
    Report.CANCEL_SENT,
    Report.CANCELED,
    Report.NO_REPLY,
    Report.PROVEN_ABSENT,
)
DRAWING = {  # accepted, refused, part fill, last fill, cancel sent, canceled, no reply, proven absent
    "N": "O R O F P C U -",
    "O": "O R O F P C O -",
    "P": "P R P F P C U -",
    "U": "O R O F U C U A",
    "F": "F - - - - F F -",
    "C": "C - C F - C C -",
    "R": "- R - - - - R -",
    "A": "- - - - - - A A",
}
CELLS = [
    (LETTERS[row], report, LETTERS.get(letter))
    for row, line in DRAWING.items()
    for report, letter in zip(COLUMNS, line.split(), strict=True)
]


def test_the_drawing_holds_every_pair_once() -> None:
    assert len(CELLS) == 64
    assert {(status, report) for status, report, _ in CELLS} == {(status, report) for status in Status for report in Report}
    assert len(NEXT) == sum(after is not None for *_, after in CELLS)


@pytest.mark.parametrize(("status", "report", "after"), CELLS)
def test_cell(status: Status, report: Report, after: Status | None) -> None:
    orders = Orders()
    orders.add(order())
    held = orders.by_id["o1"]
    held.status = status
    if status not in LIVE:
        del orders.live["test:AAAUSDT"]["o1"]
    if after is None:
        with pytest.raises(IllegalTransition, match=f"report {report} on an order that is {status}"):
            advance(status, report)
        with pytest.raises(IllegalTransition):
            orders.report("o1", report)
        assert (held.status, held.leaves_lots, orders.live_count) == (status, 1_000, int(status in LIVE))
    else:
        assert advance(status, report) is after
        assert orders.report("o1", report).status is after
        assert ("o1" in orders.of("test:AAAUSDT")) == (after in LIVE), "exactly the live ones keep their reservation"


def test_no_report_brings_a_finished_order_back_to_life() -> None:
    assert not [(s, r) for (s, r), after in NEXT.items() if s not in LIVE and after in LIVE]


def test_only_proof_ends_an_unknown_order_without_an_answer_of_its_own() -> None:
    ends = {r for (s, r), after in NEXT.items() if s is Status.UNKNOWN and after not in LIVE}
    assert ends == {Report.REFUSED, Report.LAST_FILL, Report.CANCELED, Report.PROVEN_ABSENT}
