"""A model to drill with: small, made by hand, and turning round so often that a short life meets orders, fills and vetoes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from kedge.learning.dataset import Dataset, Part, freeze
from kedge.learning.feature import Feature
from kedge.learning.feature_sets import feature_set_sha256
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Model, Policy, Trees, model_sha256
from kedge.learning.operators import Operator
from kedge.learning.training_record import Environment, TrainingRecord
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.market.grid_bars import GridBars
from kedge.ops.state_folder import blobs_folder, models_folder
from kedge.storage.blobs import BlobStore
from kedge.storage.model_store import ModelStore

FEATURES = FeatureSetSpec(
    name="drill",
    version=1,
    features=(Feature("momentum_2", Operator.MOMENTUM, 2), Feature("zscore_5", Operator.ZSCORE, 5)),
)
TURNING = Trees(feature=(0, -1, -1), threshold=(0.0, -1.0, 1.0), left=(1, 0, 0), right=(2, 0, 0), nan_left=(0, 0, 0), roots=(0,))
"""Log odds -1 after a fall over two bars, +1 after a rise."""


RISING: Final = Trees(feature=(-1,), threshold=(1.0,), left=(0,), right=(0,), nan_left=(0,), roots=(0,))
"""Log odds +1 whatever happens: long from the first bar on."""


def keep_drill_model(state: Path, interval_ns: int, *, trees: Trees = TURNING, domain: float = 1.6) -> str:
    """Put the model for bars of this length into a state folder, with a record of a training that never was; its hash.

    The domain of the second feature is narrow by default, so that now and then a prediction is vetoed.
    """
    model = Model(
        name="drill",
        feature_set=FEATURES,
        feature_set_sha256=feature_set_sha256(FEATURES),
        label=LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=8),
        policy=Policy(long_above=0.6, short_below=0.4, exit_at=0.5),
        calibration=Calibration(method="none"),
        interval_ns=interval_ns,
        barrier_frac=0.01,
        domain_low=(-1.0, -domain),
        domain_high=(1.0, domain),
        dataset_sha256=_keep_data_set(state, interval_ns),
        settings_sha256="e" * 64,
        seed=7,
        trees=trees,
    )
    training = TrainingRecord(
        name=model.name,
        model_sha256=model_sha256(model),
        dataset_sha256=model.dataset_sha256,
        feature_set_sha256=model.feature_set_sha256,
        settings_sha256=model.settings_sha256,
        settings={},
        seed=model.seed,
        kind="by hand",
        commit="",
        commit_known=False,
        code_sha256="",
        engine_version="",
        environment=Environment(python="", numpy="", numba="", lightgbm="", scikit_learn="", platform="", cpu=""),
        rows=0,
        effective_rows="0",
        figures={},
        baseline={},
        folds=(),
        calibration={},
        data={},
        seconds={},
        trained_ts_ns=0,
    )
    return ModelStore(models_folder(state)).put(model, training)


def _keep_data_set(state: Path, interval_ns: int) -> str:
    """A few bars, so that the model's papers are complete."""
    opens_ns = interval_ns * np.arange(8, dtype=np.int64)
    prices = np.full(8, 600_000, np.int64)
    bars = GridBars(opens_ns, opens_ns + interval_ns, prices, prices, prices, prices, np.ones(8, np.int64))
    frozen = freeze(Dataset(interval_ns, (Part(records=(CATALOGUE[f"{VENUE}:BTCUSDT"][-1],), bars=bars, sources=()),)))
    for body in frozen.blobs.values():
        BlobStore(blobs_folder(state)).put(body)
    return frozen.sha256
