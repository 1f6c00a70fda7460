"""Which two people a kind takes, and what a payload may hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.people import Role
from kedge.governance import approval_kinds, approvals
from kedge.governance.approval_kinds import KINDS, ApprovalKind, canonical_payload, check_payload, kind_of, payload_sha256
from kedge.governance.approvals import Refused
from kedge.governance.roles import RolesExclude

from .people import GRANT, NOW, asked, passkey, person

# kind, who asks and who approves: every pair that is not here is refused.
PAIRS = {
    ApprovalKind.ROLE_GRANT: {("admin", "admin"), ("admin", "risk")},
    ApprovalKind.BRAKE_RELEASE: {("trader", "risk"), ("admin", "risk"), ("risk", "trader"), ("risk", "admin")},
    ApprovalKind.LIMIT_LOOSEN: {("trader", "risk"), ("admin", "risk"), ("risk", "trader"), ("risk", "admin")},
    ApprovalKind.ORDER_OVERRIDE: {("trader", "risk"), ("admin", "risk"), ("risk", "trader"), ("risk", "admin")},
    ApprovalKind.MODEL_PROMOTE: {("researcher", "risk")},
    ApprovalKind.GO_LIVE: {("trader", "risk")},
    ApprovalKind.KEY_CHANGE: {("trader", "risk"), ("admin", "risk"), ("admin", "admin")},
    ApprovalKind.RETENTION_CHANGE: {("admin", "admin"), ("admin", "risk")},
}
SOLO = {
    ApprovalKind.ROLE_GRANT,
    ApprovalKind.BRAKE_RELEASE,
    ApprovalKind.LIMIT_LOOSEN,
    ApprovalKind.MODEL_PROMOTE,
    ApprovalKind.KEY_CHANGE,
}


@pytest.mark.parametrize("kind", ApprovalKind)
@pytest.mark.parametrize("asks", Role)
@pytest.mark.parametrize("approves", Role)
def test_a_kind_takes_exactly_its_pairs(kind: ApprovalKind, asks: Role, approves: Role) -> None:
    asker, approver = person("ann", asks), person("ben", approves)
    try:
        request = asked(asker, kind)
        approvals.approve(
            request,
            approver,
            payload_sha256=request.payload_sha256,
            proof=passkey(request),
            requester_roles=asker.roles,
            now_wall_ns=NOW,
            authors=(),
        )
    except Refused as error:
        code = error.code
    else:
        code = ""
    assert code == ("" if (asks, approves) in PAIRS[kind] else approvals.Code.WRONG_ROLE)


def test_every_kind_has_its_row_and_its_times() -> None:
    assert set(KINDS) == set(ApprovalKind) == set(PAIRS)
    for kind, rule in KINDS.items():
        assert rule.may_solo is (kind in SOLO)
        assert rule.may_bootstrap is (kind is ApprovalKind.ROLE_GRANT)
        assert rule.independent is (kind is ApprovalKind.MODEL_PROMOTE)
        assert 0 < rule.use_ttl_s <= rule.ttl_s
        assert rule.requesters == {Role(one) for one, _ in PAIRS[kind]}
        assert rule.approvers == {Role(other) for _, other in PAIRS[kind]}


def test_a_kind_is_found_by_its_word() -> None:
    assert kind_of("go-live") is ApprovalKind.GO_LIVE
    with pytest.raises(InvalidInput, match=r"kind 'GO-LIVE' is none that is approved; why: there are role-grant, "):
        kind_of("GO-LIVE")


def test_equal_payloads_have_equal_bytes_and_others_do_not() -> None:
    assert canonical_payload({"b": 1, "a": [True, "x"]}) == b'{"a":[true,"x"],"b":1}'
    assert payload_sha256({"b": 1, "a": 2}) == payload_sha256({"a": 2, "b": 1})
    assert payload_sha256({"a": 1}) != payload_sha256({"a": "1"}) != payload_sha256({"a": True})


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"a": 1.5}, r"payload\.a is a float"),
        ({"a": {"b": [0, 1.0]}}, r"payload\.a\.b\[1\] is a float"),
        ({"a": None}, r"payload\.a is a NoneType"),
        ({"a": b"x"}, r"payload\.a is a bytes"),
        ({"A": 1}, r"payload has the key 'A'"),
        ({1: 1}, r"payload has the key 1"),
        ({"a": {"": 1}}, r"payload\.a has the key ''"),
        ({"a": 2**53}, r"payload\.a = 9007199254740992 is beyond"),
        ({"a": -(2**53)}, "beyond"),
        ({"a": "x\u202ey"}, r"payload\.a has an invisible character"),
        ({"a": "x\u200by"}, "invisible"),
        ({"a": "x\ry"}, "invisible"),
        ({"a": "\ud800"}, "invisible"),
        ({"a": "x" * 16384}, r"payload has 16392 bytes"),
        ({"a": [[[[[[[[1]]]]]]]]}, "nested too deep"),
    ],
)
def test_what_has_no_exact_form_is_refused_with_its_place(payload: dict[Any, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        canonical_payload(payload)
    assert caught.value.why
    assert caught.value.fix


def test_the_largest_and_deepest_that_is_allowed_passes() -> None:
    assert canonical_payload({"a": 2**53 - 1, "b": "zwei\nZeilen, ä", "c": False, "d": [[[[[[1]]]]]]})
    assert len(canonical_payload({"a": "x" * (16 * 1024 - 8)})) == 16 * 1024


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "payload of role-grant: Object missing required field `person_id`"),
        (GRANT | {"more": 1}, "unknown field `more`"),
        (GRANT | {"roles": ["boss"]}, "Invalid enum value 'boss'"),
        (GRANT | {"roles": ["trader", "admin"]}, "not sorted, each once"),
        (GRANT | {"roles": ["admin", "admin"]}, "not sorted, each once"),
        (GRANT | {"roles": ["trader"]}, r"payload\.roles \(trader\) needs no approval"),
        (GRANT | {"roles": []}, r"payload\.roles \(none\) needs no approval"),
        (GRANT | {"version": "3"}, "Expected `int"),
    ],
)
def test_a_grant_that_nobody_could_carry_out_is_refused(payload: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_payload(ApprovalKind.ROLE_GRANT, payload)


def test_a_grant_of_roles_that_exclude_each_other_is_refused() -> None:
    with pytest.raises(RolesExclude, match="risk and trader exclude each other"):
        check_payload(ApprovalKind.ROLE_GRANT, GRANT | {"roles": ["risk", "trader"]})


def test_a_grant_names_who_gains_and_other_kinds_name_nobody() -> None:
    assert approval_kinds.gainers(ApprovalKind.ROLE_GRANT, GRANT) == ("p-cem",)
    assert approval_kinds.gainers(ApprovalKind.GO_LIVE, {"account": "live"}) == ()
    grant = approval_kinds.role_grant(GRANT | {"version": 3})
    assert (grant.roles, grant.version) == ((Role.AUDITOR,), 3)
    assert msgspec.json.encode(approval_kinds.role_grant(GRANT)) == b'{"person_id":"p-cem","roles":["auditor"]}'
