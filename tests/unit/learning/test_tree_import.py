"""LightGBM is the oracle: its trees, read from its text, score the same to the bit; what we do not keep is refused by name."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np
import pytest
from tests.unit.learning.model_builder import model

from kedge.domain.errors import InvalidInput
from kedge.learning.features import Float64Array
from kedge.learning.scorer import Scorer
from kedge.learning.tree_import import ZERO_BAND, trees_from_lightgbm

N = 8
LIMIT = 1e-12
SETTINGS = {"objective": "binary", "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1, "seed": 1}
ODD = (math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324, ZERO_BAND, -ZERO_BAND, 1e300, -1e300, 1.7e308, -1.7e308, 1e-20, -1e-20)


def market_like(rng: np.random.Generator, rows: int) -> Float64Array:
    """Columns: three with NaN, zeros, values around the zero band, odd constants, whole numbers, huge numbers, plain."""
    x = rng.standard_t(3, (rows, N))
    x[:, :3][rng.random((rows, 3)) < 0.15] = np.nan
    x[:, 3][rng.random(rows) < 0.5] = 0.0
    x[:, 4] = rng.choice([*np.array([1.0, -1.0, 0.5, -2.0]) * ZERO_BAND, 0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0], rows)
    x[:, 5] = np.round(x[:, 5])
    x[:, 6] *= 1e300
    return x


def trained(rounds: int, **changes: Any) -> Any:
    import lightgbm

    rng = np.random.default_rng(4)
    x = market_like(rng, 3_000)
    told = np.nan_to_num(x[:, 0]) + np.isnan(x[:, 1]) + np.sign(x[:, 4]) + np.sign(x[:, 6]) + x[:, 5] + rng.normal(size=3_000)
    data = lightgbm.Dataset(x, label=(told > 0.5) * 1.0, params={"verbosity": -1}, **changes.pop("data", {}))
    return lightgbm.train({**SETTINGS, **changes}, data, rounds)


def at_thresholds(rng: np.random.Generator, booster: Any, rows: int) -> Float64Array:
    """Rows whose cells lie exactly at thresholds of their own feature, or one step of float64 beside them."""
    trees = trees_from_lightgbm(booster.model_to_string())
    splits = np.flatnonzero(np.array(trees.feature) >= 0)
    thresholds, features = np.array(trees.threshold)[splits], np.array(trees.feature)[splits]
    x = market_like(rng, rows)
    for feature in np.unique(features).tolist():
        own = rng.choice(thresholds[features == feature], rows)
        with np.errstate(over="ignore"):
            x[:, feature] = np.choose(rng.integers(0, 3, rows), [own, np.nextafter(own, np.inf), np.nextafter(own, -np.inf)])
    return x


def furthest(booster: Any, x: Float64Array) -> float:
    ours, _ = Scorer(model(N, trees=trees_from_lightgbm(booster.model_to_string()))).batch(x)
    theirs = booster.predict(x, raw_score=True, num_threads=1)
    return float(np.abs(ours - theirs).max())


BOOSTERS = [
    (30, {"num_leaves": 15}),
    (4, {"num_leaves": 200, "min_data_in_leaf": 2, "max_bin": 1_000}),
    (3, {"num_leaves": 2}),
    (10, {"num_leaves": 7, "use_missing": False}),
    (3, {"num_leaves": 7, "min_data_in_leaf": 2_000}),
]


@pytest.mark.parametrize(("rounds", "settings"), BOOSTERS)
def test_scores_are_lightgbms_on_random_rows_at_thresholds_and_on_odd_values(rounds: int, settings: dict[str, Any]) -> None:
    booster, rng = trained(rounds, **settings), np.random.default_rng(9)
    for x in (market_like(rng, 2_000), at_thresholds(rng, booster, 2_000), rng.choice(ODD, (2_000, N))):
        assert furthest(booster, x) <= LIMIT


@pytest.mark.slow
def test_scores_are_lightgbms_on_a_million_random_rows() -> None:
    booster, rng = trained(200, num_leaves=15), np.random.default_rng(10)
    for _ in range(10):
        assert furthest(booster, market_like(rng, 100_000)) <= LIMIT
    assert furthest(booster, at_thresholds(rng, booster, 100_000)) <= LIMIT


def test_an_infinite_threshold_parts_nan_from_every_number_as_lightgbm_does() -> None:
    import lightgbm

    x = np.random.default_rng(1).normal(size=(2_000, N))
    unknown = np.random.default_rng(2).random(2_000) < 0.5
    x[unknown, 0] = np.nan
    booster = lightgbm.train({**SETTINGS, "num_leaves": 4}, lightgbm.Dataset(x, label=unknown * 1.0), 5)
    assert re.search(r"^threshold=.*\binf\b", booster.model_to_string(), re.MULTILINE)
    rows = np.random.default_rng(3).choice(ODD, (2_000, N))
    assert furthest(booster, rows) <= LIMIT


def test_a_booster_cut_to_some_rounds_is_imported_as_cut() -> None:
    booster = trained(6, num_leaves=7)
    assert len(trees_from_lightgbm(booster.model_to_string(num_iteration=2)).roots) == 2


def test_linear_trees_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="linear trees"):
        trees_from_lightgbm(trained(2, linear_tree=True, data={"free_raw_data": False}).model_to_string())


def test_categorical_splits_are_refused_by_name() -> None:
    import lightgbm

    rng = np.random.default_rng(6)
    x = rng.integers(0, 20, (2_000, 1)).astype(np.float64)
    y = np.isin(x[:, 0], [1, 5, 7, 13]) * 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lightgbm advises on its own parameters
        booster = lightgbm.train(SETTINGS, lightgbm.Dataset(x, label=y, categorical_feature=[0]), 2)
    with pytest.raises(InvalidInput, match="categorical splits in tree 0"):
        trees_from_lightgbm(booster.model_to_string())


def test_zero_as_missing_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="zero as missing is not kept"):
        trees_from_lightgbm(trained(2, zero_as_missing=True).model_to_string())


def test_averaged_trees_are_refused_by_name() -> None:
    forest = trained(2, boosting="rf", bagging_freq=1, bagging_fraction=0.5)
    with pytest.raises(InvalidInput, match="random forest"):
        trees_from_lightgbm(forest.model_to_string())


HEADER = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\nobjective=binary sigmoid:1\n"
TREE = (
    "num_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold=0.5\ndecision_type=8\nleft_child=-1\nright_child=-2\n"
    "leaf_value=-1 1\nleaf_weight=1 1\nleaf_count=1 1\ninternal_value=0\ninternal_weight=0\ninternal_count=2\nis_linear=0\nshrinkage=1\n"
)
TEXT = f"{HEADER}\nTree=0\n{TREE}\n\nend of trees\n"


def test_the_text_by_hand_is_read() -> None:
    trees = trees_from_lightgbm(TEXT)
    assert (trees.feature, trees.threshold, trees.nan_left) == ((0, -1, -1), (0.5, -1.0, 1.0), (0, 0, 0))


def test_a_tree_without_a_split_is_one_leaf() -> None:
    lone = "num_leaves=1\nnum_cat=0\nsplit_feature=\nthreshold=\ndecision_type=\nleft_child=\nright_child=\nleaf_value=0.25\nis_linear=0\n"
    trees = trees_from_lightgbm(f"{HEADER}\nTree=0\n{lone}\n\nend of trees\n")
    assert (trees.feature, trees.threshold) == ((-1,), (0.25,))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version=v4", "version=v5", "version 'v5'"),
        ("num_class=1", "num_class=3", "num_class '3'"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:2", "sigmoid:2"),
        ("label_index=0", "label_index=0\nfuture_idea=7", "future_idea"),
        ("is_linear=0", "is_linear=1", "linear trees"),
        ("num_cat=0", "num_cat=2", "2 categorical splits"),
        ("num_cat=0\n", "", "None categorical splits"),
        ("shrinkage=1", "shrinkage=1\nsoft_edge=1", "soft_edge"),
        ("decision_type=8", "decision_type=9", "a categorical split"),
        ("decision_type=8", "decision_type=4", "decision type 4"),
        ("decision_type=8", "decision_type=12", "decision type 12"),
        ("decision_type=8", "decision_type=24", "decision type 24"),
        ("threshold=0.5", "threshold=nan", "threshold of nan"),
        ("threshold=0.5", "threshold=-inf", "threshold of -inf"),
        ("threshold=0.5", "threshold=half", "cannot be read"),
        ("threshold=0.5\n", "", "cannot be read"),
        ("leaf_value=-1 1", "leaf_value=-1 1 2", "differ in length"),
        ("end of trees", "", "no trees"),
        (f"Tree=0\n{TREE}", "", "no trees"),
    ],
)
def test_what_is_not_known_is_refused_by_name(old: str, new: str, told: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidInput, match=told):
        trees_from_lightgbm(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("threshold", "kept"), [(0.0, ZERO_BAND), (ZERO_BAND / 2, ZERO_BAND), (-ZERO_BAND, math.nextafter(-ZERO_BAND, -1))]
)
def test_thresholds_inside_lightgbms_zero_band_move_to_its_edge(threshold: float, kept: float) -> None:
    assert trees_from_lightgbm(TEXT.replace("threshold=0.5", f"threshold={threshold!r}")).threshold[0] == kept


@pytest.mark.parametrize(("decision", "threshold", "left"), [(10, 0.5, 1), (8, 0.5, 0), (2, 0.5, 1), (2, -0.5, 0), (0, 0.0, 1)])
def test_a_nan_goes_the_default_way_or_counts_as_zero_where_none_was_missing(decision: int, threshold: float, left: int) -> None:
    text = TEXT.replace("decision_type=8", f"decision_type={decision}").replace("threshold=0.5", f"threshold={threshold}")
    assert trees_from_lightgbm(text).nan_left[0] == left
