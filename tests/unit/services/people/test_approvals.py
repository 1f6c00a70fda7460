"""Approvals as they are kept: signed states, a passkey over the request itself, use that happens once and whole, and their acts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.services.people.world import HOME, NS, PASSWORD, Known, World, world

from kedge.domain.errors import Conflict, Forbidden, InvalidInput, KedgeError, NotFound, NotSignedIn, StepUpRequired
from kedge.domain.people import Act, Actor, Role, Scope, Source
from kedge.governance.approval_checks import SOLO_COOLING_NS
from kedge.governance.approval_record import Mark, Method, State, challenge_of
from kedge.services.people.approval_record import ApprovalRecord, Signed, findings, proof_of, read_record, record_of, row_of
from kedge.storage.keys import SigningKey, load_public_key
from kedge.storage.people_rows import ApprovalRow, Person

HOUR_S, DAY_S = 3600, 24 * 3600


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def ada(one: World) -> Known:
    return one.first("ada")


@pytest.fixture
def rita(one: World, ada: Known) -> Known:
    """Somebody with the role risk, as an approval gives it."""
    found = one.invited(ada, "rita")
    one.granted(found, [Role.RISK])
    one.sign_in(found)
    return found


def grant(person: Known, *roles: Role) -> dict[str, Any]:
    return {"person_id": person.person_id, "roles": sorted(roles)}


def asked(one: World, by: Known, to: Known, *roles: Role) -> ApprovalRecord:
    return one.desk.approvals.request(by.actor, "role-grant", grant(to, *roles), "she knows it best", by.client)


def decided(one: World, by: Known, record: ApprovalRecord, *, approve: bool = True, **changed: Any) -> ApprovalRecord:
    said = {"reason": "seen", "payload_sha256": record.approval.payload_sha256, **changed}
    return one.desk.approvals.decide(by.actor, record.approval.approval_id, by.client, approve=approve, **said)


def tapped(one: World, by: Known, record: ApprovalRecord) -> ApprovalRecord:
    """Approved by a passkey that signs the request itself."""
    binds = challenge_of(record.approval)
    options = one.desk.step_up.options(by.actor, by.client, binds=binds)
    answer = by.keys.get(options.public_key)
    evidence = one.desk.step_up.evidence(by.actor, options.challenge_id, answer, by.client, binds=binds)
    return decided(one, by, record, evidence=evidence)


def used(one: World, by: Known, record: ApprovalRecord) -> ApprovalRecord:
    one.fresh(by)
    return one.desk.approvals.use(by.actor, record.approval.approval_id, by.client)


def roles_of(one: World, person: Known) -> tuple[Role, ...]:
    found: Person = one.rows(lambda tx: tx.get(Person, person.person_id))
    return found.roles


def approval_acts(one: World) -> list[Act]:
    return [act for act in one.acts() if act.action.startswith("approval")]


def code_of(error: pytest.ExceptionInfo[Any]) -> str:
    assert error.value.what
    assert error.value.why
    assert error.value.fix
    return str(error.value.code)


def test_two_people_grant_a_role_and_every_state_is_signed_and_journalled(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    record = asked(one, ada, carl, Role.AUDITOR)
    assert record.approval.state is State.REQUESTED
    one.clock.move(HOUR_S / 4)
    approved = tapped(one, one_signed_in(one, rita), record)
    assert (approved.approval.four_eyes, approved.approval.mark) == (True, Mark.NONE)
    done = used(one, ada, approved)
    assert done.approval.state is State.USED
    assert roles_of(one, carl) == (Role.AUDITOR, Role.VIEWER)

    told = approval_acts(one)
    assert [(act.action, act.name, act.details["state"], act.outcome) for act in told] == [
        ("approval-request", "ada", "requested", "done"),
        ("approval-decide", "rita", "approved", "done"),
        ("approval-use", "ada", "used", "done"),
    ]
    assert told[1].details["method"] == "passkey"
    assert [act.details.get("four_eyes") for act in told] == [None, "true", "true"]
    assert told[2].details["roles"] == "auditor viewer"
    assert findings(read_record(done.text), load_public_key(one.folder / "keys")) == []
    assert len(done.signatures) == 3


def one_signed_in(one: World, known: Known) -> Known:
    one.sign_in(known)
    return known


def test_without_a_passkey_the_last_proof_of_the_session_counts_and_is_named(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    approved = decided(one, rita, asked(one, ada, carl, Role.ADMIN))
    approver = approved.approval.approver
    assert approver is not None
    assert approver.proof is not None
    assert approver.proof.method is Method.SESSION
    assert findings(approved, load_public_key(one.folder / "keys")) == []


def test_a_stale_session_must_prove_itself_again_but_a_tap_over_the_approval_is_proof(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    record = asked(one, ada, carl, Role.ADMIN)
    one.clock.move(301)
    with pytest.raises(StepUpRequired):
        decided(one, rita, record)
    assert approval_acts(one)[-1].code == "STEP_UP_REQUIRED"
    assert tapped(one, rita, record).approval.state is State.APPROVED


def test_nobody_approves_their_own_request_and_the_refusal_is_an_act(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    record = asked(one, ada, carl, Role.AUDITOR)
    with pytest.raises(KedgeError) as refused:
        decided(one, ada, record)
    assert code_of(refused) == "OWN_REQUEST"
    last = approval_acts(one)[-1]
    assert (last.action, last.outcome, last.code, last.subject) == (
        "approval-decide",
        "refused",
        "OWN_REQUEST",
        record.approval.approval_id,
    )
    assert one.desk.approvals.get(record.approval.approval_id).approval.state is State.REQUESTED


def test_who_gains_by_it_does_not_approve_it(one: World, ada: Known, rita: Known):
    with pytest.raises(KedgeError) as refused:
        decided(one, rita, asked(one, ada, rita, Role.AUDITOR))
    assert code_of(refused) == "NOT_INDEPENDENT"


def test_another_payload_than_the_one_that_was_seen_is_refused(one: World, ada: Known, rita: Known):
    record = asked(one, ada, one.invited(ada, "carl"), Role.AUDITOR)
    with pytest.raises(KedgeError) as refused:
        decided(one, rita, record, payload_sha256="0" * 64)
    assert code_of(refused) == "PAYLOAD_CHANGED"


def test_a_passkeys_answer_for_one_request_approves_no_other(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    first, second = asked(one, ada, carl, Role.AUDITOR), asked(one, ada, carl, Role.ADMIN)
    binds = challenge_of(first.approval)
    options = one.desk.step_up.options(rita.actor, rita.client, binds=binds)
    answer = rita.keys.get(options.public_key)
    with pytest.raises(KedgeError):
        one.desk.step_up.evidence(rita.actor, options.challenge_id, answer, rita.client, binds=challenge_of(second.approval))
    assert one.desk.approvals.get(second.approval.approval_id).approval.state is State.REQUESTED


def test_an_approval_is_used_once(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
    used(one, ada, approved)
    with pytest.raises(KedgeError) as refused:
        used(one, ada, approved)
    assert code_of(refused) == "ALREADY_USED"


def test_what_cannot_be_carried_out_uses_nothing_up(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    stale = {**grant(carl, Role.AUDITOR), "version": 99}
    record = one.desk.approvals.request(ada.actor, "role-grant", stale, "audit", ada.client)
    approved = decided(one, rita, record)
    before = len(approval_acts(one))
    with pytest.raises(Conflict):
        used(one, ada, approved)
    assert one.desk.approvals.get(record.approval.approval_id).approval.state is State.APPROVED
    assert roles_of(one, carl) == (Role.VIEWER,)
    assert len(approval_acts(one)) == before


def test_what_nothing_carries_out_yet_is_not_used(one: World, ada: Known, rita: Known):
    record = one.desk.approvals.request(ada.actor, "key-change", {"account": "main"}, "it is ninety days old", ada.client)
    approved = decided(one, rita, record)
    with pytest.raises(Forbidden, match="cannot be used here"):
        used(one, ada, approved)
    assert one.desk.approvals.get(record.approval.approval_id).approval.state is State.APPROVED


def test_time_ends_requests_and_approvals_and_the_system_says_so(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    never, late = asked(one, ada, carl, Role.AUDITOR), asked(one, ada, carl, Role.ADMIN)
    decided(one, rita, late)
    one.clock.move(DAY_S + 1)
    one.sign_in(ada)
    with pytest.raises(KedgeError) as refused:
        used(one, ada, late)
    assert code_of(refused) == "EXPIRED"
    one.clock.move(7 * DAY_S)
    found = one.desk.approvals.page(10)
    assert [record.approval.state for record in found.records] == [State.EXPIRED, State.EXPIRED]
    expired = [act for act in approval_acts(one) if act.action == "approval-expire"]
    assert [(act.subject, act.source) for act in expired] == [
        (late.approval.approval_id, Source.SYSTEM),
        (never.approval.approval_id, Source.SYSTEM),
    ]
    assert findings(found.records[0], load_public_key(one.folder / "keys")) == []


def test_a_request_is_taken_back_by_who_asked_and_refused_by_who_could_approve(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    mine, theirs = asked(one, ada, carl, Role.AUDITOR), asked(one, ada, carl, Role.ADMIN)
    with pytest.raises(KedgeError) as refused:
        one.desk.approvals.withdraw(rita.actor, mine.approval.approval_id, "not mine", rita.client)
    assert code_of(refused) == "NOT_OWN_REQUEST"
    gone = one.desk.approvals.withdraw(ada.actor, mine.approval.approval_id, "a slip", ada.client)
    assert gone.approval.state is State.WITHDRAWN
    assert decided(one, rita, theirs, approve=False, reason="not yet").approval.state is State.REFUSED
    with pytest.raises(KedgeError) as again:
        decided(one, rita, gone)
    assert code_of(again) == "ALREADY_DECIDED"


def test_roles_are_looked_at_again_when_it_is_used(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
    one.granted(rita, [Role.VIEWER])
    with pytest.raises(KedgeError) as refused:
        used(one, ada, approved)
    assert code_of(refused) == "WRONG_ROLE"


def test_somebody_disabled_decides_nothing_even_with_a_page_still_open(one: World, ada: Known, rita: Known):
    record = asked(one, ada, one.invited(ada, "carl"), Role.AUDITOR)
    one.fresh(ada)
    version = one.desk.accounts.person(rita.person_id).version
    one.desk.accounts.edit(ada.actor, rita.person_id, ada.client, version=version, disabled=True)
    with pytest.raises(NotSignedIn):
        decided(one, rita, record)


def token_of(one: World, known: Known, *scopes: Scope) -> Actor:
    one.fresh(known)
    made = one.desk.tokens.create(known.actor, known.client, label="script", scopes=scopes)
    actor = one.desk.identify(None, made.text, "127.0.0.1")
    assert actor is not None
    return actor


def test_a_token_asks_with_its_scope_and_never_decides(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    payload = grant(carl, Role.AUDITOR)
    record = one.desk.approvals.request(token_of(one, ada, Scope.ADMIN), "role-grant", payload, "by a script", ada.client)
    with pytest.raises(Forbidden):
        one.desk.approvals.request(token_of(one, ada, Scope.READ), "role-grant", payload, "no", ada.client)
    with pytest.raises(Forbidden, match="a token may not"):
        one.desk.approvals.decide(
            token_of(one, rita, Scope.ADMIN),
            record.approval.approval_id,
            rita.client,
            approve=True,
            reason="",
            payload_sha256=record.approval.payload_sha256,
        )


def test_a_session_that_began_with_password_and_code_says_so(one: World, ada: Known):
    invited = one.desk.accounts.invite(ada.actor, ada.client, name="rolf", display_name="Rolf", roles=[Role.VIEWER])
    rolf = one.by_password(invited.link_secret, "rolf")
    one.granted(rolf, [Role.RISK])
    code = one.code(rolf.secret)
    rolf.signed_in = one.desk.sign_in.by_password("rolf", PASSWORD, code, HOME)
    approved = decided(one, rolf, asked(one, ada, one.invited(ada, "carl"), Role.AUDITOR))
    assert approved.approval.approver is not None
    assert approved.approval.approver.proof is not None
    assert approved.approval.approver.proof.method is Method.PASSWORD_TOTP


def test_the_first_admin_begins_alone_marked_and_only_until_somebody_else_could(one: World, ada: Known):
    rita, carl = one.invited(ada, "rita"), one.invited(ada, "carl")
    record = asked(one, ada, rita, Role.RISK)
    assert one.desk.approvals.obstacle(ada.actor, record) is None
    begun = decided(one, ada, record)
    assert (begun.approval.mark, begun.approval.four_eyes) == (Mark.BOOTSTRAP, False)
    used(one, ada, begun)
    assert roles_of(one, rita) == (Role.RISK, Role.VIEWER)
    marks = [(act.details.get("mark"), act.details.get("four_eyes")) for act in approval_acts(one)]
    assert marks == [(None, None), ("BOOTSTRAP", "false"), ("BOOTSTRAP", "false")]
    # rita loses the role again: who could approve once is not forgotten
    one.granted(rita, [Role.VIEWER])
    second = asked(one, ada, carl, Role.AUDITOR)
    with pytest.raises(KedgeError) as refused:
        decided(one, ada, second)
    assert code_of(refused) == "OWN_REQUEST"


def test_declared_solo_mode_takes_fifteen_minutes_and_a_reason_and_is_marked(tmp_path: Path):
    with world(tmp_path, solo_reason="one person runs this desk") as one:
        ada = one.first()
        rita, carl = one.invited(ada, "rita"), one.invited(ada, "carl")
        one.granted(rita, [Role.RISK])
        record = asked(one, ada, carl, Role.AUDITOR)
        with pytest.raises(KedgeError) as cooling:
            decided(one, ada, record)
        assert code_of(cooling) == "COOLING"
        obstacle = one.desk.approvals.obstacle(ada.actor, record)
        assert obstacle is not None
        assert obstacle.code == "COOLING"
        one.clock.move(SOLO_COOLING_NS / NS)
        with pytest.raises(InvalidInput):
            decided(one, one.fresh(ada), record, reason=" ")
        alone = decided(one, ada, record)
        assert (alone.approval.mark, alone.approval.four_eyes) == (Mark.SOLO, False)
        assert alone.approval.approver is not None
        assert alone.approval.approver.solo_reason == "one person runs this desk"


def test_pages_go_by_state_and_kind_newest_first(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    records = [asked(one, ada, carl, Role.AUDITOR) for _ in range(3)]
    one.desk.approvals.withdraw(ada.actor, records[1].approval.approval_id, "", ada.client)
    page = one.desk.approvals.page(2)
    names = [record.approval.approval_id for record in records]
    assert [record.approval.approval_id for record in page.records] == [names[2], names[1]]
    rest = one.desk.approvals.page(2, page.before)
    assert ([record.approval.approval_id for record in rest.records], rest.before) == ([names[0]], None)
    assert len(one.desk.approvals.page(9, state="requested", kind="role-grant").records) == 2
    assert one.desk.approvals.page(9, kind="go-live").records == []


def test_an_approval_that_nobody_asked_for_is_not_found_and_an_unknown_kind_is_named(one: World, ada: Known):
    with pytest.raises(NotFound):
        one.desk.approvals.get("approval-none")
    with pytest.raises(InvalidInput, match="kind"):
        one.desk.approvals.request(ada.actor, "moon-landing", {}, "why not", ada.client)


def test_whoever_may_not_approve_is_told_what_stands_against_it(one: World, ada: Known, rita: Known):
    carl = one.invited(ada, "carl")
    record = asked(one, ada, carl, Role.AUDITOR)
    said = {name: one.desk.approvals.obstacle(known.actor, record) for name, known in (("ada", ada), ("rita", rita), ("carl", carl))}
    assert [error.code if error else None for error in said.values()] == ["OWN_REQUEST", None, "WRONG_ROLE"]
    assert one.desk.approvals.get(record.approval.approval_id).approval.state is State.REQUESTED


class TestRecords:
    """What an outsider finds with the public key alone."""

    @pytest.fixture
    def kept(self, one: World, ada: Known, rita: Known) -> ApprovalRecord:
        return used(one, ada, tapped(one, rita, asked(one, ada, one.invited(ada, "carl"), Role.AUDITOR)))

    def test_a_changed_word_anywhere_fails_a_signature(self, one: World, kept: ApprovalRecord):
        public = load_public_key(one.folder / "keys")
        assert findings(kept, public) == []
        steps = kept.approval.steps
        for number in range(3):
            other = replace(steps[number], reason="another reason")
            changed = replace(kept.approval, steps=(*steps[:number], other, *steps[number + 1 :]))
            said = findings(ApprovalRecord(approval=changed, signatures=kept.signatures), public)
            assert f"the server's signature of state {number + 1} ({steps[number].state}) does not fit" in said

    def test_another_payload_under_the_same_hash_is_found(self, one: World, kept: ApprovalRecord):
        payload = kept.approval.payload.replace("auditor", "admin")
        changed = ApprovalRecord(approval=replace(kept.approval, payload=payload), signatures=kept.signatures)
        said = findings(changed, load_public_key(one.folder / "keys"))
        assert "the payload is not the one whose hash was approved" in said
        assert "the approver's passkey was asked about another request" in said

    def test_a_state_taken_off_is_found(self, one: World, kept: ApprovalRecord):
        changed = ApprovalRecord(approval=kept.approval, signatures=kept.signatures[:2])
        assert findings(changed, load_public_key(one.folder / "keys")) == ["3 states and 2 signatures"]

    def test_another_key_is_named(self, kept: ApprovalRecord):
        other = SigningKey.generate()
        said = findings(kept, other.public)
        assert len(said) == 3
        assert all(other.key_id in one for one in said)

    @pytest.mark.parametrize(
        ("field", "value", "found"),
        [
            ("signature", "00", "the approver's signature does not fit"),
            ("signature", "no hex", "the approver's signature does not fit"),
            ("client_data_json", b'{"type":"webauthn.create","challenge":"AA","origin":"x"}'.hex(), "another challenge"),
            ("client_data_json", "7b", "cannot be read"),
            ("public_key", "00", "cannot be read"),
            ("authenticator_data", "00" * 40, "did not verify its user"),
            ("binds", "00" * 32, "asked about another request"),
        ],
    )
    def test_a_passkeys_proof_that_does_not_fit_is_found(self, one: World, kept: ApprovalRecord, field: str, value: str, found: str):
        steps = kept.approval.steps
        proof = steps[1].proof
        assert proof is not None
        changed = replace(kept.approval, steps=(steps[0], replace(steps[1], proof=replace(proof, **{field: value})), steps[2]))
        said = findings(ApprovalRecord(approval=changed, signatures=kept.signatures), load_public_key(one.folder / "keys"))
        assert any(found in words for words in said)

    def test_an_approval_without_a_proof_is_found(self, one: World, kept: ApprovalRecord):
        steps = kept.approval.steps
        changed = replace(kept.approval, steps=(steps[0], replace(steps[1], proof=None), steps[2]))
        said = findings(ApprovalRecord(approval=changed, signatures=kept.signatures), load_public_key(one.folder / "keys"))
        assert "the approval names no proof of who approved" in said

    def test_text_that_is_no_record_or_was_written_anew_is_refused(self, kept: ApprovalRecord):
        assert read_record(kept.text) == kept
        for text in ("", "{}", kept.text.replace(":", ": ", 1), kept.text[:-1]):
            with pytest.raises(KedgeError) as refused:
                read_record(text)
            assert code_of(refused) == "INTEGRITY"

    def test_a_row_whose_columns_say_otherwise_is_refused(self, kept: ApprovalRecord):
        row: ApprovalRow = row_of(kept)
        assert record_of(row) == kept
        with pytest.raises(KedgeError) as refused:
            record_of(replace(row, state="requested"))
        assert code_of(refused) == "INTEGRITY"

    def test_signatures_and_proofs_name_no_secret(self, one: World, kept: ApprovalRecord):
        assert isinstance(kept.signatures[0], Signed)
        assert b"PRIVATE" not in kept.text.encode()
        proof = proof_of(None, kept.approval, Method.PASSWORD_TOTP)
        assert dataclasses.is_dataclass(proof) is False
        assert (proof.method, proof.signature) == (Method.PASSWORD_TOTP, "")


class TestWhoIsGranted:
    """A role that takes two people goes to an account that is in its person's own hands, and was when it was asked for."""

    def test_somebody_who_never_set_the_account_up_is_granted_nothing(self, one: World, ada: Known, rita: Known):
        carl = one.desk.accounts.invite(ada.actor, ada.client, name="carl", display_name="", roles=[]).person
        payload = {"person_id": carl.person_id, "roles": ["auditor"]}
        with pytest.raises(Conflict, match="carl is invited") as refused:
            one.desk.approvals.request(ada.actor, "role-grant", payload, "audit", ada.client)
        assert "set-up link" in refused.value.fix
        with pytest.raises(NotFound):
            one.desk.approvals.request(ada.actor, "role-grant", {**payload, "person_id": "p-none"}, "audit", ada.client)
        assert approval_acts(one) == []

    def test_somebody_disabled_since_is_granted_nothing(self, one: World, ada: Known, rita: Known):
        carl = one.invited(ada, "carl")
        approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
        one.desk.accounts.edit(ada.actor, carl.person_id, ada.client, version=2, disabled=True)
        with pytest.raises(Conflict, match="carl is disabled"):
            used(one, ada, approved)
        assert one.desk.approvals.get(approved.approval.approval_id).approval.state is State.APPROVED

    def test_an_account_that_an_admins_link_took_over_since_is_granted_nothing(self, one: World, ada: Known, rita: Known):
        """Else one admin could ask for a role, have it approved for a colleague, and then become that colleague."""
        carl = one.invited(ada, "carl")
        approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
        one.clock.move(60)
        one.fresh(ada)
        link = one.desk.accounts.setup_link(ada.actor, carl.person_id, ada.client).link_secret
        thief = one.by_password(link, "carl")
        with pytest.raises(Conflict, match="as old as the request"):
            used(one, ada, approved)
        assert roles_of(one, carl) == (Role.VIEWER,)
        one.granted(thief, [Role.AUDITOR])  # asked for anew, with everybody's eyes on it

    def test_who_added_a_way_in_since_and_kept_the_old_one_is_granted_it(self, one: World, ada: Known, rita: Known):
        carl = one.invited(ada, "carl")
        approved = decided(one, rita, asked(one, ada, carl, Role.AUDITOR))
        one.clock.move(60)
        one.desk.factors.set_password(carl.actor, PASSWORD, carl.client)
        used(one, ada, approved)
        assert roles_of(one, carl) == (Role.AUDITOR, Role.VIEWER)


