"""How a recorded bar is played: open, low, high, close, the high first when the bar rose.

Rules: integers only, a pure function of its arguments. Every path touches open, both extremes and close in that order and
never leaves [low, high]. Which extreme came first is not in a bar: this order is an assumption, and reports name it.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput

PATH_RULE: Final = "open-low-high-close, high first when the bar rose"

_MASK: Final = 2**64 - 1


def bar_path(open_ticks: int, high_ticks: int, low_ticks: int, close_ticks: int) -> tuple[int, int, int, int]:
    """The four prices of a bar in the order in which they are played.

    Raises
    ------
    InvalidInput
        The low is not positive, or open or close lie outside [low, high].
    """
    if not 0 < low_ticks <= min(open_ticks, close_ticks) <= max(open_ticks, close_ticks) <= high_ticks:
        raise InvalidInput(
            f"bar is open {open_ticks}, high {high_ticks}, low {low_ticks}, close {close_ticks} ticks",
            why="prices are positive, and open and close lie between low and high",
            fix="validate the bars before playing them",
        )
    if close_ticks > open_ticks:
        return open_ticks, high_ticks, low_ticks, close_ticks
    return open_ticks, low_ticks, high_ticks, close_ticks


def path_ticks(bar: tuple[int, int, int, int], steps: int, seed: int) -> list[int]:
    """A finer path through a bar: `steps` prices, the first the open, the last the close, both extremes on the way.

    Parameters
    ----------
    bar : tuple of int
        open, high, low, close in ticks.
    steps : int
        At least 4; with 4 it is `bar_path`.
    seed : int
        Moves the prices between the four corners, by up to a quarter of the bar's range; the corners stay.

    Raises
    ------
    InvalidInput
        Fewer than 4 steps, or a broken bar.
    """
    corners = bar_path(*bar)
    if steps < len(corners):
        raise InvalidInput(f"steps is {steps}", why="a path has four corners", fix="ask for at least 4 steps")
    _, high, low, _ = bar
    state = _mix(seed & _MASK)
    path: list[int] = []
    for leg, length in enumerate(_leg_lengths(corners, steps - 1)):
        start, end = corners[leg], corners[leg + 1]
        path.append(start)
        for step in range(1, length):
            state = (state + _STRIDE) & _MASK
            middle = start + (end - start) * step // length
            path.append(min(high, max(low, middle + _wobble(state, (high - low) // 4))))
    return [*path, corners[-1]]


def _leg_lengths(corners: tuple[int, int, int, int], moves: int) -> tuple[int, int, int]:
    """Share the moves among the three legs by the distance each travels; every leg gets at least one."""
    first, second, third = (abs(b - a) for a, b in zip(corners, corners[1:], strict=False))
    spare, distance = moves - 3, max(1, first + second + third)
    head, middle = spare * first // distance, spare * second // distance
    return 1 + head, 1 + middle, 1 + spare - head - middle


_STRIDE: Final = 0x9E3779B97F4A7C15


def _mix(state: int) -> int:
    """SplitMix64's finaliser: a well mixed 64-bit word (Steele, Lea and Flood 2014)."""
    word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def _wobble(state: int, reach: int) -> int:
    return _mix(state) % (2 * reach + 1) - reach
