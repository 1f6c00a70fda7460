"""How a model is named by people and found again: `name@alias`, `name/3`, or the first digits of its hash.

Rules: the registry is the truth and its copy beside the models the answer when it is gone, which is said; an alias belongs to a hash, never
to a number alone, because a registry that was begun anew counts from 1 again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kedge.domain.errors import IntegrityError, KedgeError, NotFound
from kedge.storage.model_names import parse_reference
from kedge.storage.model_registry import MlflowRegistry
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


def refresh_copy(models: ModelStore, registry: MlflowRegistry) -> Aliases:
    """Write down the registry's aliases and versions beside the models, for the day it is gone; nothing where they are known already.

    Whoever calls it is the registry's sole writer, else an older state could be written over a newer one.
    """
    now = read_aliases(registry)
    try:
        known = models.aliases() == now
    except IntegrityError:  # a damaged copy is made again
        known = False
    if not known:
        models.set_aliases(now)
    return now


def read_aliases(registry: MlflowRegistry) -> Aliases:
    """What the registry says of all names."""
    aliases: dict[str, dict[str, int]] = {}
    versions: dict[str, dict[str, str]] = {}
    for name in registry.names():
        found = registry.versions(name)
        aliases[name] = {alias: one.version for one in found for alias in one.aliases}
        versions[name] = {str(one.version): one.model_sha256 for one in found}
    return Aliases(aliases=aliases, versions=versions)


def aliases_now(models: ModelStore, registry: MlflowRegistry) -> tuple[Aliases, str]:
    """The registry's aliases, or the local copy's with a warning that says why. The copy is brought up to date unless somebody writes."""
    try:
        if registry.state() == "missing":
            return models.aliases(), f"no MLflow store in {registry.folder}; shown from the local copy of its aliases"
        with registry.sole_writer(wait=False) as held:
            return refresh_copy(models, registry) if held else read_aliases(registry), ""
    except (KedgeError, OSError) as error:
        told = error.what if isinstance(error, KedgeError) else f"MLflow's store cannot be locked: {error.strerror}"
        return models.aliases(), f"{told}; shown from the local copy of its aliases"


def entry_of(copy: Aliases, sha256: str) -> Registered | None:
    """Name, version and aliases under which the registry knows a model; None where it does not (any more)."""
    for name, versions in sorted(copy.versions.items()):
        for number, model_sha256 in versions.items():
            if model_sha256 == sha256:
                aliases = _aliases_of(copy, name, int(number))
                return Registered(name=name, version=int(number), model_sha256=sha256, run_id="", aliases=aliases)
    return None


def known_as(models: ModelStore, copy: Aliases, sha256: str) -> Registered | None:
    """Name, version and aliases of a model now; what was written down beside it where the copy does not know its name at all.

    Raises
    ------
    NotFound, IntegrityError
        There is no such model, or what was written down is damaged.
    """
    if (entry := entry_of(copy, sha256)) is not None:
        return entry
    registered = models.registered(sha256)
    return None if registered is not None and registered.name in copy.versions else registered


def _checked(found: Registered, models: ModelStore, source: str, warning: str) -> Resolved:
    models.document(found.model_sha256)
    return Resolved(found.model_sha256, found.name, found.version, found.version_text, found.aliases, source, warning)


def _by_hash(prefix: str, models: ModelStore) -> Resolved:
    sha256 = models.find(prefix)
    name = models.load(sha256).name
    known = known_as(models, models.aliases(), sha256)
    if known is None:
        return Resolved(sha256, name, None, "", (), "hash", "")
    return Resolved(sha256, name, known.version, known.version_text, known.aliases, "hash", "")


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
