"""The administration of people: inviting, roles, disabling."""

from __future__ import annotations

import threading

import pytest
from tests.unit.services.people.world import HOME, Known, World

from kedge.domain.errors import Changed, Conflict, Forbidden, InvalidInput, NotFound, NotSignedIn
from kedge.domain.people import Role, Scope
from kedge.governance.roles import Action, RolesExclude
from kedge.services.people.errors import ApprovalRequired, LinkRefused


def test_an_admin_invites_and_the_person_sets_up_under_the_name_given(here: World) -> None:
    ada = here.first()
    invited = here.desk.accounts.invite(ada.actor, ada.client, name="Bob", display_name="Bob B", roles=[Role.RESEARCHER])
    assert invited.person.state == "invited"
    assert here.desk.setup.look(invited.link_secret) == invited.person
    bob = here.by_password(invited.link_secret, "somebody-else")
    assert (bob.signed_in.person.name, bob.signed_in.person.state) == ("Bob", "active")
    assert bob.signed_in.person.roles == (Role.RESEARCHER, Role.VIEWER)
    assert here.desk.accounts.named("bob") == bob.signed_in.person


def test_a_name_is_had_by_one_person_whatever_its_case(here: World) -> None:
    ada = here.first()
    with pytest.raises(Conflict, match="taken"):
        here.desk.accounts.invite(ada.actor, ada.client, name="ADA", display_name="", roles=[])


def test_guarded_and_excluded_roles_are_not_given_by_one_person(here: World) -> None:
    ada = here.first()
    for role in (Role.RISK, Role.ADMIN, Role.AUDITOR):
        with pytest.raises(ApprovalRequired, match="second person"):
            here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[role])
    with pytest.raises(RolesExclude):
        here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[Role.RISK, Role.TRADER])
    bob = here.invited(ada, "bob")
    with pytest.raises(ApprovalRequired):
        here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, roles=[Role.RISK])
    act = here.last_act()
    assert (act.action, act.outcome, act.code, act.subject) == ("roles-grant", "refused", "APPROVAL_REQUIRED", bob.person_id)


def test_a_change_of_roles_ends_the_sessions_and_counts_at_once_for_tokens(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob", [Role.TRADER])
    here.fresh(bob)
    token = here.desk.tokens.create(bob.actor, bob.client, label="bot", scopes=[Scope.BRAKE_ENGAGE])
    changed = here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, roles=[Role.VIEWER])
    assert changed.version == 3
    assert here.desk.identify(bob.signed_in.cookie, None, "") is None
    machine = here.desk.identify(None, token.text, "127.0.0.1")
    assert machine is not None
    assert machine.roles == (Role.VIEWER,)
    with pytest.raises(Forbidden):
        here.desk.require(machine, Action.HALT, HOME)
    act = next(act for act in reversed(here.acts()) if act.action == "roles-grant")
    assert (act.details["before"], act.details["after"]) == ("trader viewer", "viewer")


def test_a_stale_version_changes_nothing(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    with pytest.raises(Changed, match="version 2, not 1"):
        here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=1, disabled=True)
    with pytest.raises(Changed):
        here.desk.accounts.edit_me(ada.actor, ada.client, version=9, display_name="A")
    assert here.desk.accounts.person(bob.person_id).state == "active"


def test_a_change_that_changes_nothing_keeps_the_version_and_tells_nothing(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    acts = len(here.acts())
    same = here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, roles=[Role.VIEWER], disabled=False, display_name="Bob")
    mine = here.desk.accounts.edit_me(ada.actor, ada.client, version=1, display_name="Ada")
    assert (same.version, mine.version, len(here.acts())) == (2, 1, acts)


def test_people_are_shown_as_they_or_an_admin_want(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    assert here.desk.accounts.edit_me(ada.actor, ada.client, version=1, display_name="Ada  L.").display_name == "Ada L."
    changed = here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, display_name="Robert")
    assert (changed.display_name, changed.version) == ("Robert", 3)


def test_whoever_is_disabled_is_out_at_once_with_tokens_and_links(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    here.fresh(bob)
    token = here.desk.tokens.create(bob.actor, bob.client, label="bot", scopes=[Scope.READ])
    link = here.desk.accounts.setup_link(ada.actor, bob.person_id, ada.client)
    actor = bob.actor
    here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, disabled=True)
    assert here.desk.identify(bob.signed_in.cookie, None, "") is None
    assert here.desk.identify(None, token.text, "127.0.0.1") is None
    with pytest.raises(LinkRefused):
        here.desk.setup.look(link.link_secret)
    with pytest.raises(NotSignedIn):
        here.desk.sessions.sign_out(actor, HOME)
    with pytest.raises(Forbidden, match="disabled"):
        here.desk.accounts.setup_link(ada.actor, bob.person_id, ada.client)
    restored = here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=3, disabled=False)
    assert restored.state == "active"
    assert here.desk.identify(None, token.text, "127.0.0.1") is None
    here.sign_in(bob)


