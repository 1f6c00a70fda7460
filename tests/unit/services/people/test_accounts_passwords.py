"""Passwords with codes: signing in, stepping up, changing them."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.services.people.world import CHEAP, HOME, PASSWORD, World, world

from kedge.domain.errors import Conflict, InvalidInput, StepUpRequired, TooMany
from kedge.ops.identity.passwords import Argon2Cost
from kedge.services.people.answers import Client
from kedge.services.people.errors import LinkRefused, SignInRefused
from kedge.storage.people_rows import Password


def enter(here: World, name: str = "ada", password: str = PASSWORD, code: str = "000000", client: Client = HOME) -> object:
    return here.desk.sign_in.by_password(name, password, code, client)


def test_name_password_and_code_sign_in_whatever_the_names_case(here: World) -> None:
    ada = here.first_by_password()
    signed_in = here.desk.sign_in.by_password(" ADA".strip(), PASSWORD, here.code(ada.secret), HOME)
    assert signed_in.session.method == "password+totp"
    assert signed_in.person.person_id == ada.person_id


def test_every_wrong_part_has_the_same_answer(here: World) -> None:
    ada = here.first_by_password()
    answers = set()
    for name, password, code in (
        ("ada", PASSWORD, "000000"),
        ("ada", "another tractor 99", here.code(ada.secret)),
        ("bob", PASSWORD, here.code(ada.secret)),
        ("", "", ""),
        ("\udcff", "\udcff", "\udcff"),
        ("ada", "x" * 100_000, "1" * 100_000),
    ):
        here.clock.move(901)
        with pytest.raises(SignInRefused) as refused:
            enter(here, name, password, code)
        answers.add(str(refused.value))
    assert len(answers) == 1


def test_an_unknown_name_costs_the_same_hashes_and_writes_as_a_known_one(here: World) -> None:
    here.first_by_password()
    counts = []
    for name in ("ada", "nobody-at-all"):
        before, acts = here.desk.shared.passwords.computed, len(here.acts())
        with pytest.raises(SignInRefused):
            enter(here, name)
        counts.append((here.desk.shared.passwords.computed - before, len(here.acts()) - acts))
        here.clock.move(901)
    assert counts[0] == counts[1] == (1, 1)


def test_a_person_without_a_password_costs_the_same_too(here: World) -> None:
    here.first()
    before = here.desk.shared.passwords.computed
    with pytest.raises(SignInRefused):
        enter(here)
    assert here.desk.shared.passwords.computed == before + 1


def test_a_code_counts_once_also_one_step_later(here: World) -> None:
    ada = here.first_by_password()
    code = here.code(ada.secret)
    enter(here, code=code)
    here.clock.move(29)
    with pytest.raises(SignInRefused):
        enter(here, code=code)
    here.clock.move(2)
    enter(here, code=here.code(ada.secret))


def test_the_set_up_code_does_not_sign_in_again(here: World) -> None:
    offer = here.desk.setup.password(here.desk.links.first() or "", "ada", "", PASSWORD, HOME)
    code = here.code(offer.totp_secret)
    here.desk.setup.with_totp(offer.ticket, code, HOME)
    with pytest.raises(SignInRefused):
        enter(here, code=code)


def test_one_code_at_the_same_time_from_many_signs_in_once(here: World) -> None:
    ada = here.first_by_password()
    code, done = here.code(ada.secret), []

    def attempt(number: int) -> None:
        with suppress(SignInRefused, TooMany):
            done.append(enter(here, code=code, client=Client(address=f"10.0.0.{number}")))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1


def test_a_recovery_code_stands_in_for_the_app_once(here: World) -> None:
    ada = here.first_by_password()
    assert len(set(ada.recovery_codes)) == 10
    typed = ada.recovery_codes[3].upper().replace("-", " ").replace("0", "O").replace("1", "L")
    signed_in = here.desk.sign_in.by_password("ada", PASSWORD, typed, HOME)
    assert signed_in.session.method == "password+recovery"
    assert here.desk.factors.of(ada.person_id).recovery_codes_left == 9
    with pytest.raises(SignInRefused):
        enter(here, code=ada.recovery_codes[3])


def test_a_recovery_code_is_worth_nothing_without_the_password_or_to_somebody_else(here: World) -> None:
    ada = here.first_by_password()
    eve = here.desk.accounts.invite(ada.actor, ada.client, name="eve", display_name="", roles=[])
    here.by_password(eve.link_secret, "eve")
    with pytest.raises(SignInRefused):
        enter(here, password="something else 123", code=ada.recovery_codes[0])
    with pytest.raises(SignInRefused):
        enter(here, "eve", code=ada.recovery_codes[0])
    assert here.desk.factors.of(ada.person_id).recovery_codes_left == 10


def test_new_recovery_codes_replace_the_old_ones(here: World) -> None:
    ada = here.first_by_password()
    codes = here.desk.factors.new_recovery_codes(ada.actor, ada.client)
    with pytest.raises(SignInRefused):
        enter(here, code=ada.recovery_codes[0])
    here.clock.move(901)
    enter(here, code=codes[0])


def test_recovery_codes_need_an_app_that_they_stand_in_for(here: World) -> None:
    ada = here.first()
    with pytest.raises(Conflict, match="authenticator app"):
        here.desk.factors.new_recovery_codes(ada.actor, ada.client)


def test_a_passkey_person_adds_a_password_and_an_app(here: World) -> None:
    ada = here.first()
    ada.signed_in = here.desk.factors.set_password(ada.actor, PASSWORD, ada.client)
    offer = here.desk.factors.begin_totp(ada.actor, ada.client)
    assert "Kedge:ada" in offer.totp_uri
    assert offer.qr_svg.startswith("<svg")
    with pytest.raises(InvalidInput, match="does not fit"):
        here.desk.factors.confirm_totp(ada.actor, offer.ticket, "000000", ada.client)
    made = here.desk.factors.confirm_totp(ada.actor, offer.ticket, here.code(offer.totp_secret), ada.client)
    ada.signed_in = made.signed_in
    assert len(made.recovery_codes) == 10
    here.clock.move(30)
    enter(here, code=here.code(offer.totp_secret))
    here.desk.factors.remove_passkey(ada.actor, ada.keys.keys[0].credential_id.hex(), ada.client)
    assert here.desk.factors.of(ada.person_id).passkeys == 0


def test_another_app_takes_over_only_when_it_was_shown_and_keeps_the_recovery_codes(here: World) -> None:
    ada = here.first_by_password()
    offer = here.desk.factors.begin_totp(ada.actor, ada.client)
    enter(here, code=here.code(ada.secret))
    here.clock.move(30)
    made = here.desk.factors.confirm_totp(ada.actor, offer.ticket, here.code(offer.totp_secret), ada.client)
    assert made.recovery_codes == ()
    with pytest.raises(SignInRefused):
        enter(here, code=here.code(ada.secret))


def test_an_offer_of_an_app_is_bound_to_the_session(here: World) -> None:
    ada = here.first_by_password()
    offer = here.desk.factors.begin_totp(ada.actor, ada.client)
    other = here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), HOME)
    with pytest.raises(LinkRefused):
        here.desk.factors.confirm_totp(other.actor, offer.ticket, here.code(offer.totp_secret), Client("127.0.0.1", cookie=other.cookie))


def test_a_new_password_ends_the_other_sessions_and_renews_this_one(here: World) -> None:
    ada = here.first_by_password()
    other = here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), HOME)
    renewed = here.desk.factors.set_password(ada.actor, "eleven green umbrellas", ada.client)
    assert here.desk.identify(other.cookie, None, "") is None
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    assert here.desk.identify(renewed.cookie, None, "") is not None
    here.clock.move(30)
    with pytest.raises(SignInRefused):
        enter(here, code=here.code(ada.secret))
    here.clock.move(901)
    enter(here, password="eleven green umbrellas", code=here.code(ada.secret))


def test_a_hash_of_older_parameters_is_renewed_at_the_next_sign_in(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ada = here.first_by_password()
        here.desk.close()
        with world(tmp_path, cost=Argon2Cost(memory_kib=128, passes=2, lanes=1)) as later:
            later.clock.now_ns = here.clock.now_ns
            before = later.rows(lambda tx: tx.get(Password, ada.person_id)).phc
            later.desk.sign_in.by_password("ada", PASSWORD, later.code(ada.secret), HOME)
            after = later.rows(lambda tx: tx.get(Password, ada.person_id)).phc
            assert "m=64,t=1" in before
            assert "m=128,t=2" in after
            later.clock.move(30)
            later.desk.sign_in.by_password("ada", PASSWORD, later.code(ada.secret), HOME)
            assert CHEAP.memory_kib == 64


def test_a_step_up_by_password_and_code(here: World) -> None:
    ada = here.first_by_password()
    here.clock.move(301)
    with pytest.raises(StepUpRequired):
        here.desk.factors.new_recovery_codes(ada.actor, ada.client)
    for _ in range(2):
        with pytest.raises(SignInRefused):
            here.desk.step_up.by_password(ada.actor, PASSWORD, "000000", ada.client)
    ada.signed_in = here.desk.step_up.by_password(ada.actor, PASSWORD, here.code(ada.secret), ada.client).signed_in
    here.desk.factors.new_recovery_codes(ada.actor, ada.client)
    assert ada.signed_in.session.method == "password+totp"
