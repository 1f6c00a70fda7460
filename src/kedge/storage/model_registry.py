"""MLflow as the registry of models: runs with parameters, figures and artefacts, versions, aliases. SQLite, in process, no server.

Rules: MLflow is imported only when it is used, never on the trading path; what it says is a pointer, and the model itself is checked by
hash in the model store. Whoever reads and then writes holds `sole_writer` around both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

from kedge.domain.errors import NotFound
from kedge.storage.mlflow_client import broken, found, pages, speaking, uri_of
from kedge.storage.model_names import CHALLENGER, CHAMPION, checked_alias, checked_name, parse_reference
from kedge.storage.model_store import Registered
from kedge.storage.registry_state import STORE_FILE, StoreState, sole_writer, store_state

EXPERIMENT: Final = "kedge"
MODEL_TAG: Final = "model_sha256"


class TrainingLog(NamedTuple):
    """What one training leaves in MLflow. `steps` is figure name to its value per fold; `artefacts` is file name to bytes."""

    name: str
    model_sha256: str
    params: Mapping[str, str]
    figures: Mapping[str, float]
    steps: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    artefacts: Mapping[str, bytes]


class MlflowRegistry:
    """MLflow's tracking store and model registry in one folder.

    Parameters
    ----------
    folder : Path
        Holds `mlflow.db` and `artefacts/`; made at the first training.

    Notes
    -----
    Every method raises IntegrityError where the store cannot be used; those that write also RecordingFailed where the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def uri(self) -> str:
        """MLflow's address of the store."""
        return uri_of(self.folder)

    def state(self) -> StoreState:
        """See `store_state`."""
        return store_state(self.folder)

    def sole_writer(self, *, wait: bool = True) -> AbstractContextManager[bool]:
        """See `registry_state.sole_writer`."""
        return sole_writer(self.folder, wait=wait)

    def prepare(self) -> None:
        """Make the store if there is none, and find out whether it can be used, before anything long begins."""
        if self.state() == "unreadable":
            raise broken(self.folder, "its tables cannot be read")
        with speaking(self.folder) as client:
            self._experiment(client)
        if self.state() != "ok":
            raise broken(self.folder, "it was removed while this process had it open; start the command again")

    def log_training(self, log: TrainingLog, *, alias: str | None = None) -> Registered:
        """Log a run and register its model, as a new version unless the name has this very model already.

        Without `alias` the first version of a name becomes `champion`, a later one `challenger`; a version that has an alias keeps it.

        Raises
        ------
        InvalidInput
            The name or alias cannot be one.
        """
        if alias is not None:
            checked_alias(alias)
        with speaking(self.folder) as client:
            version = self._register(client, log)
            self._choose_alias(client, log.name, version, alias)
            return self._one(client, log.name, version)

    def log_again(self, log: TrainingLog) -> Registered:
        """Log a run and register its model as `log_training` does, but leave the aliases alone."""
        with speaking(self.folder) as client:
            return self._one(client, log.name, self._register(client, log))

    def resolve(self, reference: str) -> Registered:
        """The version that `name@alias` or `name/3` names.

        Raises
        ------
        NotFound
            No such name, alias or version, or no store.
        InvalidInput
            The reference is neither form.
        """
        name, alias, version = parse_reference(reference)
        self._must_exist()
        with speaking(self.folder) as client:
            model = found(client.get_registered_model, name)
            if model is None:
                raise unknown_name(reference, name)
            if alias is not None and alias not in model.aliases:
                raise unknown_alias(reference, name, alias, model.aliases)
            return self._one(client, name, int(model.aliases[alias]) if alias is not None else version)

    def versions(self, name: str) -> tuple[Registered, ...]:
        """Every version of a name, oldest first, with its aliases; empty where the name is unknown."""
        self._must_exist()
        with speaking(self.folder) as client:
            model = found(client.get_registered_model, name)
            if model is None:
                return ()
            return tuple(sorted((_registered(one, model) for one in self._search(client, name)), key=lambda one: one.version))

    def names(self) -> tuple[str, ...]:
        """Every registered name, sorted."""
        self._must_exist()
        with speaking(self.folder) as client:
            return tuple(sorted(one.name for one in pages(client.search_registered_models)))

    def set_alias(self, name: str, alias: str, version: int) -> Registered:
        """Let an alias name this version from now on.

        Raises
        ------
        NotFound
            The name has no such version.
        """
        checked_alias(alias)
        self._must_exist()
        with speaking(self.folder) as client:
            self._one(client, checked_name(name), version)
            client.set_registered_model_alias(name, alias, str(version))
            return self._one(client, name, version)

    def _register(self, client: Any, log: TrainingLog) -> int:
        checked_name(log.name)
        run_id = self._log_run(client, log)
        if found(client.get_registered_model, log.name) is None:
            client.create_registered_model(log.name)
        return self._version_of(client, log, run_id)

    def _log_run(self, client: Any, log: TrainingLog) -> str:
        from mlflow.entities import Metric, Param

        experiment = self._experiment(client)
        run_id: str = client.create_run(experiment, run_name=f"{log.name} {log.model_sha256[:12]}", tags=dict(log.tags)).info.run_id
        finished = "FAILED"
        try:
            metrics = [Metric(key, value, 0, 0) for key, value in log.figures.items()]
            metrics += [Metric(key, value, 0, step) for key, values in log.steps.items() for step, value in enumerate(values)]
            client.log_batch(run_id, metrics=metrics, params=[Param(key, value) for key, value in log.params.items()])
            with tempfile.TemporaryDirectory() as folder:
                for name, body in log.artefacts.items():
                    (Path(folder) / name).write_bytes(body)
                client.log_artifacts(run_id, folder)
            finished = "FINISHED"
        finally:
            client.set_terminated(run_id, status=finished)
        return run_id

    def _version_of(self, client: Any, log: TrainingLog, run_id: str) -> int:
        for one in self._search(client, log.name):
            if one.tags.get(MODEL_TAG) == log.model_sha256:
                return int(one.version)
        tags = {**log.tags, MODEL_TAG: log.model_sha256}
        made = client.create_model_version(log.name, source=f"runs:/{run_id}/model.json", run_id=run_id, tags=tags)
        return int(made.version)

    def _choose_alias(self, client: Any, name: str, version: int, alias: str | None) -> None:
        aliases = client.get_registered_model(name).aliases
        if alias is None:
            if version in {int(one) for one in aliases.values()}:
                return
            alias = CHALLENGER if CHAMPION in aliases else CHAMPION
        client.set_registered_model_alias(name, alias, str(version))

    def _one(self, client: Any, name: str, version: int) -> Registered:
        one = found(client.get_model_version, name, str(version))
        if one is None:
            raise unknown_version(name, version)
        return _registered(one, client.get_registered_model(name))

    def _search(self, client: Any, name: str) -> Iterator[Any]:
        return pages(client.search_model_versions, filter_string=f"name='{name}'")

    def _experiment(self, client: Any) -> str:
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        return str(client.create_experiment(EXPERIMENT, artifact_location=(self.folder / "artefacts").absolute().as_uri()))

    def _must_exist(self) -> None:
        if (state := self.state()) == "missing":
            raise NotFound(f"no MLflow store in {self.folder}", why=f"{STORE_FILE} is not there", fix="kedge train makes one")
        if state == "unreadable":
            raise broken(self.folder, "its tables cannot be read")


def unknown_name(reference: str, name: str) -> NotFound:
    """No model has this name."""
    return NotFound(f"model {reference}", why=f"no model is named {name}", fix=f"kedge train --name {name}")


def unknown_alias(reference: str, name: str, alias: str, known: Mapping[str, object]) -> NotFound:
    """The name has no such alias."""
    said = ", ".join(sorted(known)) or "none"
    return NotFound(f"model {reference}", why=f"{name} has no alias {alias}; it has {said}", fix="kedge model list")


def unknown_version(name: str, version: int) -> NotFound:
    """The name has no such version."""
    return NotFound(f"model {name}/{version}", why=f"{name} has no such version", fix="kedge model list")


def _registered(version: Any, model: Any) -> Registered:
    number = int(version.version)
    return Registered(
        name=version.name,
        version=number,
        model_sha256=version.tags.get(MODEL_TAG, ""),
        run_id=version.run_id or "",
        aliases=tuple(sorted(alias for alias, one in model.aliases.items() if int(one) == number)),
    )
