"""An approval from its request to its single use: every state, every move, every role, every way to get round it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import pytest

from kedge.domain.errors import ApprovalRefused, Forbidden, InvalidInput, KedgeError, StepUpRequired
from kedge.domain.people import Actor, Role, Scope, Source
from kedge.governance import approvals
from kedge.governance.approvals import ILLEGAL, NEXT, Approval, ApprovalKind, Code, Mark, Method, Move, Proof, Refused, State

from .people import (
    ADMIN,
    GRANT,
    LOCAL,
    MINUTE,
    NOW,
    OTHER_ADMIN,
    PASSWORD,
    PAYLOADS,
    RESEARCHER,
    RISK,
    SECOND,
    SYSTEM,
    TRADER,
    approved,
    asked,
    passkey,
    person,
)

HOUR = 60 * MINUTE
DAY = 24 * HOUR
LATER = NOW + 2 * SECOND
RISK_TWO = person("rik", Role.RISK)
DECLARED = "one person runs this"


def approve(approval: Approval, actor: Actor = OTHER_ADMIN, **changed: object) -> Approval:
    given: dict[str, object] = {
        "payload_sha256": approval.payload_sha256,
        "proof": passkey(approval),
        "requester_roles": ADMIN.roles,
        "now_wall_ns": LATER,
    }
    return approvals.approve(approval, actor, **(given | changed))  # type: ignore[arg-type]


def refuse(approval: Approval, actor: Actor = OTHER_ADMIN, **changed: object) -> Approval:
    given: dict[str, object] = {"payload_sha256": approval.payload_sha256, "reason": "not now", "now_wall_ns": LATER}
    return approvals.refuse(approval, actor, **(given | changed))  # type: ignore[arg-type]


def withdraw(approval: Approval, actor: Actor = ADMIN, **changed: object) -> Approval:
    return approvals.withdraw(approval, actor, **({"now_wall_ns": LATER} | changed))  # type: ignore[arg-type]


def use(approval: Approval, actor: Actor = ADMIN, **changed: object) -> Approval:
    given: dict[str, object] = {
        "payload_sha256": approval.payload_sha256,
        "requester_roles": ADMIN.roles,
        "approver_roles": OTHER_ADMIN.roles,
        "now_wall_ns": LATER,
    }
    return approvals.use(approval, actor, **(given | changed))  # type: ignore[arg-type]


def expire(approval: Approval, **changed: object) -> Approval:
    return approvals.expire(approval, **({"now_wall_ns": LATER, "actor": SYSTEM} | changed))  # type: ignore[arg-type]


def code_of(move: Callable[[], Approval]) -> str:
    """The state that a move leads to, or the code it is refused with."""
    try:
        return move().state
    except KedgeError as error:
        return error.code if all((error.what, error.why, error.fix)) else "a refusal without words"


IN_STATE: dict[State, Callable[[], Approval]] = {
    State.REQUESTED: asked,
    State.APPROVED: approved,
    State.REFUSED: lambda: refuse(asked()),
    State.WITHDRAWN: lambda: withdraw(asked()),
    State.EXPIRED: lambda: expire(asked(), now_wall_ns=NOW + 7 * DAY),
    State.USED: lambda: use(approved()),
}
MOVES: dict[Move, Callable[..., Approval]] = {
    Move.APPROVE: approve,
    Move.REFUSE: refuse,
    Move.WITHDRAW: withdraw,
    Move.USE: use,
    Move.EXPIRE: expire,
}

# What each move leads to when whoever may do it does it in time; a word in capitals is the code of a refusal.
STATES = """
           approve         refuse          withdraw        use          expire
requested  approved        refused         withdrawn       NOT_APPROVED NOT_EXPIRED
approved   ALREADY_DECIDED ALREADY_DECIDED ALREADY_DECIDED used         NOT_EXPIRED
refused    ALREADY_DECIDED ALREADY_DECIDED ALREADY_DECIDED NOT_APPROVED ALREADY_DECIDED
withdrawn  ALREADY_DECIDED ALREADY_DECIDED ALREADY_DECIDED NOT_APPROVED ALREADY_DECIDED
expired    EXPIRED         EXPIRED         EXPIRED         EXPIRED      EXPIRED
used       ALREADY_USED    ALREADY_USED    ALREADY_USED    ALREADY_USED ALREADY_USED
"""
CELLS = {
    (State(line.split()[0]), Move(move)): cell
    for head, *lines in [STATES.strip("\n").splitlines()]
    for line in lines
    for move, cell in zip(head.split(), line.split()[1:], strict=True)
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", Move)
def test_every_state_answers_every_move_as_the_table_says(state: State, move: Move) -> None:
    approval = IN_STATE[state]()
    assert approval.state is state
    assert code_of(lambda: MOVES[move](approval)) == CELLS[state, move]


def test_every_cell_is_legal_or_has_its_code() -> None:
    cells = {(state, move) for state in State for move in Move}
    assert set(NEXT) | set(ILLEGAL) == cells == set(CELLS)
    assert not set(NEXT) & set(ILLEGAL)


# role-grant: who may do what in each state. The person asks for themselves where they withdraw, else Ann, who is admin, asked.
ROLES = """
                 viewer          trader          researcher      risk            auditor         admin           none
