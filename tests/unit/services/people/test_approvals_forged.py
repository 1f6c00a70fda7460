"""Approvals that somebody wrote into the store's file: nothing that the server did not sign, or that is over, is acted upon."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.services.people.test_approvals import asked, decided, roles_of, tapped, used
from tests.unit.services.people.world import Known, World, world

from kedge.domain.canonical import digest
from kedge.domain.people import Role
from kedge.governance.approval_record import Approval, State
from kedge.services.people.approval_record import ApprovalRecord, record_of, row_of, signed
from kedge.services.people.errors import ApprovalForged
from kedge.storage.keys import SigningKey
from kedge.storage.people_rows import ApprovalRow


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
def carl(one: World, ada: Known) -> Known:
    return one.invited(ada, "carl")


def put(one: World, record: ApprovalRecord) -> None:
    """As whoever can write the file does."""
    with one.desk.store.writing() as tx:
        tx.put(row_of(record))


def refused_as_forged(one: World, by: Known, record: ApprovalRecord, action: str) -> str:
    """Why; and that the try is an act, and that nothing was carried out."""
    ways: dict[str, Callable[[], ApprovalRecord]] = {
        "approval-use": lambda: used(one, by, record),
        "approval-withdraw": lambda: one.desk.approvals.withdraw(by.actor, record.approval.approval_id, "", by.client),
        "approval-decide": lambda: decided(one, by, record),
    }
    with pytest.raises(ApprovalForged) as refused:
        ways[action]()
    assert (refused.value.code, refused.value.fix != "") == ("INTEGRITY", True)
    last = one.last_act()
    assert (last.action, last.outcome, last.code) == (action, "refused", "INTEGRITY")
    return str(refused.value.why)


def test_a_request_that_was_written_to_be_approved_is_not_carried_out(one: World, ada: Known, rita: Known, carl: Known):
    record = asked(one, ada, carl, Role.AUDITOR)
    elsewhere = asked(one, ada, carl, Role.AUDITOR)
    approver = decided(one, rita, elsewhere).approval.steps[1]
    steps = (record.approval.steps[0], approver)
    forged = ApprovalRecord(approval=replace(record.approval, steps=steps), signatures=record.signatures * 2)
    put(one, forged)
    assert "signature of state 2 (approved) does not fit" in refused_as_forged(one, ada, forged, "approval-use")
    assert roles_of(one, carl) == (Role.VIEWER,)


def test_signatures_of_another_key_count_for_nothing(one: World, ada: Known, rita: Known, carl: Known):
    approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
    other = SigningKey.generate()
    states = [replace(approved.approval, steps=approved.approval.steps[:number]) for number in (1, 2)]
    forged = signed(states[1], other, signed(states[0], other))
    put(one, forged)
    assert "was signed by key" in refused_as_forged(one, ada, forged, "approval-use")


def changed_payload(approval: Approval) -> Approval:
    payload = approval.payload.replace("auditor", "admin")
    return replace(approval, payload=payload, payload_sha256=digest(payload.encode()))


@pytest.mark.parametrize("action", ["approval-decide", "approval-use"])
def test_another_payload_is_neither_approved_nor_carried_out(one: World, ada: Known, rita: Known, carl: Known, action: str):
    record = asked(one, ada, carl, Role.AUDITOR)
    kept = tapped(one, rita, record) if action == "approval-use" else record
    forged = ApprovalRecord(approval=changed_payload(kept.approval), signatures=kept.signatures)
    put(one, forged)
    by = ada if action == "approval-use" else rita
    assert "signature of state 1 (requested) does not fit" in refused_as_forged(one, by, forged, action)
    assert roles_of(one, carl) == (Role.VIEWER,)


def test_a_forged_request_is_shown_as_what_it_is_to_whoever_might_approve_it(one: World, ada: Known, rita: Known, carl: Known):
    record = asked(one, ada, carl, Role.AUDITOR)
    assert one.desk.approvals.obstacle(rita.actor, record) is None
    put(one, ApprovalRecord(approval=changed_payload(record.approval), signatures=record.signatures))
    (shown,) = one.desk.approvals.page(9).records
    obstacle = one.desk.approvals.obstacle(rita.actor, shown)
    assert isinstance(obstacle, ApprovalForged)


def test_what_was_used_does_not_become_usable_again_by_taking_the_use_off(one: World, ada: Known, rita: Known, carl: Known):
    """Every signature of the shorter history fits: only the journal of acts knows that more happened."""
    approved = tapped(one, rita, asked(one, ada, carl, Role.AUDITOR))
    used(one, ada, approved)
    one.granted(carl, [Role.VIEWER])
    put(one, approved)
    why = refused_as_forged(one, ada, approved, "approval-use")
    assert why == "the journal of acts says used, the store says approved"
    assert roles_of(one, carl) == (Role.VIEWER,)


@pytest.mark.parametrize("ending", ["refused", "withdrawn"])
def test_what_was_refused_or_taken_back_is_not_decided_anew(one: World, ada: Known, rita: Known, carl: Known, ending: str):
    record = asked(one, ada, carl, Role.AUDITOR)
    if ending == "refused":
        decided(one, rita, record, approve=False, reason="no")
    else:
        one.desk.approvals.withdraw(ada.actor, record.approval.approval_id, "", ada.client)
    put(one, record)
    assert f"says {ending}" in refused_as_forged(one, rita, record, "approval-decide")
    assert f"says {ending}" in refused_as_forged(one, ada, record, "approval-withdraw")


def test_a_request_that_the_journal_never_heard_of_is_not_decided(one: World, ada: Known, rita: Known, carl: Known):
    record = asked(one, ada, carl, Role.AUDITOR)
    approval = replace(record.approval, approval_id="approval-made-up")
    signer = one.desk.approvals._signer  # a thief of the key alone
    put(one, signed(approval, signer))
    assert "says nothing of it" in refused_as_forged(one, rita, signed(approval, signer), "approval-decide")


def test_columns_that_say_otherwise_are_not_acted_upon(one: World, ada: Known, rita: Known, carl: Known):
    record = asked(one, ada, carl, Role.AUDITOR)
    with one.desk.store.writing() as tx:
        tx.put(replace(row_of(record), state="approved"))
    assert "its columns" in refused_as_forged(one, ada, record, "approval-use")


def test_what_was_forged_is_never_signed_by_letting_it_expire_and_keeps_nobody_out(one: World, ada: Known, rita: Known, carl: Known):
    record, other = asked(one, ada, carl, Role.AUDITOR), asked(one, ada, carl, Role.ADMIN)
    forged = ApprovalRecord(approval=changed_payload(record.approval), signatures=record.signatures)
    put(one, forged)
    one.clock.move(8 * 24 * 3600)
    one.desk.upkeep()
    with one.desk.store.reading() as tx:
        rows = {row.approval_id: row for row in tx.find(ApprovalRow)}
    assert record_of(rows[record.approval.approval_id]) == forged
    assert record_of(rows[other.approval.approval_id]).approval.state is State.EXPIRED


def test_a_state_whose_act_waits_for_the_journal_is_sound(one: World, ada: Known, rita: Known, carl: Known):
    """As in the moment between the transaction and the journal, when somebody else is already there."""
    record = asked(one, ada, carl, Role.AUDITOR)
    flush, one.desk.shared.flush = one.desk.shared.flush, lambda: None
    approved = decided(one, rita, record)
    assert used(one, ada, approved).approval.state is State.USED
    one.desk.shared.flush = flush
    flush()
    assert [act.details["state"] for act in one.acts() if act.subject == record.approval.approval_id] == ["requested", "approved", "used"]


def test_a_row_that_was_cut_in_the_file_is_told_and_not_acted_upon(one: World, ada: Known, rita: Known, carl: Known):
    record = asked(one, ada, carl, Role.AUDITOR)
    db = sqlite3.connect(one.folder / "people" / "people.sqlite")
    db.execute("UPDATE approval SET state = 'approved'")
    db.commit()
    db.close()
    with pytest.raises(Exception, match="damaged"):
        used(one, ada, record)
    assert roles_of(one, carl) == (Role.VIEWER,)
