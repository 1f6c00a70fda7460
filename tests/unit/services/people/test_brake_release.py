"""Releasing the brake: what may be asked for, what the guard believes of a signed record, and what it never believes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.services.people.world import Known, World, world

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import ApprovalRefused, Conflict, Forbidden, IntegrityError, InvalidInput, VenueUnavailable
from kedge.domain.people import Role
from kedge.governance.approval_checks import SOLO_COOLING_NS
from kedge.governance.approval_record import Mark, State
from kedge.ops.guard_files import write_status
from kedge.services.guard.guard import ReleaseOrder
from kedge.services.guard_release import read_release
from kedge.services.people.approval_record import ApprovalRecord
from kedge.storage.keys import SigningKey, load_public_key

ON = Latch(account="demo", generation=4, level=BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN, engaged_wall_ns=1, changed_wall_ns=1)
PAYLOAD = {"account": "demo", "generation": 4, "high_water": "keep", "reason": "calm again", "root_cause": "a bad print"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        braked(made.folder, ON)
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


def braked(folder: Path, latch: Latch) -> None:
    """What a guard leaves for readers."""
    content = {"latch": msgspec.to_builtins(latch), "pid": os.getpid(), "written_wall_ns": 1, "permits": ""}
    write_status(folder, msgspec.json.encode(content))


def asked(one: World, by: Known, **changed: Any) -> ApprovalRecord:
    payload = {name: value for name, value in {**PAYLOAD, **changed}.items() if value is not None}
    return one.desk.approvals.request(by.actor, "brake-release", payload, "calm again", by.client)


def approved(one: World, by: Known, record: ApprovalRecord) -> ApprovalRecord:
    one.fresh(by)
    approval = record.approval
    return one.desk.approvals.decide(
        by.actor, approval.approval_id, by.client, approve=True, reason="seen", payload_sha256=approval.payload_sha256
    )


def read(one: World, record: ApprovalRecord | str, **changed: Any) -> ReleaseOrder:
    given = {"account": "demo", "solo_is_declared": False, "now_wall_ns": one.clock.now_ns, **changed}
    text = record if isinstance(record, str) else record.text
    return read_release(text, given.pop("key", load_public_key(one.folder / "keys")), **given)


# what the guard believes ----------------------------------------------------------------------------------------------


def test_a_release_by_two_people_is_read_to_the_word(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada, high_water="reset"))
    assert record.approval.four_eyes
    assert read(one, record) == ReleaseOrder(
        approval_id=record.approval.approval_id,
        account="demo",
        generation=4,
        reason="calm again",
        root_cause="a bad print",
        actors=(ada.person_id, rita.person_id),
        high_water="reset",
    )


def test_the_same_person_does_not_approve_and_a_request_alone_releases_nothing(one: World, ada: Known, rita: Known) -> None:
    record = asked(one, ada)
    with pytest.raises(ApprovalRefused, match="your own request"):
        approved(one, ada, record)
    with pytest.raises(ApprovalRefused, match="requested"):
        read(one, record)


@pytest.mark.parametrize("field", ["payload", "payload_sha256", "approval_id"])
def test_a_record_that_was_changed_anywhere_is_refused(one: World, ada: Known, rita: Known, field: str) -> None:
    record = approved(one, rita, asked(one, ada))
    before = getattr(record.approval, field)
    changed = replace(record, approval=replace(record.approval, **{field: before.replace(before[-3], "x")}))
    with pytest.raises(IntegrityError, match="not signed by this server"):
        read(one, changed)


def test_a_release_that_was_asked_for_before_the_clock_was_set_has_no_age_and_is_refused(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    asked_wall_ns = record.approval.steps[0].at_wall_ns
    assert read(one, record, known_from_wall_ns=asked_wall_ns).generation == 4
    with pytest.raises(ApprovalRefused, match="clock was set since") as refused:
        read(one, record, known_from_wall_ns=asked_wall_ns + 1)
    assert "ask anew, once the clock is past 20" in refused.value.fix
    assert "start the guard again" in refused.value.fix


def test_another_server_s_signature_is_none(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    with pytest.raises(IntegrityError, match="not signed by this server"):
        read(one, record, key=SigningKey.generate().public)
    with pytest.raises(IntegrityError):
        read(one, "{}")


def test_a_step_taken_off_shows_and_so_does_its_use(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    refused = replace(record.approval, steps=(*record.approval.steps, replace(record.approval.steps[-1], state=State.USED)))
    with pytest.raises(IntegrityError):
        read(one, replace(record, approval=refused))


def test_an_approval_has_its_time(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    with pytest.raises(ApprovalRefused, match="time is over"):
        read(one, record, now_wall_ns=record.approval.expires_wall_ns)
    with pytest.raises(ApprovalRefused, match="from the future"):
        read(one, record, now_wall_ns=record.approval.requester.at_wall_ns - 1)


def test_another_account_and_another_kind_are_refused(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    with pytest.raises(Forbidden, match="account 'demo'"):
        read(one, record, account="main")
    other = one.desk.approvals.request(ada.actor, "key-change", {"account": "demo"}, "old", ada.client)
    with pytest.raises(Forbidden, match="releases no brake"):
        read(one, approved(one, rita, other))


def test_solo_mode_takes_its_cooling_its_mark_and_the_guard_s_own_declaration(tmp_path: Path) -> None:
    with world(tmp_path, solo_reason="one person runs this") as one:
        braked(one.folder, ON)
        ada = one.first("ada")
        record = asked(one, ada)
        with pytest.raises(ApprovalRefused, match="15 minutes"):
            approved(one, ada, record)
        one.clock.move(SOLO_COOLING_NS / 1e9)
        record = approved(one, ada, record)
        assert (record.approval.mark, record.approval.four_eyes) == (Mark.SOLO, False)
        with pytest.raises(Forbidden, match="declares no solo mode"):
            read(one, record)
        order = read(one, record, solo_is_declared=True)
        assert order.solo
        assert order.actors == (ada.person_id, ada.person_id)


# what may be asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reason": "  "}, "payload.reason"),
        ({"root_cause": "x" * 501}, "payload.root_cause"),
        ({"high_water": "lower"}, "high_water"),
        ({"generation": -1}, "generation"),
        ({"more": "x"}, "more"),
        ({"root_cause": None}, "root_cause"),
    ],
)
def test_a_payload_that_is_none_of_a_release_is_refused_when_it_is_asked_for(
    one: World, ada: Known, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        asked(one, ada, **changed)


@pytest.mark.parametrize(
    ("latch", "words"),
    [
        (replace(ON, generation=5), "generation 4"),
        (replace(ON, account="main"), "account 'demo'"),
        (replace(ON, level=BrakeLevel.RUNNING, trigger=None), "not on"),
    ],
)
def test_what_the_guard_would_refuse_as_the_brake_is_now_is_not_asked_for(one: World, ada: Known, latch: Latch, words: str) -> None:
    braked(one.folder, latch)
    with pytest.raises(Conflict, match=words):
        asked(one, ada)


def test_where_no_guard_left_a_word_nothing_is_asked_for(one: World, ada: Known) -> None:
    (one.folder / "guard" / "status.json").unlink()
    with pytest.raises(Conflict, match="nobody knows"):
        asked(one, ada)


def test_a_guard_that_does_not_answer_leaves_the_approval_unused(one: World, ada: Known, rita: Known) -> None:
    record = approved(one, rita, asked(one, ada))
    one.fresh(ada)
    with pytest.raises(VenueUnavailable, match="no guard is running"):
        one.desk.approvals.use(ada.actor, record.approval.approval_id, ada.client)
    assert one.desk.approvals.get(record.approval.approval_id).approval.state is State.APPROVED
