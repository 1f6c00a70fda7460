"""The canonical scorer: from one row of features to a score and a probability, the same bits in training, backtest and live.

Rules: compiled walks over flat arrays, trees summed in their order from 0.0, a logistic of our own; no library is asked. What LightGBM
says of the same trees is the oracle in tests, to 1e-12.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.kernel.compiling import law
from kedge.learning.features import Float64Array, Int64Array
from kedge.learning.model import Calibration, Logistic, Model, Trees

METHODS: Final = ("none", "platt", "isotonic")

_FEATURE: Final = 0
_LEFT: Final = 1
_RIGHT: Final = 2
_NAN_LEFT: Final = 3


@law("float64(float64)")
def logistic(score: float) -> float:
    """1 / (1 + exp(-score)) without overflow on either side; NaN stays NaN."""
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    grown = math.exp(score)
    return grown / (1.0 + grown)


@law("float64(float64[::1], float64[::1], int64[:, ::1], int64[::1])")
def score_trees(x: Float64Array, thresholds: Float64Array, nodes: Int64Array, roots: Int64Array) -> float:
    """Sum of one leaf per tree. `nodes` has rows (feature, left, right, nan_left); a leaf has feature -1 and its value as threshold."""
    total = 0.0
    for tree in range(roots.shape[0]):
        at = roots[tree]
        feature = nodes[at, 0]
        while feature >= 0:
            value = x[feature]
            if value <= thresholds[at]:
                at = nodes[at, 1]
            elif value == value:
                at = nodes[at, 2]
            else:
                at = nodes[at, 1] if nodes[at, 3] else nodes[at, 2]
            feature = nodes[at, 0]
        total += thresholds[at]
    return total


@law("float64(float64[::1], float64[:, ::1], float64)")
def score_logistic(x: Float64Array, terms: Float64Array, intercept: float) -> float:
    """intercept + sum(weight * (x - mean) / scale), in order; `terms` has rows (weight, mean, scale), a NaN adds nothing."""
    total = intercept
    for n in range(terms.shape[0]):
        value = x[n]
        if value == value:
            total += terms[n, 0] * ((value - terms[n, 1]) / terms[n, 2])
    return total


@law("float64(float64, float64[::1], float64[::1])")
def interpolate(score: float, scores: Float64Array, values: Float64Array) -> float:
    """Straight lines between the points, flat outside them; `scores` ascend strictly. NaN stays NaN."""
    low, high = 0, scores.shape[0] - 1
    if not score > scores[low]:
        return float(values[low]) if score == score else score
    if score >= scores[high]:
        return float(values[high])
    while high - low > 1:
        middle = (low + high) // 2
        if scores[middle] <= score:
            low = middle
        else:
            high = middle
    return float(values[low] + (values[high] - values[low]) * ((score - scores[low]) / (scores[high] - scores[low])))


@law("void(float64[:, ::1], float64[::1], int64[:, ::1], int64[::1], float64[::1])")
def score_trees_batch(rows: Float64Array, thresholds: Float64Array, nodes: Int64Array, roots: Int64Array, out: Float64Array) -> None:
    """`score_trees` of each row."""
    for n in range(rows.shape[0]):
        out[n] = score_trees(rows[n], thresholds, nodes, roots)


@law("void(float64[:, ::1], float64[:, ::1], float64, float64[::1])")
def score_logistic_batch(rows: Float64Array, terms: Float64Array, intercept: float, out: Float64Array) -> None:
    """`score_logistic` of each row."""
    for n in range(rows.shape[0]):
        out[n] = score_logistic(rows[n], terms, intercept)


class Calibrator:
    """A frozen map from score to probability; rising, so it never turns a model's order round.

    Raises
    ------
    IntegrityError
        The document's calibration is of an unknown method, not finite, or its points do not ascend.
    """

    def __init__(self, calibration: Calibration) -> None:
        _check_calibration(calibration)
        self.method = calibration.method
        self._slope, self._intercept = calibration.slope, calibration.intercept
        self._scores, self._values = np.array(calibration.scores, np.float64), np.array(calibration.probabilities, np.float64)

    def probability(self, score: float) -> float:
        """Calibrated probability of one raw score; NaN of NaN."""
        if self.method == "isotonic":
            return interpolate(score, self._scores, self._values)
        if self.method == "platt":
            return logistic(self._slope * score + self._intercept)
        return logistic(score)

    def batch(self, scores: Float64Array) -> Float64Array:
        """`probability` of each score, to the bit."""
        return np.array([self.probability(score) for score in scores.tolist()], np.float64)


class Scorer:
    """A model ready to be asked.

    Parameters
    ----------
    model : Model
        Verified by hash when it was read; its inside is checked here once more, since a walk must end.

    Raises
    ------
    IntegrityError
        The trees are no trees (a child before its parent, an index outside), a number is not finite, or sizes differ.
    """

    def __init__(self, model: Model) -> None:
        self.n_features = len(model.feature_set.features)
        self._shape = (self.n_features,)
        self._calibrator = Calibrator(model.calibration)
        self._trees = _pack_trees(model.trees, self.n_features) if model.trees is not None else None
        self._linear = _pack_logistic(model.logistic, self.n_features) if model.logistic is not None else None
        if (self._trees is None) == (self._linear is None):
            raise _broken("trees and logistic", "exactly one of the two makes a model")

    def score(self, x: Float64Array) -> float:
        """Raw score (log odds) of one row, float64 of shape (n_features,), contiguous; nothing is allocated.

        NaN cells go the way the model learnt. The score is finite for every `x`, except of a logistic model given an infinity.
        """
        if x.shape != self._shape:
            raise _misshapen("a row", x, self.n_features)
        if self._trees is not None:
            return score_trees(x, *self._trees)
        assert self._linear is not None
        return score_logistic(x, *self._linear)

    def probability(self, score: float) -> float:
        """Calibrated probability of a rise, in [0, 1]; NaN of NaN."""
        return self._calibrator.probability(score)

    def batch(self, rows: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Scores and probabilities of shape (n,) for rows of shape (n, n_features); equal to the single calls to the bit."""
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise _misshapen("rows", rows, self.n_features)
        cells = np.ascontiguousarray(rows, np.float64)
        out = np.empty(len(cells))
        if self._trees is not None:
            score_trees_batch(cells, *self._trees, out)
        else:
            assert self._linear is not None
            score_logistic_batch(cells, *self._linear, out)
        return out, self._calibrator.batch(out)


