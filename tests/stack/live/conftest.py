"""The system that these pages show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.stack.running import Running, system


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`kedge up` at 600 times the clock, ready, with at least one fill of its model."""
    with system(tmp_path_factory.mktemp("live")) as found:
        yield found
