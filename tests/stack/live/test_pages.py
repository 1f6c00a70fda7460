"""The three pages on a system that trades: what they say is what the API says, and it moves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.stack.running import Running
from tests.stack.visitor import Visitor

KINDS = (
    "fill",
    "order",
    "risk",
    "decision",
    "prediction",
    "features",
    "model",
    "training",
    "commit",
    "feature_set",
    "dataset",
    "raw_file",
    "run",
)


def test_overview_shows_the_account_and_moves_with_the_market(
    live: Running, visits: Callable[..., Visitor], capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = visits(live)
    page = visitor.opens("/")
    expect(page.get_by_test_id("badge")).to_contain_text("SYNTHETIC")
    expect(page.get_by_test_id("badge")).to_contain_text("600")
    visitor.until_changed("document.querySelector('header .venue').innerText")
    visitor.until_changed("document.querySelector('[aria-labelledby=funnel-title] li .value').innerText")
    shown = page.get_by_test_id("equity").inner_text().replace(",", "").replace("\xa0", " ")
    assert shown.endswith("USDT")
    assert float(shown.split()[0]) > 0
    for title in ("Equity and drawdown", "Positions", "Blotter", "Funnel", "Limits", "Health", "Provenance"):
        panel = page.locator("section", has=page.get_by_role("heading", name=title, exact=True))
        expect(panel).to_be_visible()
        if title != "Provenance":
            expect(panel.locator("[data-age]").first).to_be_visible()
    with capsys.disabled():
        print(f"\n  first paint of the overview {visitor.first_paint_ms():.0f} ms, longest task {visitor.longest_task_ms():.0f} ms")
    visitor.ends()


def test_chart_draws_bars_fills_and_the_model_and_its_table_has_the_same_figures(live: Running, visits: Callable[..., Visitor]) -> None:
    fill = live.get("/fills?limit=1")["items"][0]
    visitor = visits(live)
    page = visitor.opens(f"/chart?instrument={fill['instrument']}")
    page.wait_for_selector(".plot canvas")
    visitor.until_changed("document.querySelector('.legend').innerText")
    expect(page.get_by_role("region", name="Fills and vetoes of this instrument").locator("a.open").first).to_be_visible()
    page.get_by_role("button", name="Table", exact=True).click()
    row = page.get_by_role("region", name="Bars").locator("tbody tr").nth(3)
    cells = [cell.replace(",", "") for cell in row.locator("td").all_inner_texts()]
    candles = live.get(f"/candles?instrument={fill['instrument']}&limit=200")["items"]
    assert [cells[1], cells[4]] in [[candle["open"], candle["close"]] for candle in candles]
    assert "view=table" in page.url
    visitor.ends()


def test_a_fill_is_clicked_through_to_its_raw_data_and_computed_again(live: Running, visits: Callable[..., Visitor]) -> None:
    visitor = visits(live)
    page = visitor.opens("/?rows=fills")
    page.get_by_role("region", name="Fills").locator("a.open").last.click()
    page.wait_for_url("**/lineage/**")
    for kind in KINDS:
        expect(page.locator(f"article.{kind}").first).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text("Whole")
    assert page.locator("article.features li").count() >= 20
    page.get_by_role("button", name="Recompute").click()
    expect(page.locator(".verdict .steps")).to_be_visible(timeout=120_000)
    expect(page.locator(".verdict")).to_contain_text("equal to the bit")
    expect(page.locator(".verdict .steps")).not_to_contain_text("differs")
    fill = page.url
    page.get_by_role("navigation", name="The chain").get_by_role("link", name="data set").click()
    expect(page.locator("article.dataset")).to_be_in_viewport()
    page.locator("article.dataset").get_by_role("link", name="begin here").click()
    page.wait_for_url(lambda url: url != fill)
    expect(page.locator(".verdict .kind")).to_have_text("data set")
    visitor.ends()


def test_an_id_that_nothing_has_is_answered_with_what_to_do(live: Running, visits: Callable[..., Visitor]) -> None:
    visitor = visits(live)
    page = visitor.opens("/lineage/0000-there-is-none")
    expect(page.locator(".trouble")).to_contain_text("NOT_FOUND")
    page.close()
    assert all("404" in error for error in visitor.errors)
    assert visitor.foreign == []


def test_pictures_of_the_pages(live: Running, visits: Callable[..., Visitor], shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":  # for the documents something should have happened
        live.until(lambda: len(live.get("/fills?limit=30")["items"]) >= 30, "thirty fills", seconds=400)
    fill = live.get("/fills?limit=1")["items"][0]["fill_id"]
    wanted = [
        ("overview-dark", "/?rows=fills", "dark", 1440, 960),
        ("overview-light", "/", "light", 1440, 960),
        ("chart-dark", "/chart", "dark", 1440, 860),
        ("lineage-dark", f"/lineage/{fill}", "dark", 1440, 960),
        ("overview-phone", "/", "dark", 360, 740),
    ]
    for name, path, theme, width, height in wanted:
        visitor = visits(live, theme=theme, width=width, height=height)
        page = visitor.opens(path)
        page.wait_for_selector("article.raw_file" if "lineage" in name else "canvas")
        page.wait_for_timeout(1_000)  # a picture, nothing is asserted about it
        page.screenshot(path=shots / f"{name}.png")
        visitor.ends()
    with capsys.disabled():
        print(f"\n  pictures in {shots}")
