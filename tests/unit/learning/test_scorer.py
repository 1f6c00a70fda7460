"""The canonical scorer: walks, the logistic model, calibration maps, and documents that are no model."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.learning.model_builder import STUMP, linear, model

from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.model import Calibration, Logistic, Trees
from kedge.learning.scorer import Calibrator, Scorer, interpolate, logistic, score_logistic, score_trees

HOSTILE = (0.0, -0.0, 5e-324, -5e-324, 1e-35, -1e-35, 1.0, -1.0, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan)


def random_trees(seed: int, n_features: int, trees: int, depth: int) -> Trees:
    """Full trees of random splits, children laid after their parents."""
    rng = np.random.default_rng(seed)
    columns: list[list[Any]] = [[], [], [], [], []]
    roots = []

    def grow(level: int) -> int:
        at = len(columns[0])
        split = level < depth and rng.random() < 0.9
        feature = int(rng.integers(n_features)) if split else -1
        for column, value in zip(columns, (feature, float(rng.normal()), -1, -1, int(rng.integers(2))), strict=True):
            column.append(value)
        if split:
            columns[2][at], columns[3][at] = grow(level + 1), grow(level + 1)
        return at

    for _ in range(trees):
        roots.append(grow(0))
    return Trees(**dict(zip(("feature", "threshold", "left", "right", "nan_left"), map(tuple, columns), strict=True)), roots=tuple(roots))


def walked(trees: Trees, x: list[float]) -> float:
    """The rule of the document, read aloud."""
    total = 0.0
    for root in trees.roots:
        at = root
        while trees.feature[at] >= 0:
            value = x[trees.feature[at]]
            goes_left = trees.nan_left[at] == 1 if math.isnan(value) else value <= trees.threshold[at]
            at = trees.left[at] if goes_left else trees.right[at]
        total += trees.threshold[at]
    return total


def test_a_walk_says_what_the_document_says_for_every_hostile_value() -> None:
    trees = random_trees(3, 4, 25, 5)
    scorer, rng = Scorer(model(4, trees=trees)), np.random.default_rng(5)
    pool = np.array([*HOSTILE, *trees.threshold[:40], *np.nextafter(trees.threshold[:40], np.inf)])
    rows = rng.choice(pool, (400, 4))
    scores, _ = scorer.batch(rows)
    for row, score in zip(rows, scores, strict=True):
        assert score == walked(trees, row.tolist()) == scorer.score(row)


def test_a_compiled_walk_equals_its_plain_twin_to_the_bit() -> None:
    scorer: Any = Scorer(model(4, trees=random_trees(8, 4, 10, 6)))
    plain: Any = score_trees
    for row in np.random.default_rng(2).normal(size=(50, 4)):
        assert scorer.score(row) == plain.py_func(row, *scorer._trees)


def test_a_value_at_the_threshold_goes_left_and_one_step_above_goes_right() -> None:
    scorer = Scorer(model(trees=STUMP))
    assert scorer.score(np.array([0.0])) == -1.0
    assert scorer.score(np.array([math.nextafter(0.0, 1.0)])) == 1.0
    assert scorer.score(np.array([math.nan])) == -1.0


def test_a_tree_of_one_leaf_says_the_same_of_everything() -> None:
    leaf = Trees(feature=(-1,), threshold=(0.25,), left=(-1,), right=(-1,), nan_left=(0,), roots=(0,))
    assert Scorer(model(trees=leaf)).score(np.array([math.nan])) == 0.25


def test_the_logistic_score_sums_in_order_and_a_nan_counts_as_its_mean() -> None:
    document = Logistic(weights=(2.0, -1.0, 0.5), means=(1.0, 0.0, 3.0), scales=(2.0, 1.0, 0.25), intercept=0.125)
    scorer = Scorer(model(3, logistic=document))
    row = np.array([5.0, math.nan, 3.5])
    assert scorer.score(row) == 0.125 + 2.0 * ((5.0 - 1.0) / 2.0) + 0.5 * ((3.5 - 3.0) / 0.25)
    scores, _ = scorer.batch(np.stack([row, np.array([1.0, 0.0, 3.0])]))
    assert scores.tolist() == [scorer.score(row), 0.125]
    plain: Any = score_logistic
    assert plain.py_func(row, np.array([[2.0, 1.0, 2.0], [-1.0, 0.0, 1.0], [0.5, 3.0, 0.25]]), 0.125) == scorer.score(row)


def test_the_logistic_function_neither_overflows_nor_forgets_nan() -> None:
    plain: Any = logistic
    for score in (-1e308, -745.2, -36.0, -1e-9, 0.0, 1e-9, 36.0, 800.0, 1e308):
        value = logistic(score)
        assert 0.0 <= value <= 1.0
        assert value == plain.py_func(score)
    assert (logistic(math.inf), logistic(-math.inf), logistic(0.0)) == (1.0, 0.0, 0.5)
    assert math.isnan(logistic(math.nan))
    assert logistic(2.0) + logistic(-2.0) == pytest.approx(1.0, abs=1e-15)


def test_interpolation_is_numpys_and_flat_outside_the_points() -> None:
    scores, values = np.array([-2.0, -1.0, 0.5, 4.0]), np.array([0.1, 0.2, 0.2, 0.9])
    asked = np.linspace(-3, 5, 401)
    assert [interpolate(s, scores, values) for s in asked] == pytest.approx(np.interp(asked, scores, values), abs=1e-15)
    assert [interpolate(s, scores, values) for s in (*scores, -math.inf, math.inf)] == [*values, 0.1, 0.9]
    assert math.isnan(interpolate(math.nan, scores, values))
    assert interpolate(7.0, scores[:1], values[:1]) == 0.1


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(method="none"),
        Calibration(method="platt", slope=0.7, intercept=-0.2),
        Calibration(method="isotonic", scores=(-1.0, 0.0, 2.0), probabilities=(0.2, 0.5, 0.8)),
    ],
)
def test_probabilities_of_a_batch_are_those_of_single_calls_and_rise_with_the_score(calibration: Calibration) -> None:
    scorer = Scorer(model(2, logistic=linear(1.0, -1.0), calibration=calibration))
    rows = np.random.default_rng(1).normal(size=(60, 2))
    scores, probabilities = scorer.batch(rows)
    assert probabilities.tolist() == [scorer.probability(scorer.score(row)) for row in rows]
    assert bool((np.diff(probabilities[np.argsort(scores)]) >= 0).all())
    assert bool(((probabilities >= 0) & (probabilities <= 1)).all())
    assert math.isnan(scorer.probability(math.nan))


def test_platt_is_the_logistic_of_a_line() -> None:
    assert Calibrator(Calibration(method="platt", slope=2.0, intercept=1.0)).probability(0.5) == logistic(2.0)


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((2, 3))])
def test_rows_of_another_width_are_refused(rows: Any) -> None:
    scorer = Scorer(model(2))
    with pytest.raises(InvalidInput, match="the model reads 2 features"):
        scorer.batch(rows)
    with pytest.raises(InvalidInput, match="the model reads 2 features"):
        scorer.score(rows)


def broken_trees(**changes: Any) -> Trees:
    return msgspec.structs.replace(STUMP, **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trees": broken_trees(left=(0, -1, -1))}, "child that is not after its parent"),
        ({"trees": broken_trees(right=(3, -1, -1))}, "past the last node"),
        ({"trees": broken_trees(feature=(1, -1, -1))}, "a split on feature 1"),
        ({"trees": broken_trees(roots=(3,))}, "a root outside"),
        ({"trees": broken_trees(roots=(-1,))}, "a root outside"),
        ({"trees": broken_trees(roots=())}, "without roots"),
        ({"trees": broken_trees(left=(1, -1))}, "differ in length"),
        ({"trees": broken_trees(threshold=(0.0, math.nan, 1.0))}, "not finite"),
        ({"trees": broken_trees(threshold=(math.inf, 0.0, 1.0))}, "not finite"),
        ({"logistic": linear(1.0, 2.0)}, "2 weights"),
        ({"logistic": linear(math.inf)}, "not finite"),
        ({"logistic": linear(1.0, intercept=math.nan)}, "intercept"),
        ({"logistic": Logistic(weights=(1.0,), means=(0.0,), scales=(0.0,), intercept=0.0)}, "not positive"),
        ({"trees": STUMP, "logistic": linear(1.0)}, "trees and logistic"),
        ({"calibration": Calibration(method="beta")}, "'beta'"),
        ({"calibration": Calibration(method="platt", slope=-1.0)}, "slope -1.0"),
        ({"calibration": Calibration(method="platt", slope=math.nan)}, "not finite"),
        ({"calibration": Calibration(method="isotonic")}, "0 points"),
        ({"calibration": Calibration(method="isotonic", scores=(0.0, 1.0), probabilities=(0.5,))}, "2 calibration points"),
        ({"calibration": Calibration(method="isotonic", scores=(0.0, 0.0), probabilities=(0.5, 0.6))}, "do not ascend"),
        ({"calibration": Calibration(method="isotonic", scores=(0.0, 1.0), probabilities=(0.6, 0.5))}, "do not ascend"),
        ({"calibration": Calibration(method="isotonic", scores=(0.0, 1.0), probabilities=(0.6, 1.5))}, "outside 0 .. 1"),
        ({"calibration": Calibration(method="isotonic", scores=(0.0, math.inf), probabilities=(0.6, 0.7))}, "not finite"),
    ],
)
def test_a_document_that_is_no_model_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        Scorer(model(1, **changes))
