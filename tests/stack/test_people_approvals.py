"""What needs two people, between two browsers: invited, asked, shown whole, decided by the other one, carried out once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from tests.stack.people import Human, age_proofs, first_link, governed
from tests.stack.running import Running
from tests.stack.visitor import Visitor

from kedge.governance.approval_kinds import payload_sha256


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without accounts."""
    with governed(tmp_path_factory.mktemp("governed")) as found:
        yield found


@pytest.fixture
def comes(server: Running, visits: Callable[..., Visitor]) -> Callable[..., Human]:
    """Somebody with a browser of their own."""
    return lambda **options: Human(visits(server, **options), server)


def asks_for(admin: Human, name: str, roles: list[str], reason: str) -> str:
    """Ask for roles that need a second person; the approval's address."""
    page = admin.goes("/people")
    row = admin.row(name)
    row.get_by_role("button", name="Roles").click()
    for role in roles:
        row.get_by_role("checkbox", name=role).check()
    row.get_by_label("Reason").fill(reason)
    row.get_by_role("button", name="Ask for approval").click()
    found = row.get_by_role("link", name="this request").get_attribute("href")
    assert found is not None
    assert page.locator("[data-code]").count() == 0
    return found


def test_a_role_that_needs_two_people_is_asked_by_one_and_approved_by_the_other_with_a_passkey(
    server: Running, comes: Callable[..., Human]
) -> None:
    ada, bea, cyd = comes(), comes(), comes()
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    bea.sets_up_passkey(ada.invites("bea", "Bea Arthur", []))
    cyd.sets_up_passkey(ada.invites("cyd", "Cyd Charisse", []))

    # While nobody else could approve, the first admin may begin alone; it is marked, and no four eyes.
    page = ada.goes(asks_for(ada, "bea", ["risk"], "somebody must judge"))
    expect(page.get_by_text("This is your own request. Nobody else can decide it")).to_be_visible()
    page.get_by_role("button", name="Approve with a passkey").click()
    expect(page.locator("article[data-state=approved]")).to_be_visible()
    page.get_by_role("button", name="Carry it out").click()
    expect(page.locator("article[data-state=used]")).to_be_visible()
    expect(page.get_by_text("BOOTSTRAP", exact=True)).to_be_visible()
    expect(page.get_by_text("four eyes")).to_have_count(0)

    # From now on another person decides.
    at = asks_for(ada, "cyd", ["auditor"], "the yearly audit begins")
    page = ada.goes(at)
    expect(page.locator(".obstacle")).to_contain_text("your own request")
    expect(page.locator(".obstacle")).to_contain_text("OWN_REQUEST")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    page = bea.goes("/approvals?state=requested")  # the session was ended by the change of roles
    bea.signs_in_by_passkey()
    card = page.locator("article", has_text="the yearly audit begins")
    document = bea.reads("/approvals" + at.removeprefix("/approvals"))
    assert document["payload_sha256"] == payload_sha256(document["payload"])
    for shown in ("ada asked", "Cyd Charisse (cyd)", "auditor", document["payload_sha256"], "fits what is shown", "expires in"):
        expect(card).to_contain_text(shown)
    assert json.loads(card.locator("pre").text_content() or "") == document["payload"]
    expect(card.get_by_role("button", name="Refuse")).to_be_disabled()
    age_proofs(server)  # the passkey signs the request itself, which is proof enough
    card.get_by_role("button", name="Approve with a passkey").click()
    expect(page.locator("article", has_text="the yearly audit begins")).to_have_count(0)  # it waits no longer
    approved = bea.reads("/approvals" + at.removeprefix("/approvals"))
    assert (approved["state"], approved["four_eyes"], approved["mark"]) == ("approved", True, "")
    assert approved["steps"][-1]["method"] == "passkey"

    page = ada.goes(at)
    page.get_by_role("button", name="Carry it out").click()
    ada.confirms()
    expect(page.locator("article[data-state=used]")).to_be_visible()
    expect(page.get_by_text("four eyes")).to_be_visible()
    cyd.goes("/people")
    cyd.signs_in_by_passkey()
    assert cyd.reads("/session")["roles"] == ["auditor", "viewer"]
    for human in (cyd, bea, ada):
        human.leaves()


