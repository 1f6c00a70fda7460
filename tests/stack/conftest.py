"""A system that really runs, and the browser that looks at it. `make stack-test` brings Chromium and says that it is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from tests.stack.running import Running, crowded_journal, serving
from tests.stack.visitor import OPEN, Visitor, chromium

WANTED = "KEDGE_STACK_TEST"

collect_ignore_glob = [] if os.environ.get(WANTED) else ["test_*.py", "live/test_*.py"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what stood on the pages that were open then."""
    report = yield
    if report.failed:
        report.sections += [(f"page {number}", visitor.state()) for number, visitor in enumerate(OPEN, 1)]
    return report


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`kedge serve` over the journal of a finished run with thousands of fills."""
    folder = tmp_path_factory.mktemp("crowded")
    crowded_journal(folder)
    with serving(folder) as found:
        yield found


@pytest.fixture(scope="session")
def visits() -> Iterator[Callable[..., Visitor]]:
    """Opens pages: `visits(running, theme="light", width=360)`."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: docs/images when UPDATE_SCREENSHOTS=1 asks for it, else a folder of this test."""
    return IMAGES if os.environ.get("UPDATE_SCREENSHOTS") == "1" else tmp_path_factory.mktemp("shots")
