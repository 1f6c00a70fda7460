"""Coverage counts what the quick unit and property tests reach, also in a run of all tests.

So the build machine need not run them twice: with `--cov` the measuring rests during every other test.
"""

from __future__ import annotations

from typing import Final

import pytest
from coverage import Coverage

COUNTED: Final = ("tests/unit/", "tests/property/")


class Measuring:
    """Whether the run's coverage is at work; pytest-cov begins it."""

    def __init__(self) -> None:
        self._resting: Coverage | None = None

    def turn(self, item: pytest.Item) -> None:
        """Measure or rest from here on, until a test wants the other; without `--cov` there is nothing to do."""
        if counts(item):
            if self._resting is not None:
                self._resting.start()
                self._resting = None
        elif (measured := Coverage.current()) is not None:
            measured.stop()
            self._resting = measured


def counts(item: pytest.Item) -> bool:
    """True for a unit or property test that is not slow."""
    return item.nodeid.startswith(COUNTED) and item.get_closest_marker("slow") is None


_MEASURING: Final = Measuring()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the fixtures of a test, so that theirs are counted or not as it is."""
    _MEASURING.turn(item)
