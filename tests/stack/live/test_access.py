"""Everybody can read and use it: axe, a phone, the keyboard alone, colours that are never alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.stack.running import Running
from tests.stack.visitor import Visitor

PAGES = ["/", "/?rows=fills", "/?rows=orders&equity=table", "/chart", "/chart?view=table", "/lineage", "FILL"]


def addresses(live: Running) -> list[str]:
    fill = live.get("/fills?limit=1")["items"][0]["fill_id"]
    return [f"/lineage/{fill}" if page == "FILL" else page for page in PAGES]


@pytest.mark.parametrize(("theme", "width"), [("dark", 1440), ("light", 1440), ("dark", 360)])
def test_axe_finds_nothing_serious_and_no_page_is_wider_than_its_screen(
    live: Running, visits: Callable[..., Visitor], theme: str, width: int
) -> None:
    found: dict[str, list[str]] = {}
    for path in addresses(live):
        visitor = visits(live, theme=theme, width=width, height=800)
        page = visitor.opens(path)
        page.wait_for_selector("article.raw_file" if path.startswith("/lineage/") else "main section")
        if page.locator(".plot").count():
            page.wait_for_selector(".plot canvas")
        overflow = visitor.overflows_px()
        complaints = visitor.findings() + ([f"{overflow} px wider than the screen"] if overflow > 0 else [])
        if complaints:
            found[path] = complaints
        visitor.ends()
    assert found == {}


def test_dialogs_pass_axe_too(live: Running, visits: Callable[..., Visitor]) -> None:
    visitor = visits(live)
    page = visitor.opens("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys and colours")).to_be_visible()
    assert visitor.findings() == []
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog", name="Search")).to_be_visible()
    assert visitor.findings() == []
    visitor.ends()


def test_a_keyboard_is_enough_to_take_a_fill_apart(live: Running, visits: Callable[..., Visitor]) -> None:
    visitor = visits(live)
    page = visitor.opens("/")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/chart*")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/lineage")
    fill = live.get("/fills?limit=1")["items"][0]["fill_id"]
    page.keyboard.press("/")
    page.keyboard.type(fill)
    option = page.get_by_role("option").filter(has_text="fill").first
    expect(option).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/lineage/{fill}")
    expect(page.locator("article.raw_file").first).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("o")
    visitor.until("location.pathname === '/'")
    page.get_by_role("tab", name="Decisions").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Fills")).to_be_focused()
    first = page.get_by_role("region", name="Fills").locator("a.open").first
    first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.classList.contains('open')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/lineage/**")
    visitor.ends()


def test_profit_and_loss_carry_a_sign_and_an_arrow_in_every_palette(crowded: Running, visits: Callable[..., Visitor]) -> None:
    visitor = visits(crowded)
    page = visitor.opens("/?rows=fills&sort=realised")
    losses = page.get_by_role("region", name="Fills").locator("td .loss")
    expect(losses.first).to_contain_text("\u2212")
    expect(losses.first).to_contain_text("▼")
    page.get_by_role("region", name="Fills").get_by_role("button", name="Realised").click()
    gains = page.get_by_role("region", name="Fills").locator("td .gain")
    expect(gains.first).to_contain_text("+")
    expect(gains.first).to_contain_text("▲")
    for palette in ("green-red", "red-green", "mono"):
        page.keyboard.press("Escape")
        page.locator("main").focus()
        page.keyboard.press("p")
        expect(page.locator("html")).to_have_attribute("data-palette", palette)
        assert visitor.findings() == []
    visitor.ends()
