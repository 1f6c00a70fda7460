"""The order in which a bar's prices are played."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.market.path import bar_path, path_ticks


@st.composite
def bars(draw: st.DrawFn) -> tuple[int, int, int, int]:
    low = draw(st.integers(1, 10**9))
    high = low + draw(st.integers(0, 10**6))
    return draw(st.integers(low, high)), high, low, draw(st.integers(low, high))


def test_falling_bar_plays_the_low_first() -> None:
    assert bar_path(100, 110, 80, 90) == (100, 80, 110, 90)


def test_rising_bar_plays_the_high_first() -> None:
    assert bar_path(90, 110, 80, 100) == (90, 110, 80, 100)


def test_flat_bar_plays_the_low_first() -> None:
    assert bar_path(90, 110, 80, 90) == (90, 80, 110, 90)


@pytest.mark.parametrize("bar", [(100, 99, 80, 90), (100, 110, 101, 105), (0, 1, 0, 1), (90, 80, 100, 90), (-5, 3, -5, 1)])
def test_broken_bar_is_refused_with_its_numbers(bar: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput, match=f"open {bar[0]}, high {bar[1]}"):
        bar_path(*bar)


@given(bars(), st.integers(4, 60), st.integers(-(2**70), 2**70))
def test_fine_path_visits_the_corners_in_order_and_stays_inside(bar: tuple[int, int, int, int], steps: int, seed: int) -> None:
    path = path_ticks(bar, steps, seed)
    assert len(path) == steps
    assert (path[0], path[-1]) == (bar[0], bar[3])
    assert min(path) == bar[2]
    assert max(path) == bar[1]
    remaining = iter(path)
    assert all(corner in remaining for corner in bar_path(*bar))


@given(bars(), st.integers(0, 2**64))
def test_four_steps_are_the_bar_path(bar: tuple[int, int, int, int], seed: int) -> None:
    assert tuple(path_ticks(bar, 4, seed)) == bar_path(*bar)


def test_path_depends_on_the_seed_alone() -> None:
    bar = (50_000, 51_000, 49_000, 50_500)
    assert path_ticks(bar, 40, 7) == path_ticks(bar, 40, 7)
    assert path_ticks(bar, 40, 7) != path_ticks(bar, 40, 8)


def test_fewer_than_four_steps_are_refused() -> None:
    with pytest.raises(InvalidInput, match="steps is 3"):
        path_ticks((1, 2, 1, 2), 3, 0)
