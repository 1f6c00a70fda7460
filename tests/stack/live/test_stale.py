"""When the feed stops the page says so at once, and says when it is back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.stack.running import Running
from tests.stack.visitor import Visitor

BUDGET_MS = 60_000
"""The server calls data stale after 10 s; the rest is for a busy machine."""


@pytest.mark.parametrize("part", ["trader", "exchange"])
def test_what_is_frozen_makes_the_page_stale_until_bars_come_again(live: Running, visits: Callable[..., Visitor], part: str) -> None:
    visitor = visits(live)
    page = visitor.opens("/")
    expect(page.get_by_test_id("stale-banner")).to_have_count(0)
    frozen = live.child(part)
    os.kill(frozen, signal.SIGSTOP)
    try:
        expect(page.get_by_test_id("stale-banner")).to_be_visible(timeout=BUDGET_MS)
        expect(page.get_by_test_id("stale-banner")).to_contain_text("STALE since")
        expect(page.locator("main")).to_have_class(re.compile(r"\bfrozen\b"))
        expect(page.locator(".age.stale").first).to_be_visible()
        assert page.title().startswith("STALE")
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have been replaced by now: the supervisor ends what is silent
            os.kill(frozen, signal.SIGCONT)
    expect(page.get_by_test_id("stale-banner")).to_have_count(0, timeout=4 * BUDGET_MS)
    visitor.ends()
