"""What MLflow's registry says of names, versions and aliases, read straight from its SQLite tables: milliseconds, and nothing of MLflow.

Rules: read-only, one reading for one answer; the tables are those of the MLflow version that is locked, and a test compares with MLflow's
own answers. A store of another version is MLflow's to read; what cannot be read at all is refused, never guessed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeVar

from kedge.storage.mlflow_client import broken, in_use
from kedge.storage.model_names import parse_reference
from kedge.storage.model_registry import MODEL_TAG, MlflowRegistry, unknown_alias, unknown_name, unknown_version
from kedge.storage.model_store import Registered
from kedge.storage.registry_state import open_store
from kedge.storage.sqlite_files import is_busy

SCHEMA: Final = "dc11669786a5"
"""The tables of MLflow 3.17, as its migrations number them."""

_SCHEMA: Final = "SELECT version_num FROM alembic_version"
_NAMES: Final = "SELECT name FROM registered_models ORDER BY name"
_ALIASES: Final = "SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias"
_VERSIONS: Final = (
    "SELECT v.version, v.run_id, t.value FROM model_versions v "
    "LEFT JOIN model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = ? "
    "WHERE v.name = ? AND v.current_stage IS NOT 'Deleted_Internal' ORDER BY v.version"
)

T = TypeVar("T")


class _Known(NamedTuple):
    """All that the tables say of one name; `versions` by number."""

    aliases: dict[str, int]
    versions: dict[int, Registered]


class RegistryReader(MlflowRegistry):
    """The registry of a folder for questions; what writes is MLflow's, as it is inherited."""

    def resolve(self, reference: str) -> Registered:
        """The version that a reference names, as `MlflowRegistry.resolve` says it."""
        return self._read(partial(_resolve, reference), partial(super().resolve, reference))

    def versions(self, name: str) -> tuple[Registered, ...]:
        """Every version of a name, oldest first, as `MlflowRegistry.versions` says them."""
        return self._read(lambda database: tuple(_known(database, name).versions.values()), partial(super().versions, name))

    def names(self) -> tuple[str, ...]:
        """Every registered name, sorted."""
        return self._read(_names, super().names)

    def _read(self, ask: Callable[[sqlite3.Connection], T], otherwise: Callable[[], T]) -> T:
        """The tables' answer, or MLflow's where they are not those that are known here."""
        self._must_exist()
        try:
            with open_store(self.folder) as database:
                database.execute("BEGIN")  # one state of the tables for all that is asked
                if database.execute(_SCHEMA).fetchall() == [(SCHEMA,)]:
                    return ask(database)
        except sqlite3.Error as error:
            raise (in_use if is_busy(error) else broken)(self.folder, str(error)) from None
        return otherwise()


def _names(database: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in database.execute(_NAMES))


def _known(database: sqlite3.Connection, name: str) -> _Known:
    aliases = {str(alias): int(version) for alias, version in database.execute(_ALIASES, (name,))}
    versions = {
        int(version): Registered(
            name=name,
            version=int(version),
            model_sha256=str(sha256 or ""),
            run_id=str(run_id or ""),
            aliases=tuple(alias for alias, number in aliases.items() if number == int(version)),
        )
        for version, run_id, sha256 in database.execute(_VERSIONS, (MODEL_TAG, name))
    }
    return _Known(aliases, versions)


def _resolve(reference: str, database: sqlite3.Connection) -> Registered:
    name, alias, version = parse_reference(reference)
    if name not in _names(database):
        raise unknown_name(reference, name)
    known = _known(database, name)
    if alias is not None and alias not in known.aliases:
        raise unknown_alias(reference, name, alias, known.aliases)
    number = version if alias is None else known.aliases[alias]
    if number not in known.versions:
        raise unknown_version(name, number)
    return known.versions[number]
