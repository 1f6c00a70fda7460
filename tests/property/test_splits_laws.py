"""Laws of splits, for any labels: nothing that is tested is learnt from, in time as well as in rows."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.learning.splits import Fold, purged_kfold, walk_forward

SPANS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30)), min_size=4, max_size=80)


def times(spans: list[tuple[int, int]]) -> tuple[Any, Any]:
    t0 = np.array([begin for begin, _ in spans], np.int64)
    return t0, t0 + np.array([length for _, length in spans], np.int64)


def folds_of(split: Any, *given: Any, **named: Any) -> tuple[Fold, ...]:
    """The folds, or none where the labels do not allow any."""
    with contextlib.suppress(InvalidInput):
        return tuple(split(*given, **named))
    return ()


@given(SPANS, st.integers(1, 4), st.integers(0, 15), st.none() | st.integers(1, 100))
def test_walk_forward_learns_only_what_had_ended_before_the_embargo(
    spans: list[tuple[int, int]], folds: int, embargo: int, window: int | None
) -> None:
    t0, t1 = times(spans)
    tested: list[int] = []
    for fold in folds_of(walk_forward, t0, t1, folds=folds, embargo_ns=embargo, window_ns=window):
        assert t1[fold.train].max() < t0[fold.test].min() - embargo
        assert window is None or t0[fold.train].min() >= fold.test_from_ns - window
        assert not set(fold.train.tolist()) & set(fold.test.tolist())
        assert not tested or t0[fold.test].min() > max(t0[at] for at in tested)
        tested += fold.test.tolist()
    assert len(tested) == len(set(tested))


@given(SPANS, st.integers(2, 5), st.integers(0, 15))
def test_no_training_label_of_a_k_fold_overlaps_its_test_or_the_embargo(spans: list[tuple[int, int]], folds: int, embargo: int) -> None:
    t0, t1 = times(spans)
    found = folds_of(purged_kfold, t0, t1, folds=folds, embargo_ns=embargo)
    for fold in found:
        before, after = t1[fold.train] < fold.test_from_ns, t0[fold.train] > fold.test_to_ns + embargo
        assert (before | after).all()
        assert fold.test_to_ns == t1[fold.test].max()
    if found:
        assert sorted(at for fold in found for at in fold.test.tolist()) == list(range(len(spans)))
