"""Passkeys, from setting up to stepping up, against an authenticator that can lie."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.services.people.authenticator import Authenticator, b64
from tests.unit.services.people.world import HOME, Known, World

from kedge.domain.errors import InvalidInput
from kedge.domain.people import Role
from kedge.services.people.errors import LinkRefused, SignInRefused


def answered(here: World, known: Known, **lies: Any) -> None:
    options = here.desk.sign_in.options(HOME)
    here.desk.sign_in.by_passkey(options.challenge_id, known.keys.get(options.public_key, **lies), HOME)


def test_the_first_person_sets_up_with_a_passkey_and_is_admin_and_trader(here: World) -> None:
    ada = here.first()
    assert ada.signed_in.person.roles == (Role.ADMIN, Role.TRADER, Role.VIEWER)
    assert here.desk.identify(ada.signed_in.cookie, None, "127.0.0.1") == ada.actor
    assert (here.last_act().action, here.last_act().outcome, here.last_act().details["method"]) == ("setup", "done", "passkey")


def test_options_ask_for_a_verified_user_and_a_key_that_is_found_without_a_name(here: World) -> None:
    link = here.desk.links.first() or ""
    options = here.desk.setup.passkey_options(link, "ada", "Ada", HOME).public_key
    assert options["authenticatorSelection"] == {"residentKey": "required", "requireResidentKey": True, "userVerification": "required"}
    assert options["rp"] == {"name": "Kedge", "id": "localhost"}
    asked = here.desk.sign_in.options(HOME).public_key
    assert (asked["userVerification"], asked["allowCredentials"], asked["rpId"]) == ("required", [], "localhost")


def test_signing_in_by_passkey_needs_no_name(here: World) -> None:
    ada = here.first()
    before = ada.signed_in.cookie
    assert here.sign_in(ada).cookie != before
    assert ada.signed_in.session.method == "passkey"
    assert here.last_act().action == "sign-in"


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:8081"},
        {"origin": "http://127.0.0.1:8080"},
        {"rp_id": "evil.example"},
        {"unverified": True},
        {"challenge": b64(bytes(32))},
        {"type": "webauthn.create"},
        {"cross_origin": True},
        {"user_id": b"p-somebody-else"},
    ],
    ids=lambda lies: next(iter(lies)),
)
def test_an_answer_that_lies_is_refused_without_saying_why(here: World, lies: dict[str, Any]) -> None:
    ada = here.first()
    here.sign_in(ada)
    with pytest.raises(SignInRefused) as refused:
        answered(here, ada, **lies)
    assert "passkey, do not fit" in str(refused.value)
    act = here.last_act()
    assert (act.action, act.outcome, act.code, act.subject) == ("sign-in", "refused", "SIGN_IN_REFUSED", ada.person_id)


def test_a_registration_that_lies_makes_no_account(here: World) -> None:
    link = here.desk.links.first() or ""
    for lies in ({"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"unverified": True}, {"cross_origin": True}):
        options = here.desk.setup.passkey_options(link, "ada", "Ada", HOME)
        with pytest.raises(InvalidInput, match="cannot be kept"):
            here.desk.setup.with_passkey(options.challenge_id, Authenticator().create(options.public_key, **lies), "", HOME)
    assert not here.desk.accounts_exist


@pytest.mark.parametrize(
    "credential", [{}, {"id": 5}, {"id": "!!"}, {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}, {"id": "A" * 3000}]
)
def test_what_is_no_answer_at_all_is_refused_alike(here: World, credential: dict[str, Any]) -> None:
    here.first()
    options = here.desk.sign_in.options(HOME)
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_passkey(options.challenge_id, credential, HOME)


def test_malformed_parts_of_an_answer_never_escape_as_other_errors(here: World) -> None:
    ada = here.first()
    for part in ("clientDataJSON", "authenticatorData", "signature", "userHandle"):
        for value in ("", "AA", "%%%", "e30", b64(b'{"type": 1, "challenge": 2, "origin": []}'), b64(b"[" * 3000), 7, None, []):
            options = here.desk.sign_in.options(HOME)
            answer = ada.keys.get(options.public_key)
            answer["response"][part] = value
            if part == "userHandle" and value is None:
                continue  # an authenticator may leave it out
            with pytest.raises(SignInRefused):
                here.desk.sign_in.by_passkey(options.challenge_id, answer, HOME)


def test_malformed_registrations_never_escape_as_other_errors(here: World) -> None:
    link = here.desk.links.first() or ""
    for part in ("clientDataJSON", "attestationObject"):
        for value in ("", "AA", "%%%", b64(b"\xa0"), b64(b"\xbf" * 50), b64(b"[" * 3000), 7, None):
            options = here.desk.setup.passkey_options(link, "ada", "Ada", HOME)
            answer = Authenticator().create(options.public_key)
            answer["response"][part] = value
            with pytest.raises(InvalidInput):
                here.desk.setup.with_passkey(options.challenge_id, answer, "", HOME)


def test_an_answer_counts_once(here: World) -> None:
    ada = here.first()
    options = here.desk.sign_in.options(HOME)
    answer = ada.keys.get(options.public_key)
    here.desk.sign_in.by_passkey(options.challenge_id, answer, HOME)
    with pytest.raises(LinkRefused):
        here.desk.sign_in.by_passkey(options.challenge_id, answer, HOME)


def test_a_question_is_used_up_by_a_wrong_answer_too(here: World) -> None:
    ada = here.first()
    options = here.desk.sign_in.options(HOME)
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_passkey(options.challenge_id, ada.keys.get(options.public_key, unverified=True), HOME)
    with pytest.raises(LinkRefused):
        here.desk.sign_in.by_passkey(options.challenge_id, ada.keys.get(options.public_key), HOME)


def test_an_answer_to_an_older_question_is_refused(here: World) -> None:
    ada = here.first()
    older = ada.keys.get(here.desk.sign_in.options(HOME).public_key)
    newer = here.desk.sign_in.options(HOME)
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_passkey(newer.challenge_id, older, HOME)


def test_a_question_waits_five_minutes(here: World) -> None:
    ada = here.first()
    options = here.desk.sign_in.options(HOME)
    here.clock.move(300)
    with pytest.raises(LinkRefused):
        here.desk.sign_in.by_passkey(options.challenge_id, ada.keys.get(options.public_key), HOME)


@pytest.mark.parametrize("name", ["", "0" * 32, "\udcff", "ä"])
def test_an_unknown_question_is_refused(here: World, name: str) -> None:
    ada = here.first()
    with pytest.raises(LinkRefused):
        here.desk.sign_in.by_passkey(name, ada.keys.get(here.desk.sign_in.options(HOME).public_key), HOME)


def test_a_question_of_one_purpose_answers_no_other(here: World) -> None:
    ada = here.first()
    asked = here.desk.sign_in.options(HOME)
    with pytest.raises(LinkRefused):
        here.desk.step_up.by_passkey(ada.actor, asked.challenge_id, ada.keys.get(asked.public_key), ada.client)
    asked = here.desk.step_up.options(ada.actor, ada.client)
    with pytest.raises(LinkRefused):
        here.desk.sign_in.by_passkey(asked.challenge_id, ada.keys.get(asked.public_key), HOME)


def test_a_counter_that_goes_back_is_a_copied_key(here: World) -> None:
    ada = here.first()
    answered(here, ada, count=7)
    with pytest.raises(SignInRefused):
        answered(here, ada, count=7)
    with pytest.raises(SignInRefused):
        answered(here, ada, count=3)
    answered(here, ada, count=8)


def test_a_key_that_never_counts_is_accepted(here: World) -> None:
    ada = here.first()
    ada.keys.counts = False
    answered(here, ada)
    answered(here, ada)


def test_a_signature_of_another_key_under_ones_own_id_is_refused(here: World) -> None:
    ada = here.first()
    other = Authenticator()
    other.create(here.desk.factors.passkey_options(ada.actor, ada.client).public_key)
    with pytest.raises(SignInRefused):
        answered(here, ada, signer=other.keys[0])
