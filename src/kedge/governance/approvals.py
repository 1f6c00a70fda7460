"""Approvals: an act that needs two people, from the request to its single use. Pure rules; services keep, sign and carry out.

Rules: an approval binds the SHA-256 of one exact payload; who approves is another person than who asks and gains nothing by it; both
roles are looked at when it is decided and again when it is used; it is used at most once and within its time. One person alone counts
only where solo mode is declared, after `SOLO_COOLING_NS`, or at the very beginning (bootstrap), and is then marked: never four eyes.
Every function takes an approval and gives the next one, or raises `Refused` with a code that never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from kedge.domain.canonical import digest
from kedge.domain.people import Actor, Role
from kedge.governance.approval_checks import (
    SOLO_COOLING_NS,
    check_reason,
    independence_problem,
    require_independent,
    require_legal,
    require_move,
    require_pair,
    require_payload,
    require_person,
    require_proof,
    require_reason,
    require_session,
    require_solo,
    still_held,
    wrong_role,
)
from kedge.governance.approval_kinds import KINDS, ApprovalKind, canonical_payload, check_payload, gainers, role_grant
from kedge.governance.approval_record import (
    ILLEGAL,
    NEXT,
    Approval,
    Code,
    Mark,
    Method,
    Move,
    Proof,
    Refused,
    State,
    Step,
    challenge_of,
    is_due,
    same_person,
    signing_bytes,
)

__all__ = [
    "ILLEGAL",
    "NEXT",
    "SOLO_COOLING_NS",
    "Approval",
    "ApprovalKind",
    "Code",
    "Mark",
    "Method",
    "Move",
    "Proof",
    "Refused",
    "State",
    "Step",
    "approve",
    "bootstrap",
    "challenge_of",
    "expire",
    "independence_problem",
    "is_due",
    "may_bootstrap",
    "refuse",
    "request",
    "same_person",
    "shown_holding",
    "signing_bytes",
    "use",
    "withdraw",
]

_NS: Final = 10**9


def request(
    kind: ApprovalKind, payload: Mapping[str, object], *, approval_id: str, actor: Actor, reason: str, now_wall_ns: int
) -> Approval:
    """Ask for an approval of exactly this payload.

    Raises
    ------
    Refused
        WRONG_ROLE: the kind does not let this person ask.
    InvalidInput
        The payload or the reason is malformed.
    """
    rule = KINDS[kind]
    check_payload(kind, payload)
    require_reason(reason, "a request")
    require_person(actor, rule, "ask")
    if not rule.requesters & frozenset(actor.roles):
        raise wrong_role(actor.name, f"ask to {rule.what}", rule.requesters)
    text = canonical_payload(payload)
    step = _step(State.REQUESTED, actor, now_wall_ns, now_wall_ns + rule.ttl_s * _NS, reason)
    return Approval(approval_id=approval_id, kind=kind, payload=text.decode(), payload_sha256=digest(text), steps=(step,))


def approve(
    approval: Approval,
    actor: Actor,
    *,
    payload_sha256: str,
    proof: Proof,
    requester_roles: Collection[Role],
    now_wall_ns: int,
    reason: str = "",
    solo_reason: str = "",
    authors: Collection[str] | None = None,
) -> Approval:
    """Approve, as somebody who saw this payload.

    Parameters
    ----------
    payload_sha256 : str
        Of the payload that the person was shown.
    requester_roles : collection of Role
        What the requester holds now; empty when disabled.
    solo_reason : str
        Declared by the configuration; empty where two people are to decide.
    authors : collection of str or None
        Ids of those who made what is approved; None where nobody knows. Only kinds that need independence look at it.

    Raises
    ------
    Refused
        With any code that a decision may have.
    """
    require_move(approval, Move.APPROVE, now_wall_ns)
    require_payload(approval, payload_sha256)
    require_proof(approval, actor, proof, now_wall_ns)
    own = same_person(actor.person_id, approval.requester.person_id)
    if own:
        require_solo(approval, solo_reason, reason, now_wall_ns)
    require_pair(approval, actor, requester_roles, own=own)
    if not own:
        require_independent(approval, actor, authors)
    mark, declared = (Mark.SOLO, solo_reason) if own else (Mark.NONE, "")
    step = _approval_step(approval, actor, now_wall_ns, reason)
    return _onward(approval, msgspec.structs.replace(step, mark=mark, solo_reason=declared, proof=proof))


def bootstrap(
    approval: Approval, actor: Actor, *, payload_sha256: str, proof: Proof, held: Collection[str], now_wall_ns: int, reason: str = ""
) -> Approval:
    """Let the first admin approve their own request, as long as nobody else ever could have: marked, never four eyes.

    Parameters
    ----------
    held : collection of str
        Ids of everybody who holds or ever held a role that may approve this kind, in whatever state their account is.

    Raises
    ------
    Refused
        NO_BOOTSTRAP: somebody else could approve or once could have, or the kind is none that begins alone.
    """
    require_move(approval, Move.APPROVE, now_wall_ns)
    require_payload(approval, payload_sha256)
    require_proof(approval, actor, proof, now_wall_ns)
    if not same_person(actor.person_id, approval.requester.person_id):
        raise Refused(
            Code.NOT_OWN_REQUEST, "this is somebody else's request", why="a beginning is made by one person alone", fix="approve it instead"
        )
    _require_beginning(approval, actor.person_id, actor.roles, held)
    step = _approval_step(approval, actor, now_wall_ns, reason)
    return _onward(approval, msgspec.structs.replace(step, mark=Mark.BOOTSTRAP, proof=proof))


def may_bootstrap(kind: ApprovalKind, person_id: str, roles: Collection[Role], held: Collection[str]) -> bool:
    """Whether a person with these roles may begin alone: the kind allows it, and nobody else holds or ever held a role that approves it."""
    rule, own = KINDS[kind], frozenset(roles)
    alone = all(same_person(one, person_id) for one in held)
    return rule.may_bootstrap and alone and bool(rule.requesters & own) and bool(rule.approvers & own)


def shown_holding(past: Approval, roles: frozenset[Role]) -> set[str]:
    """Ids of everybody whom a used approval shows to hold one of these roles: who acted in it, and whom one was given."""
    shown = {step.person_id for step in past.steps if roles & frozenset(step.roles)}
    if past.kind is ApprovalKind.ROLE_GRANT and roles & frozenset(role_grant(past.content()).roles):
        shown |= set(gainers(past.kind, past.content()))
    return shown


def refuse(approval: Approval, actor: Actor, *, payload_sha256: str, reason: str, now_wall_ns: int) -> Approval:
    """Refuse, as somebody who could have approved."""
    require_move(approval, Move.REFUSE, now_wall_ns)
    require_payload(approval, payload_sha256)
    require_session(actor)
    if same_person(actor.person_id, approval.requester.person_id):
        raise Refused(Code.OWN_REQUEST, "this is your own request", why="another person decides it", fix="withdraw it instead")
    require_pair(approval, actor, approval.requester.roles, own=False)
    require_reason(reason, "a refusal")
    return _onward(approval, _step(State.REFUSED, actor, _at(approval, now_wall_ns), approval.expires_wall_ns, reason))


def withdraw(approval: Approval, actor: Actor, *, now_wall_ns: int, reason: str = "") -> Approval:
    """Take one's own request back."""
    require_move(approval, Move.WITHDRAW, now_wall_ns)
    if not same_person(actor.person_id, approval.requester.person_id):
        raise Refused(Code.NOT_OWN_REQUEST, "this is somebody else's request", why="only who asked takes it back", fix="refuse it instead")
    require_person(actor, approval.rule, "withdraw a request")
    check_reason(reason)
    return _onward(approval, _step(State.WITHDRAWN, actor, _at(approval, now_wall_ns), approval.expires_wall_ns, reason))


