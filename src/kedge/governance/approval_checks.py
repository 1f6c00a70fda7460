"""What has to hold before an approval moves: one check, one code."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kedge.domain.canonical import digest
from kedge.domain.errors import Forbidden, InvalidInput, StepUpRequired
from kedge.domain.people import Actor, Role, Source
from kedge.governance.approval_kinds import KindRule, check_text, gainers
from kedge.governance.approval_record import ILLEGAL, Approval, Code, Method, Move, Proof, Refused, challenge_of, is_due, same_person
from kedge.governance.roles import step_up_is_fresh

SOLO_COOLING_NS: Final = 15 * 60 * 10**9
"""So long must a request have stood before the same person may approve it in solo mode."""
REASON_CHARS_MAX: Final = 500
_NS: Final = 10**9
_WHY: Final[dict[Code, str]] = {
    Code.NOT_APPROVED: "it is carried out only after another person approved it",
    Code.ALREADY_DECIDED: "it is decided once",
    Code.ALREADY_USED: "it is used once",
    Code.EXPIRED: "a decision and its use have their time",
}
_FIX: Final[dict[Code, str]] = {
    Code.NOT_APPROVED: "wait for the approval, or ask anew",
    Code.ALREADY_DECIDED: "ask anew for another decision",
    Code.ALREADY_USED: "ask anew to do it again",
    Code.EXPIRED: "ask anew",
}


def independence_problem(approver_id: str, gaining: Collection[str], authors: Collection[str] | None) -> str:
    """Why this person cannot judge it; empty when they can.

    Parameters
    ----------
    gaining : collection of str
        Ids of the persons who gain by it.
    authors : collection of str or None
        Ids of those who made it, such as the commits' authors; None where nobody knows, which is never taken for nobody.
    """
    if any(same_person(approver_id, one) for one in gaining):
        return "who gains by it does not approve it"
    if authors is None:
        return "nobody knows who made it"
    if any(same_person(approver_id, one) for one in authors):
        return "who made it does not approve it"
    return ""


def require_legal(approval: Approval, move: Move) -> None:
    """Refuse what the table of states does not hold."""
    if (code := ILLEGAL.get((approval.state, move))) is not None:
        raise Refused(code, f"cannot {move} an approval that is {approval.state}", why=_WHY[code], fix=_FIX[code])


def require_move(approval: Approval, move: Move, now_wall_ns: int) -> None:
    """Refuse what the table of states does not hold, and whatever comes too late."""
    require_legal(approval, move)
    if is_due(approval, now_wall_ns):
        raise Refused(Code.EXPIRED, f"cannot {move} an approval whose time is over", why=_WHY[Code.EXPIRED], fix=_FIX[Code.EXPIRED])


def require_payload(approval: Approval, payload_sha256: str) -> None:
    """Refuse another payload, and a record whose own text no longer has its hash."""
    if not digest(approval.payload.encode()) == approval.payload_sha256 == payload_sha256:
        raise Refused(
            Code.PAYLOAD_CHANGED,
            "the payload is not the one of this approval",
            why=f"the approval binds SHA-256 {approval.payload_sha256}",
            fix="look at the approval again; ask anew for another payload",
        )


def require_session(actor: Actor) -> None:
    """Refuse whoever does not decide as a person in a session."""
    if actor.source is not Source.BROWSER or actor.scopes is not None or actor.is_local:
        raise Forbidden("only a person in a session decides", why="a token cannot prove who holds it", fix="sign in with a browser")


def require_proof(approval: Approval, actor: Actor, proof: Proof, now_wall_ns: int) -> None:
    """Refuse an approver who did not just prove who they are; a passkey proves it for this approval and no other."""
    require_session(actor)
    if proof.method is not Method.PASSKEY:
        if not step_up_is_fresh(actor, now_wall_ns):
            raise StepUpRequired(
                "to approve needs a fresh proof of identity", why="the last one is too old", fix="prove your identity again, then repeat"
            )
    elif proof.binds != challenge_of(approval).hex() or not proof.signature:
        raise Refused(
            Code.PROOF_ELSEWHERE,
            "the passkey's signature is not over this approval",
            why="its challenge must be the hash of this request",
            fix="approve again from the approval's page",
        )


def require_solo(approval: Approval, solo_reason: str, reason: str, now_wall_ns: int) -> None:
    """Refuse an approval of one's own request, unless solo mode is declared, reaches this kind, and its time has passed."""
    if not solo_reason:
        raise Refused(
            Code.OWN_REQUEST,
            "this is your own request",
            why="another person must approve it",
            fix="ask another person, or declare solo mode in the configuration (governance.solo_reason)",
        )
    if not approval.rule.may_solo:
        raise Refused(
            Code.SOLO_NOT_ALLOWED,
            f"one person alone may not {approval.rule.what}",
            why="solo mode does not reach so far",
            fix="ask another person",
        )
    left_ns = approval.requester.at_wall_ns + SOLO_COOLING_NS - now_wall_ns
    if left_ns > 0:
        raise Refused(
            Code.COOLING,
            f"your own request must stand for {SOLO_COOLING_NS // (60 * _NS)} minutes first",
            why="in solo mode time stands in for the second person",
            fix=f"come back in {-(-left_ns // _NS)} s",
        )
    require_reason(reason, "an approval of one's own request")


