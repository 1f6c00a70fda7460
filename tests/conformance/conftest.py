"""One exchange for all tests of a process that run here, and a new account for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.loopback import Desk, Loopback

# Checks stand in modules beside the tests: without this, an assertion that fails there would not show its values.
pytest.register_assert_rewrite(
    *(f"tests.conformance.{path.stem}" for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("test_", "conftest")))
)


@pytest.fixture(scope="session")
def exchange() -> Iterator[Loopback]:
    from tests.conformance.loopback import running

    with running() as found:
        yield found


@pytest.fixture
def desk(exchange: Loopback) -> Iterator[Desk]:
    """A new account; prices stand at their opening, and its orders and positions go with it."""
    exchange.reopen()
    made = exchange.desk()
    yield made
    made.leave()
