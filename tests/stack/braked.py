"""A whole system with its guard, and two people who may release its brake together."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, expect
from tests.integration.commands import environment
from tests.stack.people import Human
from tests.stack.running import Running, system

GUARD_S_MAX = 30.0
"""How long the guard may take to say something new, on a machine that may be busy."""


@contextlib.contextmanager
def braked_system(folder: Path) -> Iterator[Running]:
    """`kedge up` with its guard, asked by the name that passkeys can belong to, once it has traded."""
    with system(folder) as running:
        running.url = f"http://localhost:{urlsplit(running.url).port}"
        yield running


def guard_url(running: Running) -> str:
    """Where the guard answers by itself."""
    return str(json.loads((running.folder / "guard.json").read_text())["url"])


def setup_link(running: Running) -> str:
    """A link that makes the first account, as a path."""
    command = [sys.executable, "-m", "kedge.apps.cli", "people", "setup-link", "--state-dir", str(running.folder), "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=True)
    return "/setup" + json.loads(done.stdout)["setup_link"].partition("/setup")[2]


def two_people(running: Running, comes: Callable[..., Human]) -> tuple[Human, Human]:
    """Ada, admin and trader, and Rita, who is risk: each with a passkey."""
    ada, rita = comes(), comes()
    ada.sets_up_passkey(setup_link(running), "ada", "Ada Lovelace")
    rita.sets_up_passkey(ada.invites("rita", "Rita Levi", []))
    page = ada.goes("/people")
    row = ada.row("rita")
    row.get_by_role("button", name="Roles").click()
    row.get_by_role("checkbox", name="risk").check()
    row.get_by_label("Reason").fill("somebody must judge")
    row.get_by_role("button", name="Ask for approval").click()
    page = ada.goes(str(row.get_by_role("link", name="this request").get_attribute("href")))
    page.get_by_role("button", name="Approve with a passkey").click()
    page.get_by_role("button", name="Carry it out").click()
    expect(page.locator("article[data-state=used]")).to_be_visible()
    page = rita.goes("/")  # the session was ended by the change of roles
    rita.signs_in_by_passkey()
    return ada, rita


def level(running: Running) -> str:
    """Where the brake stands, by the guard's own file."""
    return str(json.loads((running.folder / "guard" / "latch.json").read_text())["level"])


def guard_status(running: Running) -> Any:
    """What the guard said last."""
    return json.loads((running.folder / "guard" / "status.json").read_text())


def button(human: Human) -> Locator:
    """The brake in the header."""
    return human.page.get_by_role("banner").get_by_role("button", name="Brake:")


def engages_by_keyboard(human: Human, steps: int, reason: str) -> Locator:
    """Shift+B, then a level so many arrows below the first one that is chosen (which is a halt), a reason, and Enter twice."""
    page = human.page
    page.keyboard.press("Shift+B")
    dialog = page.get_by_role("dialog", name="Brake")
    expect(dialog.get_by_role("radio", name=re.compile("^Halt "))).to_be_focused()
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowDown" if steps > 0 else "ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.type(reason)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Press Enter again")).to_be_focused()
    page.keyboard.press("Enter")
    return dialog
