"""Splits that do not leak: tests lie in blocks of time, and no training label overlaps a test block.

Rules: blocks are cut by distinct times, not by rows, so instruments pooled at one time stay together; a training label must end before
the test begins (purging) less the embargo, or begin after the last test label has ended plus the embargo. Times are int64 nanoseconds:
`t0_ns` is when the signal was known, `t1_ns` when its label ended.
Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.feature_rows import BoolArray, Int64Array


class Fold(NamedTuple):
    """Row numbers to learn from and to test on, ascending; the test's first `t0_ns` and last `t1_ns`."""

    train: Int64Array
    test: Int64Array
    test_from_ns: int
    test_to_ns: int


def walk_forward(t0_ns: Int64Array, t1_ns: Int64Array, *, folds: int, embargo_ns: int, window_ns: int | None = None) -> tuple[Fold, ...]:
    """Learn from the past, test on the next block, move on.

    Parameters
    ----------
    folds : int
        Test blocks. Time is cut in `folds + 1` blocks of equally many distinct times; the first only teaches.
    embargo_ns : int
        Kept free between the end of the last training label and the test's beginning, beyond purging.
    window_ns : int, optional
        Learn from labels that begin at most this long before the test; unset, from everything before (an expanding window).

    Raises
    ------
    InvalidInput
        Too few distinct times, or a fold left without anything to learn from.
    """
    blocks = _blocks(t0_ns, t1_ns, folds + 1, embargo_ns, folds_min=1, folds=folds)
    found = []
    for test in blocks[1:]:
        begins, ends = int(t0_ns[test].min()), int(t1_ns[test].max())
        train = t1_ns < begins - embargo_ns
        if window_ns is not None:
            train &= t0_ns >= begins - window_ns
        found.append(_fold(train, test, begins, ends))
    return tuple(found)


def purged_kfold(t0_ns: Int64Array, t1_ns: Int64Array, *, folds: int, embargo_ns: int) -> tuple[Fold, ...]:
    """Every block is tested once, learning from what lies before and after it; the embargo holds after the test only.

    For comparing settings, never for claims about the future: most folds learn from later data.
    """
    found = []
    for test in _blocks(t0_ns, t1_ns, folds, embargo_ns, folds_min=2, folds=folds):
        begins, ends = int(t0_ns[test].min()), int(t1_ns[test].max())
        found.append(_fold((t1_ns < begins) | (t0_ns > ends + embargo_ns), test, begins, ends))
    return tuple(found)


def _blocks(t0_ns: Int64Array, t1_ns: Int64Array, count: int, embargo_ns: int, *, folds_min: int, folds: int) -> list[BoolArray]:
    if len(t0_ns) != len(t1_ns) or bool((t1_ns < t0_ns).any()):
        raise InvalidInput("a label ends before it begins, or has no end", why="labels are spans of time", fix="check the labels")
    if folds < folds_min or embargo_ns < 0:
        raise InvalidInput(
            f"{folds} folds, embargo {embargo_ns} ns", why=f"at least {folds_min} folds, no negative embargo", fix="raise it"
        )
    times = np.unique(t0_ns)
    if len(times) < count:
        raise InvalidInput(
            f"{len(times)} distinct times for {count} blocks", why="each block needs one", fix="use fewer folds or more data"
        )
    return [(t0_ns >= block[0]) & (t0_ns <= block[-1]) for block in np.array_split(times, count)]


def _fold(train: BoolArray, test: BoolArray, begins: int, ends: int) -> Fold:
    if not train.any():
        raise InvalidInput(
            "a fold has nothing to learn from",
            why="every label before its test overlaps it or lies in the embargo",
            fix="use fewer folds, a shorter horizon or embargo, or more data",
        )
    return Fold(np.flatnonzero(train), np.flatnonzero(test), begins, ends)
