"""Device codes: a command line signs in because a person says so in the browser."""

from __future__ import annotations

import pytest
from tests.unit.services.people.world import HOME, World

from kedge.domain.errors import Forbidden, InvalidInput, StepUpRequired, TooMany
from kedge.domain.people import Role, Scope
from kedge.services.people.answers import DeviceCode
from kedge.services.people.errors import LinkRefused
from kedge.storage.people_rows import Device


def begun(here: World) -> DeviceCode:
    return here.desk.devices.begin("kedge on laptop", [Scope.READ, Scope.BRAKE_ENGAGE], HOME)


def test_a_confirmed_code_gives_a_token_once(here: World) -> None:
    ada = here.first()
    code = begun(here)
    assert here.desk.devices.poll(code.device_code, HOME).token is None
    assert here.desk.devices.look(ada.actor, code.user_code.lower().replace("-", " "), ada.client).label == "kedge on laptop"
    here.desk.devices.decide(ada.actor, code.user_code, ada.client, approve=True)
    new = here.desk.devices.poll(code.device_code, HOME).token
    assert new is not None
    actor = here.desk.identify(None, new.text, "127.0.0.1")
    assert actor is not None
    assert (actor.person_id, actor.scopes) == (ada.person_id, (Scope.BRAKE_ENGAGE, Scope.READ))
    with pytest.raises(LinkRefused):
        here.desk.devices.poll(code.device_code, HOME)
    assert [act.action for act in here.acts()[-2:]] == ["device-approve", "token-manage"]


def test_a_refused_code_gives_nothing(here: World) -> None:
    ada = here.first()
    code = begun(here)
    here.desk.devices.decide(ada.actor, code.user_code, ada.client, approve=False)
    with pytest.raises(Forbidden, match="refused"):
        here.desk.devices.poll(code.device_code, HOME)
    with pytest.raises(LinkRefused):
        here.desk.devices.decide(ada.actor, code.user_code, ada.client, approve=True)


def test_confirming_takes_a_fresh_proof(here: World) -> None:
    ada = here.first()
    code = begun(here)
    here.clock.move(301)
    with pytest.raises(StepUpRequired):
        here.desk.devices.decide(ada.actor, code.user_code, ada.client, approve=True)
    assert here.desk.devices.poll(code.device_code, HOME).token is None


def test_a_code_lives_ten_minutes(here: World) -> None:
    ada = here.first()
    code = begun(here)
    here.clock.move(600)
    with pytest.raises(LinkRefused):
        here.desk.devices.poll(code.device_code, HOME)
    with pytest.raises(LinkRefused):
        here.desk.devices.look(ada.actor, code.user_code, ada.client)


def test_asking_too_soon_is_told_to_wait(here: World) -> None:
    code = begun(here)
    here.desk.devices.poll(code.device_code, HOME)
    here.clock.move(3)
    with pytest.raises(TooMany) as early:
        here.desk.devices.poll(code.device_code, HOME)
    assert early.value.retry_after_s == 5
    here.clock.move(1.5)
    assert here.desk.devices.poll(code.device_code, HOME).token is None


@pytest.mark.parametrize("device_code", ["", "0" * 64, "\udcff"])
def test_an_unknown_device_code_is_refused(here: World, device_code: str) -> None:
    with pytest.raises(LinkRefused):
        here.desk.devices.poll(device_code, HOME)


def test_the_user_code_is_no_device_code(here: World) -> None:
    code = begun(here)
    with pytest.raises(LinkRefused):
        here.desk.devices.poll(code.user_code, HOME)


def test_whoever_guesses_codes_waits_longer_and_longer(here: World) -> None:
    ada = here.first()
    code = begun(here)
    for _ in range(6):
        with pytest.raises(LinkRefused):
            here.desk.devices.look(ada.actor, "BBBB-BBBB", ada.client)
    with pytest.raises(TooMany):
        here.desk.devices.look(ada.actor, code.user_code, ada.client)
    here.clock.move(1)
    assert here.desk.devices.look(ada.actor, code.user_code, ada.client).state == "pending"


def test_a_confirmed_code_of_somebody_disabled_since_gives_nothing(here: World) -> None:
    ada = here.first()
    bob = here.invited(ada, "bob", [Role.TRADER])
    code = begun(here)
    here.desk.devices.decide(bob.actor, code.user_code, bob.client, approve=True)
    here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=2, disabled=True)
    with pytest.raises(Forbidden, match="refused"):
        here.desk.devices.poll(code.device_code, HOME)


def test_a_confirmed_code_of_somebody_disabled_and_restored_gives_nothing_either(here: World) -> None:
    ada = here.first()
    bob, carl = here.invited(ada, "bob", [Role.TRADER]), here.invited(ada, "carl", [Role.TRADER])
    codes = [begun(here), begun(here)]
    for code, person in zip(codes, (bob, carl), strict=True):
        here.desk.devices.decide(person.actor, code.user_code, person.client, approve=True)
    for version, disabled in ((2, True), (3, False)):
        here.desk.accounts.edit(ada.actor, bob.person_id, ada.client, version=version, disabled=disabled)
    with pytest.raises(Forbidden, match="refused"):
        here.desk.devices.poll(codes[0].device_code, HOME)
    assert here.desk.devices.poll(codes[1].device_code, HOME).token is not None


def test_a_code_without_scopes_is_refused(here: World) -> None:
    with pytest.raises(InvalidInput, match="scopes"):
        here.desk.devices.begin("x", [], HOME)


def test_codes_that_wait_are_bounded(here: World) -> None:
    first = begun(here)
    with here.desk.store.writing() as tx:
        row = tx.find(Device)[0]
        for number in range(499):
            fields = {name: getattr(row, name) for name in row.__struct_fields__}
            tx.add(Device(**fields | {"device_hash": f"{number:064x}", "user_code": f"code {number}"}))
    with pytest.raises(TooMany, match="under way"):
        begun(here)
    here.clock.move(600)
    assert begun(here).user_code != first.user_code