def use(
    approval: Approval,
    actor: Actor,
    *,
    payload_sha256: str,
    requester_roles: Collection[Role],
    approver_roles: Collection[Role],
    now_wall_ns: int,
    held: Collection[str] | None = None,
) -> Approval:
    """Use an approval up, for exactly this payload. Whoever carries it out does so in the same transaction.

    Parameters
    ----------
    payload_sha256 : str
        Of what is about to be carried out.
    requester_roles, approver_roles : collection of Role
        What both hold now; empty when disabled.
    held : collection of str or None
        As for `bootstrap`, looked at again where the approval was one, so that none can be kept for later.
    """
    require_move(approval, Move.USE, now_wall_ns)
    require_payload(approval, payload_sha256)
    if not any(same_person(actor.person_id, step.person_id) for step in approval.steps):
        raise Refused(
            Code.NOT_OWN_REQUEST, "this approval is somebody else's", why="who asked or who approved carries it out", fix="ask them"
        )
    require_person(actor, approval.rule, "carry out")
    needed = approval.rule.approvers_of(still_held(approval.requester.roles, requester_roles))
    agreed = still_held(approval.approver.roles if approval.approver else (), approver_roles)
    if not needed or (approval.mark is Mark.NONE and not needed & agreed):
        raise Refused(
            Code.WRONG_ROLE,
            "one of the two no longer has the role",
            why="who asked and who approved must hold their roles when it is carried out",
            fix="ask anew",
        )
    if approval.mark is Mark.BOOTSTRAP:
        _require_beginning(approval, approval.requester.person_id, requester_roles, held)
    return _onward(approval, _step(State.USED, actor, _at(approval, now_wall_ns), approval.expires_wall_ns, ""))


