"""The brake in Chromium: engaged by keyboard from any page, old news shown as old, released by two people, and without any script."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import expect
from tests.stack.braked import (
    GUARD_S_MAX,
    braked_system,
    button,
    engages_by_keyboard,
    guard_status,
    guard_url,
    level,
    two_people,
)
from tests.stack.people import Human
from tests.stack.running import Running
from tests.stack.visitor import AXE, RULES, Visitor

SLOW_MS = int(1000 * GUARD_S_MAX)


class Scene(NamedTuple):
    """A system, and those who may release its brake together."""

    running: Running
    ada: Human
    rita: Human


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, visits: Callable[..., Visitor]) -> Iterator[Scene]:
    """One system for the tests of this file, in their order: the brake is engaged, harder, and released again."""
    with braked_system(tmp_path_factory.mktemp("braked")) as running:
        ada, rita = two_people(running, lambda **options: Human(visits(running, **options), running))
        yield Scene(running, ada, rita)
        for human in (rita, ada):
            human.leaves()


def test_it_is_on_every_page_and_says_that_it_is_off_only_on_fresh_news(scene: Scene) -> None:
    for path in ("/", "/chart", "/risk", "/brake", "/lineage", "/approvals", "/people", "/account"):
        scene.ada.page.goto(scene.running.url + path)
        expect(button(scene.ada)).to_have_attribute("data-level", "running")
        expect(button(scene.ada)).to_have_attribute("data-standing", re.compile("fresh|late"))
    page = scene.ada.goes("/brake")
    expect(page.locator("[data-level=running][aria-current=step]")).to_contain_text("Running now")
    expect(page.get_by_role("region", name="Triggers of the brake").locator("tbody tr")).not_to_have_count(0)
    expect(page.get_by_role("heading", name="What would happen")).to_be_visible()


def test_it_is_reduced_by_keyboard_from_the_chart_and_halted_from_the_people_page(scene: Scene) -> None:
    running, ada = scene.running, scene.ada
    ada.page.goto(running.url + "/chart")
    expect(button(ada)).to_be_visible()
    dialog = engages_by_keyboard(ada, -1, "the feed looks wrong")
    expect(dialog.get_by_text("the guard holds it").first).to_be_visible(timeout=SLOW_MS)
    assert level(running) == "reduce_only"
    expect(button(ada)).to_have_attribute("data-level", "reduce_only")
    ada.page.keyboard.press("Escape")
    ada.page.goto(running.url + "/people")
    expect(button(ada)).to_have_text(re.compile("reduce only"))
    dialog = engages_by_keyboard(ada, 0, "and now for good")
    expect(dialog.get_by_text("the guard holds it").first).to_be_visible(timeout=SLOW_MS)
    assert level(running) == "halted"
    expect(dialog.get_by_test_id("brake-standing")).to_contain_text("by Ada Lovelace")
    expect(dialog.get_by_test_id("brake-standing")).to_contain_text("and now for good")
    ada.page.keyboard.press("Escape")
    running.until(lambda: [act for act in ada.reads("/acts?action=brake-engage")["items"] if act["name"] == "ada"], "the act", GUARD_S_MAX)


def test_one_enter_alone_engages_nothing_and_a_press_must_be_held(scene: Scene, shots: Path) -> None:
    ada = scene.ada
    page = ada.goes("/brake")
    expect(page.locator("[data-level=halted][aria-current=step]")).to_be_visible()
    expect(page.get_by_text("and now for good").first).to_be_visible()
    expect(page.get_by_test_id("badge")).to_contain_text("SYNTHETIC")
    page.screenshot(path=shots / "brake.png")
    held = ada.page.get_by_role("button", name="hold, or Enter twice")
    ada.page.get_by_role("radio", name=re.compile("^Flatten ")).check()
    held.focus()
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("button", name="Press Enter again")).to_be_visible()
    ada.page.keyboard.press("Tab")  # leaving disarms it
    expect(held).to_be_visible()
    held.click(delay=300)
    expect(held).to_be_visible()
    ada.page.wait_for_timeout(500)  # nothing can be awaited where nothing may happen
    assert level(scene.running) == "halted"


def test_old_news_are_shown_as_old_and_the_brake_can_still_be_engaged(scene: Scene) -> None:
    running, rita = scene.running, scene.rita
    page = rita.goes("/brake")
    frozen = running.child("guard")
    os.kill(frozen, signal.SIGSTOP)
    try:
        expect(button(rita)).to_have_attribute("data-standing", "stale", timeout=SLOW_MS)
        expect(button(rita)).to_contain_text("halted, stale")
        expect(page.get_by_test_id("brake-standing").get_by_role("alert")).to_contain_text("STALE")
        expect(page.locator("[aria-current=step]")).to_contain_text("last told")
        expect(page.locator(".age.stale").first).to_be_visible()
        page.get_by_role("radio", name=re.compile("^Flatten ")).check()
        page.get_by_label("Reason").first.fill("nobody hears me")
        page.get_by_role("button", name="Flatten: hold, or Enter twice").click(delay=2_000)
        expect(page.get_by_text("the request waits in its folder")).to_be_visible(timeout=SLOW_MS)
        expect(page.get_by_text("request waits for the guard")).to_be_visible()
    finally:
        with contextlib.suppress(ProcessLookupError):  # the supervisor ends what is silent
            os.kill(frozen, signal.SIGCONT)
    running.until(lambda: level(running) in ("flattening", "halted_flat"), "the guard taking the request", 4 * GUARD_S_MAX)
    expect(button(rita)).to_have_attribute("data-standing", "fresh", timeout=4 * SLOW_MS)
    running.until(lambda: level(running) == "halted_flat", "flat", 4 * GUARD_S_MAX)
    expect(page.locator("[data-level=halted_flat][aria-current=step]")).to_be_visible(timeout=SLOW_MS)
    assert guard_status(running)["positions"] == []


def test_whoever_asks_for_a_release_is_refused_to_decide_it_and_the_other_one_does(scene: Scene) -> None:
    running, ada, rita = scene
    page = ada.goes("/brake")
    panel = page.locator("section", has=page.get_by_role("heading", name="Release"))
    expect(panel.get_by_role("button", name="Ask for the release")).to_be_disabled()
    panel.get_by_label("Why may it be let go?").fill("it was a drill of ours")
    panel.get_by_label("What was the root cause?").fill("none: we wanted to see it work")
    panel.get_by_label("Count the drawdown from now on").check()
    panel.get_by_role("button", name="Ask for the release").click()
    card = panel.locator("article[data-state=requested]")
    expect(card).to_contain_text("release the brake")
    expect(card.locator(".obstacle")).to_contain_text("OWN_REQUEST")
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)
    asked = next(one for one in ada.reads("/approvals?kind=brake-release")["items"] if one["state"] == "requested")
    assert asked["payload"]["root_cause"] == "none: we wanted to see it work"
    assert asked["payload"]["generation"] == guard_status(running)["latch"]["generation"]
    forced = page.evaluate(
        """async ([id, sha]) => {
          const csrf = (await (await fetch('/api/v1/session')).json()).csrf
          const answer = await fetch(`/api/v1/approvals/${id}/decisions`, { method: 'POST',
            headers: { 'Content-Type': 'application/json', 'X-Kedge-CSRF': csrf },
            body: JSON.stringify({ decision: 'approve', reason: 'me too', payload_sha256: sha }) })
          return [answer.status, (await answer.json()).code]
        }""",
        [asked["id"], asked["payload_sha256"]],
    )
    assert forced[1] == "OWN_REQUEST"
    assert level(running) == "halted_flat"

    page = rita.goes("/brake")
    card = page.locator("article[data-state=requested]")
    card.get_by_role("button", name="Approve with a passkey").click()
    page.locator("article[data-state=approved]").get_by_role("button", name="Carry it out").click()
    with contextlib.suppress(AssertionError):
        expect(page.get_by_role("dialog", name="Confirm who you are")).to_be_visible(timeout=3_000)
        rita.confirms()
    running.until(lambda: level(running) == "running", "the release", 2 * GUARD_S_MAX)
    expect(button(rita)).to_have_attribute("data-level", "running", timeout=SLOW_MS)
    expect(page.get_by_text("released from halted_flat")).to_be_visible(timeout=SLOW_MS)


def test_without_the_api_and_without_any_script_the_guards_own_page_engages_it(scene: Scene, visits: Callable[..., Visitor]) -> None:
    running = scene.running
    visitor = visits(running)
    browser = visitor.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800})
    stopped = running.child("server")
    os.kill(stopped, signal.SIGSTOP)
    try:
        page = context.new_page()
        page.goto(guard_url(running))
        expect(page.get_by_role("heading", level=1)).to_contain_text("brake")
        assert page.locator("script").count() == 0
        token = (running.folder / "guard" / "operator.token").read_text().strip()
        page.locator("input[type=radio][value*=halt]").first.check()
        page.get_by_label("Reason").fill("the pages are gone")
        page.get_by_label("Operator token").fill("0" * 64)
        page.get_by_role("button", name=re.compile("Engage")).click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert level(running) == "running"
        page.goto(guard_url(running))
        page.locator("input[type=radio][value*=halt]").first.check()
        page.get_by_label("Reason").fill("the pages are gone")
        page.get_by_label("Operator token").fill(token)
        page.get_by_role("button", name=re.compile("Engage")).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("engaged")
        assert level(running) == "halted"
        assert page.content().count(token) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
        context.close()
        visitor.ends()


@pytest.mark.parametrize(("theme", "width"), [("dark", 1440), ("light", 1440), ("dark", 360), ("light", 360)])
def test_axe_finds_nothing_and_nothing_overflows(scene: Scene, theme: str, width: int) -> None:
    page = scene.ada.page
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    try:
        for path in ("/brake", "/risk"):
            scene.ada.goes(path)
            expect(button(scene.ada)).to_be_visible()
            expect(page.locator("main table").first).to_be_visible()
            assert scene.ada.visitor.findings() == []
            assert scene.ada.visitor.overflows_px() <= 0, path
        page.keyboard.press("Shift+B")
        expect(page.get_by_role("dialog", name="Brake")).to_be_visible()
        assert scene.ada.visitor.findings() == []
        page.keyboard.press("Escape")
    finally:
        page.set_viewport_size({"width": 1440, "height": 1000})
    guarded = page.context.new_page()
    try:
        guarded.goto(guard_url(scene.running))
        guarded.evaluate(AXE.read_text(encoding="utf-8"))
        found = guarded.evaluate(
            "(tags) => axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] })", RULES
        )
        assert [rule["id"] for rule in found["violations"] if rule["impact"] in ("serious", "critical")] == []
    finally:
        guarded.close()


def test_the_history_tells_who_did_what_in_order(scene: Scene) -> None:
    rows = scene.ada.reads("/brake/history?limit=200")["items"]
    latched = [row["level"] for row in reversed(rows) if row["kind"] == "latched"]
    assert [one for one in latched if one in ("reduce_only", "halted")][:2] == ["reduce_only", "halted"]
    assert any(row["kind"] == "released" for row in rows)
    assert json.dumps(rows).count("the feed looks wrong") >= 1
