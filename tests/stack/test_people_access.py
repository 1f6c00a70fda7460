"""Everybody can use the pages of people: axe in both themes and on a phone, the keyboard alone; and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.stack.people import Human, first_link, governed
from tests.stack.running import Running
from tests.stack.test_people_approvals import asks_for
from tests.stack.visitor import Visitor

PAGES = ("/account", "/people", "/approvals", "/device", "/sign-in", "/setup")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose first account these tests share."""
    with governed(tmp_path_factory.mktemp("governed")) as found:
        yield found


@pytest.fixture(scope="module")
def ada(server: Running, visits: Callable[..., Visitor]) -> Iterator[Human]:
    """An admin who invited somebody, asked for a role for them, and is signed in."""
    found = Human(visits(server), server)
    found.sets_up_password(first_link(server), "ada", "Ada Lovelace")
    found.invites("bea", "Bea Arthur", ["trader"])
    cyd = Human(visits(server), server)
    cyd.sets_up_passkey(found.invites("cyd", "Cyd Charisse", []))
    cyd.leaves()
    asks_for(found, "cyd", ["auditor"], "the yearly audit begins")
    yield found
    found.leaves()


@pytest.mark.parametrize(("theme", "width"), [("dark", 1440), ("light", 1440), ("dark", 360), ("light", 360)])
def test_axe_finds_nothing_serious_on_the_pages_of_people(
    server: Running, ada: Human, visits: Callable[..., Visitor], theme: str, width: int
) -> None:
    found: dict[str, list[str]] = {}
    visitor = visits(server, theme=theme, width=width, height=800)
    for path in ("/account", "/setup#0123"):  # what somebody sees who is not signed in
        visitor.page.goto(server.url + path)
        expect(visitor.page.locator("main form").first).to_be_visible()
        found[f"{path} signed out"] = complaints(visitor)
    visitor.page.context.add_cookies(ada.page.context.cookies())  # type: ignore[arg-type]  # what it gives it takes
    for path in PAGES:
        visitor.page.goto(server.url + path)
        visitor.page.wait_for_load_state("networkidle")
        expect(visitor.page.locator("main h2").first).to_be_visible()
        for summary in visitor.page.locator("summary").all():
            summary.click()
        for edit in visitor.page.get_by_role("button", name="Roles of Cyd").all():
            edit.click()
            expect(visitor.page.get_by_role("button", name="Save roles")).to_be_visible()
        found[path] = complaints(visitor)
    visitor.ends()
    assert {path: listed for path, listed in found.items() if listed} == {}


def complaints(visitor: Visitor) -> list[str]:
    """What axe says of the page as it stands, and whether it is wider than its screen."""
    overflow = visitor.overflows_px()
    return visitor.findings() + ([f"{overflow} px wider than the screen"] if overflow > 0 else [])


def test_a_keyboard_is_enough_to_get_to_ones_account_and_end_a_session(server: Running, ada: Human, visits: Callable[..., Visitor]) -> None:
    other = Human(visits(server), server)
    page = other.goes("/people")
    page.get_by_label("Name", exact=True).focus()
    for typed in ("ada", "Tab", "seven anchors under quiet water", "Tab", "Tab", ada.recovery.pop(), "Enter"):
        page.keyboard.press(typed) if typed in ("Tab", "Enter") else page.keyboard.type(typed)
    expect(other.row("bea")).to_be_visible()
    page.locator("main").focus()
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/account")
    button = page.get_by_role("button", name="Sign out session")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sign in", exact=True, level=2)).to_be_visible()
    other.leaves()


def test_pictures_of_the_pages_of_people(server: Running, ada: Human, shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, path in (("account", "/account"), ("people", "/people"), ("approvals", "/approvals")):
        page = ada.goes(path)
        page.wait_for_timeout(1_000)  # a picture, nothing is asserted about it
        page.screenshot(path=shots / f"{name}.png")
    ada.signs_out()
    ada.page.screenshot(path=shots / "sign-in.png")
    with capsys.disabled():
        print(f"\n  pictures in {shots}")
