"""Coverage counts what the quick unit tests reach, also in a run of all tests.

So the build machine need not run them twice: with `--cov` the measuring rests during every other test.
"""

from __future__ import annotations

from typing import Final

import pytest
from coverage import Coverage

COUNTED: Final = "tests/unit/"


class Measuring:
    """Whether the run's coverage is at work; pytest-cov begins it, in a worker of xdist twice, one within the other."""

    def __init__(self) -> None:
        self._resting: list[Coverage] = []

    def turn(self, item: pytest.Item) -> None:
        """Measure or rest from here on, until a test wants the other; without `--cov` there is nothing to do."""
        if counts(item):
            while self._resting:
                self._resting.pop().start()
        else:
            while (measured := Coverage.current()) is not None:  # the outer goes on where the inner stops
                measured.stop()
                self._resting.append(measured)


def counts(item: pytest.Item) -> bool:
    """True for a unit test that is not slow; property tests would spend a minute on lines that these reach too."""
    return item.nodeid.startswith(COUNTED) and item.get_closest_marker("slow") is None


_MEASURING: Final = Measuring()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the fixtures of a test, so that theirs are counted or not as it is."""
    _MEASURING.turn(item)
