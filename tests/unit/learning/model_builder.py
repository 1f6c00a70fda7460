"""Small model documents by hand, shared by tests. Every default is one a test may override."""

from __future__ import annotations

from typing import Any

from kedge.learning.feature import Feature
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Logistic, Model, Policy, Trees
from kedge.learning.operators import Operator

STUMP = Trees(feature=(0, -1, -1), threshold=(0.0, -1.0, 1.0), left=(1, -1, -1), right=(2, -1, -1), nan_left=(1, 0, 0), roots=(0,))
"""-1 where feature 0 is at most 0 or unknown, else +1."""


def spec(n_features: int = 1) -> FeatureSetSpec:
    return FeatureSetSpec(name="tiny", version=1, features=tuple(Feature(f"f{n}", Operator.MOMENTUM, n + 1) for n in range(n_features)))


def model(n_features: int = 1, **changes: Any) -> Model:
    given: dict[str, Any] = {
        "name": "tiny",
        "feature_set": spec(n_features),
        "feature_set_sha256": "0" * 64,
        "label": LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=8),
        "policy": Policy(long_above=0.6, short_below=0.4, exit_at=0.5),
        "calibration": Calibration(method="none"),
        "interval_ns": 60_000_000_000,
        "barrier_frac": 0.01,
        "domain_low": (-1.0,) * n_features,
        "domain_high": (1.0,) * n_features,
        "dataset_sha256": "1" * 64,
        "settings_sha256": "2" * 64,
        "seed": 1,
        **changes,
    }
    if given.get("trees") is None and given.get("logistic") is None:
        given["trees"] = STUMP
    return Model(**given)


def linear(*weights: float, intercept: float = 0.0) -> Logistic:
    return Logistic(weights=weights, means=(0.0,) * len(weights), scales=(1.0,) * len(weights), intercept=intercept)
