"""Purged and embargoed splits: the published vector, and what each fold may and may not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.splits import purged_kfold, walk_forward

FOLDS = [  # CV-PURGED: 20 labels, label i spans [i, min(i + 3, 19)], 4 folds, embargo of 2
    ([0, 1, 2, 3, 4], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
    ([5, 6, 7, 8, 9], [0, 1, 15, 16, 17, 18, 19]),
    ([10, 11, 12, 13, 14], [0, 1, 2, 3, 4, 5, 6]),
    ([15, 16, 17, 18, 19], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
]


def labels(count: int, horizon: int, step: int = 1) -> tuple[Any, Any]:
    t0 = np.arange(count, dtype=np.int64) * step
    return t0, np.minimum(t0 + horizon, t0[-1])


def test_purged_k_fold_is_the_published_vector() -> None:
    folds = purged_kfold(*labels(20, 3), folds=4, embargo_ns=2)
    assert [(fold.test.tolist(), fold.train.tolist()) for fold in folds] == FOLDS


def test_walk_forward_learns_from_the_past_alone_less_the_embargo() -> None:
    folds = walk_forward(*labels(32, 3), folds=3, embargo_ns=2)
    assert [fold.test.tolist() for fold in folds] == [list(range(8, 16)), list(range(16, 24)), list(range(24, 32))]
    assert [fold.train.tolist() for fold in folds] == [[0, 1, 2], list(range(11)), list(range(19))]  # t0 + 3 < start - 2
    assert [(fold.test_from_ns, fold.test_to_ns) for fold in folds] == [(8, 18), (16, 26), (24, 31)]


def test_a_rolling_window_forgets_what_began_too_long_ago() -> None:
    folds = walk_forward(*labels(32, 3), folds=3, embargo_ns=2, window_ns=10)
    assert [fold.train.tolist() for fold in folds] == [[0, 1, 2], [6, 7, 8, 9, 10], [14, 15, 16, 17, 18]]


def test_instruments_pooled_at_one_time_stay_in_one_block() -> None:
    t0, t1 = labels(30, 2)
    pooled0, pooled1 = np.concatenate([t0, t0, t0[::2]]), np.concatenate([t1, t1 + 4, t1[::2]])
    for fold in walk_forward(pooled0, pooled1, folds=4, embargo_ns=0):
        tested, learnt = set(pooled0[fold.test].tolist()), set(pooled0[fold.train].tolist())
        assert not tested & learnt
        assert int(pooled1[fold.train].max()) < fold.test_from_ns


def test_rows_may_come_in_any_order() -> None:
    t0, t1 = labels(40, 3)
    order = np.random.default_rng(1).permutation(40)
    straight, mixed = walk_forward(t0, t1, folds=3, embargo_ns=1), walk_forward(t0[order], t1[order], folds=3, embargo_ns=1)
    for one, other in zip(straight, mixed, strict=True):
        assert sorted(order[other.train].tolist()) == one.train.tolist()
        assert sorted(order[other.test].tolist()) == one.test.tolist()


@pytest.mark.parametrize(
    ("count", "horizon", "given", "told"),
    [
        (20, 3, {"folds": 0, "embargo_ns": 0}, "0 folds"),
        (20, 3, {"folds": 3, "embargo_ns": -1}, "embargo -1"),
        (3, 1, {"folds": 3, "embargo_ns": 0}, "3 distinct times for 4 blocks"),
        (20, 3, {"folds": 3, "embargo_ns": 9}, "nothing to learn from"),
    ],
)
def test_splits_that_cannot_be_are_refused(count: int, horizon: int, given: dict[str, int], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        walk_forward(*labels(count, horizon), **given)


def test_one_fold_is_too_few_to_learn_around() -> None:
    with pytest.raises(InvalidInput, match="at least 2 folds"):
        purged_kfold(*labels(20, 3), folds=1, embargo_ns=0)


def test_a_label_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ends before it begins"):
        walk_forward(np.array([5, 6]), np.array([5, 5]), folds=1, embargo_ns=0)
