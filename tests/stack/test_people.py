"""Who somebody is: set-up link, passkey, step-up, password with a code, sessions that end; with Chromium's virtual authenticator."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from tests.stack.people import PASSWORD, Human, age_proofs, bearer, first_link, governed
from tests.stack.running import Running
from tests.stack.visitor import Visitor


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without accounts, as it is after its first start."""
    with governed(tmp_path_factory.mktemp("governed")) as found:
        yield found


@pytest.fixture
def comes(server: Running, visits: Callable[..., Visitor]) -> Callable[..., Human]:
    """Somebody with a browser of their own."""
    return lambda **options: Human(visits(server, **options), server)


def test_the_set_up_link_and_a_passkey_make_the_first_account_and_the_passkey_signs_in_again(
    server: Running, comes: Callable[..., Human]
) -> None:
    ada = comes()
    ada.goes("/sign-in")
    expect(ada.page.get_by_text("No account exists yet")).to_be_visible()
    link = first_link(server)
    ada.sets_up_passkey(link, "ada", "Ada Lovelace")
    assert ada.reads("/session")["roles"] == ["admin", "trader", "viewer"]
    assert [row["method"] for row in ada.reads("/me/sessions")["items"]] == ["passkey"]
    ada.signs_out()
    ada.page.goto(server.url + "/people")
    expect(ada.page.get_by_role("heading", name="Sign in", exact=True, level=2)).to_be_visible()
    assert ada.page.locator("[data-person]").count() == 0
    ada.signs_in_by_passkey()
    expect(ada.row("ada")).to_be_visible()
    assert ada.page.url.endswith("/people")
    ada.goes(link)
    ada.page.get_by_label("Name", exact=True).fill("eve")
    ada.page.get_by_role("button", name="Make a passkey").click()
    expect(ada.page.locator("[data-code=LINK_REFUSED]")).to_be_visible()
    ada.leaves()


def test_a_dangerous_act_asks_for_a_new_proof_and_then_goes_on_with_what_was_typed(server: Running, comes: Callable[..., Human]) -> None:
    ada = comes()
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    page = ada.goes("/account")
    page.get_by_text("New token").click()
    page.get_by_label("What it is for").fill("a script")
    age_proofs(server)  # behind the page's back: only the server knows that the proof is old
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog", name="Confirm who you are")
    expect(dialog).to_be_visible()
    assert ada.visitor.findings() == []
    page.keyboard.press("Escape")
    expect(page.locator("[data-code=CANCELLED]")).to_be_visible()
    expect(page.get_by_label("What it is for")).to_have_value("a script")
    assert ada.reads("/me/tokens")["items"] == []
    before = ada.cookie()
    page.get_by_role("button", name="Make a token").click()
    ada.confirms()
    token = page.get_by_test_id("shown-once").inner_text().strip()
    assert token.startswith("kedge_pat_")
    assert ada.cookie()["value"] != before["value"]  # a session that somebody fixed or stole is worth nothing after a proof
    assert (before["httpOnly"], before["secure"], before["sameSite"], before["path"]) == (True, True, "Strict", "/")
    assert [row["label"] for row in bearer(server, "/me/tokens", token)["items"]] == ["a script"]
    page.get_by_role("button", name="Revoke a script").click()
    expect(page.get_by_text("a script was revoked")).to_be_visible()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        bearer(server, "/me/tokens", token)
    ada.leaves()


def test_password_and_code_are_the_way_in_without_a_passkey_and_a_recovery_code_counts_once(
    server: Running, comes: Callable[..., Human]
) -> None:
    ada = comes()
    ada.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    assert len(ada.recovery) == 10
    ada.signs_out()
    ada.signs_in_by_password("ada", "000000")
    expect(ada.page.locator("[data-code=SIGN_IN_REFUSED]")).to_be_visible()
    said = ada.page.locator("[data-code=SIGN_IN_REFUSED]").locator("p").first.inner_text()
    ada.signs_in_by_password("nobody", "000000")
    expect(ada.page.locator("[data-code]")).to_be_visible()
    assert ada.page.locator("[data-code] p").first.inner_text() == said
    ada.until_let_in("ada", ada.code())
    ada.signs_out()
    ada.until_let_in("ada", ada.recovery[0])
    expect(ada.page.get_by_role("banner").get_by_text("Ada Lovelace")).to_be_visible()
    ada.goes("/account")
    expect(ada.page.get_by_text("9 left.")).to_be_visible()
    ada.signs_out()
    ada.signs_in_by_password("ada", ada.recovery[0])
    expect(ada.page.locator("[data-code=SIGN_IN_REFUSED]")).to_be_visible()
    ada.leaves()


