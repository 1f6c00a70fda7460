"""Small model documents made by hand: one stump on momentum, with thresholds that a walk of prices crosses often."""

from __future__ import annotations

from typing import Any

from kedge.domain.errors import NotFound
from kedge.learning.feature import Feature
from kedge.learning.feature_sets import feature_set_sha256
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Model, Policy, Trees, model_sha256
from kedge.learning.operators import Operator
from kedge.strategy.model import ModelParams, ModelTrader

from ...builders import MINUTE

FEATURES = (Feature("momentum", Operator.MOMENTUM, 2), Feature("zscore", Operator.ZSCORE, 5))
STUMP = Trees(feature=(0, -1, -1), threshold=(0.0, -1.0, 1.0), left=(1, 0, 0), right=(2, 0, 0), nan_left=(0, 0, 0), roots=(0,))
"""Log odds -1 after a fall over two bars, +1 after a rise."""


def a_model(features: tuple[Feature, ...] = FEATURES, **changes: Any) -> Model:
    """A model of one-minute bars; probabilities are 0.27 and 0.73, the domain holds every price walk."""
    spec = FeatureSetSpec(name="tiny", version=1, features=features)
    given: dict[str, Any] = {
        "name": "tiny",
        "feature_set": spec,
        "feature_set_sha256": feature_set_sha256(spec),
        "label": LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=8),
        "policy": Policy(long_above=0.6, short_below=0.4, exit_at=0.5),
        "calibration": Calibration(method="none"),
        "interval_ns": MINUTE,
        "barrier_frac": 0.01,
        "domain_low": (-1.0, -10.0)[: len(features)],
        "domain_high": (1.0, 10.0)[: len(features)],
        "dataset_sha256": "d" * 64,
        "settings_sha256": "e" * 64,
        "seed": 7,
        "trees": STUMP,
        **changes,
    }
    return Model(**given)


def params_of(model: Model, **changes: Any) -> dict[str, Any]:
    """Plain parameters that name the model, as settings hold them."""
    return {"model": model_sha256(model), "exposure_frac": "0.1", "version": "tiny/1", **changes}


def trader_of(model: Model, **changes: Any) -> ModelTrader:
    """The strategy with this model behind it."""
    return ModelTrader(ModelParams(model=model_sha256(model), **changes), model)


class Shelf:
    """Models by hash, in memory."""

    def __init__(self, *models: Model) -> None:
        self.models = {model_sha256(model): model for model in models}

    def load(self, sha256: str) -> Model:
        if sha256 not in self.models:
            raise NotFound(f"model {sha256[:16]}", why="not on this shelf", fix="put it there")
        return self.models[sha256]