def expire(approval: Approval, *, now_wall_ns: int, actor: Actor) -> Approval:
    """Let a stale approval expire, as the system."""
    require_legal(approval, Move.EXPIRE)
    if not is_due(approval, now_wall_ns):
        raise Refused(Code.NOT_EXPIRED, "its time is not over", why="it may still be decided or used", fix="wait")
    return _onward(approval, _step(State.EXPIRED, actor, _at(approval, now_wall_ns), approval.expires_wall_ns, ""))


def _require_beginning(approval: Approval, person_id: str, roles: Collection[Role], held: Collection[str] | None) -> None:
    if held is None or not may_bootstrap(approval.kind, person_id, roles, held):
        raise Refused(
            Code.NO_BOOTSTRAP,
            f"one person alone cannot {approval.rule.what}",
            why="only the first admin can, and only while nobody else may approve it or ever could have",
            fix="have it approved by another person, or declare solo mode in the configuration",
        )


def _step(state: State, actor: Actor, at_wall_ns: int, expires_wall_ns: int, reason: str) -> Step:
    return Step(
        state=state,
        at_wall_ns=at_wall_ns,
        expires_wall_ns=expires_wall_ns,
        person_id=actor.person_id,
        name=actor.name,
        roles=tuple(sorted(actor.roles)),
        source=actor.source,
        ref=actor.ref,
        reason=reason.strip(),
    )


def _approval_step(approval: Approval, actor: Actor, now_wall_ns: int, reason: str) -> Step:
    check_reason(reason)
    at = _at(approval, now_wall_ns)
    return _step(State.APPROVED, actor, at, at + approval.rule.use_ttl_s * _NS, reason)


def _at(approval: Approval, now_wall_ns: int) -> int:
    """When the next state begins: a clock that was set back does not turn a history round."""
    return max(now_wall_ns, approval.steps[-1].at_wall_ns)


def _onward(approval: Approval, step: Step) -> Approval:
    return msgspec.structs.replace(approval, steps=(*approval.steps, step))