def _misshapen(what: str, x: Float64Array, n_features: int) -> InvalidInput:
    return InvalidInput(f"{what} of shape {x.shape}", why=f"the model reads {n_features} features", fix="pass its feature set, in order")


def _broken(what: str, why: str) -> IntegrityError:
    return IntegrityError(f"model document: {what}", why=why, fix="train again, and report the version that wrote it")


def _finite(numbers: npt.NDArray[np.float64], what: str) -> npt.NDArray[np.float64]:
    if not np.isfinite(numbers).all():
        raise _broken(f"{what} hold a number that is not finite", "every weight, threshold and leaf is a number")
    return numbers


def _pack_trees(trees: Trees, n_features: int) -> tuple[Float64Array, Int64Array, Int64Array]:
    columns = (trees.feature, trees.left, trees.right, trees.nan_left)
    size = len(trees.threshold)
    if {len(column) for column in columns} != {size} or not trees.roots:
        raise _broken("trees of columns that differ in length, or without roots", "one entry per node, one root per tree")
    nodes = np.array(columns, np.int64).T.copy()
    at, split = np.arange(size), nodes[:, _FEATURE] >= 0
    children = nodes[split][:, _LEFT : _RIGHT + 1]
    if bool((nodes[:, _FEATURE] >= n_features).any()):
        raise _broken(f"a split on feature {int(nodes[:, _FEATURE].max())}", f"the feature set has {n_features}")
    if bool((children <= at[split][:, None]).any()) or bool((children >= size).any()):
        raise _broken("a child that is not after its parent, or past the last node", "a walk must go forwards to end")
    roots = np.array(trees.roots, np.int64)
    if bool((roots < 0).any()) or bool((roots >= size).any()):
        raise _broken("a root outside the nodes", f"there are {size}")
    return _finite(np.array(trees.threshold, np.float64), "trees"), nodes, roots


def _pack_logistic(linear: Logistic, n_features: int) -> tuple[Float64Array, float]:
    columns = (linear.weights, linear.means, linear.scales)
    if {len(column) for column in columns} != {n_features}:
        raise _broken(f"{len(linear.weights)} weights", f"the feature set has {n_features} features")
    terms = _finite(np.array(columns, np.float64).T.copy(), "weights, means and scales")
    if bool((terms[:, 2] <= 0.0).any()) or not math.isfinite(linear.intercept):
        raise _broken("a scale that is not positive, or an intercept that is not finite", "a feature is divided by its scale")
    return terms, linear.intercept


def _check_calibration(calibration: Calibration) -> None:
    method = calibration.method
    if method not in METHODS:
        raise _broken(f"calibration {method!r}", f"known are {', '.join(METHODS)}")
    line = np.array((calibration.slope, calibration.intercept), np.float64)
    isotonic = method == "isotonic"
    if isotonic and len(calibration.scores) != len(calibration.probabilities):
        raise _broken(f"{len(calibration.scores)} calibration points with {len(calibration.probabilities)} probabilities", "one each")
    points = np.array((calibration.scores, calibration.probabilities) if isotonic else ((0.0,), (0.5,)), np.float64)
    _finite(line, "calibration")
    _finite(points, "calibration")
    if calibration.slope < 0.0 or not points.shape[1]:
        raise _broken(f"calibration of slope {calibration.slope} with {points.shape[1]} points", "it must rise, and have a point")
    if bool((np.diff(points[0]) <= 0.0).any()) or bool((np.diff(points[1]) < 0.0).any()):
        raise _broken("calibration points that do not ascend", "a higher score is never a lower probability")
    if points[1].min() < 0.0 or points[1].max() > 1.0:
        raise _broken("a calibrated probability outside 0 .. 1", "it is a probability")
