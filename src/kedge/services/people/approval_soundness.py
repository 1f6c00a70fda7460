"""May an approval as it is kept be relied on now? Its signatures, its history, and that the journal of acts knows no later state of it.

Rules: signatures show that nothing was changed or put in; that nothing was taken off, so that what was used or refused could be approved
or used again, only the journal of acts can show: it is another file, chained and signed, and is never cut without being noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kedge.domain.errors import IntegrityError
from kedge.domain.people import Act
from kedge.governance.actions import Action
from kedge.services.people.approval_record import ApprovalRecord, Verifier, findings, record_of
from kedge.services.people.errors import ApprovalForged
from kedge.storage.people_rows import ApprovalRow
from kedge.storage.people_store import Tx

NewestAct = Callable[[Callable[[Act], bool]], Act | None]
"""Finds the newest act of the journal for which this is so."""
_FIX: Final = "stop the server, keep the folder people as evidence, run `kedge audit verify` on the journal of acts, then ask anew"
_MOVES: Final = frozenset(
    (Action.APPROVAL_REQUEST, Action.APPROVAL_DECIDE, Action.APPROVAL_WITHDRAW, Action.APPROVAL_USE, Action.APPROVAL_EXPIRE)
)


def sound_record(tx: Tx, row: ApprovalRow, verifier: Verifier, newest: NewestAct) -> ApprovalRecord:
    """The record of a row, to act upon in this transaction.

    Raises
    ------
    ApprovalForged
        It is not what the server signed, or an older state of it.
    """
    try:
        record = record_of(row)
    except IntegrityError as error:
        raise _forged(row.approval_id, error.why) from None
    require_fitting(record, verifier)
    last = _last_move(tx, row.approval_id, newest)
    if last is None or last.details.get("state") != row.state:
        told = last.details.get("state") if last else None
        raise _forged(row.approval_id, f"the journal of acts says {told or 'nothing of it'}, the store says {row.state}")
    return record


def require_fitting(record: ApprovalRecord, verifier: Verifier) -> None:
    """Refuse a record whose signatures, history or proofs do not fit: what the record itself can show, without the journal.

    Raises
    ------
    ApprovalForged
    """
    if found := findings(record, verifier):
        raise _forged(record.approval.approval_id, "; ".join(found))


def _last_move(tx: Tx, approval_id: str, newest: NewestAct) -> Act | None:
    """The newest act that brought it to a state; what is not journalled yet is newer than what is."""

    def moved(act: Act) -> bool:
        return act.subject == approval_id and act.outcome == "done" and act.action in _MOVES

    due = [one.act for one in tx.acts_due() if moved(one.act)]
    return due[-1] if due else newest(moved)


def _forged(approval_id: str, why: str) -> ApprovalForged:
    return ApprovalForged(f"approval {approval_id} is not what was asked for and decided", why=why, fix=_FIX)
