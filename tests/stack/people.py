"""A server with accounts, and persons who set up, sign in and act in a browser of their own."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
from msgspec.structs import replace
from playwright.sync_api import Locator, Page, expect
from tests.stack.running import Running, started
from tests.stack.visitor import Visitor

from kedge.services.people.desk import PEOPLE_FOLDER, STORE_NAME
from kedge.storage.people_rows import Session
from kedge.storage.people_store import PeopleStore

PASSWORD = "seven anchors under quiet water"
TEN_MINUTES_NS = 600 * 10**9
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
"""What Chromium itself writes of a refusal that a test provokes."""


@contextlib.contextmanager
def governed(folder: Path) -> Iterator[Running]:
    """`kedge serve` over an empty state folder, asked by the name that passkeys can belong to."""
    with started(folder, "serve", "--port", 0) as running:
        address = running.until(lambda: json.loads((folder / "server.json").read_text())["url"], "the server")
        running.url = f"http://localhost:{urlsplit(address).port}"
        running.until(lambda: running.get("/session"), "the session's route")
        yield running


def first_link(running: Running) -> str:
    """The set-up link that the server printed when it started, as a path."""
    said = running.until(lambda: re.search(r"/setup#[\w-]+", running.said), "the set-up link")
    return str(said.group())


def age_proofs(running: Running) -> None:
    """Let ten minutes pass for every proof of identity."""
    store = PeopleStore(running.folder / PEOPLE_FOLDER / STORE_NAME)
    try:
        with store.writing() as tx:
            for session in tx.find(Session):
                tx.put(replace(session, step_up_wall_ns=(session.step_up_wall_ns or time.time_ns()) - TEN_MINUTES_NS))
    finally:
        store.close()


class Human:
    """Somebody at a browser of their own."""

    def __init__(self, visitor: Visitor, running: Running) -> None:
        self.visitor, self.running, self.page = visitor, running, visitor.page
        self.secret = ""
        self.recovery: list[str] = []
        self._used = 0

    def goes(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(self.running.url + path)
        expect(self.page.locator("main h2, main article, main form").first).to_be_visible()
        return self.page

    def reads(self, path: str) -> Any:
        """What the API tells the one who sits here."""
        return self.page.evaluate("(path) => fetch(`/api/v1${path}`).then((answer) => answer.json())", path)

    def sets_up_passkey(self, link: str, name: str = "", display_name: str = "") -> None:
        """Follow a set-up link and make a passkey."""
        self.visitor.authenticator()
        self._begins(link, name, display_name)
        self.page.get_by_role("button", name="Make a passkey").click()
        expect(self.page.get_by_role("heading", name="Welcome")).to_be_visible()

    def sets_up_password(self, link: str, name: str = "", display_name: str = "") -> None:
        """Follow a set-up link and choose a password and an authenticator app."""
        page = self._begins(link, name, display_name)
        page.get_by_label("a password and an authenticator app").check()
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Go on").click()
        self.secret = page.get_by_test_id("totp-secret").inner_text()
        drawn = "document.querySelector('img[alt^=QR]')"
        self.visitor.until(f"{drawn}.complete && {drawn}.naturalWidth > 0")
        page.get_by_label("Code of the app").fill(self.code())
        page.get_by_role("button", name="Confirm the code").click()
        expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
        self.recovery = page.get_by_test_id("shown-once").locator("li").all_inner_texts()

    def _begins(self, link: str, name: str, display_name: str) -> Page:
        page = self.goes(link)
        expect(page.get_by_role("heading", name="Set up your account")).to_be_visible()
        assert urlsplit(page.url).fragment == ""
        if name:
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("Name as others see it").fill(display_name)
        return page

    def code(self) -> str:
        """A code of the authenticator app that was not used yet."""
        self._used = max(self._used + 1, int(time.time()) // 30)
        return str(pyotp.TOTP(self.secret).at(self._used * 30))

    def signs_in_by_passkey(self) -> None:
        self.page.get_by_role("button", name="Sign in with a passkey").click()
        expect(self.page.get_by_role("button", name="Sign out").first).to_be_visible()

    def signs_in_by_password(self, name: str, code: str) -> None:
        """Fill in the form and send it."""
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_label("Code", exact=True).fill(code)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def until_let_in(self, name: str, code: str) -> None:
        """Sign in by password and code, waiting out the delay that failures before have earned."""
        self.signs_in_by_password(name, code)
        out, late = self.page.get_by_role("banner").get_by_role("button", name="Sign out"), self.page.locator("[data-code=TOO_MANY]")
        expect(out.or_(late)).to_be_visible()
        while late.count():
            self.page.wait_for_timeout(1_000)  # what Retry-After asks for
            self.signs_in_by_password(name, code)
            expect(out.or_(late)).to_be_visible()

    def signs_out(self) -> None:
        self.page.get_by_role("banner").get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_role("heading", name="Sign in", exact=True, level=2)).to_be_visible()

    def confirms(self) -> None:
        """Prove in the dialog who they are."""
        self.page.get_by_role("dialog", name="Confirm who you are").get_by_role("button", name="Confirm with a passkey").click()
        expect(self.page.get_by_role("dialog", name="Confirm who you are")).to_have_count(0)

    def cookie(self) -> Any:
        """The session's cookie, as only the browser knows it."""
        return next(one for one in self.page.context.cookies() if one.get("name") == "__Host-kedge")

    def row(self, name: str) -> Locator:
        """A person's row on the page of people."""
        return self.page.locator(f"[data-person='{name}']")

    def invites(self, name: str, display_name: str, roles: list[str]) -> str:
        """Invite somebody, as an admin; the link that is shown once, as a path."""
        page = self.goes("/people")
        panel = page.locator("section", has=page.get_by_role("heading", name="Invite a person"))
        panel.get_by_label("Name", exact=True).fill(name)
        panel.get_by_label("Name as others see it").fill(display_name)
        for role in roles:
            panel.get_by_role("checkbox", name=role).check()
        panel.get_by_role("button", name="Invite").click()
        shown = panel.get_by_test_id("shown-once")
        expect(shown).to_be_visible()
        return "/setup" + shown.inner_text().strip().partition("/setup")[2]

    def leaves(self) -> None:
        """Close the browser; refusals that the test provoked are no complaint."""
        self.visitor.errors[:] = [error for error in self.visitor.errors if not EXPECTED.match(error)]
        self.visitor.ends()


def bearer(running: Running, path: str, token: str) -> Any:
    """What the API answers to a token."""
    asked = urllib.request.Request(f"{running.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)
