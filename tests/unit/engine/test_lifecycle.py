"""The life of an order, cell by cell, against a drawing made independently of the table in the code.

Rows are what is reported, columns where the order is, `-` is illegal. Letters: N pending new, W waiting, O open, M pending amend,
P pending cancel, U unknown, F filled, C canceled, R rejected, A absent.
"""

from __future__ import annotations

import pytest

from kedge.domain.errors import IllegalTransition
from kedge.engine.lifecycle import LIVE, NEXT, REPORT_WORDS, STATUS_WORDS, Report, Status, advance
from kedge.engine.orders import Orders

from ...builders import order

LETTERS = {
    "N": Status.PENDING_NEW,
    "W": Status.WAITING,
    "O": Status.OPEN,
    "M": Status.PENDING_AMEND,
    "P": Status.PENDING_CANCEL,
    "U": Status.UNKNOWN,
    "F": Status.FILLED,
    "C": Status.CANCELED,
    "R": Status.REJECTED,
    "A": Status.ABSENT,
}
COLUMNS = "NWOMPUFCRA"
DRAWING = {
    Report.ACCEPTED: "O-OMPOFCR-",
    Report.WAITS: "WWO-PWFCR-",
    Report.TRIGGERED: "OOO-POFCR-",
    Report.REFUSED: "RRRRRR--R-",
    Report.PART_FILL: "OOOMPOFC--",
    Report.LAST_FILL: "FFFFFF----",
    Report.AMEND_SENT: "--M-------",
    Report.AMENDED: "--OOP-FC--",
    Report.AMEND_REFUSED: "---OP-FCR-",
    Report.CANCEL_SENT: "PPPP-U----",
    Report.CANCELED: "CCCCCC-C--",
    Report.NO_REPLY: "U---U-----",
    Report.ANSWER_LOST: "-WOMPUFCRA",
    Report.PROVEN_ABSENT: "-----A----",
}
CELLS = [
    (LETTERS[column], report, LETTERS.get(letter)) for report, line in DRAWING.items() for column, letter in zip(COLUMNS, line, strict=True)
]


def test_the_drawing_holds_every_pair_once() -> None:
    assert len(CELLS) == 140
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


def test_a_lost_answer_moves_nothing_and_only_an_unanswered_creation_makes_an_order_unknown() -> None:
    assert all(after is status for (status, report), after in NEXT.items() if report is Report.ANSWER_LOST)
    into_unknown = {(s, r) for (s, r), after in NEXT.items() if after is Status.UNKNOWN and s is not Status.UNKNOWN}
    assert into_unknown == {(Status.PENDING_NEW, Report.NO_REPLY), (Status.PENDING_CANCEL, Report.NO_REPLY)}


def test_every_status_and_report_has_words() -> None:
    assert list(STATUS_WORDS) == list(Status)
    assert list(REPORT_WORDS) == list(Report)
