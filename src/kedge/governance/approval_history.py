"""Is the history of an approval one that the rules allow? For whoever checks a record later, without the server that made it."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from kedge.domain.canonical import digest
from kedge.domain.people import Source
from kedge.governance.approval_checks import SOLO_COOLING_NS
from kedge.governance.approval_record import NEXT, Approval, Mark, State, Step, challenge_of, same_person

_MADE_BY_A_PERSON: Final = (Source.BROWSER, Source.TOKEN)


def history_problems(approval: Approval) -> list[str]:
    """What is wrong with it, a sentence each; empty when the whole history is legal.

    Signatures are not looked at: they say that the server wrote it, this says that it was allowed to.
    """
    found = [] if digest(approval.payload.encode()) == approval.payload_sha256 else ["the payload is not the one whose hash was approved"]
    if not approval.steps or approval.steps[0].state is not State.REQUESTED:
        return [*found, "it does not begin with a request"]
    for before, after in pairwise(approval.steps):
        found += _move_problems(before, after)
    if (approver := approval.approver) is not None:
        found += _approver_problems(approval, approver)
    if not approval.rule.requesters & frozenset(approval.requester.roles):
        found.append("who asked had no role for it")
    return found


def _move_problems(before: Step, after: Step) -> list[str]:
    found = []
    if not any(state is before.state and reached is after.state for (state, _), reached in NEXT.items()):
        found.append(f"{before.state} does not lead to {after.state}")
    if after.at_wall_ns < before.at_wall_ns:
        found.append(f"{after.state} is older than {before.state}")
    if after.state is State.EXPIRED:
        if after.at_wall_ns < before.expires_wall_ns:
            found.append("it expired before its time")
    elif after.at_wall_ns >= before.expires_wall_ns:
        found.append(f"{after.state} came after its time")
    if after.state is not State.EXPIRED and after.source not in _MADE_BY_A_PERSON:
        found.append(f"nobody who signed in made it {after.state}")
    return found


def _approver_problems(approval: Approval, approver: Step) -> list[str]:
    requester, rule = approval.requester, approval.rule
    alone = same_person(requester.person_id, approver.person_id)
    found = []
    if alone and approver.mark is Mark.NONE:
        found.append("who asked approved it, and nothing marks it")
    if not alone and approver.mark is not Mark.NONE:
        found.append(f"two people, and it is marked {approver.mark}")
    if approver.mark is Mark.SOLO:
        early = approver.at_wall_ns - requester.at_wall_ns < SOLO_COOLING_NS
        found += ["solo approval before its cooling was over"] if early else []
        found += [] if rule.may_solo and approver.solo_reason else ["solo approval that nobody declared or that its kind does not allow"]
    if approver.mark is Mark.BOOTSTRAP and not rule.may_bootstrap:
        found.append("its kind does not begin alone")
    if not alone and not rule.approvers_of(frozenset(requester.roles)) & frozenset(approver.roles):
        found.append("who approved had no role for it")
    if approver.proof is None:
        found.append("the approval names no proof of who approved")
    elif approver.proof.binds and approver.proof.binds != challenge_of(approval).hex():
        found.append("the approver's passkey was asked about another request")
    return found
