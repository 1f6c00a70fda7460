"""Is this a release of the brake by two people? Checked by the guard itself, offline, from the record that the server signed.

Rules: nothing is believed of the server but its signature, by the key that the guard saw first; what the guard cannot check (an expiry by a
clock that it does not trust, a solo mode that its own configuration does not declare) is refused.
"""

from __future__ import annotations

from kedge.domain.errors import ApprovalRefused, Forbidden, IntegrityError
from kedge.domain.units import NS_PER_MS
from kedge.governance.approval_kinds import ApprovalKind
from kedge.governance.approval_record import Approval, Code, Mark, Refused, State, is_due
from kedge.governance.brake_release import brake_release
from kedge.market.intervals import utc_text
from kedge.services.guard.guard import ReleaseOrder
from kedge.services.people.approval_record import findings, read_record
from kedge.storage.keys import PublicKey


def read_release(
    text: str | bytes, key: PublicKey, *, account: str, solo_is_declared: bool, now_wall_ns: int, known_from_wall_ns: int = 0
) -> ReleaseOrder:
    """The release that a signed approval orders.

    Parameters
    ----------
    text : str or bytes
        The record in canonical form, as the server keeps it.
    key : PublicKey
        The server's, pinned.
    solo_is_declared : bool
        Whether the guard's own configuration says that one person works alone here.
    known_from_wall_ns : int
        The wall clock was set: of what it said before this, nobody knows how long ago it was. See `guard_clocks`.

    Raises
    ------
    IntegrityError
        It is no such record, or a signature, a proof or its history does not hold.
    ApprovalRefused
        It is approved no more or not yet, by one person only, of another kind, or its time is over.
    Forbidden
        It is of another account, or in a solo mode that is not declared here.
    InvalidInput
        Its payload is none of a release.
    """
    record = read_record(text)
    approval = record.approval
    if wrong := findings(record, key):
        raise IntegrityError(
            "this release was not signed by this server, or was changed", why="; ".join(wrong)[:500], fix="ask for an approval anew"
        )
    if approval.kind is not ApprovalKind.BRAKE_RELEASE:
        raise Forbidden(
            f"an approval of {approval.kind} releases no brake", why="it was asked for something else", fix="kedge brake release"
        )
    _require_standing(approval, now_wall_ns, known_from_wall_ns)
    _require_people(approval, solo_is_declared=solo_is_declared)
    asked = brake_release(approval.content())
    if asked.account != account:
        raise Forbidden(
            f"the release is of account {asked.account!r}", why=f"this guard watches {account!r}", fix="ask for this account's release"
        )
    assert approval.approver is not None
    return ReleaseOrder(
        approval_id=approval.approval_id,
        account=asked.account,
        generation=asked.generation,
        reason=asked.reason,
        root_cause=asked.root_cause,
        actors=(approval.requester.person_id, approval.approver.person_id),
        high_water=asked.high_water,
        solo=approval.mark is Mark.SOLO,
    )


def _require_standing(approval: Approval, now_wall_ns: int, known_from_wall_ns: int) -> None:
    if approval.state is not State.APPROVED:
        code = Code.ALREADY_USED if approval.state is State.USED else Code.NOT_APPROVED
        raise Refused(code, f"the approval is {approval.state}", why="a brake is released by one that is approved", fix="ask anew")
    if is_due(approval, now_wall_ns):
        raise Refused(Code.EXPIRED, "the approval's time is over", why="an approval is used soon or not at all", fix="ask anew")
    if any(step.at_wall_ns > now_wall_ns for step in approval.steps):
        raise Refused(
            Code.NOT_APPROVED, "the approval is from the future", why="one of two clocks is wrong", fix="set the clocks, ask anew"
        )
    if any(step.at_wall_ns < known_from_wall_ns for step in approval.steps):
        raise Refused(
            Code.NOT_APPROVED,
            "this machine's clock was set since the release was asked for",
            why="how long ago that was, and whether its time is over, nobody knows any more",
            fix=f"ask anew, once the clock is past {utc_text(known_from_wall_ns // NS_PER_MS)}; if that is far off, start the guard again",
        )


def _require_people(approval: Approval, *, solo_is_declared: bool) -> None:
    if approval.four_eyes:
        return
    if approval.mark is not Mark.SOLO:
        raise ApprovalRefused("one person released the brake", why="it takes two, or a declared solo mode", fix="ask another person")
    if not solo_is_declared:
        raise Forbidden(
            "a release by one person alone",
            why="the guard's own configuration declares no solo mode",
            fix="ask another person, or set governance.solo_reason and start the guard again",
        )
