"""No sequence of acts uses an approval up without another person's word (or declared solo after cooling), twice, or too late.

The books that judge are kept here, from what was asked and answered, not from the approval's own record.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.governance.people import PAYLOADS, SYSTEM

from kedge.domain.errors import KedgeError
from kedge.domain.people import Actor, Role, Source
from kedge.governance import approvals
from kedge.governance.approval_history import history_problems
from kedge.governance.approvals import Approval, ApprovalKind, Mark, Method, Proof, State

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_800_000_000 * SECOND
NAMES = ("p-ann", "P-ANN", "p-ben", "p-kim", "p-cem")
"""Ann is written in two ways; cem is whom the grant is for."""
JUMPS = st.sampled_from([SECOND, MINUTE, 14 * MINUTE, 15 * MINUTE, 16 * MINUTE, HOUR, 24 * HOUR, 8 * 24 * HOUR, -MINUTE, -HOUR])
MOSTLY = st.sampled_from([True] * 7 + [False])
ROLE_SETS = st.sampled_from(
    [(), (Role.VIEWER,), (Role.ADMIN,), (Role.RISK,), (Role.TRADER,), (Role.ADMIN, Role.TRADER), (Role.RESEARCHER,), (Role.AUDITOR,)]
)
_ADMIN, _RISK, _TRADER = (Role.ADMIN,), (Role.RISK,), (Role.TRADER,)
FITTING = {
    ApprovalKind.ROLE_GRANT: [(_ADMIN, _ADMIN), (_ADMIN, _RISK)],
    ApprovalKind.BRAKE_RELEASE: [(_TRADER, _RISK), (_RISK, _ADMIN)],
    ApprovalKind.LIMIT_LOOSEN: [(_ADMIN, _RISK), (_RISK, _TRADER)],
    ApprovalKind.ORDER_OVERRIDE: [(_TRADER, _RISK), (_RISK, _ADMIN)],
    ApprovalKind.MODEL_PROMOTE: [((Role.RESEARCHER,), _RISK)],
    ApprovalKind.GO_LIVE: [(_TRADER, _RISK)],
    ApprovalKind.KEY_CHANGE: [(_ADMIN, _ADMIN), (_TRADER, _RISK)],
    ApprovalKind.RETENTION_CHANGE: [(_ADMIN, _RISK)],
}
"""Roles with which a request can go all the way."""


def one_person(name: str) -> str:
    return name.lower()


class OneApproval(RuleBasedStateMachine):
    """One approval, four people whose roles change, a clock that also jumps back, and everybody who tries everything."""

    @initialize(
        kind=st.sampled_from([ApprovalKind.ROLE_GRANT, *ApprovalKind]),
        pair=st.integers(0, 3),
        solo=st.sampled_from(["one person runs this", ""]),
        others=st.tuples(ROLE_SETS, ROLE_SETS),
        alone=st.sampled_from([False, False, True]),
    )
    def somebody_asks(
        self, kind: ApprovalKind, pair: int, solo: str, others: tuple[tuple[Role, ...], tuple[Role, ...]], alone: bool
    ) -> None:
        """Ann asks; Ben could approve unless she is alone, and what kim and cem hold is chance."""
        asks, approves = FITTING[kind][pair % len(FITTING[kind])]
        self.roles: dict[str, tuple[Role, ...]] = {"p-ann": asks, "p-ben": () if alone else approves}
        self.roles |= {"p-kim": (), "p-cem": ()} if alone else dict(zip(("p-kim", "p-cem"), others, strict=True))
        self.kind, self.solo, self.now = kind, solo, START
        self.proved: dict[str, int] = {}
        self.asked_by, self.asked_at = "p-ann", START
        self.approved_by: str | None = None
        self.approved_at = 0
        self.mark = Mark.NONE
        self.uses = 0
        self.ever_held = {name for name, held in self.roles.items() if set(held) & {Role.ADMIN, Role.RISK}}
        self.approval = approvals.request(
            kind, PAYLOADS[kind], approval_id="a", actor=self.actor("p-ann"), reason="because", now_wall_ns=self.now
        )

    def actor(self, name: str) -> Actor:
        one = one_person(name)
        return Actor(person_id=name, name=one, roles=self.roles[one], source=Source.BROWSER, step_up_wall_ns=self.proved.get(one))

    def attempt(self, move: Any, *args: Any, **given: Any) -> bool:
        try:
            self.approval = move(*args, **given)
        except KedgeError:
            return False
        return True

    @rule(what=st.one_of(JUMPS, st.sampled_from(NAMES), st.tuples(st.sampled_from(["p-cem", "p-cem", *NAMES]), ROLE_SETS)))
    def the_world_moves(self, what: int | str | tuple[str, tuple[Role, ...]]) -> None:
        """Time passes or is set back, somebody proves who they are, or somebody's roles change."""
        if isinstance(what, int):
            self.now += what
        elif isinstance(what, str):
            self.proved[one_person(what)] = self.now
        else:
            name, roles = what
            self.roles[one_person(name)] = roles
            if set(roles) & {Role.ADMIN, Role.RISK}:
                self.ever_held.add(one_person(name))

    @rule(
        name=st.sampled_from(["p-ben", "p-ben", "p-ben", "p-kim", "p-cem"]),
        passkey=MOSTLY,
        right=MOSTLY,
        authors=st.sampled_from([(), ("p-kim",), ("p-BEN",), None]),
    )
    def another_person_approves(self, name: str, passkey: bool, right: bool, authors: tuple[str, ...] | None) -> None:
        if not self.approved(name, passkey, right, alone=False, authors=authors):
            return
        assert self.kind is not ApprovalKind.ROLE_GRANT or name != "p-cem", "who gains approved"
        if self.kind is ApprovalKind.MODEL_PROMOTE:
            assert authors is not None, "nobody knew who made it"
            assert name not in [author.lower() for author in authors], "who made it approved"

    @rule(name=st.sampled_from(["p-ann", "P-ANN"]), passkey=MOSTLY, right=MOSTLY, alone=st.booleans())
    def who_asked_approves(self, name: str, passkey: bool, right: bool, alone: bool) -> None:
        if not self.approved(name, passkey, right, alone=alone, authors=()):
            return
        self.mark = Mark.BOOTSTRAP if alone else Mark.SOLO
        if alone:
            assert self.kind is ApprovalKind.ROLE_GRANT
            assert self.ever_held <= {self.asked_by}, "began alone although somebody else could approve"
        else:
            assert self.solo, "solo that nobody declared"
            assert self.now - self.asked_at >= 15 * MINUTE, "solo before cooling"
            assert self.kind not in (ApprovalKind.GO_LIVE, ApprovalKind.RETENTION_CHANGE)

    def approved(self, name: str, passkey: bool, right: bool, *, alone: bool, authors: tuple[str, ...] | None) -> bool:
        """Whether it was approved; what holds of every approval is looked at here."""
        before = self.approval
        proof = Proof(method=Method.PASSWORD_TOTP)
        if passkey:
            proof = Proof(method=Method.PASSKEY, binds=approvals.challenge_of(before).hex(), signature="00")
        given: dict[str, Any] = {
            "payload_sha256": before.payload_sha256 if right else "0" * 64,
            "proof": proof,
            "now_wall_ns": self.now,
            "reason": "seen",
        }
        if alone:
            done = self.attempt(approvals.bootstrap, before, self.actor(name), held=tuple(self.ever_held), **given)
        else:
            given |= {"requester_roles": self.roles[self.asked_by], "solo_reason": self.solo, "authors": authors}
            done = self.attempt(approvals.approve, before, self.actor(name), **given)
        if done:
            one = one_person(name)
            assert right, "another payload was approved"
            assert self.approved_by is None, "approved twice"
            assert passkey or 0 <= self.now - self.proved[one] <= 5 * MINUTE, "no fresh proof"
            self.approved_by, self.approved_at = one, max(self.now, self.asked_at)
        return done

    @rule(how=st.sampled_from(["expire", "refuse", "withdraw"]), name=st.sampled_from(["p-cem", "p-cem", *NAMES]))
    def somebody_ends_it(self, how: str, name: str) -> None:
        actor, given = self.actor(name), {"now_wall_ns": self.now, "reason": "no"}
        if how == "expire":
            due = approvals.is_due(self.approval, self.now)
            assert self.attempt(approvals.expire, self.approval, now_wall_ns=self.now, actor=SYSTEM) is due
        elif how == "refuse":
            if self.attempt(approvals.refuse, self.approval, actor, payload_sha256=self.approval.payload_sha256, **given):
                assert one_person(name) != self.asked_by
                assert self.approved_by is None
        elif self.attempt(approvals.withdraw, self.approval, actor, **given):
            assert one_person(name) == self.asked_by
            assert self.approved_by is None

    @rule(name=st.sampled_from([*NAMES, "p-ann"]), right=MOSTLY)
    def somebody_uses_it(self, name: str, right: bool) -> None:
        before = self.approval
        approver = self.approved_by
        if not self.attempt(
            approvals.use,
            before,
            self.actor(name),
            payload_sha256=before.payload_sha256 if right else "0" * 64,
            requester_roles=self.roles[self.asked_by],
            approver_roles=self.roles[approver] if approver else (),
            held=tuple(self.ever_held),
            now_wall_ns=self.now,
        ):
            return
        self.uses += 1
        assert self.uses == 1, "used twice"
        assert right, "another payload was carried out"
        assert approver is not None, "nobody approved it"
        assert one_person(name) in (self.asked_by, approver)
        assert approver != self.asked_by or self.mark is not Mark.NONE
        assert self.now < self.approved_at + approvals_last(self.kind), "too late"
        assert self.mark is not Mark.BOOTSTRAP or self.ever_held <= {self.asked_by}

    @invariant()
    def the_record_says_what_happened(self) -> None:
        assert history_problems(self.approval) == []
        assert self.approval.mark is self.mark
        assert self.approval.four_eyes is (self.approved_by is not None and self.approved_by != self.asked_by)
        assert (self.approval.state is State.USED) is (self.uses == 1)
        assert msgspec.json.decode(msgspec.json.encode(self.approval), type=Approval) == self.approval


LAST_S = {
    ApprovalKind.ROLE_GRANT: 86_400,
    ApprovalKind.BRAKE_RELEASE: 900,
    ApprovalKind.LIMIT_LOOSEN: 3600,
    ApprovalKind.ORDER_OVERRIDE: 900,
    ApprovalKind.MODEL_PROMOTE: 86_400,
    ApprovalKind.GO_LIVE: 3600,
    ApprovalKind.KEY_CHANGE: 3600,
    ApprovalKind.RETENTION_CHANGE: 3600,
}


def approvals_last(kind: ApprovalKind) -> int:
    """How long an approval may be used, written down a second time."""
    return LAST_S[kind] * SECOND


TestOneApproval = OneApproval.TestCase
TestOneApproval.settings = settings(stateful_step_count=30)
