"""A small model with its training record, and what a training would tell MLflow of it; made by hand, nothing is fitted."""

from __future__ import annotations

from kedge.learning.feature import Feature
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Logistic, Model, Policy, model_sha256
from kedge.learning.operators import Operator
from kedge.learning.training_record import Environment, FoldFigures, TrainingRecord
from kedge.storage.model_registry import TrainingLog

FIGURES = {"auc": "0.512000", "brier": "0.249000", "brier_skill": "0.002000"}


def a_model(name: str = "small", weight: float = 0.25) -> Model:
    return Model(
        name=name,
        feature_set=FeatureSetSpec(name="two", version=1, features=(Feature("a", Operator.MOMENTUM, 1), Feature("b", Operator.ZSCORE, 4))),
        feature_set_sha256="f" * 64,
        label=LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=8),
        policy=Policy(long_above=0.55, short_below=0.45, exit_at=0.5),
        calibration=Calibration(method="none"),
        interval_ns=60_000_000_000,
        barrier_frac=0.001,
        domain_low=(-0.1, -3.0),
        domain_high=(0.1, 3.0),
        dataset_sha256="d" * 64,
        settings_sha256="5" * 64,
        seed=7,
        logistic=Logistic(weights=(weight, -0.5), means=(0.0, 0.0), scales=(1.0, 1.0), intercept=0.1),
    )


def a_record(model: Model, *, seconds: str = "1.000") -> TrainingRecord:
    return TrainingRecord(
        name=model.name,
        model_sha256=model_sha256(model),
        dataset_sha256=model.dataset_sha256,
        feature_set_sha256=model.feature_set_sha256,
        settings_sha256=model.settings_sha256,
        settings={"kind": "logistic", "seed": 7},
        seed=7,
        kind="logistic",
        commit="abcdef1",
        commit_known=True,
        code_sha256="c" * 64,
        engine_version="0.1.0",
        environment=Environment(python="3", numpy="2", numba="0", lightgbm="4", scikit_learn="1", platform="x", cpu="y"),
        rows=1000,
        effective_rows="125.5",
        figures=FIGURES,
        baseline=FIGURES,
        folds=(FoldFigures(train_rows=500, test_rows=250, test_from_ns=1, test_to_ns=2, figures=FIGURES, baseline=FIGURES),),
        calibration={"method": "none", "flat": "no", "brier none": "0.249"},
        data={"instruments": "v:A", "first": "2024-01-01 00:00", "last": "2024-01-02 00:00", "bars": "1440"},
        seconds={"fit": seconds},
        trained_ts_ns=1_700_000_000_000_000_000,
    )


def a_log(name: str, model_sha256: str, **more: str) -> TrainingLog:
    """What a training would tell MLflow."""
    return TrainingLog(
        name=name,
        model_sha256=model_sha256,
        params={"kind": "trees", "boost.rounds": "100"},
        figures={"oof_auc": 0.5125},
        steps={"fold_auc": [0.5, 0.51, 0.52]},
        tags={"model_sha256": model_sha256, "dataset_sha256": "d" * 64, **more},
        artefacts={"model.json": b"{}", "manifest.json": b'{"rows":3}'},
    )
