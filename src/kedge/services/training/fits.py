"""The two learners: boosted trees, and the logistic model that stands beside them to say whether trees were worth it.

Rules: one thread, seeds from the settings, no early stopping on a test; what comes out is the model document's own trees or weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kedge.learning.features import Float64Array
from kedge.learning.model import Logistic, Trees
from kedge.learning.training_record import TREES
from kedge.learning.tree_import import trees_from_lightgbm
from kedge.services.training.settings import TrainSettings

ITERATIONS_MAX = 500


class Fit(NamedTuple):
    """A fitted learner: raw scores (log odds) of rows, and its document, of which one part is there."""

    score: Callable[[Float64Array], Float64Array]
    trees: Trees | None = None
    logistic: Logistic | None = None


def fit(kind: str, x: Float64Array, y: Float64Array, weight: Float64Array, settings: TrainSettings) -> Fit:
    """Fit one learner.

    Parameters
    ----------
    kind : {'trees', 'logistic'}
    x : float64 array, shape (n, n_features)
        NaN where unknown.
    y, weight : float64 array, shape (n,)
        1.0 for a rise, 0.0 for a fall; positive weights.
    """
    return fit_trees(x, y, weight, settings) if kind == TREES else fit_logistic(x, y, weight, settings)


def fit_trees(x: Float64Array, y: Float64Array, weight: Float64Array, settings: TrainSettings) -> Fit:
    """LightGBM on one thread, with everything random drawn from the seed."""
    import lightgbm

    params = boost_params(settings)
    rows = lightgbm.Dataset(x, label=y, weight=weight, params=params, free_raw_data=True)
    booster: Any = lightgbm.train(params, rows, num_boost_round=settings.boost.rounds)

    def score(asked: Float64Array) -> Float64Array:
        return np.asarray(booster.predict(asked, raw_score=True, num_threads=1), np.float64)

    return Fit(score, trees=trees_from_lightgbm(booster.model_to_string()))


def boost_params(settings: TrainSettings) -> dict[str, Any]:
    """LightGBM's parameters, all of them that decide."""
    boost = settings.boost
    return {
        "objective": "binary",
        "learning_rate": boost.learning_rate,
        "num_leaves": boost.leaves,
        "min_data_in_leaf": boost.leaf_rows_min,
        "feature_fraction": boost.feature_frac,
        "bagging_fraction": boost.row_frac,
        "bagging_freq": 1,
        "lambda_l2": boost.l2,
        "max_bin": boost.bins,
        "feature_pre_filter": False,
        "zero_as_missing": False,
        "linear_tree": False,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def fit_logistic(x: Float64Array, y: Float64Array, weight: Float64Array, settings: TrainSettings) -> Fit:
    """Logistic regression on features scaled to unit deviation, a NaN counting as its mean, with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    means, scales = scaling(x)
    model = LogisticRegression(C=1.0 / settings.l2, solver="lbfgs", max_iter=ITERATIONS_MAX, tol=1e-8)
    model.fit(_scaled(x, means, scales), y, sample_weight=weight)
    document = Logistic(
        weights=tuple(model.coef_[0].tolist()),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        intercept=float(model.intercept_[0]),
    )
    weights, intercept = np.array(document.weights), document.intercept
    return Fit(lambda asked: np.asarray(_scaled(asked, means, scales) @ weights + intercept, np.float64), logistic=document)


def scaling(x: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Mean and standard deviation of each column over its known cells; 0 and 1 for a column without any, or without change."""
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, x, 0.0).sum(axis=0) / count
    deviations = np.sqrt((np.where(known, x - means, 0.0) ** 2).sum(axis=0) / count)
    return means, np.where(deviations > 0.0, deviations, 1.0)


def _scaled(x: Float64Array, means: Float64Array, scales: Float64Array) -> Float64Array:
    return np.where(np.isfinite(x), (x - means) / scales, 0.0)
