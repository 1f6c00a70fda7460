"""One visit to the dashboard in Chromium, with what a person would not see: console errors, foreign requests, long tasks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from tests.stack.running import Running

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATIENCE_MS = 20_000

WATCH = """
window.longest = 0
new PerformanceObserver((list) => { for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration) })
  .observe({ type: 'longtask', buffered: true })
"""


OPEN: list[Visitor] = []
"""Visits that have not ended."""


class Visitor:
    """A page in a context of its own."""

    def __init__(self, context: BrowserContext, running: Running) -> None:
        self._context, self._running = context, running
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._seen(request.url))
        self.page.on("websocket", lambda socket: self._seen(socket.url))
        self.page.add_init_script(WATCH)
        OPEN.append(self)

    def _seen(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self._running.url).netloc:
            self.foreign.append(url)

    def opens(self, path: str) -> Page:
        """Go to a page and wait until it is live, or knows that the run has ended."""
        self.page.goto(self._running.url + path)
        expect(self.page.get_by_test_id("status")).to_have_text(re.compile(r"^\s*(live|late|run ended)"))
        return self.page

    def authenticator(self) -> str:
        """Give this visitor a device with passkeys, whose owner is always present and verified; its id."""
        devtools = self._context.new_cdp_session(self.page)
        devtools.send("WebAuthn.enable")
        wanted = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        return str(devtools.send("WebAuthn.addVirtualAuthenticator", {"options": wanted})["authenticatorId"])

    def until(self, script: str) -> None:
        """Wait until a script is true; the page's policy forbids Playwright's own way, which evaluates text inside it."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, f"not so within {PATIENCE_MS} ms: {script}"
            self.page.wait_for_timeout(50)

    def until_changed(self, script: str) -> None:
        """Wait until what a script reads is something else than now."""
        self.until(f"({script}) !== {json.dumps(self.page.evaluate(script))}")

    def first_paint_ms(self) -> float:
        """When the first content stood on the page, from the start of the navigation."""
        return float(self.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"))

    def longest_task_ms(self) -> float:
        """The longest stretch for which the page could not have answered a key."""
        return float(self.page.evaluate("window.longest"))

    def findings(self) -> list[str]:
        """What axe holds against the page, serious or critical, with the first place."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate(
            "(tags) => axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] })", RULES
        )
        return [
            f"{rule['id']} ({rule['impact']}): {rule['nodes'][0]['html'][:160]} {rule['nodes'][0]['failureSummary'][:200]}"
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical")
        ]

    def overflows_px(self) -> int:
        """How far the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def state(self) -> str:
        """Where the visitor is, what stands there, and what the browser complained of; for whoever reads of a failure."""
        try:
            text = self.page.locator("body").inner_text(timeout=2_000)
        except PlaywrightError as error:
            text = f"it cannot be read: {error}"
        return f"{self.page.url}\n{text[:2_000]}\ncomplaints: {self.errors}"

    def ends(self) -> None:
        """Leave; nothing may have been complained about, and nobody else asked."""
        OPEN.remove(self)
        self._context.close()
        assert self.errors == [], self.errors
        assert self.foreign == [], self.foreign


def browser_path() -> str:
    """The system's Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail("no Chromium on this machine: make stack-test installs it as root, or says the command")
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Callable[..., Visitor]]:
    """The browser; gives the way to open a visit."""
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser: Browser = playwright.chromium.launch(executable_path=browser_path(), args=sandbox)

        def visit(running: Running, *, theme: str = "dark", width: int = 1440, height: int = 1000, still: bool = True) -> Visitor:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,  # type: ignore[arg-type]
                reduced_motion="reduce" if still else "no-preference",
            )
            return Visitor(context, running)

        try:
            yield visit
        finally:
            browser.close()