def test_a_session_that_is_ended_elsewhere_is_over_at_its_next_request_and_typed_text_waits(
    server: Running, comes: Callable[..., Human]
) -> None:
    home, cafe = comes(), comes(width=900)
    home.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    cafe.goes("/account")
    cafe.signs_in_by_password("ada", home.recovery[0])
    cafe.page.get_by_label("Name as others see it").fill("Countess of Lovelace")
    home.goes("/account")
    home.page.get_by_role("button", name="End session").click()
    expect(home.page.get_by_text("The session has ended")).to_be_visible()
    assert cafe.page.evaluate("fetch('/api/v1/me').then((answer) => answer.status)") == 401
    expect(cafe.page.get_by_role("heading", name="Your session has ended")).to_be_visible()  # its stream ends within a second
    name, save = cafe.page.get_by_label("Name as others see it"), cafe.page.get_by_role("button", name="Save", exact=True)
    expect(name).to_be_hidden()
    cafe.signs_in_by_password("ada", home.recovery[1])
    expect(name).to_have_value("Countess of Lovelace")
    save.click()
    expect(cafe.page.get_by_text("Saved", exact=True)).to_be_visible()
    assert cafe.reads("/me")["display_name"] == "Countess of Lovelace"
    cafe.leaves()
    home.leaves()


def test_an_act_that_meets_an_ended_session_goes_on_after_the_same_person_signs_in(server: Running, comes: Callable[..., Human]) -> None:
    home, cafe = comes(), comes(width=900)
    home.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    cafe.goes("/account")
    cafe.signs_in_by_password("ada", home.recovery[0])
    cafe.page.get_by_label("Name as others see it").fill("Countess of Lovelace")
    cafe.page.context.clear_cookies()
    cafe.page.get_by_role("button", name="Save", exact=True).click()
    expect(cafe.page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    cafe.signs_in_by_password("ada", home.recovery[1])
    expect(cafe.page.get_by_text("Saved", exact=True)).to_be_visible()
    assert cafe.reads("/me")["display_name"] == "Countess of Lovelace"
    cafe.leaves()
    home.leaves()


def test_another_person_never_goes_on_with_what_the_one_before_left_on_the_page(server: Running, comes: Callable[..., Human]) -> None:
    ada, bea = comes(), comes()
    ada.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    bea.sets_up_password(ada.invites("bea", "Bea Arthur", ["trader"]))
    ada.goes("/account").get_by_label("Name as others see it").fill("half a word")
    ada.page.context.clear_cookies()
    ada.page.get_by_role("button", name="Save", exact=True).click()
    expect(ada.page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    ada.signs_in_by_password("bea", bea.recovery[0])
    expect(ada.page.get_by_role("banner").get_by_text("Bea Arthur")).to_be_visible()
    expect(ada.page.get_by_label("Name as others see it")).to_have_value("Bea Arthur")
    bea.leaves()
    ada.leaves()


def test_an_account_gains_a_passkey_beside_its_password_and_loses_it_again(server: Running, comes: Callable[..., Human]) -> None:
    ada = comes()
    ada.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    ada.visitor.authenticator()
    page = ada.goes("/account")
    page.get_by_label("Name of a new passkey").fill("desk")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("The passkey was added")).to_be_visible()
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator("[data-code=PASSKEY_KNOWN]")).to_be_visible()
    ada.signs_out()
    ada.signs_in_by_passkey()
    page = ada.goes("/account")
    page.get_by_label("New password").fill(PASSWORD[:11])
    page.get_by_role("button", name="Change the password").click()
    assert page.get_by_label("New password").evaluate("(input) => input.validity.tooShort")
    page.get_by_role("button", name="New recovery codes").click()
    expect(page.get_by_test_id("shown-once").locator("li")).to_have_count(10)
    page.get_by_role("button", name="Remove desk").click()
    expect(page.get_by_text("desk was removed")).to_be_visible()
    assert ada.reads("/me")["factors"] == {"passkeys": 0, "has_password": True, "has_totp": True, "recovery_codes_left": 10}
    ada.leaves()


def test_a_page_opened_by_number_says_where_passkeys_work(
    server: Running, comes: Callable[..., Human], visits: Callable[..., Visitor]
) -> None:
    ada = comes()
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    ada.leaves()
    by_number = Running(server.process, server.folder, server.folder / "said.log")
    by_number.url = server.url.replace("localhost", "127.0.0.1")
    visitor = visits(by_number)
    visitor.page.goto(by_number.url + "/account")
    expect(visitor.page.get_by_test_id("passkey-hint")).to_contain_text("127.0.0.1")
    expect(visitor.page.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
    assert visitor.page.get_by_role("link", name="Open it at localhost").get_attribute("href") == server.url + "/account"
    visitor.ends()


def test_a_command_line_gets_in_only_by_the_word_of_a_person(server: Running, comes: Callable[..., Human]) -> None:
    ada = comes()
    ada.sets_up_passkey(first_link(server), "ada", "Ada Lovelace")
    code = server.post("/device-codes", {"label": "kedge on a laptop", "scopes": ["read"]})
    assert code["verification_url"].startswith(server.url)
    assert server.post("/device-tokens", {"device_code": code["device_code"]})["state"] == "pending"
    page = ada.goes(code["verification_url"].removeprefix(server.url))
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("kedge on a laptop")).to_be_visible()
    assert ada.visitor.findings() == []
    age_proofs(server)
    page.get_by_role("button", name="Confirm", exact=True).click()
    ada.confirms()
    expect(page.get_by_text("the command line is signed in")).to_be_visible()
    token = server.until(lambda: server.post("/device-tokens", {"device_code": code["device_code"]}).get("token"), "the token")
    assert bearer(server, "/me", token)["name"] == "ada"
    ada.leaves()
