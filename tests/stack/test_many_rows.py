"""Thousands of rows cost the page no more than those in view."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.stack.running import Running
from tests.stack.visitor import Visitor

ROWS = 5_000
ELEMENTS_MAX = 100
SCROLL = """async (rows) => {
  const view = document.querySelector('#rows [role=region]')
  const foot = document.querySelector('#rows .foot')
  const loaded = () => Number(foot.innerText.split(' ')[0].replaceAll(',', ''))
  let most = 0
  for (let turn = 0; turn < 4000 && loaded() < rows; turn += 1) {
    view.scrollTop += 400
    await new Promise(requestAnimationFrame)
    most = Math.max(most, document.querySelectorAll('[role=row], tr').length)
  }
  window.longest = 0
  for (view.scrollTop = 0; view.scrollTop + view.clientHeight < view.scrollHeight - 40; view.scrollTop += 400) {
    await new Promise(requestAnimationFrame)
    most = Math.max(most, document.querySelectorAll('[role=row], tr').length)
  }
  return [loaded(), most]
}"""


@pytest.mark.parametrize("rows", ["fills", "decisions"])
def test_five_thousand_rows_are_scrolled_with_a_hundred_elements(
    crowded: Running, visits: Callable[..., Visitor], rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = visits(crowded)
    page = visitor.opens(f"/?rows={rows}")
    page.wait_for_selector("#rows tbody a.open")
    page.set_default_timeout(120_000)
    loaded, most = page.evaluate(SCROLL, ROWS)
    assert loaded >= ROWS
    assert 10 < most <= ELEMENTS_MAX
    with capsys.disabled():
        print(f"\n  {rows}: {loaded} rows, at most {most} row elements, longest task while scrolling {visitor.longest_task_ms():.0f} ms")
    visitor.ends()
