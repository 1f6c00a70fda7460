"""The life of one order as a table: what happened (`Report`) and where it leaves the order (`Status`).

Every absent pair is illegal, leaves the state as it was, and halts trading. A test walks every cell.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kedge.domain.errors import IllegalTransition


class Status(StrEnum):
    """Where an order is in its life."""

    PENDING_NEW = "pending_new"
    OPEN = "open"
    PENDING_CANCEL = "pending_cancel"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    ABSENT = "absent"


class Report(StrEnum):
    """What happened to an order."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PART_FILL = "part_fill"
    LAST_FILL = "last_fill"
    CANCEL_SENT = "cancel_sent"
    CANCELED = "canceled"
    NO_REPLY = "no_reply"
    PROVEN_ABSENT = "proven_absent"


LIVE: Final = frozenset({Status.PENDING_NEW, Status.OPEN, Status.PENDING_CANCEL, Status.UNKNOWN})
"""An order in one of these may still trade: it keeps its reserved exposure."""

_S, _R = Status, Report

NEXT: Final[dict[tuple[Status, Report], Status]] = {
    (_S.PENDING_NEW, _R.ACCEPTED): _S.OPEN,
    (_S.PENDING_NEW, _R.REFUSED): _S.REJECTED,
    (_S.PENDING_NEW, _R.PART_FILL): _S.OPEN,  # the fill can outrun the acknowledgement
    (_S.PENDING_NEW, _R.LAST_FILL): _S.FILLED,
    (_S.PENDING_NEW, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_NEW, _R.CANCELED): _S.CANCELED,  # so can the cancelled rest of an immediate order
    (_S.PENDING_NEW, _R.NO_REPLY): _S.UNKNOWN,  # a time-out is not a refusal: reconcile
    (_S.OPEN, _R.ACCEPTED): _S.OPEN,
    (_S.OPEN, _R.REFUSED): _S.REJECTED,  # the venue's engine can refuse what was acknowledged
    (_S.OPEN, _R.PART_FILL): _S.OPEN,
    (_S.OPEN, _R.LAST_FILL): _S.FILLED,
    (_S.OPEN, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.OPEN, _R.CANCELED): _S.CANCELED,
    (_S.OPEN, _R.NO_REPLY): _S.OPEN,  # the answer was lost, but the stream has shown the order
    (_S.PENDING_CANCEL, _R.ACCEPTED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.REFUSED): _S.REJECTED,  # the creation was refused after its cancel left
    (_S.PENDING_CANCEL, _R.PART_FILL): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.LAST_FILL): _S.FILLED,  # the cancel lost the race
    (_S.PENDING_CANCEL, _R.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _R.CANCELED): _S.CANCELED,
    (_S.PENDING_CANCEL, _R.NO_REPLY): _S.UNKNOWN,
    (_S.UNKNOWN, _R.ACCEPTED): _S.OPEN,
    (_S.UNKNOWN, _R.REFUSED): _S.REJECTED,
    (_S.UNKNOWN, _R.PART_FILL): _S.OPEN,
    (_S.UNKNOWN, _R.LAST_FILL): _S.FILLED,
    (_S.UNKNOWN, _R.CANCEL_SENT): _S.UNKNOWN,
    (_S.UNKNOWN, _R.CANCELED): _S.CANCELED,
    (_S.UNKNOWN, _R.NO_REPLY): _S.UNKNOWN,
    (_S.UNKNOWN, _R.PROVEN_ABSENT): _S.ABSENT,  # only after the venue's own proof
    (_S.FILLED, _R.ACCEPTED): _S.FILLED,
    (_S.FILLED, _R.CANCELED): _S.FILLED,
    (_S.FILLED, _R.NO_REPLY): _S.FILLED,
    (_S.CANCELED, _R.ACCEPTED): _S.CANCELED,
    (_S.CANCELED, _R.PART_FILL): _S.CANCELED,  # late report: money moved, so it is booked and flagged
    (_S.CANCELED, _R.LAST_FILL): _S.FILLED,
    (_S.CANCELED, _R.CANCELED): _S.CANCELED,
    (_S.CANCELED, _R.NO_REPLY): _S.CANCELED,
    (_S.REJECTED, _R.REFUSED): _S.REJECTED,
    (_S.REJECTED, _R.NO_REPLY): _S.REJECTED,
    (_S.ABSENT, _R.PROVEN_ABSENT): _S.ABSENT,
    (_S.ABSENT, _R.NO_REPLY): _S.ABSENT,
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