def test_a_recovery_code_is_named_as_what_it_is(one: World, ada: Known):
    invited = one.desk.accounts.invite(ada.actor, ada.client, name="rolf", display_name="Rolf", roles=[Role.VIEWER])
    rolf = one.by_password(invited.link_secret, "rolf")
    one.granted(rolf, [Role.RISK])
    rolf.signed_in = one.desk.sign_in.by_password("rolf", PASSWORD, rolf.recovery_codes[0], HOME)
    approved = decided(one, rolf, asked(one, ada, one.invited(ada, "carl"), Role.AUDITOR))
    assert approved.approval.approver is not None
    assert approved.approval.approver.proof is not None
    assert approved.approval.approver.proof.method is Method.PASSWORD_RECOVERY
    assert approval_acts(one)[-1].details["method"] == "password+recovery"
    assert findings(approved, load_public_key(one.folder / "keys")) == []


def test_one_person_has_at_most_so_many_requests_waiting(one: World, ada: Known, rita: Known, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge.services.people.approvals.OPEN_MAX", 2)
    carl = one.invited(ada, "carl")
    first = asked(one, ada, carl, Role.AUDITOR)
    asked(one, ada, carl, Role.AUDITOR)
    with pytest.raises(Conflict, match="2 requests of ada wait"):
        asked(one, ada, carl, Role.AUDITOR)
    one.desk.approvals.withdraw(ada.actor, first.approval.approval_id, "", ada.client)
    asked(one, ada, carl, Role.AUDITOR)
