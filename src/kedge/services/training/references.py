"""How a model is named by people and found again: `name@alias`, `name/3`, or the first digits of its hash."""

from __future__ import annotations

import re
from typing import NamedTuple

from kedge.domain.errors import IntegrityError, KedgeError, NotFound
from kedge.storage.model_registry import MlflowRegistry, parse_reference
from kedge.storage.model_store import PREFIX_MIN, Aliases, ModelStore, Registered


class Resolved(NamedTuple):
    """A reference and the model it names now. The hash is what runs use; the rest is for people.

    Attributes
    ----------
    version_text : str
        `name/3`, empty for a model that was never registered.
    source : str
        `hash`, `registry` or `local copy`.
    warning : str
        Why the local copy answered; empty otherwise.
    """

    sha256: str
    name: str
    version: int | None
    version_text: str
    aliases: tuple[str, ...]
    source: str
    warning: str


def resolve(reference: str, models: ModelStore, registry: MlflowRegistry | None) -> Resolved:
    """The model that a reference names; asks the registry, and its local copy when the registry is gone. The model must be in `models`.

    With no registry the copy answers straight away: a trader never opens MLflow.

    Raises
    ------
    NotFound
        No such name, alias, version or hash, or the model's file is not here.
    InvalidInput
        The reference has none of the three forms.
    IntegrityError
        The local copy is damaged as well, or the model's own file is.
    """
    if re.fullmatch(rf"[0-9a-f]{{{PREFIX_MIN},64}}", reference):
        return _by_hash(reference, models)
    parse_reference(reference)
    warning = ""
    if registry is None:
        return _checked(_from_copy(reference, models.aliases()), models, "local copy", "")
    try:
        found, source = registry.resolve(reference), "registry"
    except (NotFound, IntegrityError) as error:
        if registry.state() == "ok" and isinstance(error, NotFound):
            raise
        warning = f"{error.what}; the local copy of its aliases answered"
        found, source = _from_copy(reference, models.aliases()), "local copy"
    return _checked(found, models, source, warning)


def _checked(found: Registered, models: ModelStore, source: str, warning: str) -> Resolved:
    models.load(found.model_sha256)
    return Resolved(found.model_sha256, found.name, found.version, found.version_text, found.aliases, source, warning)


def refresh_copy(models: ModelStore, registry: MlflowRegistry) -> Aliases:
    """Write down the registry's aliases and versions beside the models, for the day it is gone."""
    aliases: dict[str, dict[str, int]] = {}
    versions: dict[str, dict[str, str]] = {}
    for name in registry.names():
        found = registry.versions(name)
        aliases[name] = {alias: one.version for one in found for alias in one.aliases}
        versions[name] = {str(one.version): one.model_sha256 for one in found}
    copy = Aliases(aliases=aliases, versions=versions)
    models.set_aliases(copy)
    return copy


def aliases_now(models: ModelStore, registry: MlflowRegistry) -> tuple[Aliases, str]:
    """The registry's aliases, or the local copy's with a warning that says why."""
    try:
        return refresh_copy(models, registry), ""
    except KedgeError as error:
        return models.aliases(), f"{error.what}; shown from the local copy of its aliases"


def _by_hash(prefix: str, models: ModelStore) -> Resolved:
    sha256 = models.find(prefix)
    registered = models.registered(sha256)
    name = models.load(sha256).name
    if registered is None:
        return Resolved(sha256, name, None, "", (), "hash", "")
    aliases = _aliases_of(models.aliases(), registered.name, registered.version)
    return Resolved(sha256, name, registered.version, registered.version_text, aliases, "hash", "")


def _from_copy(reference: str, copy: Aliases) -> Registered:
    name, alias, version = parse_reference(reference)
    if alias is not None:
        version = copy.aliases.get(name, {}).get(alias, 0)
    sha256 = copy.versions.get(name, {}).get(str(version))
    if sha256 is None:
        known = ", ".join(sorted(copy.aliases)) or "none: no model was trained here yet"
        raise NotFound(
            f"model {reference}",
            why=f"the local copy of the registry's aliases knows {known}",
            fix=f"kedge train --name {name}, or its hash",
        )
    return Registered(name=name, version=version, model_sha256=sha256, run_id="", aliases=_aliases_of(copy, name, version))


def _aliases_of(copy: Aliases, name: str, version: int) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, number in copy.aliases.get(name, {}).items() if number == version))
