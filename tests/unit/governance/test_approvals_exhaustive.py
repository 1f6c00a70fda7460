"""Every sequence of up to five acts on a request, tried out: those that end in its use are the right ones, and each sort occurs."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.errors import KedgeError
from kedge.domain.people import Actor, Role
from kedge.governance import approvals
from kedge.governance.approval_history import history_problems
from kedge.governance.approvals import Approval, Mark, State

from .people import ADMIN, MINUTE, NOW, OTHER_ADMIN, SYSTEM, asked, passkey, person

DAY = 24 * 60 * MINUTE
WAITS = {"16 minutes": 16 * MINUTE, "2 days": 2 * DAY, "8 days": 8 * DAY, "an hour back": -60 * MINUTE}
ALIAS = msgspec.structs.replace(ADMIN, person_id="P-ANN")
GAINER = person("cem", Role.ADMIN)
ACTS = (
    *WAITS,
    "ben approves",
    "ann approves",
    "ann's alias approves",
    "cem, who gains, approves",
    "ann begins alone",
    "ben refuses",
    "ann withdraws",
    "it expires",
    "ann uses it",
    "ben uses it",
)
APPROVERS = {"ben approves": OTHER_ADMIN, "ann approves": ADMIN, "ann's alias approves": ALIAS, "cem, who gains, approves": GAINER}
DEPTH = 5
Path = tuple[tuple[str, int], ...]
"""What was done and answered with yes, and when."""


def done(act: str, approval: Approval, now: int, solo_reason: str, held: tuple[str, ...]) -> Approval:
    """What an act makes of an approval; who acts proves their identity at that moment."""

    def fresh(actor: Actor) -> Actor:
        return msgspec.structs.replace(actor, step_up_wall_ns=now)

    seen = approval.payload_sha256
    proof = passkey(approval)
    if act in APPROVERS:
        return approvals.approve(
            approval,
            fresh(APPROVERS[act]),
            payload_sha256=seen,
            proof=proof,
            requester_roles=ADMIN.roles,
            now_wall_ns=now,
            reason="seen",
            solo_reason=solo_reason,
        )
    if act == "ann begins alone":
        return approvals.bootstrap(approval, fresh(ADMIN), payload_sha256=seen, proof=proof, held=held, now_wall_ns=now)
    if act == "ben refuses":
        return approvals.refuse(approval, OTHER_ADMIN, payload_sha256=seen, reason="no", now_wall_ns=now)
    if act == "ann withdraws":
        return approvals.withdraw(approval, ADMIN, now_wall_ns=now)
    if act == "it expires":
        return approvals.expire(approval, now_wall_ns=now, actor=SYSTEM)
    user = ADMIN if act == "ann uses it" else OTHER_ADMIN
    return approvals.use(
        approval, user, payload_sha256=seen, requester_roles=ADMIN.roles, approver_roles=(Role.ADMIN,), now_wall_ns=now, held=held
    )


def explored(solo_reason: str, held: tuple[str, ...]) -> list[tuple[Approval, Path]]:
    """Every record that can be reached, each by one of the shortest ways."""
    seen = {(request := asked(), NOW)}
    front: list[tuple[Approval, int, Path]] = [(request, NOW, ())]
    reached: list[tuple[Approval, Path]] = []
    for _ in range(DEPTH):
        following: list[tuple[Approval, int, Path]] = []
        for approval, now, path in front:
            for act in ACTS:
                try:
                    after = approval if act in WAITS else done(act, approval, now, solo_reason, held)
                except KedgeError:
                    continue
                then = now + WAITS.get(act, 0)
                if (after, then) not in seen:
                    seen.add((after, then))
                    steps = path if act in WAITS else (*path, (act, now))
                    following.append((after, then, steps))
                    if act not in WAITS:
                        reached.append((after, steps))
        front = following
    return reached


def is_right(path: Path, solo: bool, alone: bool) -> bool:
    """Whether a way to the use is one that the rules in words allow."""
    if len(path) != 2 or path[1][0] not in ("ann uses it", "ben uses it"):
        return False
    (approval, approved_at), (use, used_at) = path
    if approved_at >= NOW + 7 * DAY or used_at >= max(approved_at, NOW) + DAY:
        return False
    if approval == "ben approves":
        return True
    if use != "ann uses it":
        return False
    if approval == "ann begins alone":
        return alone
    return approval in ("ann approves", "ann's alias approves") and solo and approved_at >= NOW + 15 * MINUTE


@pytest.mark.parametrize("solo", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_no_way_leads_to_a_use_but_the_right_ones(solo: bool, alone: bool) -> None:
    reached = explored("one person" if solo else "", ("p-ann",) if alone else ("p-ann", "p-ben"))
    used = [(approval, path) for approval, path in reached if approval.state is State.USED]
    assert [path for _, path in used if not is_right(path, solo, alone)] == []
    assert {approval.mark for approval, _ in used} == (
        {Mark.NONE} | ({Mark.SOLO} if solo else set()) | ({Mark.BOOTSTRAP} if alone else set())
    )
    for approval, path in reached:
        assert history_problems(approval) == []
        assert approval.four_eyes is (bool(path) and path[0][0] == "ben approves")
