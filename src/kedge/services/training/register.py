"""A training into the stores: data set, model, MLflow's run, version and alias.

The order bears a crash anywhere: what a later store names is durable before it; a training that was cut short is done again and finds
what is there already. The alias moves last, in MLflow, and its copy beside the models after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import KedgeError
from kedge.learning.dataset import Dataset
from kedge.learning.model import encode_model
from kedge.learning.training_record import TrainingRecord, encode_training
from kedge.ops.state_folder import blobs_folder, models_folder, registry_folder
from kedge.services.training.references import refresh_copy
from kedge.services.training.settings import TrainSettings
from kedge.services.training.train import Progress, Trained, refuse_early, train
from kedge.storage.blobs import BlobStore
from kedge.storage.model_names import checked_alias
from kedge.storage.model_registry import MlflowRegistry, TrainingLog
from kedge.storage.model_store import ModelStore, Registered


class Stores(NamedTuple):
    """Where a training writes."""

    blobs: BlobStore
    models: ModelStore
    registry: MlflowRegistry

    @classmethod
    def of(cls, state: Path) -> Stores:
        """The stores of a state folder: `blobs`, `models`, `mlflow`."""
        return cls(BlobStore(blobs_folder(state)), ModelStore(models_folder(state)), MlflowRegistry(registry_folder(state)))


def train_and_register(
    dataset: Dataset,
    settings: TrainSettings,
    *,
    name: str,
    stores: Stores,
    alias: str | None = None,
    progress: Progress = lambda _: None,
    note: Progress | None = None,
) -> tuple[Trained, Registered]:
    """Train, keep data set and model, log the run, register the version and set its alias.

    `progress` is told each step, `note` what a person should know beside them (`progress` too where it is not given).

    Without `alias` the first version of a name becomes `champion`, a later one `challenger`. A store that is not there any more is made
    again from the models that are kept, so that versions and aliases go on meaning what they meant.

    Raises
    ------
    InvalidInput
        The data cannot teach, or a name, alias or setting cannot be.
    IntegrityError
        MLflow's store or a file of the model cannot be used; a store that cannot be read is found before the training.
    RecordingFailed
        The disk is full or refuses.
    """
    refuse_early(dataset, settings, name)
    if alias is not None:
        checked_alias(alias)
    progress("opening MLflow's store")
    prepare(stores, note or progress)
    trained = train(dataset, settings, name=name, progress=progress)
    progress("keeping data set and model")
    for body in trained.frozen.blobs.values():
        stores.blobs.put(body)
    stores.models.put(trained.model, trained.record)
    progress("logging the run")
    with stores.registry.sole_writer():
        registered = stores.registry.log_training(_log_of(trained, stores.models), alias=alias)
        stores.models.set_registered(registered)
        refresh_copy(stores.models, stores.registry)
    return trained, registered


def prepare(stores: Stores, note: Progress) -> None:
    """Open the registry; where its store is gone, make it again from what is kept beside it.

    Raises
    ------
    IntegrityError
        There is a store and it cannot be read.
    """
    with stores.registry.sole_writer():
        begins_anew = stores.registry.state() == "missing"
        stores.registry.prepare()
        if begins_anew:
            restore(stores, note)


def restore(stores: Stores, note: Progress) -> None:
    """Register the kept models again, in the order of their versions, with the aliases that the copy knows.

    A model that cannot be read any more is left out, and said; later versions of its name then move up.
    """
    copy = stores.models.aliases()
    for name, versions in sorted(copy.versions.items()):
        for number in sorted(versions, key=int):
            try:
                log = _log_kept(stores, versions[number])
            except KedgeError as error:
                note(f"MLflow's store was gone: {name}/{number} stays out: {error.what}")
                continue
            again = stores.registry.log_again(log)
            for alias in (alias for alias, version in copy.aliases.get(name, {}).items() if version == int(number)):
                again = stores.registry.set_alias(name, alias, again.version)
            stores.models.set_registered(again)
            note(f"MLflow's store was gone: {name}/{number} is registered again as {again.version_text}")
    refresh_copy(stores.models, stores.registry)


def _log_of(trained: Trained, models: ModelStore) -> TrainingLog:
    """A model's first registration tells of the record that is kept with it, also when an earlier training was cut short after keeping it;
    later ones tell of their own."""
    sha256 = trained.model_sha256
    record = models.training(sha256) if models.registered(sha256) is None else trained.record
    return log_of(record, encode_model(trained.model), encode(trained.frozen.manifest))


def _log_kept(stores: Stores, sha256: str) -> TrainingLog:
    record = stores.models.training(sha256)
    return log_of(record, stores.models.document(sha256), stores.blobs.get(record.dataset_sha256))


def log_of(record: TrainingRecord, document: bytes, manifest: bytes) -> TrainingLog:
    """What MLflow is told of a training."""
    return TrainingLog(
        name=record.name,
        model_sha256=record.model_sha256,
        params={"name": record.name, **_flat(record.settings)},
        figures=_figures(record),
        steps=_steps(record),
        tags=_tags(record),
        artefacts={
            "model.json": document,
            "training.json": encode_training(record),
            "manifest.json": manifest,
            "environment.json": encode(record.environment),
        },
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = str(value)
    return found


def _figures(record: TrainingRecord) -> dict[str, float]:
    figures = {f"oof_{key}": float(value) for key, value in record.figures.items()}
    figures |= {f"baseline_{key}": float(value) for key, value in record.baseline.items()}
    figures |= {
        f"calibration_{key.replace(' ', '_')}": float(value) for key, value in record.calibration.items() if key.startswith("brier")
    }
    figures |= {f"seconds_{key.replace(' ', '_')}": float(value) for key, value in record.seconds.items()}
    return {**figures, "rows": float(record.rows), "effective_rows": float(record.effective_rows)}


def _steps(record: TrainingRecord) -> dict[str, list[float]]:
    """Figures per fold; one that some fold does not have is left out, so that a step always means its fold."""
    found: dict[str, list[float]] = {}
    for prefix, folds in (("fold_", [one.figures for one in record.folds]), ("fold_baseline_", [one.baseline for one in record.folds])):
        shared = set.intersection(*(set(one) for one in folds))
        found |= {prefix + key: [float(one[key]) for one in folds] for key in sorted(shared)}
    return found


def _tags(record: TrainingRecord) -> dict[str, str]:
    return {
        "model_sha256": record.model_sha256,
        "training_sha256": digest(encode_training(record)),
        "dataset_sha256": record.dataset_sha256,
        "feature_set_sha256": record.feature_set_sha256,
        "settings_sha256": record.settings_sha256,
        "commit": record.commit or "unknown",
        "code_sha256": record.code_sha256,
        "engine_version": record.engine_version,
        "kind": record.kind,
        "seed": str(record.seed),
    }
