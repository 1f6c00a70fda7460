"""MLflow as the registry of models: runs with parameters, figures and artefacts, versions, aliases. SQLite, in process, no server.

Rules: MLflow is imported only when it is used, never on the trading path; its telemetry is off and it opens no connection; what it says
is a pointer, and the model itself is checked by hash in the model store.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from kedge.domain.errors import IntegrityError, InvalidInput, KedgeError, NotFound
from kedge.storage.model_store import Registered

STORE_FILE: Final = "mlflow.db"
EXPERIMENT: Final = "kedge"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
MODEL_TAG: Final = "model_sha256"
NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z._-]{0,79}")
ALIAS: Final = re.compile(r"[a-z][0-9a-z_-]{0,39}")
PAGE: Final = 500

StoreState = Literal["ok", "missing", "unreadable"]


class TrainingLog(NamedTuple):
    """What one training leaves in MLflow. `steps` is figure name to its value per fold; `artefacts` is file name to bytes."""

    name: str
    model_sha256: str
    params: Mapping[str, str]
    figures: Mapping[str, float]
    steps: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    artefacts: Mapping[str, bytes]


def checked_name(name: str) -> str:
    """A model's name, if it can be one.

    Raises
    ------
    InvalidInput
        Other characters than letters, digits, `.`, `_`, `-`, or too long.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"model name {name!r}",
            why="a name begins with a letter and holds letters, digits, '.', '_' and '-', at most 80",
            fix="such as btc-15m",
        )
    return name


def store_state(folder: Path) -> StoreState:
    """Whether MLflow's store could be read, found without importing MLflow: `ok`, `missing` or `unreadable`."""
    path = folder / STORE_FILE
    if not path.is_file():
        return "missing"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            for table in ("alembic_version", "registered_models", "model_versions", "registered_model_aliases"):
                database.execute(f"SELECT count(*) FROM {table}").fetchone()
    except sqlite3.Error as error:
        return "ok" if "locked" in str(error) else "unreadable"
    return "ok"


