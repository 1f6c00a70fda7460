"""Approvals about limits, end to end: asked for, approved by a second person, carried out into the account's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.services.people.world import Known, World, world

from kedge.domain.errors import ApprovalRefused, Conflict, InvalidConfig, InvalidInput
from kedge.domain.people import Role
from kedge.governance.approval_record import State
from kedge.ops.settings import Limits as Configured
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.services.limits_store import LimitsStore
from kedge.services.overrides import OverrideFiles
from kedge.services.people.approval_record import ApprovalRecord

PRODUCT = Limits.from_plain(Configured().engine_values())
LOOSER = {"account": "demo", "base_version": PRODUCT.version, "changes": {"var99_max_frac": "0.038"}, "reason": "calm"}
BLOCK = {"account": "demo", "instrument": "v:AAA", "side": "buy", "qty": "1.5", "rules": ["FAT_FINGER"], "valid_s": 60, "reason": "a block"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def ada(one: World) -> Known:
    return one.first("ada")


@pytest.fixture
def rita(one: World, ada: Known) -> Known:
    found = one.invited(ada, "rita")
    one.granted(found, [Role.RISK])
    one.sign_in(found)
    return found


@pytest.fixture
def store(one: World) -> LimitsStore:
    made = LimitsStore(one.folder, "demo", wall_ns=lambda: 1)
    made.begin(PRODUCT, TriggerLimits(), "trader")
    return made


def asked(one: World, by: Known, kind: str, payload: dict[str, Any], **changed: Any) -> ApprovalRecord:
    one.fresh(by)
    return one.desk.approvals.request(by.actor, kind, {**payload, **changed}, "we need it", by.client)


def approved(one: World, by: Known, record: ApprovalRecord) -> ApprovalRecord:
    one.fresh(by)
    return one.desk.approvals.decide(
        by.actor, record.approval.approval_id, by.client, approve=True, reason="seen", payload_sha256=record.approval.payload_sha256
    )


def used(one: World, by: Known, record: ApprovalRecord) -> ApprovalRecord:
    one.fresh(by)
    return one.desk.approvals.use(by.actor, record.approval.approval_id, by.client)


def test_two_people_loosen_a_limit(one: World, ada: Known, rita: Known, store: LimitsStore) -> None:
    record = asked(one, ada, "limit-loosen", LOOSER)
    with pytest.raises(ApprovalRefused):
        approved(one, ada, record)
    with pytest.raises(ApprovalRefused):
        used(one, ada, record)
    assert store.newest_number() == 1
    done = used(one, ada, approved(one, rita, record))
    assert done.approval.state is State.USED
    newest = store.newest()
    assert newest is not None
    assert (newest.number, newest.typed().var99_max_e8, newest.actor, newest.approver, newest.approval_id) == (
        2, 3_800_000, ada.person_id, rita.person_id, record.approval.approval_id,
    )  # fmt: skip
    with pytest.raises(ApprovalRefused):
        used(one, ada, done)
    assert store.newest_number() == 2


def test_a_loosening_of_limits_that_changed_meanwhile_is_void(one: World, ada: Known, rita: Known, store: LimitsStore) -> None:
    record = approved(one, rita, asked(one, ada, "limit-loosen", LOOSER))
    store.tighten({"es975_max_frac": "0.035"}, actor="p1", reason="thin")
    with pytest.raises(Conflict, match="are not in force"):
        used(one, ada, record)
    assert store.newest_number() == 2


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"account": "other"}, Conflict, "has no limits yet"),
        ({"account": "../x"}, InvalidInput, "no alias"),
        ({"base_version": "0" * 16}, Conflict, "are not in force"),
        ({"base_version": "latest"}, InvalidInput, "payload"),
        ({"changes": {}}, InvalidInput, "nothing would be loosened"),
        ({"changes": {"no_such": "1"}}, InvalidInput, "no limit has this name"),
        ({"changes": {"var99_max_frac": "0.06"}}, InvalidConfig, "brake 5 %"),
        ({"reason": " "}, InvalidInput, "payload.reason"),
        ({"more": "x"}, InvalidInput, "payload"),
    ],
)
def test_what_could_not_be_carried_out_is_not_asked_for(
    one: World, ada: Known, store: LimitsStore, changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asked(one, ada, "limit-loosen", LOOSER, **changed)


def test_two_people_let_one_order_pass(one: World, ada: Known, rita: Known, store: LimitsStore) -> None:
    record = asked(one, ada, "order-override", BLOCK)
    used(one, ada, approved(one, rita, record))
    files = OverrideFiles(one.folder, "demo")
    assert files.names() == [record.approval.approval_id]
    grant = files.read(record.approval.approval_id)
    assert grant is not None
    assert (grant.instrument, grant.qty, grant.rules, grant.requester, grant.approver) == (
        "v:AAA", "1.5", ("FAT_FINGER",), ada.person_id, rita.person_id,
    )  # fmt: skip
    assert grant.expires_wall_ns - grant.made_wall_ns == 60 * 10**9


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"rules": ["HALTED"]}, InvalidInput, "only these can be set aside"),
        ({"rules": ["ORDER_NOTIONAL", "FAT_FINGER"]}, InvalidInput, "sorted, each once"),
        ({"rules": []}, InvalidInput, "none"),
        ({"valid_s": 3_601}, InvalidInput, "payload"),
        ({"qty": "-1"}, InvalidInput, "payload"),
        ({"side": "both"}, InvalidInput, "payload"),
        ({"account": "other"}, Conflict, "has no limits yet"),
        ({"account": ".."}, InvalidInput, "no alias"),
    ],
)
def test_an_override_that_nobody_may_have_is_not_asked_for(
    one: World, ada: Known, store: LimitsStore, changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asked(one, ada, "order-override", BLOCK, **changed)
