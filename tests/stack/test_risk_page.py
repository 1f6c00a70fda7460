"""Risk in Chromium: gauges, methods, crises and limits of a system that trades; limits tightened by one, loosened by two."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.stack.braked import GUARD_S_MAX, braked_system, two_people
from tests.stack.people import Human
from tests.stack.running import Running
from tests.stack.visitor import Visitor

SLOW_MS = int(1000 * GUARD_S_MAX)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, visits: Callable[..., Visitor]) -> Iterator[tuple[Running, Human, Human]]:
    """One system, an admin who trades, and somebody who is risk."""
    with braked_system(tmp_path_factory.mktemp("risky")) as running:
        ada, rita = two_people(running, lambda **options: Human(visits(running, **options), running))
        yield running, ada, rita
        for human in (rita, ada):
            human.leaves()


def test_every_measure_stands_beside_its_levels_by_whom_it_was_measured(scene: tuple[Running, Human, Human]) -> None:
    _, ada, _ = scene
    page = ada.goes("/risk")
    rows = page.locator("[data-measure]")
    expect(rows).to_have_count(11)
    drawdown = page.locator("[data-measure=drawdown]")
    for words in ("soft 5.00 %", "hard 6.50 %", "brake 8.00 % → halted", "brake 10.00 % → flattening", "trader", "guard"):
        expect(drawdown).to_contain_text(words)
    expect(drawdown.get_by_role("img")).to_have_attribute("aria-label", re.compile("below the highest equity: [0-9.]+ %"))


def test_a_limit_is_tightened_by_one_person_and_reaches_the_trader(scene: tuple[Running, Human, Human]) -> None:
    running, ada, _ = scene
    page = ada.goes("/risk")
    panel = page.locator("section", has=page.get_by_role("heading", name="Limits", exact=True))
    panel.get_by_role("button", name="Change").click()
    field = panel.get_by_label("New value of drawdown soft frac")
    tighten = panel.get_by_role("button", name="Tighten now")
    field.fill("0.04")
    expect(panel.get_by_text("tighter", exact=True)).to_be_visible()
    expect(tighten).to_be_disabled()  # a reason is missing
    panel.get_by_label("Reason").fill("a rough week")
    tighten.click()
    expect(panel.get_by_text("Limits no. 2 are on their way to the trader")).to_be_visible(timeout=SLOW_MS)
    expect(panel.get_by_text("drawdown soft frac 0.05 -> 0.04")).to_be_visible()
    running.until(lambda: ada.reads("/risk/status")["limits_number"] == 2, "the trader taking the limits", 2 * GUARD_S_MAX)
    expect(page.locator("[data-measure=drawdown]")).to_contain_text("soft 4.00 %", timeout=SLOW_MS)


def test_loosening_becomes_a_request_that_somebody_else_decides(scene: tuple[Running, Human, Human]) -> None:
    running, ada, rita = scene
    page = ada.goes("/risk")
    panel = page.locator("section", has=page.get_by_role("heading", name="Limits", exact=True))
    panel.get_by_role("button", name="Change").click()
    panel.get_by_label("New value of drawdown soft frac").fill("0.05")
    expect(panel.get_by_text("looser: two people")).to_be_visible()
    expect(panel.get_by_role("button", name="Tighten now")).to_have_count(0)
    panel.get_by_label("Reason").fill("calm again")
    panel.get_by_role("button", name="Ask a second person to loosen").click()
    expect(panel.get_by_text("nothing is loosened before another person approves it")).to_be_visible(timeout=SLOW_MS)
    assert ada.reads("/risk/limits")["current"]["number"] == 2
    asked = ada.reads("/approvals?kind=limit-loosen")["items"][0]
    assert asked["payload"]["changes"] == {"drawdown_soft_frac": "0.05"}
    assert asked["obstacle_code"] == "OWN_REQUEST"
    page = rita.goes(f"/approvals/{asked['id']}")
    page.get_by_role("button", name="Approve with a passkey").click()
    page.get_by_role("button", name="Carry it out").click()
    expect(page.locator("article[data-state=used]")).to_be_visible(timeout=SLOW_MS)
    running.until(lambda: ada.reads("/risk/limits")["current"]["number"] == 3, "the looser limits", GUARD_S_MAX)
    assert ada.reads("/risk/limits")["current"]["approver"] == rita.reads("/me")["person_id"]


def test_methods_and_crises_of_the_open_book_are_shown_and_old_figures_as_old(scene: tuple[Running, Human, Human], shots: Path) -> None:
    running, ada, _ = scene
    page = ada.goes("/risk")
    frozen = running.child("exchange")

    def stands_still_with_a_position() -> bool:
        os.kill(frozen, signal.SIGSTOP)
        page.wait_for_timeout(300)  # what was on its way arrives
        if ada.reads("/risk/stress")["scenarios"]:
            return True
        os.kill(frozen, signal.SIGCONT)
        page.wait_for_timeout(300)
        return False

    try:
        running.until(stands_still_with_a_position, "a position", 4 * GUARD_S_MAX)
        page.reload()
        methods = page.get_by_role("region", name="VaR 99 % and ES 97.5 % by method")
        expect(methods.locator("tr[data-method]").first).to_be_visible(timeout=SLOW_MS)
        expect(methods).to_contain_text("limits act on it")
        crises = page.get_by_role("region", name="Loss under each scenario")
        expect(crises.locator("tr[data-scenario=mar-2020]")).to_contain_text("Covid crash", timeout=SLOW_MS)
        expect(page.get_by_text("Smallest shock to: liquidation")).to_be_visible()
        expect(page.get_by_role("region", name="Concentration and liquidation by position").locator("tbody th").first).to_be_visible()
        expect(page.get_by_test_id("badge")).to_contain_text("SYNTHETIC")
        page.screenshot(path=shots / "risk.png")
        expect(page.locator("[data-measure=drawdown] .old").first).to_contain_text("stale", timeout=2 * SLOW_MS)
        expect(page.get_by_test_id("stale-banner")).to_be_visible(timeout=SLOW_MS)
        expect(page.get_by_role("banner").get_by_role("button", name="Brake:")).to_be_enabled()
    finally:
        with contextlib.suppress(ProcessLookupError):  # the supervisor ends what is silent
            os.kill(frozen, signal.SIGCONT)
