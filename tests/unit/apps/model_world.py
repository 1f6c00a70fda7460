"""A state folder with a small trained model in it, as a training leaves it, but for MLflow: the copy of its aliases answers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kedge.domain.instrument import InstrumentId
from kedge.learning.dataset import Dataset
from kedge.learning.model import LabelSpec
from kedge.ops.state_folder import models_folder
from kedge.services.training.data import default_leader
from kedge.services.training.settings import BoostSettings, TrainSettings
from kedge.services.training.train import train
from kedge.storage.blobs import BlobStore
from kedge.storage.model_store import Aliases, ModelStore

QUICK = TrainSettings(
    kind="logistic",
    label=LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=16),
    folds=2,
    embargo_bars=4,
    boost=BoostSettings(rounds=5, leaves=4, leaf_rows_min=20),
    trade_without_skill=True,
)
"""Trains in a moment."""


def keep_model(state: Path, dataset: Dataset, name: str, *, version: int = 1, leader: InstrumentId | None = None) -> str:
    """Train on the data set, keep model and data set, and let `name@champion` mean it; the model's hash."""
    led = default_leader(dataset.instruments) if leader is None else leader
    trained = train(dataset, msgspec.structs.replace(QUICK, leader=led), name=name)
    blobs, models = BlobStore(state / "blobs"), ModelStore(models_folder(state))
    for body in trained.frozen.blobs.values():
        blobs.put(body)
    models.put(trained.model, trained.record)
    known = models.aliases()
    versions = {**known.versions.get(name, {}), str(version): trained.model_sha256}
    models.set_aliases(Aliases(aliases={**known.aliases, name: {"champion": version}}, versions={**known.versions, name: versions}))
    return trained.model_sha256