request          WRONG_ROLE      WRONG_ROLE      WRONG_ROLE      WRONG_ROLE      WRONG_ROLE      requested       WRONG_ROLE
approve          WRONG_ROLE      WRONG_ROLE      WRONG_ROLE      approved        WRONG_ROLE      approved        WRONG_ROLE
refuse           WRONG_ROLE      WRONG_ROLE      WRONG_ROLE      refused         WRONG_ROLE      refused         WRONG_ROLE
withdraw         NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST
use              NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST NOT_OWN_REQUEST
"""
ROLE_CELLS = [
    (line.split()[0], role, cell)
    for head, *lines in [ROLES.strip("\n").splitlines()]
    for line in lines
    for role, cell in zip(head.split(), line.split()[1:], strict=True)
]


@pytest.mark.parametrize(("move", "role", "expected"), ROLE_CELLS, ids=str)
@pytest.mark.parametrize("state", State)
def test_every_role_does_in_every_state_what_the_tables_say(move: str, role: str, expected: str, state: State) -> None:
    somebody = person("zoe", *([] if role == "none" else [Role(role)]))
    if move == "request":
        assert code_of(lambda: asked(somebody)) == expected
        return
    cell = CELLS[state, Move(move)]
    legal = cell.islower()
    assert code_of(lambda: MOVES[Move(move)](IN_STATE[state](), somebody)) == (expected if legal else cell)


def test_two_people_are_four_eyes_and_the_record_names_both() -> None:
    done = use(approved())
    assert [step.state for step in done.steps] == [State.REQUESTED, State.APPROVED, State.USED]
    assert [step.person_id for step in done.steps] == ["p-ann", "p-ben", "p-ann"]
    assert done.requester.roles == (Role.ADMIN, Role.TRADER)
    assert done.requester.reason == "we need it"
    assert done.approver is not None
    assert done.approver.proof == passkey(asked())
    assert (done.four_eyes, done.mark) == (True, Mark.NONE)
    assert done.content() == GRANT
    assert hashlib.sha256(b'{"person_id":"p-cem","roles":["auditor"]}').hexdigest() == done.payload_sha256
    assert not asked().four_eyes


def test_who_approved_may_carry_it_out_too() -> None:
    assert use(approved(), OTHER_ADMIN).state is State.USED


@pytest.mark.parametrize("written", ["p-ann", "P-ANN", " p-Ann "])
def test_nobody_approves_or_refuses_their_own_request_however_their_id_is_written(written: str) -> None:
    alias = msgspec.structs.replace(ADMIN, person_id=written)
    for decide in (approve, refuse):
        with pytest.raises(Refused, match="your own request; why: another person") as caught:
            decide(asked(), alias)
        assert caught.value.code == Code.OWN_REQUEST
        assert isinstance(caught.value, ApprovalRefused)


def test_who_gains_by_a_grant_does_not_approve_it() -> None:
    request = approvals.request(
        ApprovalKind.ROLE_GRANT,
        {"person_id": "P-BEN", "roles": ["admin", "trader"]},
        approval_id="a-2",
        actor=ADMIN,
        reason="more",
        now_wall_ns=NOW,
    )
    with pytest.raises(Refused, match="ben cannot approve this; why: who gains by it") as caught:
        approve(request)
    assert caught.value.code == Code.NOT_INDEPENDENT
    assert refuse(request).state is State.REFUSED


@pytest.mark.parametrize("move", [approve, refuse])
def test_a_decision_over_another_payload_is_refused(move: Callable[..., Approval]) -> None:
    with pytest.raises(Refused, match=r"not the one of this approval; why: the approval binds SHA-256 \w{64}") as caught:
        move(asked(), payload_sha256="0" * 64)
    assert caught.value.code == Code.PAYLOAD_CHANGED


def test_what_is_carried_out_must_be_what_was_approved() -> None:
    with pytest.raises(Refused) as caught:
        use(approved(), payload_sha256=hashlib.sha256(b"{}").hexdigest())
    assert caught.value.code == Code.PAYLOAD_CHANGED


@pytest.mark.parametrize(("move", "state"), [(approve, State.REQUESTED), (refuse, State.REQUESTED), (use, State.APPROVED)])
def test_a_record_whose_text_was_changed_carries_nothing(move: Callable[..., Approval], state: State) -> None:
    honest = IN_STATE[state]()
    text = honest.payload.replace("auditor", "admin")
    for forged in (
        msgspec.structs.replace(honest, payload=text),
        msgspec.structs.replace(honest, payload=text, payload_sha256=hashlib.sha256(text.encode()).hexdigest()),
    ):
        with pytest.raises(Refused) as caught:
            move(forged, payload_sha256=honest.payload_sha256)
        assert caught.value.code == Code.PAYLOAD_CHANGED


def test_a_decision_comes_within_its_time_or_not_at_all() -> None:
    end = asked().expires_wall_ns
    assert end == NOW + 7 * DAY
    assert approve(asked(), now_wall_ns=end - 1).state is State.APPROVED
    for move in (approve, refuse, withdraw):
        with pytest.raises(Refused, match="time is over") as caught:
            move(asked(), now_wall_ns=end)
        assert caught.value.code == Code.EXPIRED


def test_a_use_comes_within_its_time_or_not_at_all() -> None:
    approval = approved(at=NOW + SECOND)
    assert approval.expires_wall_ns == NOW + SECOND + DAY
    assert use(approval, now_wall_ns=NOW + DAY).state is State.USED
    with pytest.raises(Refused) as caught:
        use(approval, now_wall_ns=NOW + SECOND + DAY)
    assert caught.value.code == Code.EXPIRED


def test_what_waits_for_too_long_is_due_and_expires_by_the_system() -> None:
    for approval in (asked(), approved()):
        end = approval.expires_wall_ns
        assert not approvals.is_due(approval, end - 1)
        assert approvals.is_due(approval, end)
        gone = expire(approval, now_wall_ns=end)
        assert gone.steps[-1].person_id == "system"
        assert not approvals.is_due(gone, end)
    assert not approvals.is_due(use(approved()), NOW + 99 * DAY)


def test_an_approval_is_used_once() -> None:
    with pytest.raises(Refused, match="cannot use an approval that is used; why: it is used once") as caught:
        use(use(approved()))
    assert caught.value.code == Code.ALREADY_USED


@pytest.mark.parametrize("roles", [(), (Role.TRADER,), (Role.VIEWER,)])
def test_both_roles_count_when_it_is_decided_and_when_it_is_used(roles: tuple[Role, ...]) -> None:
    for late in (
        lambda: approve(asked(), requester_roles=roles),
        lambda: use(approved(), requester_roles=roles),
        lambda: use(approved(), approver_roles=roles),
    ):
        assert code_of(late) == Code.WRONG_ROLE


def test_a_role_that_came_later_does_not_stand_in_for_one_that_went() -> None:
    kim = person("kim", Role.RISK)
    request = asked(kim, ApprovalKind.LIMIT_LOOSEN)
    assert approve(request, TRADER, requester_roles=(Role.RISK,)).four_eyes
    assert code_of(lambda: approve(request, RISK_TWO, requester_roles=(Role.TRADER,))) == Code.WRONG_ROLE
    assert code_of(lambda: use(approved(person("ben", Role.RISK)), approver_roles=(Role.ADMIN,))) == Code.WRONG_ROLE


def test_somebody_who_lost_the_role_may_still_be_refused() -> None:
    assert refuse(asked()).steps[-1].reason == "not now"


def test_a_passkey_counts_for_the_approval_it_was_asked_about_alone() -> None:
    elsewhere = passkey(asked(approval_id="a-9"))
    unsigned = msgspec.structs.replace(passkey(asked()), signature="")
    for proof in (elsewhere, unsigned, Proof(method=Method.PASSKEY)):
        with pytest.raises(Refused, match="not over this approval") as caught:
            approve(asked(), proof=proof)
        assert caught.value.code == Code.PROOF_ELSEWHERE


def test_a_passkey_over_the_approval_is_itself_the_fresh_proof() -> None:
    stale = person("ben", Role.ADMIN, proved=None)
    assert approve(asked(), stale).state is State.APPROVED


@pytest.mark.parametrize("method", [Method.PASSWORD_TOTP, Method.SESSION])
def test_any_other_proof_must_be_fresh(method: Method) -> None:
    proof = Proof(method=method)
    fresh = person("ben", Role.ADMIN, proved=LATER - 5 * MINUTE)
    stale = person("ben", Role.ADMIN, proved=LATER - 5 * MINUTE - 1)
    assert approve(asked(), fresh, proof=proof).steps[-1].proof == proof
    with pytest.raises(StepUpRequired):
        approve(asked(), stale, proof=proof)


def test_only_a_person_in_a_session_decides() -> None:
    token = person("ben", Role.ADMIN, scopes=list(Scope))
    narrowed = person("ben", Role.ADMIN, scopes=list(Scope), source=Source.BROWSER)
    local = msgspec.structs.replace(OTHER_ADMIN, person_id="local:ben")
    for move in (approve, refuse):
        for nobody in (token, narrowed, local, LOCAL, SYSTEM):
            with pytest.raises(Forbidden, match="only a person in a session decides"):
                move(asked(), nobody)


@pytest.mark.parametrize("kind", ApprovalKind)
def test_a_token_needs_the_scope_of_the_kind_to_ask_withdraw_or_carry_out(kind: ApprovalKind) -> None:
    scope = {
        ApprovalKind.ROLE_GRANT: Scope.ADMIN,
        ApprovalKind.BRAKE_RELEASE: Scope.BRAKE_RELEASE,
        ApprovalKind.LIMIT_LOOSEN: Scope.RISK_WRITE,
        ApprovalKind.ORDER_OVERRIDE: Scope.RISK_WRITE,
        ApprovalKind.MODEL_PROMOTE: Scope.MODEL_APPROVE,
        ApprovalKind.GO_LIVE: Scope.TRADE_LIVE,
        ApprovalKind.KEY_CHANGE: Scope.ADMIN,
        ApprovalKind.RETENTION_CHANGE: Scope.ADMIN,
    }[kind]
    held = (Role.ADMIN, Role.TRADER, Role.RESEARCHER)
    right, wrong = person("ann", *held, scopes=[scope]), person("ann", *held, scopes=[one for one in Scope if one is not scope])
    request = asked(right, kind)
    assert request.requester.source is Source.TOKEN
    assert withdraw(request, right).state is State.WITHDRAWN
    for refused in (lambda: asked(wrong, kind), lambda: withdraw(request, wrong)):
        with pytest.raises(Forbidden, match=f"it takes the scope {scope}"):
            refused()
    if kind is ApprovalKind.ROLE_GRANT:
        assert use(approved(), right).state is State.USED
        with pytest.raises(Forbidden, match="it takes the scope admin"):
            use(approved(), wrong)


@pytest.mark.parametrize("nobody", [LOCAL, SYSTEM])
def test_only_people_ask(nobody: Actor) -> None:
    with pytest.raises(Forbidden, match="nobody is signed in who could ask"):
        asked(msgspec.structs.replace(nobody, roles=(Role.ADMIN,)))


def test_a_reason_is_given_short_and_plain() -> None:
    ask = {"approval_id": "a", "actor": ADMIN, "now_wall_ns": NOW}
    for reason, why in ((" ", "reason is empty: a request"), ("x" * 501, "501 characters"), ("a\u202eb", "invisible")):
        with pytest.raises(InvalidInput, match=why):
            approvals.request(ApprovalKind.ROLE_GRANT, GRANT, reason=reason, **ask)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="reason is empty: a refusal"):
        refuse(asked(), reason="")
    with pytest.raises(InvalidInput, match="501 characters"):
        approve(asked(), reason="x" * 501)
    with pytest.raises(InvalidInput, match="invisible"):
        withdraw(asked(), reason="\x00")
    assert approve(asked(), reason=" seen ").steps[-1].reason == "seen"


def test_one_person_alone_approves_where_it_is_declared_and_after_a_quarter_of_an_hour() -> None:
    ready = NOW + 15 * MINUTE
    alone = {"solo_reason": DECLARED, "reason": "slept on it", "proof": PASSWORD}
    fresh = msgspec.structs.replace(ADMIN, step_up_wall_ns=ready - 1)
    with pytest.raises(Refused, match=r"must stand for 15 minutes first; .* fix: come back in 1 s") as caught:
        approve(asked(), fresh, now_wall_ns=ready - 1, **alone)
    assert caught.value.code == Code.COOLING
    fresh = msgspec.structs.replace(ADMIN, step_up_wall_ns=ready)
    solo = approve(asked(), fresh, now_wall_ns=ready, **alone)
    assert (solo.mark, solo.four_eyes) == (Mark.SOLO, False)
    assert solo.steps[-1].solo_reason == DECLARED
    used = use(solo, approver_roles=ADMIN.roles, now_wall_ns=ready)
    assert (used.state, used.mark, used.four_eyes) == (State.USED, Mark.SOLO, False)
    with pytest.raises(InvalidInput, match="reason is empty: an approval of one's own request"):
        approve(asked(), fresh, now_wall_ns=ready, **(alone | {"reason": ""}))


def test_a_clock_that_was_set_back_shortens_no_cooling() -> None:
    with pytest.raises(Refused) as caught:
        approve(asked(), ADMIN, now_wall_ns=NOW - HOUR, solo_reason=DECLARED, reason="now")
    assert caught.value.code == Code.COOLING


def test_declared_solo_changes_nothing_between_two_people() -> None:
    both = approve(asked(), solo_reason=DECLARED)
    assert (both.mark, both.four_eyes, both.steps[-1].solo_reason) == (Mark.NONE, True, "")


def test_who_lost_the_role_cannot_go_on_alone() -> None:
    demoted = msgspec.structs.replace(ADMIN, roles=(Role.TRADER,))
    with pytest.raises(Refused) as caught:
        approve(asked(), demoted, now_wall_ns=NOW + HOUR, solo_reason=DECLARED, reason="alone")
    assert caught.value.code == Code.WRONG_ROLE


@pytest.mark.parametrize(
    ("kind", "asker"),
    [(ApprovalKind.GO_LIVE, TRADER), (ApprovalKind.RETENTION_CHANGE, ADMIN)],
)
def test_solo_mode_does_not_reach_every_kind(kind: ApprovalKind, asker: Actor) -> None:
    with pytest.raises(Refused, match="one person alone may not") as caught:
        approve(asked(asker, kind), asker, now_wall_ns=NOW + 20 * MINUTE, solo_reason=DECLARED, reason="alone")
    assert caught.value.code == Code.SOLO_NOT_ALLOWED


@pytest.mark.parametrize(
    ("authors", "why"),
    [
        (["p-rea", "P-KIM"], "who made it does not approve it"),
        (None, "nobody knows who made it"),
        (["p-rea"], ""),
    ],
)
def test_a_model_is_approved_by_somebody_who_did_not_make_it(authors: list[str] | None, why: str) -> None:
    request = asked(RESEARCHER, ApprovalKind.MODEL_PROMOTE)
    given = {"requester_roles": RESEARCHER.roles, "authors": authors}
    if not why:
        assert approve(request, RISK, **given).four_eyes
        return
    with pytest.raises(Refused, match=f"kim cannot approve this; why: {why}") as caught:
        approve(request, RISK, **given)
    assert caught.value.code == Code.NOT_INDEPENDENT


def test_independence_names_who_gains_before_who_made_it() -> None:
    problem = approvals.independence_problem
    assert problem("p-a", ["p-a"], ["p-a"]) == "who gains by it does not approve it"
    assert problem("p-a", [], ["p-a"]) == "who made it does not approve it"
    assert problem("p-a", ["p-b"], ["p-c"]) == problem("p-a", [], []) == ""


def begin(approval: Approval, actor: Actor = ADMIN, **changed: object) -> Approval:
    given = {"payload_sha256": approval.payload_sha256, "proof": PASSWORD, "held": ["p-ann"], "now_wall_ns": LATER}
    return approvals.bootstrap(approval, actor, **(given | changed))  # type: ignore[arg-type]


def test_the_first_admin_begins_alone_and_it_is_marked() -> None:
    begun = begin(asked())
    assert (begun.state, begun.mark, begun.four_eyes) == (State.APPROVED, Mark.BOOTSTRAP, False)
    used = use(begun, approver_roles=(), held=["P-ANN"])
    assert (used.state, used.four_eyes) == (State.USED, False)


@pytest.mark.parametrize("held", [["p-ann", "p-ben"], ["p-ben"], None])
def test_a_beginning_ends_for_ever_when_somebody_else_could_approve(held: list[str] | None) -> None:
    if held is not None:
        with pytest.raises(Refused, match="one person alone cannot") as caught:
            begin(asked(), held=held)
        assert caught.value.code == Code.NO_BOOTSTRAP
    with pytest.raises(Refused) as caught:
        use(begin(asked()), held=held)
    assert caught.value.code == Code.NO_BOOTSTRAP


def test_a_used_approval_shows_who_held_and_who_got_an_approving_role() -> None:
    approvers = frozenset({Role.ADMIN, Role.RISK})
    assert approvals.shown_holding(use(approved()), approvers) == {"p-ann", "p-ben"}
    assert approvals.shown_holding(use(approved()), approvers | {Role.AUDITOR}) == {"p-ann", "p-ben", "p-cem"}
    request = asked(TRADER, ApprovalKind.GO_LIVE)
    assert approvals.shown_holding(approve(request, RISK, requester_roles=TRADER.roles), approvers) == {"p-kim"}


def test_a_beginning_keeps_every_other_rule() -> None:
    assert code_of(lambda: begin(asked(), OTHER_ADMIN, held=["p-ben"])) == Code.NOT_OWN_REQUEST
    assert code_of(lambda: begin(asked(), payload_sha256="0" * 64)) == Code.PAYLOAD_CHANGED
    assert code_of(lambda: begin(asked(), now_wall_ns=NOW + 7 * DAY)) == Code.EXPIRED
    assert code_of(lambda: begin(approved())) == Code.ALREADY_DECIDED
    assert code_of(lambda: begin(asked(), proof=passkey(asked(approval_id="a-9")))) == Code.PROOF_ELSEWHERE
    assert code_of(lambda: begin(asked(), msgspec.structs.replace(ADMIN, step_up_wall_ns=None))) == "STEP_UP_REQUIRED"
    assert code_of(lambda: begin(asked(), person("ann", Role.ADMIN, scopes=[Scope.ADMIN]))) == "FORBIDDEN"
    assert code_of(lambda: begin(asked(), msgspec.structs.replace(ADMIN, roles=(Role.TRADER,)))) == Code.NO_BOOTSTRAP


@pytest.mark.parametrize("kind", [kind for kind in ApprovalKind if kind is not ApprovalKind.ROLE_GRANT])
def test_no_other_kind_begins_alone(kind: ApprovalKind) -> None:
    everything = person("ann", Role.ADMIN, Role.TRADER, Role.RESEARCHER)
    assert PAYLOADS[kind]
    assert code_of(lambda: begin(asked(everything, kind), everything)) == Code.NO_BOOTSTRAP


def test_a_clock_that_was_set_back_turns_no_history_round() -> None:
    early = NOW - 30 * DAY
    approval = approve(asked(), now_wall_ns=early)
    assert approval.steps[-1].at_wall_ns == NOW
    assert approval.expires_wall_ns == NOW + DAY
    assert use(approval, now_wall_ns=early).steps[-1].at_wall_ns == NOW


def test_a_signature_covers_all_that_led_to_a_state() -> None:
    approval = use(approved())
    request = asked()
    assert approvals.signing_bytes(approval, 1) == approvals.signing_bytes(request)
    assert approvals.signing_bytes(approval).startswith(b"kedge/approval/v1\n{")
    states = [approvals.signing_bytes(approval, count) for count in (1, 2, 3)]
    assert len(set(states)) == 3
    assert approvals.challenge_of(approval) == approvals.challenge_of(request) == hashlib.sha256(states[0]).digest()
    changed = msgspec.structs.replace(approval, steps=(msgspec.structs.replace(approval.steps[0], reason="other"), *approval.steps[1:]))
    assert approvals.signing_bytes(changed) != states[2]


@pytest.mark.parametrize(
    "other",
    [
        lambda: asked(approval_id="a-2"),
        lambda: asked(OTHER_ADMIN),
        lambda: asked(at=NOW + 1),
        lambda: asked(TRADER, ApprovalKind.BRAKE_RELEASE),
    ],
)
def test_two_requests_never_share_a_challenge(other: Callable[[], Approval]) -> None:
    assert approvals.challenge_of(other()) != approvals.challenge_of(asked())


def test_a_record_reads_back_as_it_was_written() -> None:
    for make in IN_STATE.values():
        approval = make()
        assert msgspec.json.decode(msgspec.json.encode(approval), type=Approval) == approval
