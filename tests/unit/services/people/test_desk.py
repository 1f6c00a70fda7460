"""Opening and closing the desk of people, and who gets past its parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.services.people.world import HOME, PASSWORD, START_NS, World, world

from kedge.domain.errors import Conflict, IntegrityError, InvalidConfig, NotSignedIn
from kedge.domain.people import Role
from kedge.governance.roles import Action
from kedge.services.people.answers import Client
from kedge.services.people.desk import PeopleDesk
from kedge.services.people.errors import LinkRefused, SignInRefused
from kedge.services.people.names import NAME, NOBODYS_NAME
from kedge.services.people.proofs import Fit
from kedge.services.people.shared import person_of
from kedge.storage.people_rows import Link, Passkey, Password, Person, Session


def test_one_server_serves_a_folder(here: World) -> None:
    with pytest.raises(Conflict):
        PeopleDesk.open(here.folder)


def test_a_second_close_does_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with PeopleDesk.open(tmp_path) as desk:
        desk.close()
    with PeopleDesk.open(tmp_path) as desk:
        assert desk.public_origin == "http://localhost:8080"


def test_an_origin_that_passkeys_cannot_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="public origin"):
        PeopleDesk.open(tmp_path, public_origin="http://127.0.0.1:8080")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_may_read_closes_everything_again(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        here.first()
    key = tmp_path / "people" / "sealing.key"
    key.chmod(0o644)
    with pytest.raises(InvalidConfig, match="sealing key"):
        PeopleDesk.open(tmp_path)
    key.chmod(0o600)
    PeopleDesk.open(tmp_path).close()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ada = here.first_by_password()
    with world(tmp_path) as later:
        later.clock.now_ns = START_NS + 60 * 10**9
        actor = later.desk.identify(ada.signed_in.cookie, None, "")
        assert actor == ada.actor
        later.desk.sign_in.by_password("ada", PASSWORD, later.code(ada.secret), HOME)
        assert [act.action for act in later.acts()] == ["setup", "sign-in"]


def test_a_lost_sealing_key_is_told_and_opens_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ada = here.first_by_password()
    (tmp_path / "people" / "sealing.key").write_bytes(os.urandom(32))
    with world(tmp_path) as later, pytest.raises(IntegrityError, match="does not open"):
        later.desk.sign_in.by_password("ada", PASSWORD, later.code(ada.secret), HOME)


def test_reading_is_open_until_somebody_has_an_account(here: World) -> None:
    here.desk.require(None, Action.READ, HOME)
    here.first()
    with pytest.raises(NotSignedIn):
        here.desk.require(None, Action.READ, HOME)


def test_the_name_that_is_looked_up_for_nobody_is_none_that_anybody_has() -> None:
    assert NAME.fullmatch(NOBODYS_NAME) is None


def test_a_person_who_was_disabled_is_nobody_also_where_a_session_row_is_left(here: World) -> None:
    ada = here.first()
    with here.desk.store.writing() as tx:
        person = person_of(tx, ada.person_id)
        fields = {name: getattr(person, name) for name in person.__struct_fields__}
        tx.put(Person(**fields | {"state": "disabled"}))
    assert here.desk.identify(ada.signed_in.cookie, None, "") is None
    with pytest.raises(NotSignedIn):
        here.desk.sessions.sign_out(ada.actor, ada.client)


def test_a_password_that_changed_while_it_was_checked_does_not_count(here: World) -> None:
    """The check is slow and outside of the transaction; what it found is looked at again inside."""
    ada = here.first_by_password()
    real = here.desk.shared.passwords.verify

    def changed_meanwhile(phc: str | None, password: str) -> object:
        verdict = real(phc, password)
        with here.desk.store.writing() as tx:
            tx.put(Password(person_id=ada.person_id, phc="another", made_wall_ns=1))
        return verdict

    here.desk.shared.passwords.verify = changed_meanwhile  # type: ignore[method-assign,assignment]
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_password("ada", PASSWORD, here.code(ada.secret), HOME)
    assert here.rows(lambda tx: tx.count(Session)) == 1


@pytest.mark.parametrize("code_is", ["app", "recovery"])
def test_a_code_that_was_used_while_it_was_checked_does_not_count(here: World, code_is: str) -> None:
    ada = here.first_by_password()
    code = here.code(ada.secret) if code_is == "app" else ada.recovery_codes[0]
    proofs, faster = here.desk.sign_in._proofs, []
    real = proofs.rehashed

    def used_meanwhile(fit: Fit, password: str) -> str:
        if not faster:
            faster.append(fit)
            here.desk.sign_in.by_password("ada", PASSWORD, code, Client("203.0.113.9"))
        return real(fit, password)

    proofs.rehashed = used_meanwhile  # type: ignore[method-assign]
    with pytest.raises(SignInRefused):
        here.desk.sign_in.by_password("ada", PASSWORD, code, HOME)
    assert here.rows(lambda tx: tx.count(Session)) == 2


def test_a_link_whose_person_is_set_up_meanwhile_opens_nothing(here: World) -> None:
    ada = here.first()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[Role.TRADER])
    with here.desk.store.writing() as tx:
        person = person_of(tx, bob.person.person_id)
        fields = {name: getattr(person, name) for name in person.__struct_fields__}
        tx.put(Person(**fields | {"state": "active"}))
    with pytest.raises(LinkRefused):
        here.desk.setup.look(bob.link_secret)


def test_a_first_link_opens_nothing_once_somebody_is_there(here: World) -> None:
    link = here.desk.links.first() or ""
    with here.desk.store.writing() as tx:
        tx.add(Person(person_id="p-1", name="x", display_name="x", roles=(Role.VIEWER,), state="active", version=1, made_wall_ns=1))
        assert tx.count(Link) == 1
    with pytest.raises(LinkRefused):
        here.desk.setup.look(link)


def test_a_passkey_of_one_person_is_not_registered_by_another(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    here.fresh(eve)
    options = here.desk.factors.passkey_options(eve.actor, eve.client)
    copied = eve.keys.create(options.public_key)
    with here.desk.store.writing() as tx:
        row = tx.find(Passkey, person_id=ada.person_id)[0]
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        tx.add(Passkey(**fields | {"credential_id": eve.keys.keys[-1].credential_id.hex()}))
    with pytest.raises(Conflict):
        here.desk.factors.add_passkey(eve.actor, options.challenge_id, copied, "", eve.client)
