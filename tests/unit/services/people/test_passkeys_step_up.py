"""Stepping up by passkey, signing what is approved, and keeping several passkeys."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.services.people.authenticator import Authenticator, b64
from tests.unit.services.people.world import HOME, Known, World

from kedge.domain.errors import Forbidden, InvalidInput, NotSignedIn, StepUpRequired
from kedge.domain.people import Scope
from kedge.services.people.answers import Client
from kedge.services.people.errors import LinkRefused, SignInRefused
from kedge.storage.people_rows import Passkey


def answered(here: World, known: Known, **lies: Any) -> None:
    options = here.desk.sign_in.options(HOME)
    here.desk.sign_in.by_passkey(options.challenge_id, known.keys.get(options.public_key, **lies), HOME)


def test_another_persons_passkey_steps_nobody_else_up(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    options = here.desk.step_up.options(ada.actor, ada.client)
    with pytest.raises(SignInRefused):
        here.desk.step_up.by_passkey(ada.actor, options.challenge_id, eve.keys.get(options.public_key, key=eve.keys.keys[0]), ada.client)
    act = here.last_act()
    assert (act.action, act.outcome, act.person_id) == ("step-up", "refused", ada.person_id)


def test_a_step_up_renews_the_cookie_and_the_proof_but_not_the_session(here: World) -> None:
    ada = here.first()
    before = ada.signed_in
    here.clock.move(301)
    with pytest.raises(StepUpRequired):
        here.desk.factors.passkey_options(ada.actor, ada.client)
    here.fresh(ada)
    assert ada.signed_in.cookie != before.cookie
    assert ada.signed_in.session.session_id == before.session.session_id
    assert here.desk.identify(before.cookie, None, "") is None
    assert ada.actor.step_up_wall_ns == here.clock.now_ns
    assert here.desk.factors.passkey_options(ada.actor, ada.client).public_key["excludeCredentials"]


def test_a_step_up_question_is_bound_to_the_session_that_asked(here: World) -> None:
    ada = here.first()
    elsewhere = here.desk.sign_in.options(HOME)
    second = here.desk.sign_in.by_passkey(elsewhere.challenge_id, ada.keys.get(elsewhere.public_key), HOME)
    options = here.desk.step_up.options(ada.actor, ada.client)
    with pytest.raises(LinkRefused):
        here.desk.step_up.by_passkey(
            second.actor, options.challenge_id, ada.keys.get(options.public_key), Client("127.0.0.1", cookie=second.cookie)
        )


def test_a_bound_step_up_signs_exactly_these_bytes_and_anybody_can_check_it(here: World) -> None:
    ada = here.first()
    binds = hashlib.sha256(b"what is approved").digest()
    options = here.desk.step_up.options(ada.actor, ada.client, binds)
    assert options.public_key["challenge"] == b64(binds)
    evidence = here.desk.step_up.evidence(ada.actor, options.challenge_id, ada.keys.get(options.public_key), ada.client, binds=binds)
    public = ada.keys.keys[0].private.public_key()
    signed = evidence.authenticator_data + hashlib.sha256(evidence.client_data_json).digest()
    public.verify(evidence.signature, signed, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(evidence.signature, signed + b".", ec.ECDSA(hashes.SHA256()))
    assert b64(binds).encode() in evidence.client_data_json
    assert evidence.credential_id == ada.keys.keys[0].credential_id.hex()
    assert here.desk.identify(ada.signed_in.cookie, None, "") is not None
    assert here.last_act().details["binds"] == binds.hex()


def test_evidence_for_one_hash_is_none_for_another_nor_a_plain_step_up(here: World) -> None:
    ada = here.first()
    one, other = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    options = here.desk.step_up.options(ada.actor, ada.client, one)
    with pytest.raises(LinkRefused):
        here.desk.step_up.evidence(ada.actor, options.challenge_id, ada.keys.get(options.public_key), ada.client, binds=other)
    options = here.desk.step_up.options(ada.actor, ada.client, one)
    with pytest.raises(LinkRefused):
        here.desk.step_up.by_passkey(ada.actor, options.challenge_id, ada.keys.get(options.public_key), ada.client)


def test_what_is_bound_has_32_bytes(here: World) -> None:
    ada = here.first()
    with pytest.raises(InvalidInput, match="31 bytes"):
        here.desk.step_up.options(ada.actor, ada.client, bytes(31))


def test_a_passkey_is_added_listed_and_removed_and_other_sessions_end(here: World) -> None:
    ada = here.first()
    asked = here.desk.sign_in.options(HOME)
    elsewhere = here.desk.sign_in.by_passkey(asked.challenge_id, ada.keys.get(asked.public_key), HOME)
    options = here.desk.factors.passkey_options(ada.actor, ada.client)
    phone = Authenticator()
    added = here.desk.factors.add_passkey(ada.actor, options.challenge_id, phone.create(options.public_key), " phone ", ada.client)
    assert [key.label for key in here.desk.factors.passkeys(ada.actor)] == ["phone", "laptop"]
    assert added.transports == ("hybrid", "internal")
    assert here.desk.identify(elsewhere.cookie, None, "") is None
    assert here.last_act().details["change"] == "passkey added"
    here.desk.factors.remove_passkey(ada.actor, added.credential_id, ada.client)
    asked = here.desk.sign_in.options(HOME)
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_passkey(asked.challenge_id, phone.get(asked.public_key), HOME)


def test_a_passkey_question_of_another_session_adds_nothing(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    options = here.desk.factors.passkey_options(ada.actor, ada.client)
    with pytest.raises(LinkRefused):
        here.desk.factors.add_passkey(eve.actor, options.challenge_id, Authenticator().create(options.public_key), "", eve.client)


def test_nobody_removes_somebody_elses_passkey(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    here.fresh(eve)
    with pytest.raises(Exception, match="none of yours"):
        here.desk.factors.remove_passkey(eve.actor, ada.keys.keys[0].credential_id.hex(), eve.client)


def test_the_last_way_in_is_not_removed(here: World) -> None:
    ada = here.first()
    with pytest.raises(Exception, match="last way in"):
        here.desk.factors.remove_passkey(ada.actor, ada.keys.keys[0].credential_id.hex(), ada.client)


def test_a_person_has_at_most_twenty_passkeys(here: World) -> None:
    ada = here.first()
    with here.desk.store.writing() as tx:
        for number in range(19):
            row = tx.find(Passkey, person_id=ada.person_id)[0]
            tx.add(type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | {"credential_id": f"{number:04x}"}))
    options = here.desk.factors.passkey_options(ada.actor, ada.client)
    with pytest.raises(InvalidInput, match="20 passkeys"):
        here.desk.factors.add_passkey(ada.actor, options.challenge_id, Authenticator().create(options.public_key), "", ada.client)


def test_a_disabled_persons_passkey_opens_nothing(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    here.fresh(ada)
    here.desk.accounts.edit(ada.actor, eve.person_id, ada.client, version=2, disabled=True)
    with pytest.raises(SignInRefused):
        answered(here, eve)


def test_a_session_that_ended_does_not_step_up(here: World) -> None:
    ada = here.first()
    gone, client = ada.actor, ada.client
    here.desk.sessions.sign_out(ada.actor, ada.client)
    with pytest.raises(NotSignedIn):
        here.desk.step_up.options(gone, client)


def test_a_stranger_changes_no_factor(here: World) -> None:
    ada = here.first()
    token = here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.ADMIN])
    machine = here.desk.identify(None, token.text, "127.0.0.1")
    assert machine is not None
    with pytest.raises(Forbidden, match="a token may not"):
        here.desk.factors.new_recovery_codes(machine, HOME)
