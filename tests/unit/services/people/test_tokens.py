"""API tokens: scopes, expiry, networks, revocation."""

from __future__ import annotations

import pytest
from tests.unit.services.people.world import HOME, NS, World

from kedge.domain.errors import Forbidden, InvalidInput, NotFound, StepUpRequired
from kedge.domain.people import Role, Scope, Source
from kedge.governance.roles import Action
from kedge.storage.people_rows import Token

HOUR_S = 3600


def test_a_token_is_its_owner_with_scopes(here: World) -> None:
    ada = here.first()
    new = here.desk.tokens.create(ada.actor, ada.client, label=" ci ", scopes=[Scope.READ, Scope.BRAKE_ENGAGE, Scope.READ])
    actor = here.desk.identify(None, new.text, "127.0.0.1")
    assert actor is not None
    assert (actor.person_id, actor.source, actor.ref) == (ada.person_id, Source.TOKEN, new.token.token_id)
    assert actor.scopes == (Scope.BRAKE_ENGAGE, Scope.READ)
    assert (new.token.label, new.token.expires_wall_ns - here.clock.now_ns) == ("ci", 90 * 24 * HOUR_S * NS)
    here.desk.require(actor, Action.HALT, HOME)
    with pytest.raises(Forbidden, match="scope"):
        here.desk.require(actor, Action.RESUME, HOME)
    act = here.acts()[-2]
    assert (act.action, act.details["scopes"], act.details["days"]) == ("token-manage", "brake:engage read", "90")


def test_making_a_token_takes_a_fresh_proof(here: World) -> None:
    ada = here.first()
    here.clock.move(301)
    with pytest.raises(StepUpRequired):
        here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ])


def test_a_revoked_token_is_nobody_at_once(here: World) -> None:
    ada = here.first()
    new = here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ])
    here.desk.tokens.revoke(ada.actor, new.token.token_id, ada.client)
    assert here.desk.identify(None, new.text, "127.0.0.1") is None
    acts = len(here.acts())
    here.desk.tokens.revoke(ada.actor, new.token.token_id, ada.client)
    assert len(here.acts()) == acts
    assert here.desk.tokens.of(ada.actor)[0].revoked_wall_ns == here.clock.now_ns


def test_a_token_revokes_itself_and_no_other(here: World) -> None:
    ada = here.first()
    one = here.desk.tokens.create(ada.actor, ada.client, label="1", scopes=[Scope.READ])
    other = here.desk.tokens.create(ada.actor, ada.client, label="2", scopes=[Scope.READ])
    machine = here.desk.identify(None, one.text, "127.0.0.1")
    assert machine is not None
    with pytest.raises(NotFound):
        here.desk.tokens.revoke(machine, other.token.token_id, HOME)
    here.desk.tokens.revoke(machine, one.token.token_id, HOME)
    assert here.desk.identify(None, one.text, "127.0.0.1") is None
    with pytest.raises(Exception, match="ended meanwhile"):
        here.desk.tokens.revoke(machine, one.token.token_id, HOME)


def test_nobody_revokes_somebody_elses_token(here: World) -> None:
    ada = here.first()
    eve = here.invited(ada, "eve")
    new = here.desk.tokens.create(here.fresh(ada).actor, ada.client, label="t", scopes=[Scope.READ])
    with pytest.raises(NotFound):
        here.desk.tokens.revoke(eve.actor, new.token.token_id, eve.client)
    assert here.desk.tokens.of(eve.actor) == []


def test_a_token_expires(here: World) -> None:
    ada = here.first()
    new = here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ], days=1)
    here.clock.move(24 * HOUR_S - 1)
    assert here.desk.identify(None, new.text, "127.0.0.1") is not None
    here.clock.move(1)
    assert here.desk.identify(None, new.text, "127.0.0.1") is None


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_token_lives_at_most_a_year(here: World, days: int) -> None:
    ada = here.first()
    with pytest.raises(InvalidInput, match="1 to 366 days"):
        here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ], days=days)


def test_a_token_comes_from_its_networks_alone(here: World) -> None:
    ada = here.first()
    new = here.desk.tokens.create(
        ada.actor, ada.client, label="t", scopes=[Scope.READ], addresses=["10.1.2.0/24", "192.0.2.7", "2001:db8::/32"]
    )
    for address in ("10.1.2.3", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        assert here.desk.identify(None, new.text, address) is not None
    for address in ("10.1.3.3", "192.0.2.8", "127.0.0.1", "2001:db9::1", "", "not an address"):
        assert here.desk.identify(None, new.text, address) is None


@pytest.mark.parametrize("addresses", [["10.0.0.1/24"], ["example.org"], [""], ["10.0.0.1"] * 21])
def test_what_is_no_network_is_refused(here: World, addresses: list[str]) -> None:
    ada = here.first()
    with pytest.raises(InvalidInput, match="address"):
        here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ], addresses=addresses)


def test_a_token_without_scopes_or_with_an_odd_label_is_refused(here: World) -> None:
    ada = here.first()
    with pytest.raises(InvalidInput, match="without scopes"):
        here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[])
    for label in ("x" * 61, "a\x07b"):
        with pytest.raises(InvalidInput, match="label"):
            here.desk.tokens.create(ada.actor, ada.client, label=label, scopes=[Scope.READ])


def test_a_person_has_at_most_fifty_tokens_in_force(here: World) -> None:
    ada = here.first()
    with here.desk.store.writing() as tx:
        for _ in range(50):
            here.desk.tokens.mint(tx, ada.person_id, "t", [Scope.READ])
    with pytest.raises(InvalidInput, match="50 tokens"):
        here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ])
    here.desk.tokens.revoke(ada.actor, here.desk.tokens.of(ada.actor)[0].token_id, ada.client)
    here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ])


@pytest.mark.parametrize("text", ["", "kedge_pat_", "kedge_pat_" + "0" * 46, "\udcff", "x" * 100_000])
def test_what_is_no_token_is_nobody(here: World, text: str) -> None:
    here.first()
    assert here.desk.tokens.identify(text, "127.0.0.1") is None


def test_the_last_use_is_written_once_a_minute(here: World) -> None:
    ada = here.first()
    new = here.desk.tokens.create(ada.actor, ada.client, label="t", scopes=[Scope.READ])
    uses = []
    for _ in range(3):
        here.desk.identify(None, new.text, "127.0.0.1")
        uses.append(here.rows(lambda tx: tx.find(Token))[0].used_wall_ns)
        here.clock.move(30)
    assert uses == [uses[0], uses[0], uses[0] + 60 * NS]


def test_a_token_is_never_worth_more_than_its_owner_is_now(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob", [Role.VIEWER])
    new = here.desk.tokens.create(bob.actor, bob.client, label="t", scopes=[Scope.ADMIN, Scope.BRAKE_ENGAGE])
    machine = here.desk.identify(None, new.text, "127.0.0.1")
    for action in (Action.HALT, Action.PEOPLE_MANAGE):
        with pytest.raises(Forbidden):
            here.desk.require(machine, action, HOME)
