"""The life of one order as a table: what happened (`Report`) and where it leaves the order (`Status`).

Every absent pair is illegal, leaves the state as it was, and halts trading. A test walks every cell, the deterministic simulation has to
reach every legal one, and docs/lifecycle.md is drawn from this table and from the words beside it.

An amend is settled once, by its own answer or by what the venue shows: refused after it was confirmed it would be two stories of one
request, so there is no such cell; nor for the cancel of an order that traded whole. Orders that wait for a trigger are not amended by us,
and terms told of them are somebody else's doing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kedge.domain.errors import IllegalTransition


class Status(StrEnum):
    """Where an order is in its life. WAITING is a conditional order that the venue holds until its trigger."""

    PENDING_NEW = "pending_new"
    WAITING = "waiting"
    OPEN = "open"
    PENDING_AMEND = "pending_amend"
    PENDING_CANCEL = "pending_cancel"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    ABSENT = "absent"


class Report(StrEnum):
    """What happened to an order.

    NO_REPLY: its creation stays unanswered and the venue has never shown it. ANSWER_LOST: the answer to any other request, or to the
    creation of an order that the venue has shown, which says nothing about the order.
    """

    ACCEPTED = "accepted"
    WAITS = "waits"
    TRIGGERED = "triggered"
    REFUSED = "refused"
    PART_FILL = "part_fill"
    LAST_FILL = "last_fill"
    AMEND_SENT = "amend_sent"
    AMENDED = "amended"
    AMEND_REFUSED = "amend_refused"
    CANCEL_SENT = "cancel_sent"
    CANCELED = "canceled"
    NO_REPLY = "no_reply"
    ANSWER_LOST = "answer_lost"
    PROVEN_ABSENT = "proven_absent"


STATUS_WORDS: Final[dict[Status, str]] = {
    Status.PENDING_NEW: "Sent, not answered. It reserves its whole quantity.",
    Status.WAITING: "Held by the venue until its trigger.",
    Status.OPEN: "Taken by the venue; it may trade.",
    Status.PENDING_AMEND: "A change was asked for and is not settled. The larger quantity stays reserved.",
    Status.PENDING_CANCEL: "Its cancel was asked for. It may trade until the venue says that it is gone.",
    Status.UNKNOWN: "Its creation stayed unanswered and the venue never showed it. It stays reserved and is looked up.",
    Status.FILLED: "Traded whole.",
    Status.CANCELED: "Gone with a rest that did not trade.",
    Status.REJECTED: "The venue said no; nothing traded after that.",
    Status.ABSENT: "Proven never to have come.",
}
"""One line about each status, for docs/lifecycle.md."""

REPORT_WORDS: Final[dict[Report, str]] = {
    Report.ACCEPTED: "The venue acknowledged the order and named it.",
    Report.WAITS: "The venue holds a conditional order; its acknowledgement says the same.",
    Report.TRIGGERED: "The trigger was reached.",
    Report.REFUSED: "The venue said no, by its answer or later by its stream.",
    Report.PART_FILL: "A trade that left something, or one told after the last.",
    Report.LAST_FILL: "The trade that left nothing.",
    Report.AMEND_SENT: "We ask for another price or quantity.",
    Report.AMENDED: "The venue shows the order with the terms asked for, or shows them again.",
    Report.AMEND_REFUSED: "The change was not carried out: refused, not sent, or shown not to stand.",
    Report.CANCEL_SENT: "We ask for the order to be cancelled.",
    Report.CANCELED: "The venue ended the order, for us or by itself.",
    Report.NO_REPLY: "The creation of an order that was never shown got no answer. Not a refusal.",
    Report.ANSWER_LOST: "Any other answer was lost. It says nothing about the order.",
    Report.PROVEN_ABSENT: "The venue's own records show that the order never came, looked at twice after it could still have come.",
}
"""One line about each report, for docs/lifecycle.md."""

LIVE: Final = frozenset({Status.PENDING_NEW, Status.WAITING, Status.OPEN, Status.PENDING_AMEND, Status.PENDING_CANCEL, Status.UNKNOWN})
"""An order in one of these may still trade: it keeps its reserved exposure."""

_S, _R = Status, Report

NEXT: Final[dict[tuple[Status, Report], Status]] = {
    (_S.PENDING_NEW, _R.ACCEPTED): _S.OPEN,
    (_S.PENDING_NEW, _R.WAITS): _S.WAITING,
    (_S.PENDING_NEW, _R.TRIGGERED): _S.OPEN,  # news of an order can outrun its acknowledgement
    (_S.PENDING_NEW, _R.REFUSED): _S.REJECTED,
    (_S.PENDING_NEW, _R.PART_FILL): _S.OPEN,
    (_S.PENDING_NEW, _R.LAST_FILL): _S.FILLED,
    (_S.PENDING_NEW, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_NEW, _R.CANCELED): _S.CANCELED,  # so can the cancelled rest of an immediate order
    (_S.PENDING_NEW, _R.NO_REPLY): _S.UNKNOWN,  # a time-out is not a refusal: reconcile
    (_S.WAITING, _R.WAITS): _S.WAITING,  # the answer told it, then the stream
    (_S.WAITING, _R.TRIGGERED): _S.OPEN,
    (_S.WAITING, _R.REFUSED): _S.REJECTED,  # refused when it was triggered
    (_S.WAITING, _R.PART_FILL): _S.OPEN,
    (_S.WAITING, _R.LAST_FILL): _S.FILLED,
    (_S.WAITING, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.WAITING, _R.CANCELED): _S.CANCELED,
    (_S.WAITING, _R.ANSWER_LOST): _S.WAITING,
    (_S.OPEN, _R.ACCEPTED): _S.OPEN,  # a trade outran it
    (_S.OPEN, _R.WAITS): _S.OPEN,  # the acknowledgement of one that was triggered meanwhile
    (_S.OPEN, _R.TRIGGERED): _S.OPEN,
    (_S.OPEN, _R.REFUSED): _S.REJECTED,  # the venue's engine can refuse what was acknowledged
    (_S.OPEN, _R.PART_FILL): _S.OPEN,
    (_S.OPEN, _R.LAST_FILL): _S.FILLED,
    (_S.OPEN, _R.AMEND_SENT): _S.PENDING_AMEND,
    (_S.OPEN, _R.AMENDED): _S.OPEN,  # told again
    (_S.OPEN, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.OPEN, _R.CANCELED): _S.CANCELED,
    (_S.OPEN, _R.ANSWER_LOST): _S.OPEN,  # the answer was lost, but the venue has shown the order
    (_S.PENDING_AMEND, _R.ACCEPTED): _S.PENDING_AMEND,
    (_S.PENDING_AMEND, _R.REFUSED): _S.REJECTED,
    (_S.PENDING_AMEND, _R.PART_FILL): _S.PENDING_AMEND,
    (_S.PENDING_AMEND, _R.LAST_FILL): _S.FILLED,  # the amend lost the race
    (_S.PENDING_AMEND, _R.AMENDED): _S.OPEN,
    (_S.PENDING_AMEND, _R.AMEND_REFUSED): _S.OPEN,
    (_S.PENDING_AMEND, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_AMEND, _R.CANCELED): _S.CANCELED,
    (_S.PENDING_AMEND, _R.ANSWER_LOST): _S.PENDING_AMEND,  # looked up until the venue shows which price stands
    (_S.PENDING_CANCEL, _R.ACCEPTED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.WAITS): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.TRIGGERED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.REFUSED): _S.REJECTED,  # the creation was refused after its cancel left
    (_S.PENDING_CANCEL, _R.PART_FILL): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.LAST_FILL): _S.FILLED,  # the cancel lost the race
    (_S.PENDING_CANCEL, _R.AMENDED): _S.PENDING_CANCEL,  # the cancel overtook the amend
    (_S.PENDING_CANCEL, _R.AMEND_REFUSED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.CANCELED): _S.CANCELED,
    (_S.PENDING_CANCEL, _R.NO_REPLY): _S.UNKNOWN,
    (_S.PENDING_CANCEL, _R.ANSWER_LOST): _S.PENDING_CANCEL,
    (_S.UNKNOWN, _R.ACCEPTED): _S.OPEN,
    (_S.UNKNOWN, _R.WAITS): _S.WAITING,
    (_S.UNKNOWN, _R.TRIGGERED): _S.OPEN,
    (_S.UNKNOWN, _R.REFUSED): _S.REJECTED,
    (_S.UNKNOWN, _R.PART_FILL): _S.OPEN,
    (_S.UNKNOWN, _R.LAST_FILL): _S.FILLED,
    (_S.UNKNOWN, _R.CANCEL_SENT): _S.UNKNOWN,  # cancelled if it turns up
    (_S.UNKNOWN, _R.CANCELED): _S.CANCELED,
    (_S.UNKNOWN, _R.ANSWER_LOST): _S.UNKNOWN,
    (_S.UNKNOWN, _R.PROVEN_ABSENT): _S.ABSENT,  # only after the venue's own proof
    (_S.FILLED, _R.ACCEPTED): _S.FILLED,
    (_S.FILLED, _R.WAITS): _S.FILLED,
    (_S.FILLED, _R.TRIGGERED): _S.FILLED,
    (_S.FILLED, _R.PART_FILL): _S.FILLED,  # a part that was missed, told after the last one; never more than was ordered
    (_S.FILLED, _R.AMENDED): _S.FILLED,
    (_S.FILLED, _R.AMEND_REFUSED): _S.FILLED,  # too late to replace
    (_S.FILLED, _R.ANSWER_LOST): _S.FILLED,
    (_S.CANCELED, _R.ACCEPTED): _S.CANCELED,
    (_S.CANCELED, _R.WAITS): _S.CANCELED,
    (_S.CANCELED, _R.TRIGGERED): _S.CANCELED,
    (_S.CANCELED, _R.PART_FILL): _S.CANCELED,  # late report, also of what left nothing: money moved, so it is booked
    (_S.CANCELED, _R.AMENDED): _S.CANCELED,
    (_S.CANCELED, _R.AMEND_REFUSED): _S.CANCELED,
    (_S.CANCELED, _R.CANCELED): _S.CANCELED,  # a frame that came twice, or after the lists
    (_S.CANCELED, _R.ANSWER_LOST): _S.CANCELED,
    (_S.REJECTED, _R.ACCEPTED): _S.REJECTED,  # the refusal outran the acknowledgement
    (_S.REJECTED, _R.WAITS): _S.REJECTED,
    (_S.REJECTED, _R.TRIGGERED): _S.REJECTED,
    (_S.REJECTED, _R.REFUSED): _S.REJECTED,
    (_S.REJECTED, _R.AMEND_REFUSED): _S.REJECTED,
    (_S.REJECTED, _R.ANSWER_LOST): _S.REJECTED,
    (_S.ABSENT, _R.ANSWER_LOST): _S.ABSENT,  # of a cancel that was on its way meanwhile
}


def advance(status: Status, report: Report) -> Status:
    """Where `report` leaves an order in `status`.

    Raises
    ------
    IllegalTransition
        The pair is not in the table; the caller's state is unchanged.
    """
    try:
        return NEXT[status, report]
    except KeyError:
        raise IllegalTransition(
            f"report {report} on an order that is {status}",
            why="the venue's story and ours disagree",
            fix="stop new risk and reconcile",
        ) from None
