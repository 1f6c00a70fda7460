"""What MLflow's registry says of a model name, read straight from its SQLite tables: a start need not import MLflow for one row.

Rules: read-only; the tables are those of the MLflow version that is locked, and a test compares with MLflow's own answer; what cannot be
read that way is refused, never guessed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from kedge.domain.errors import NotFound
from kedge.storage.model_registry import MODEL_TAG, STORE_FILE, MlflowRegistry, parse_reference
from kedge.storage.model_store import Registered

TIMEOUT_S: Final = 2.0
_BY_ALIAS: Final = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
_ONE: Final = (
    "SELECT v.run_id, t.value FROM model_versions v "
    "LEFT JOIN model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = ? "
    "WHERE v.name = ? AND v.version = ? AND v.current_stage != 'Deleted_Internal'"
)
_ALIASES: Final = "SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? ORDER BY alias"


class RegistryReader(MlflowRegistry):
    """The registry of a folder for one question, `resolve`, in a millisecond; everything else is MLflow's."""

    def resolve(self, reference: str) -> Registered:
        """The version that `name@alias` or `name/3` names, as `MlflowRegistry.resolve` would say.

        Raises
        ------
        NotFound
            No such name, alias or version, or no store.
        InvalidInput
            The reference is neither form.
        IntegrityError
            The tables cannot be read.
        """
        name, alias, version = parse_reference(reference)
        self._must_exist()
        uri = f"{(self.folder / STORE_FILE).absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)) as database:
                return _resolve(database, name, alias, version)
        except sqlite3.Error as error:
            raise self._broken(str(error)) from None


def _resolve(database: sqlite3.Connection, name: str, alias: str | None, version: int) -> Registered:
    if alias is not None:
        row = database.execute(_BY_ALIAS, (name, alias)).fetchone()
        if row is None:
            raise NotFound(f"model {name}@{alias}", why=f"{name} is not registered, or has no such alias", fix="kedge model list")
        version = int(row[0])
    found = database.execute(_ONE, (MODEL_TAG, name, version)).fetchone()
    if found is None or found[1] is None:
        raise NotFound(f"model {name}/{version}", why=f"{name} has no such version", fix="kedge model list")
    aliases = tuple(str(one[0]) for one in database.execute(_ALIASES, (name, version)))
    return Registered(name=name, version=version, model_sha256=str(found[1]), run_id=str(found[0] or ""), aliases=aliases)
