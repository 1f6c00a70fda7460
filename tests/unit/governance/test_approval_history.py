"""A history that the rules do not allow is found, whoever signed it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from kedge.domain.people import Role, Source
from kedge.governance import approvals
from kedge.governance.approval_history import history_problems
from kedge.governance.approvals import Approval, ApprovalKind, Mark, Method, Proof, State, Step

from .people import ADMIN, MINUTE, NOW, OTHER_ADMIN, PASSWORD, SECOND, SYSTEM, TRADER, approved, asked

DAY = 24 * 60 * MINUTE
replace = msgspec.structs.replace


def used() -> Approval:
    given = approved()
    return approvals.use(
        given,
        ADMIN,
        payload_sha256=given.payload_sha256,
        requester_roles=ADMIN.roles,
        approver_roles=OTHER_ADMIN.roles,
        now_wall_ns=NOW + 2 * SECOND,
    )


def solo() -> Approval:
    request, ready = asked(), NOW + 15 * MINUTE
    return approvals.approve(
        request,
        replace(ADMIN, step_up_wall_ns=ready),
        payload_sha256=request.payload_sha256,
        proof=PASSWORD,
        requester_roles=ADMIN.roles,
        now_wall_ns=ready,
        reason="alone",
        solo_reason="one person",
    )


def begun() -> Approval:
    request = asked()
    return approvals.bootstrap(request, ADMIN, payload_sha256=request.payload_sha256, proof=PASSWORD, held=["p-ann"], now_wall_ns=NOW)


def expired(make: Callable[[], Approval]) -> Approval:
    return approvals.expire(make(), now_wall_ns=NOW + 30 * DAY, actor=SYSTEM)


@pytest.mark.parametrize("make", [asked, approved, used, solo, begun, lambda: expired(asked), lambda: expired(approved)])
def test_what_the_rules_made_is_legal(make: Callable[[], Approval]) -> None:
    assert history_problems(make()) == []


def with_step(approval: Approval, number: int, **changed: object) -> Approval:
    """The same approval with one step told otherwise."""
    steps: list[Step] = list(approval.steps)
    steps[number] = replace(steps[number], **changed)
    return replace(approval, steps=tuple(steps))


FORGED: dict[str, tuple[Callable[[], Approval], str]] = {
    "another payload": (lambda: replace(used(), payload="{}"), "the payload is not the one whose hash was approved"),
    "no history": (lambda: replace(used(), steps=()), "it does not begin with a request"),
    "no request": (lambda: replace(used(), steps=used().steps[1:]), "it does not begin with a request"),
    "no approval": (lambda: replace(used(), steps=(used().steps[0], used().steps[2])), "requested does not lead to used"),
    "used twice": (lambda: replace(used(), steps=(*used().steps, used().steps[2])), "used does not lead to used"),
    "own approval": (lambda: with_step(used(), 1, person_id="P-Ann"), "who asked approved it, and nothing marks it"),
    "marked between two": (lambda: with_step(used(), 1, mark=Mark.SOLO, solo_reason="x"), "two people, and it is marked SOLO"),
    "too early alone": (lambda: with_step(solo(), 1, at_wall_ns=NOW + 15 * MINUTE - 1), "solo approval before its cooling was over"),
    "undeclared": (lambda: with_step(solo(), 1, solo_reason=""), "solo approval that nobody declared or that its kind does not allow"),
    "approver without the role": (lambda: with_step(used(), 1, roles=(Role.TRADER,)), "who approved had no role for it"),
    "requester without the role": (lambda: with_step(used(), 0, roles=(Role.TRADER,)), "who asked had no role for it"),
    "no proof": (lambda: with_step(used(), 1, proof=None), "the approval names no proof of who approved"),
    "another proof": (
        lambda: with_step(used(), 1, proof=Proof(method=Method.PASSKEY, binds="00")),
        "the approver's passkey was asked about another request",
    ),
    "by the system": (lambda: with_step(used(), 1, source=Source.SYSTEM), "nobody who signed in made it approved"),
    "from the terminal": (lambda: with_step(used(), 2, source=Source.LOCAL), "nobody who signed in made it used"),
    "too late": (lambda: with_step(used(), 2, at_wall_ns=NOW + 2 * DAY), "used came after its time"),
    "backwards": (lambda: with_step(used(), 2, at_wall_ns=NOW), "used is older than approved"),
    "expired too early": (lambda: with_step(expired(asked), 1, at_wall_ns=NOW + DAY), "it expired before its time"),
}


@pytest.mark.parametrize("name", FORGED)
def test_each_forgery_is_named(name: str) -> None:
    make, said = FORGED[name]
    assert said in history_problems(make())


def test_a_kind_that_does_not_begin_alone_is_named() -> None:
    request = asked(TRADER, ApprovalKind.GO_LIVE)
    step = replace(request.steps[0], state=State.APPROVED, mark=Mark.BOOTSTRAP, proof=PASSWORD)
    assert history_problems(replace(request, steps=(request.steps[0], step))) == ["its kind does not begin alone"]
