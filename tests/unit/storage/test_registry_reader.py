"""The registry read from its tables: always what MLflow itself would say, and never a guess."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, KedgeError, NotFound, RecordingFailed
from kedge.storage import registry_state
from kedge.storage.mlflow_client import speaking
from kedge.storage.model_registry import MlflowRegistry
from kedge.storage.registry_reader import RegistryReader
from kedge.storage.registry_state import STORE_FILE, sole_writer, store_state

from .models import a_log

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def filled(registry: MlflowRegistry) -> MlflowRegistry:
    """Two names: one of three versions with a deleted one, aliases that moved; one of a single version."""
    if "read" not in registry.names():
        for sha256 in (A, B, C):
            registry.log_training(a_log("read", sha256))
        registry.set_alias("read", "champion", 3)
        registry.set_alias("read", "kept", 3)
        with speaking(registry.folder) as client:
            client.delete_model_version("read", "2")
        registry.log_training(a_log("read-too", A))
    return registry


def asked(registry: MlflowRegistry, reference: str) -> Any:
    """The answer, or what was refused in which words."""
    try:
        return registry.resolve(reference)
    except KedgeError as error:
        return type(error), error.what, error.why, error.fix


@pytest.mark.parametrize(
    "reference",
    [
        "read@champion",
        "read@kept",
        "read@challenger",
        "read@nobody",
        "read/1",
        "read/2",
        "read/3",
        "read/9",
        "read-too@champion",
        "none/1",
        "x",
    ],
)
def test_a_reference_means_what_mlflow_says_it_means(filled: MlflowRegistry, reference: str) -> None:
    assert asked(RegistryReader(filled.folder), reference) == asked(filled, reference)


def test_names_and_versions_are_mlflows(filled: MlflowRegistry) -> None:
    reader = RegistryReader(filled.folder)
    assert reader.names() == filled.names()
    for name in ("read", "read-too", "none"):
        assert reader.versions(name) == filled.versions(name)
    assert [(one.version, one.aliases) for one in reader.versions("read")] == [(1, ()), (3, ("challenger", "champion", "kept"))]


def test_an_answer_costs_no_import_of_mlflow(filled: MlflowRegistry) -> None:
    code = (
        "import sys; from pathlib import Path; from kedge.storage.registry_reader import RegistryReader;"
        f"reader = RegistryReader(Path({str(filled.folder)!r}));"
        "found = reader.resolve('read@champion'), reader.names(), reader.versions('read');"
        "print(found[0].version, [name for name in ('mlflow', 'sqlalchemy', 'numba') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "3 []"


def test_tables_of_another_version_are_mlflows_to_read(filled: MlflowRegistry, tmp_path: Path) -> None:
    shutil.copytree(filled.folder, tmp_path / "mlflow")
    with closing(sqlite3.connect(tmp_path / "mlflow" / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'later'")
        database.commit()
    reader = RegistryReader(tmp_path / "mlflow")
    for ask in (lambda: reader.resolve("read/1"), reader.names, lambda: reader.versions("read")):
        with pytest.raises(IntegrityError, match="out-of-date"):
            ask()


def test_what_cannot_be_read_is_refused(tmp_path: Path, filled: MlflowRegistry) -> None:
    reader = RegistryReader(tmp_path / "mlflow")
    with pytest.raises(NotFound, match="no MLflow store"):
        reader.resolve("read@champion")
    with pytest.raises(InvalidInput, match="model reference"):
        RegistryReader(filled.folder).resolve("x")
    shutil.copytree(filled.folder, tmp_path / "mlflow")
    with closing(sqlite3.connect(tmp_path / "mlflow" / "mlflow.db")) as database:
        database.execute("DROP TABLE model_version_tags")
        database.commit()
    with pytest.raises(IntegrityError, match="no such table: model_version_tags"):
        reader.resolve("read/1")


def test_a_store_that_somebody_holds_for_long_is_in_use_and_not_broken(filled: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_state, "TIMEOUT_S", 0.0)
    with closing(sqlite3.connect(filled.folder / STORE_FILE, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Conflict, match="is in use"):
            RegistryReader(filled.folder).names()
        assert store_state(filled.folder) == "ok"
    assert RegistryReader(filled.folder).names() == filled.names()


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "mlflow"
    with sole_writer(folder) as first:
        assert first
        with sole_writer(folder, wait=False) as second:
            assert not second
    with sole_writer(folder, wait=False) as third:
        assert third


@pytest.mark.parametrize(
    ("error", "kind", "fix"),
    [
        (OSError(28, "No space left on device"), RecordingFailed, "free space"),
        ("(sqlite3.OperationalError) database or disk is full", RecordingFailed, "free space"),
        ("(sqlite3.OperationalError) attempt to write a readonly database", RecordingFailed, "permissions"),
        ("(sqlite3.OperationalError) database is locked", Conflict, "wait"),
        ("something else", IntegrityError, "keep it as evidence"),
    ],
)
def test_what_went_wrong_is_told_apart(tmp_path: Path, error: OSError | str, kind: type[KedgeError], fix: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    with pytest.raises(kind, match="MLflow's store") as caught, speaking(tmp_path / "mlflow"):
        raise error if isinstance(error, OSError) else SQLAlchemyError(error)
    assert fix in caught.value.fix
