"""Uniqueness of overlapping labels against the published vector and against counting."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.weights import average_uniqueness, concurrency

LIVES = np.array([[0, 3], [3, 6], [5, 7], [9, 13], [10, 14]])  # LABEL-UNIQ
CONCURRENCY = [1, 1, 1, 2, 1, 2, 2, 1, 0, 1, 2, 2, 2, 2, 1, 0]
UNIQUENESS = [0.875, 0.625, 0.6666666666666666, 0.6, 0.6]


def test_concurrency_and_uniqueness_are_the_published_vector() -> None:
    first, last = LIVES[:, 0], LIVES[:, 1]
    assert concurrency(first, last, 16).tolist() == CONCURRENCY
    assert average_uniqueness(first, last, 16) == pytest.approx(UNIQUENESS, abs=1e-10)


def test_uniqueness_of_many_labels_is_what_counting_gives() -> None:
    rng = np.random.default_rng(4)
    first = np.sort(rng.integers(0, 280, 120))
    last = first + rng.integers(0, 20, 120)
    counted = [sum(1 for a, b in zip(first, last, strict=True) if a <= t <= b) for t in range(300)]
    assert concurrency(first, last, 300).tolist() == counted
    expected = [np.mean([1 / counted[t] for t in range(a, b + 1)]) for a, b in zip(first, last, strict=True)]
    assert average_uniqueness(first, last, 300) == pytest.approx(expected, abs=1e-12)


def test_labels_that_share_nothing_weigh_one_and_no_labels_weigh_nothing() -> None:
    assert average_uniqueness(np.array([0, 2, 4]), np.array([1, 3, 5]), 6).tolist() == pytest.approx([1, 1, 1])
    assert len(average_uniqueness(np.zeros(0, np.int64), np.zeros(0, np.int64), 6)) == 0


@pytest.mark.parametrize(("first", "last"), [(3, 2), (-1, 2), (4, 6)])
def test_a_life_outside_the_bars_is_refused(first: int, last: int) -> None:
    with pytest.raises(InvalidInput, match=r"bars 0\.\.5"):
        average_uniqueness(np.array([first]), np.array([last]), 6)