def test_an_invited_person_who_is_restored_is_still_invited(here: World) -> None:
    ada = here.first()
    bob = here.desk.accounts.invite(ada.actor, ada.client, name="bob", display_name="", roles=[])
    here.desk.accounts.edit(ada.actor, bob.person.person_id, ada.client, version=1, disabled=True)
    with pytest.raises(LinkRefused):
        here.desk.setup.look(bob.link_secret)
    assert here.desk.accounts.edit(ada.actor, bob.person.person_id, ada.client, version=2, disabled=False).state == "invited"


def test_the_last_active_admin_stays_one(here: World) -> None:
    ada = here.first()
    for change in ({"roles": [Role.TRADER]}, {"disabled": True}):
        with pytest.raises(Conflict, match="last active admin"):
            here.desk.accounts.edit(ada.actor, ada.person_id, ada.client, version=1, **change)  # type: ignore[arg-type]
    bob = here.invited(ada, "bob")
    here.granted(bob, [Role.ADMIN])
    here.desk.accounts.edit(ada.actor, ada.person_id, ada.client, version=1, roles=[Role.TRADER])
    assert here.desk.accounts.person(ada.person_id).roles == (Role.TRADER, Role.VIEWER)


def test_two_admins_who_remove_each_other_leave_one(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    here.granted(bob, [Role.ADMIN])
    here.sign_in(bob)
    results: list[str] = []

    def remove(by: Known, whom: Known) -> None:
        try:
            here.desk.accounts.edit(
                by.actor,
                whom.person_id,
                by.client,
                version=here.desk.accounts.person(whom.person_id).version,
                disabled=True,
            )
            results.append("done")
        except (Conflict, Forbidden, NotSignedIn):
            results.append("refused")

    threads = [threading.Thread(target=remove, args=pair) for pair in ((ada, bob), (bob, ada))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["done", "refused"]


@pytest.mark.parametrize("roles", [[], ["risk", "trader"]])
def test_roles_that_nobody_can_hold_are_refused(here: World, roles: list[Role]) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    with pytest.raises(InvalidInput):
        here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, roles=[Role(role) for role in roles])


def test_a_grant_gives_guarded_roles_and_refuses_what_is_impossible(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    here.granted(bob, [Role.RISK])
    assert here.desk.identify(bob.signed_in.cookie, None, "") is None
    assert here.desk.accounts.person(bob.person_id).roles == (Role.RISK, Role.VIEWER)
    with pytest.raises(RolesExclude):
        here.granted(bob, [Role.RISK, Role.TRADER])
    with here.desk.store.writing() as tx, pytest.raises(Changed):
        here.desk.accounts.grant(tx, here.desk.accounts.person(bob.person_id), [Role.RISK], version=1)
    with here.desk.store.writing() as tx, pytest.raises(NotFound):
        here.desk.accounts.grantee(tx, "p-nobody", asked_wall_ns=0)
    here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=3, disabled=True)
    with pytest.raises(Conflict, match="disabled"):
        here.granted(bob, [Role.AUDITOR])


def test_whoever_is_no_admin_manages_nobody(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob", [Role.TRADER])
    with pytest.raises(Forbidden):
        here.desk.accounts.edit(bob.actor, ada.person_id, bob.client, version=1, disabled=True)
    with pytest.raises(Forbidden):
        here.desk.accounts.invite(bob.actor, bob.client, name="x", display_name="", roles=[])
    with pytest.raises(Forbidden):
        here.desk.accounts.setup_link(bob.actor, ada.person_id, bob.client)
    refused = [act for act in here.acts() if act.outcome == "refused"]
    assert [(act.action, act.person_id, act.code) for act in refused] == [
        ("people-manage", bob.person_id, "FORBIDDEN"),
        ("setup-link", bob.person_id, "FORBIDDEN"),
    ]


def test_roles_taken_away_a_moment_ago_do_not_count(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob")
    here.granted(bob, [Role.ADMIN])
    here.sign_in(bob)
    stale = bob.actor
    here.granted(bob, [Role.VIEWER])
    here.sign_in(bob)
    with pytest.raises(NotSignedIn):
        here.desk.accounts.invite(stale, bob.client, name="x", display_name="", roles=[])
