"""Setting an account up by its link, for the first time and again; and what is never written anywhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.services.people.world import HOME, PASSWORD, World

from kedge.domain.errors import InvalidInput, KedgeError, NotFound
from kedge.domain.people import Actor, Role, Scope, Source
from kedge.services.people.answers import Client
from kedge.services.people.desk import open_links
from kedge.services.people.errors import LinkRefused, SignInRefused
from kedge.storage.people_rows import Challenge, Link, RecoveryCode

LOCAL = Actor(person_id="local:op", name="op", roles=(), source=Source.LOCAL)


def enter(here: World, name: str = "ada", password: str = PASSWORD, code: str = "000000", client: Client = HOME) -> object:
    return here.desk.sign_in.by_password(name, password, code, client)


def test_nobody_is_known_before_the_first_link_was_used(here: World) -> None:
    assert not here.desk.accounts_exist
    assert here.desk.links.first() is not None
    assert not here.desk.accounts_exist
    here.first()
    assert here.desk.accounts_exist
    assert here.desk.links.first() is None


def test_a_new_first_link_replaces_the_old_one(here: World) -> None:
    old, new = here.desk.links.first() or "", here.desk.links.first() or ""
    with pytest.raises(LinkRefused):
        here.desk.setup.passkey_options(old, "ada", "", HOME)
    assert here.desk.setup.look(new) is None
    here.desk.setup.passkey_options(new, "ada", "", HOME)


def test_two_who_race_for_the_first_account_make_one(here: World) -> None:
    link = here.desk.links.first() or ""
    one = here.desk.setup.password(link, "ada", "", PASSWORD, HOME)
    other = here.desk.setup.password(link, "eve", "", PASSWORD, HOME)
    here.desk.setup.with_totp(other.ticket, here.code(other.totp_secret), HOME)
    with pytest.raises(LinkRefused):
        here.desk.setup.with_totp(one.ticket, here.code(one.totp_secret), HOME)
    assert [person.name for person in here.desk.accounts.people()] == ["eve"]


def test_a_link_lives_a_day_and_is_used_once(here: World) -> None:
    link = here.desk.links.first() or ""
    here.clock.move(24 * 3600)
    with pytest.raises(LinkRefused, match="not valid"):
        here.desk.setup.look(link)
    link = here.desk.links.first() or ""
    here.by_password(link, "ada")
    with pytest.raises(LinkRefused):
        here.desk.setup.look(link)
    with pytest.raises(LinkRefused):
        here.desk.setup.password("f" * 64, "ada", "", PASSWORD, HOME)


def test_nothing_exists_until_a_factor_was_proven(here: World) -> None:
    link = here.desk.links.first() or ""
    offer = here.desk.setup.password(link, "ada", "", PASSWORD, HOME)
    with pytest.raises(InvalidInput, match="does not fit"):
        here.desk.setup.with_totp(offer.ticket, here.code(offer.totp_secret, ahead_s=90), HOME)
    assert not here.desk.accounts_exist
    here.desk.setup.with_totp(offer.ticket, here.code(offer.totp_secret), HOME)
    assert here.desk.accounts_exist


def test_a_ticket_waits_fifteen_minutes(here: World) -> None:
    offer = here.desk.setup.password(here.desk.links.first() or "", "ada", "", PASSWORD, HOME)
    here.clock.move(15 * 60)
    with pytest.raises(LinkRefused):
        here.desk.setup.with_totp(offer.ticket, here.code(offer.totp_secret), HOME)


@pytest.mark.parametrize("name", ["", "a b", "local:ada", "ädä", ".ada", "a" * 33, "ada\n", "а" * 3])
def test_names_that_could_be_mistaken_are_refused(here: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        here.desk.setup.passkey_options(here.desk.links.first() or "", name, "", HOME)


@pytest.mark.parametrize("shown", ["x" * 81, "a\x00b", "a\u202eb"])
def test_displayed_names_hide_nothing(here: World, shown: str) -> None:
    with pytest.raises(InvalidInput, match="display_name"):
        here.desk.setup.passkey_options(here.desk.links.first() or "", "ada", shown, HOME)


def test_an_easy_password_is_refused_at_set_up_and_later(here: World) -> None:
    link = here.desk.links.first() or ""
    with pytest.raises(InvalidInput, match="fewer than 12"):
        here.desk.setup.password(link, "ada", "", "short", HOME)
    ada = here.by_password(link, "ada")
    with pytest.raises(InvalidInput, match="common"):
        here.desk.factors.set_password(ada.actor, "password1234", ada.client)


def test_recovery_begins_anew_without_old_factors_sessions_tokens_and_guarded_roles(here: World) -> None:
    ada = here.first_by_password()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[Role.TRADER])
    known = here.by_password(bob.link_secret, "bob")
    here.granted(known, [Role.ADMIN, Role.TRADER])
    here.clock.move(30)
    known.signed_in = here.desk.sign_in.by_password("bob", PASSWORD, here.code(known.secret), HOME)
    token = here.desk.tokens.create(known.actor, known.client, label="bot", scopes=[Scope.READ])
    link = here.desk.accounts.setup_link(ada.actor, known.person_id, ada.client)
    again = here.by_password(link.link_secret, "bob", password="eleven green umbrellas")
    assert again.signed_in.person.roles == (Role.TRADER, Role.VIEWER)
    assert again.person_id == known.person_id
    assert here.desk.identify(known.signed_in.cookie, None, "") is None
    assert here.desk.identify(None, token.text, "127.0.0.1") is None
    here.clock.move(60)
    with pytest.raises(SignInRefused):
        enter(here, "bob", code=here.code(known.secret))
    assert here.rows(lambda tx: tx.count(RecoveryCode, person_id=known.person_id)) == 10


def test_the_only_admin_recovers_at_the_machine_and_stays_admin(here: World) -> None:
    ada = here.first_by_password()
    with open_links(here.folder, wall_ns=here.clock) as links:
        secret = links.local(LOCAL, "ADA", HOME).link_secret
    again = here.by_password(secret, "ada", password="eleven green umbrellas")
    assert again.signed_in.person.roles == (Role.ADMIN, Role.TRADER, Role.VIEWER)
    act = next(act for act in here.acts() if act.action == "setup-link")
    assert (act.person_id, act.source, act.subject) == ("local:op", Source.LOCAL, ada.person_id)


def test_the_only_risk_person_recovers_at_the_machine_and_keeps_the_role(here: World) -> None:
    ada = here.first()
    rita = here.invited(ada, "rita")
    here.granted(rita, [Role.RISK])
    with open_links(here.folder, wall_ns=here.clock) as links:
        secret = links.local(LOCAL, "rita", HOME).link_secret
    again = here.by_password(secret, "rita")
    assert again.signed_in.person.roles == (Role.RISK, Role.VIEWER)
    assert here.last_act().details["link"] == "restore"
    assert here.desk.factors.of(rita.person_id).passkeys == 0


def test_the_terminal_makes_the_first_link_too_and_names_people_by_id(here: World) -> None:
    with open_links(here.folder, wall_ns=here.clock) as links:
        first = links.first() or ""
        with pytest.raises(NotFound):
            links.local(LOCAL, "ada", HOME)
    ada = here.by_password(first, "ada")
    with open_links(here.folder, wall_ns=here.clock) as links:
        assert links.first() is None
        assert links.local(LOCAL, ada.person_id, HOME).person.name == "ada"


def test_a_pending_set_up_of_one_person_does_not_open_another_account(here: World) -> None:
    ada = here.first()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[])
    offer = here.desk.setup.password(bob.link_secret, "", "", PASSWORD, HOME)
    with here.desk.store.writing() as tx:
        asked = tx.find(Challenge)[0]
        tx.put(msgspec.structs.replace(asked, person_id=ada.person_id))
    with pytest.raises(KedgeError):
        here.desk.setup.with_totp(offer.ticket, here.code(offer.totp_secret), HOME)
    with here.desk.store.writing() as tx:
        tx.put(asked)
    here.desk.accounts.setup_link(ada.actor, bob.person.person_id, ada.client)
    with pytest.raises(LinkRefused):
        here.desk.setup.with_totp(offer.ticket, here.code(offer.totp_secret), HOME)
    with here.desk.store.reading() as tx:
        row = tx.find(Link, person_id=bob.person.person_id)[0]
        assert row.purpose == "invite"


def test_no_secret_stands_in_any_file_or_act_or_repr(here: World) -> None:
    ada = here.first_by_password()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[])
    token = here.desk.tokens.create(ada.actor, ada.client, label="bot", scopes=[Scope.READ])
    code = here.desk.devices.begin("shell", [Scope.READ], HOME)
    offer = here.desk.factors.begin_totp(ada.actor, ada.client)
    with pytest.raises(SignInRefused):
        enter(here, name="my secret typed as a name", password="canary password 4711")
    secrets = [
        PASSWORD,
        "canary password 4711",
        "my secret typed as a name",
        ada.signed_in.cookie,
        ada.signed_in.device,
        ada.secret,
        offer.totp_secret,
        offer.ticket,
        bob.link_secret,
        token.text,
        code.device_code,
        *ada.recovery_codes,
    ]
    written, shown = here.everything_written(), repr((ada.signed_in, ada.client, bob, token, code, offer))
    for secret in secrets:
        assert secret.encode() not in written
        assert secret not in shown


def test_whoever_is_invited_again_begins_without_guarded_roles(here: World) -> None:
    """A link that one admin makes gives nothing that takes two people, whatever the row says."""
    ada = here.first()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[Role.TRADER]).person
    with here.desk.store.writing() as tx:
        tx.put(msgspec.structs.replace(bob, roles=(Role.ADMIN, Role.AUDITOR, Role.VIEWER)))
    link = here.desk.accounts.setup_link(ada.actor, bob.person_id, ada.client).link_secret
    assert here.by_password(link, "bob").signed_in.person.roles == (Role.VIEWER,)


@pytest.mark.parametrize("way", ["disabled", "demoted", "recovered"])
def test_links_that_an_admin_made_open_nothing_once_they_are_no_admin(here: World, way: str) -> None:
    """Else they could keep a link to a colleague's account for the day that theirs is taken away."""
    ada = here.first()
    bob, cyd = here.invited(ada, "bob"), here.invited(ada, "cyd")
    here.granted(bob, [Role.ADMIN])
    here.sign_in(bob)
    links = [here.desk.accounts.setup_link(bob.actor, one.person_id, bob.client).link_secret for one in (ada, cyd)]
    invited = here.desk.accounts.invite(bob.actor, bob.client, name="eve", display_name="", roles=[])
    with open_links(here.folder, wall_ns=here.clock) as local:
        kept = local.local(LOCAL, "cyd", HOME).link_secret  # by the machine's files, in place of bob's
    here.fresh(ada)
    if way == "recovered":
        here.by_password(here.desk.accounts.setup_link(ada.actor, bob.person_id, ada.client).link_secret, "bob")
    else:
        change: dict[str, Any] = {"disabled": True} if way == "disabled" else {"roles": [Role.VIEWER]}
        here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=3, **change)
    for secret in (*links, invited.link_secret):
        with pytest.raises(LinkRefused):
            here.desk.setup.look(secret)
    assert here.desk.setup.look(kept) is not None
    again = here.desk.accounts.setup_link(ada.actor, invited.person.person_id, ada.client)
    assert here.by_password(again.link_secret, "eve").signed_in.person.state == "active"


@pytest.mark.parametrize("name", ["system", "Nobody", "unknown", "p-0123456789abcdef0123"])
def test_nobody_is_called_what_records_call_something_else(here: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="reserved"):
        here.desk.setup.password(here.desk.links.first() or "", name, "", PASSWORD, HOME)