def test_a_request_can_be_refused_with_a_reason_and_withdrawn_by_who_asked(server: Running, comes: Callable[..., Human]) -> None:
    ada, bea, cyd = comes(), comes(), comes()
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    bea.sets_up_passkey(ada.invites("bea", "Bea Arthur", []))
    at = asks_for(ada, "bea", ["admin"], "two of us")
    page = ada.goes(at)
    page.get_by_role("button", name="Approve with a passkey").click()
    page.get_by_role("button", name="Carry it out").click()
    expect(page.locator("article[data-state=used]")).to_be_visible()
    ada.goes("/people")
    cyd.sets_up_passkey(ada.invites("cyd", "Cyd Charisse", []))
    refused = asks_for(ada, "cyd", ["auditor"], "I like them")
    page = bea.goes(refused)
    bea.signs_in_by_passkey()
    page.get_by_label("Reason").fill("not without a contract")
    page.get_by_role("button", name="Refuse").click()
    expect(page.locator("article[data-state=refused]")).to_contain_text("not without a contract")
    withdrawn = asks_for(ada, "cyd", ["risk"], "on second thought")
    page = ada.goes(withdrawn)
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator("article[data-state=withdrawn]")).to_be_visible()
    assert page.get_by_role("button", name="Approve").count() == 0
    for human in (cyd, bea, ada):
        human.leaves()


def test_roles_that_exclude_each_other_are_refused_with_the_reason_and_edits_meet_the_version_that_was_read(
    server: Running, comes: Callable[..., Human]
) -> None:
    ada, twin = comes(), comes()
    ada.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    ada.invites("bea", "Bea Arthur", ["trader"])
    twin.goes("/people")
    twin.signs_in_by_password("ada", ada.recovery[0])
    expect(twin.row("bea")).to_be_visible()
    row = ada.row("bea")
    row.get_by_role("button", name="Roles").click()
    row.get_by_role("checkbox", name="risk").check()
    expect(row.get_by_text("risk and trader exclude each other in one person")).to_be_visible()
    expect(row.get_by_role("button", name="Ask for approval")).to_be_disabled()
    row.get_by_role("checkbox", name="risk").uncheck()
    row.get_by_role("checkbox", name="researcher").check()
    twin.row("bea").get_by_role("button", name="Disable").click()
    expect(twin.row("bea").get_by_text("disabled", exact=True)).to_be_visible()
    row.get_by_role("button", name="Save roles").click()
    expect(row.locator("[data-code=CHANGED]")).to_be_visible()
    expect(row.get_by_role("checkbox", name="researcher")).to_be_checked()
    row.get_by_role("button", name="Cancel").click()
    row.get_by_role("button", name="Roles").click()
    row.get_by_role("checkbox", name="researcher").check()
    row.get_by_role("button", name="Save roles").click()
    expect(row.get_by_text("it is in force now")).to_be_visible()
    assert ada.reads("/people")["items"][-1]["roles"] == ["researcher", "trader", "viewer"]
    twin.leaves()
    ada.leaves()


def test_a_halt_is_one_press_and_going_on_takes_a_proof(server: Running, comes: Callable[..., Human]) -> None:
    ada = comes()
    page = ada.goes("/")
    page.get_by_role("banner").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text("kedge halt")
    expect(page.get_by_role("button", name="Halt", exact=True)).to_have_count(0)
    page.keyboard.press("Escape")
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    age_proofs(server)
    page = ada.goes("/")
    page.keyboard.press("h")
    dialog = page.get_by_role("dialog", name="Halt, resume, flatten")
    dialog.get_by_role("button", name="Halt", exact=True).click()
    expect(dialog).to_contain_text("waits for the trader")
    assert ada.visitor.findings() == []
    expect(dialog.get_by_role("button", name="Resume")).to_be_disabled()
    dialog.get_by_label("Reason").fill("the feed is right again")
    dialog.get_by_role("button", name="Resume").click()
    ada.confirms()
    expect(dialog.get_by_text("the feed is right again")).to_be_visible()
    given = ada.reads("/commands")["items"]
    assert [(row["command"], row["person_id"], row["source"]) for row in given] == [
        (command, ada.reads("/session")["person"]["person_id"], "browser") for command in ("resume", "halt")
    ]
    ada.leaves()