def require_pair(approval: Approval, actor: Actor, requester_roles: Collection[Role], *, own: bool) -> None:
    """Refuse two people whose roles now are no pair of the kind; of a person alone the requester's side is looked at."""
    needed = approval.rule.approvers_of(still_held(approval.requester.roles, actor.roles if own else requester_roles))
    if not needed:
        raise wrong_role(approval.requester.name, f"ask to {approval.rule.what}", approval.rule.requesters)
    if not own and not needed & frozenset(actor.roles):
        raise wrong_role(actor.name, f"approve this request to {approval.rule.what}", needed)


def still_held(then: Collection[Role], now: Collection[Role]) -> frozenset[Role]:
    """The roles that somebody acted in and holds still: a role that came later does not stand in for one that went."""
    return frozenset(then) & frozenset(now)


def require_independent(approval: Approval, actor: Actor, authors: Collection[str] | None) -> None:
    """Refuse who gains by it or, where the kind says so, who made it."""
    known = authors if approval.rule.independent else ()
    if problem := independence_problem(actor.person_id, gainers(approval.kind, approval.content()), known):
        raise Refused(Code.NOT_INDEPENDENT, f"{actor.name} cannot approve this", why=problem, fix="ask a person who had no part in it")


def require_person(actor: Actor, rule: KindRule, verb: str) -> None:
    """Refuse whoever is no person that signed in, and a token without the kind's scope."""
    if actor.is_local or actor.source not in (Source.BROWSER, Source.TOKEN):
        raise Forbidden(f"nobody is signed in who could {verb}", why="an approval names people", fix="sign in")
    if (actor.source is Source.TOKEN or actor.scopes is not None) and rule.scope not in (actor.scopes or ()):
        raise Forbidden(
            f"this token may not {verb} to {rule.what}", why=f"it takes the scope {rule.scope}", fix="use a token with that scope"
        )


def wrong_role(name: str, what: str, needed: Collection[Role]) -> Refused:
    """The refusal of somebody without the role."""
    return Refused(
        Code.WRONG_ROLE, f"{name} may not {what}", why=f"it takes the role {' or '.join(sorted(needed))}", fix="ask a person with that role"
    )


def require_reason(reason: str, what: str) -> None:
    """Refuse an empty reason, and one that nobody would read."""
    if not reason.strip():
        raise InvalidInput(f"reason is empty: {what} needs one", why="somebody will want to know later", fix="say why in a sentence")
    check_reason(reason)


def check_reason(reason: str) -> None:
    """Refuse a reason that nobody would read or that hides characters; none at all is fine."""
    check_text(reason, "reason")
    if len(reason) > REASON_CHARS_MAX:
        raise InvalidInput(f"reason has {len(reason)} characters", why=f"at most {REASON_CHARS_MAX}", fix="say it shorter")