class MlflowRegistry:
    """MLflow's tracking store and model registry in one folder.

    Parameters
    ----------
    folder : Path
        Holds `mlflow.db` and `artefacts/`; made at the first training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def uri(self) -> str:
        """MLflow's address of the store."""
        return f"sqlite:///{(self.folder / STORE_FILE).absolute()}"

    def state(self) -> StoreState:
        """See `store_state`."""
        return store_state(self.folder)

    def prepare(self) -> None:
        """Make the store if there is none, and find out whether it can be used, before anything long begins.

        Raises
        ------
        IntegrityError
            There is a store and it cannot be read.
        """
        if self.state() == "unreadable":
            raise self._broken("its tables cannot be read")
        with self._speaking() as client:
            self._experiment(client)
        if self.state() != "ok":
            raise self._broken("it was removed while this process had it open; start the command again")

    def log_training(self, log: TrainingLog, *, alias: str | None = None) -> Registered:
        """Log a run and register its model, as a new version unless the name has this very model already.

        Without `alias` the first version of a name becomes `champion`, a later one `challenger`; a version that has an alias keeps it.

        Raises
        ------
        InvalidInput
            The name or alias cannot be one.
        IntegrityError
            MLflow's store cannot be used.
        """
        checked_name(log.name)
        _checked_alias(alias)
        with self._speaking() as client:
            run_id = self._log_run(client, log)
            known = self._registered_model(client, log.name)
            if known is None:
                client.create_registered_model(log.name)
            version = self._version_of(client, log, run_id)
            self._choose_alias(client, log.name, version, alias)
            return self._one(client, log.name, version)

    def resolve(self, reference: str) -> Registered:
        """The version that `name@alias` or `name/3` names.

        Raises
        ------
        NotFound
            No such name, alias or version.
        InvalidInput
            The reference is neither form.
        IntegrityError
            MLflow's store cannot be used.
        """
        name, alias, version = parse_reference(reference)
        self._must_exist()
        with self._speaking() as client:
            model = self._registered_model(client, name)
            if model is None:
                raise NotFound(f"model {reference}", why=f"no model is named {name}", fix=f"kedge train --name {name}")
            if alias is not None and alias not in model.aliases:
                said = ", ".join(sorted(model.aliases)) or "none"
                raise NotFound(f"model {reference}", why=f"{name} has no alias {alias}; it has {said}", fix="kedge model list")
            return self._one(client, name, int(model.aliases[alias]) if alias is not None else version)

    def versions(self, name: str) -> tuple[Registered, ...]:
        """Every version of a name, oldest first, with its aliases; empty where the name is unknown."""
        self._must_exist()
        with self._speaking() as client:
            model = self._registered_model(client, name)
            if model is None:
                return ()
            return tuple(sorted((_registered(one, model) for one in self._search(client, name)), key=lambda one: one.version))

    def names(self) -> tuple[str, ...]:
        """Every registered name, sorted."""
        self._must_exist()
        with self._speaking() as client:
            return tuple(sorted(one.name for one in _pages(client.search_registered_models)))

    def set_alias(self, name: str, alias: str, version: int) -> Registered:
        """Let an alias name this version from now on.

        Raises
        ------
        NotFound
            The name has no such version.
        """
        _checked_alias(alias)
        self._must_exist()
        with self._speaking() as client:
            self._one(client, checked_name(name), version)
            client.set_registered_model_alias(name, alias, str(version))
            return self._one(client, name, version)

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
        aliases = self._registered_model(client, name).aliases
        if alias is None:
            if version in {int(one) for one in aliases.values()}:
                return
            alias = CHALLENGER if CHAMPION in aliases else CHAMPION
        client.set_registered_model_alias(name, alias, str(version))

    def _registered_model(self, client: Any, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _one(self, client: Any, name: str, version: int) -> Registered:
        from mlflow.exceptions import MlflowException

        try:
            found = client.get_model_version(name, str(version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(f"model {name}/{version}", why=f"{name} has no such version", fix="kedge model list") from None
            raise
        return _registered(found, self._registered_model(client, name))

    def _search(self, client: Any, name: str) -> Iterator[Any]:
        return _pages(client.search_model_versions, filter_string=f"name='{name}'")

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(EXPERIMENT, artifact_location=(self.folder / "artefacts").absolute().as_uri()))

    def _must_exist(self) -> None:
        if (state := self.state()) == "missing":
            raise NotFound(f"no MLflow store in {self.folder}", why=f"{STORE_FILE} is not there", fix="kedge train makes one")
        if state == "unreadable":
            raise self._broken("its tables cannot be read")

    @contextmanager
    def _speaking(self) -> Iterator[Any]:
        """A client whose failures are ours; nothing of MLflow is imported before this."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _quiet_environment()
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from sqlalchemy.exc import SQLAlchemyError

        _quiet_loggers()
        try:
            yield MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except KedgeError:
            raise
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise self._broken(" ".join(str(error).split())[:300]) from error

    def _broken(self, why: str) -> IntegrityError:
        return IntegrityError(
            f"MLflow's store {self.folder / STORE_FILE} cannot be used",
            why=why,
            fix=f"keep it as evidence: move {self.folder} aside and train again; models already trained stay in the model store",
        )


def parse_reference(reference: str) -> tuple[str, str | None, int]:
    """`name@alias` to (name, alias, 0), `name/3` to (name, None, 3).

    Raises
    ------
    InvalidInput
        It is neither.
    """
    name, at, alias = reference.partition("@")
    if at:
        return checked_name(name), _checked_alias(alias), 0
    name, _, version = reference.partition("/")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise InvalidInput(
            f"model reference {reference!r}",
            why="it is name@alias, name/version, or 8 digits or more of a model's hash",
            fix=f"such as {name or 'btc-15m'}@champion",
        )
    return checked_name(name), None, int(version)


def _checked_alias(alias: str | None) -> str | None:
    if alias is not None and not ALIAS.fullmatch(alias):
        raise InvalidInput(f"alias {alias!r}", why="lower-case letters, digits, '_' and '-', a letter first", fix="such as champion")
    return alias


def _registered(version: Any, model: Any) -> Registered:
    number = int(version.version)
    return Registered(
        name=version.name,
        version=number,
        model_sha256=version.tags.get(MODEL_TAG, ""),
        run_id=version.run_id or "",
        aliases=tuple(sorted(alias for alias, one in model.aliases.items() if int(one) == number)),
    )


def _pages(search: Any, **query: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **query)
        yield from page
        token = page.token
        if not token:
            return


def _quiet_environment() -> None:
    """MLflow reads these when it is imported: it would report its use to its makers."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"


def _quiet_loggers() -> None:
    """Making the tables is worth no line on the reader's terminal, and what fails is said by our errors."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
