"""One configuration from five layers, each value knowing where it came from.

The order, later wins: defaults, file, the file's `profiles.<profile>` section, `KEDGE_SECTION__KEY` variables,
flags. The file is `--config`, else KEDGE_CONFIG, else ./kedge.yaml, else the user's own; without any the defaults
hold. An unknown key is refused with its nearest neighbour, in every layer.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kedge.domain.errors import InvalidConfig, NotFound
from kedge.ops.config_file import KeyPath, Scalar, Value, Values, expand, read_config_file, read_scalar
from kedge.ops.folders import CONFIG_NAME, CONFIG_VARIABLE, NOT_SETTINGS, PREFIX, user_config_file
from kedge.ops.secret_reference import read_secret
from kedge.ops.settings import Settings

FREE_SECTIONS: tuple[KeyPath, ...] = (("strategy", "params"), ("secrets",))
"""Mappings whose keys are the reader's own."""
PROFILES = ("development", "staging", "production")
SECRET_WORDS = ("secret", "token", "password", "passphrase", "api_key", "private_key")
HIDDEN = "(not shown)"


@dataclass(frozen=True)
class Config:
    """A validated configuration, the origin of every key, and the file it came from (None: defaults only)."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None

    @property
    def state_folder(self) -> Path:
        """Where journals, keys and status live; not created here."""
        return Path(self.settings.state_dir).expanduser()

    def shown(self) -> dict[str, Any]:
        """Every key and its value as plain data fit to print: decimals as text, anything that may be secret hidden."""
        return {key: _fit_to_print(key, value) for key, value in _leaves(self.settings.model_dump(mode="json"))}

    def secret_values(self, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """The values behind `secrets`, for redaction; a missing one is refused by name."""
        known = os.environ if environ is None else environ
        return tuple(read_secret(text, known, field=f"secrets.{name}") for name, text in self.settings.secrets.items())


def load_config(
    path: Path | None = None,
    *,
    flags: Mapping[str, Scalar] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """Load, layer and validate the configuration.

    Parameters
    ----------
    path : Path, optional
        The file to read; it must exist.
    flags : mapping, optional
        Dotted keys given on the command line, such as `{"demo.seed": 3}`; None values are not given.
    environ, folder : optional
        The environment and working folder; the process's own by default.

    Raises
    ------
    NotFound
        The named file does not exist.
    InvalidConfig
        An unknown key or a bad value, naming file and line.
    """
    known = os.environ if environ is None else environ
    file = _find_file(path, known, folder or Path.cwd())
    written = read_config_file(file, known) if file else {}
    base, sections = _split_profiles(written)
    over = {**_from_environment(known), **_from_flags(flags or {})}
    profile = {**base, **over}.get(("profile",), Value(PROFILES[0], "default"))
    layers = {**base, **sections.get(str(profile.value), {}), **over}
    for section in (base, *sections.values(), over):
        _refuse_unknown(section)
    settings = _validate(layers)
    _refuse_bad_sections(base, sections, over, str(profile.value))
    origins = {
        key: layers[at].origin if (at := tuple(key.split("."))) in layers else "default" for key, _ in _leaves(settings.model_dump())
    }
    return Config(settings, origins, file)


def _find_file(path: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    named = path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if not named.expanduser().is_file():
            raise NotFound(f"configuration {named} does not exist", why="it was named by --config or KEDGE_CONFIG", fix="check the path")
        return named.expanduser()
    return next((file for file in (folder / CONFIG_NAME, user_config_file()) if file.is_file()), None)


def _split_profiles(written: Values) -> tuple[Values, dict[str, Values]]:
    base: Values = {}
    sections: dict[str, Values] = {}
    for path, value in written.items():
        if path[0] != "profiles":
            base[path] = value
        elif len(path) < 3 or path[1] not in PROFILES:
            raise _unknown(path, value.origin, [f"profiles.{name}.<key>" for name in PROFILES])
        else:
            sections.setdefault(path[1], {})[path[2:]] = value
    return base, sections


def _from_environment(environ: Mapping[str, str]) -> Values:
    found: Values = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            path = tuple(name.removeprefix(PREFIX).lower().split("__"))
            text = expand(environ[name], environ, place=f"env {name}", field=".".join(path))
            found[path] = Value(_scalar_or_list(path, text), f"env {name}")
    return found


def _from_flags(flags: Mapping[str, Scalar]) -> Values:
    return {tuple(key.split(".")): Value(value, "flag") for key, value in flags.items() if value is not None}


def _scalar_or_list(path: KeyPath, text: str) -> Scalar | list[Scalar]:
    if path in known_keys() and known_keys()[path] is list:
        return [read_scalar(part.strip()) for part in text.split(",")]
    return read_scalar(text)


@cache
def known_keys() -> dict[KeyPath, type]:
    """Every configuration key and whether it holds a `list`, a `dict` (free section) or a plain value (`str`)."""
    return dict(_keys_of(Settings, ()))


def _keys_of(model: type[BaseModel], parent: KeyPath) -> list[tuple[KeyPath, type]]:
    keys: list[tuple[KeyPath, type]] = []
    for name, field in model.model_fields.items():
        kind, path = field.annotation, (*parent, name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _keys_of(kind, path)
        else:
            keys.append((path, getattr(kind, "__origin__", str)))
    return keys


def _refuse_unknown(values: Values) -> None:
    known = known_keys()
    sections = {path[:depth] for path in known for depth in range(1, len(path))} | set(FREE_SECTIONS)
    for path, value in values.items():
        free = any(path[: len(section)] == section and len(path) == len(section) + 1 for section in FREE_SECTIONS)
        empty_section = path in sections and value.value is None
        if path not in known and not free and not empty_section:
            raise _unknown(path, value.origin, [".".join(key) for key in known])
        if path in sections and not empty_section:
            raise InvalidConfig(f"{'.'.join(path)} is a plain value ({value.origin})", why="it is a section", fix="write its keys below it")


def _unknown(path: KeyPath, origin: str, known: list[str]) -> InvalidConfig:
    name = ".".join(path)
    last = [key for key in known if key.rsplit(".", 1)[-1] == path[-1]]
    near = difflib.get_close_matches(name, known, 1, 0.6) or last
    return InvalidConfig(
        f"unknown key {name} ({origin})",
        why="a key that nothing reads would be lost silently",
        fix=f"did you mean {near[0]}?" if near else "remove it; docs/configuration.md lists every key",
    )


def _nested(values: Values) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        if path in FREE_SECTIONS or (value.value is None and path not in known_keys()):
            continue
        node = tree
        for part in path[:-1] if len(path) > 1 else ():
            node = node.setdefault(part, {})
        node[path[-1]] = value.value
    return tree


def _validate(values: Values) -> Settings:
    try:
        return Settings.model_validate(_nested(values))
    except ValidationError as error:
        problems = [_explain(problem, values) for problem in error.errors(include_url=False, include_context=False)]
    rest = f" (and {len(problems) - 1} more: {'; '.join(what for what, _ in problems[1:])})" if len(problems) > 1 else ""
    what, why = problems[0]
    raise InvalidConfig(what + rest, why=why, fix="see docs/configuration.md, or `kedge config show --origin` for where values come from")


def _explain(problem: Any, values: Values) -> tuple[str, str]:
    path = tuple(str(part) for part in problem["loc"])
    at = next((path[:depth] for depth in range(len(path), 0, -1) if path[:depth] in values), None)
    name = ".".join(at or path) or "configuration"
    told = _told(name, values[at].value) if at else "does not hold together"
    origin = f" ({values[at].origin})" if at else ""
    meant = _description(at or path) if problem["type"] == "string_pattern_mismatch" else ""
    return f"{name} {told}{origin}", f"it is {meant}" if meant else str(problem["msg"]).removeprefix("Value error, ")


def _description(path: KeyPath) -> str:
    """What a key is for; empty where nothing is said about it."""
    model: Any = Settings
    said = ""
    for name in path:
        field = getattr(model, "model_fields", {}).get(name)
        model, said = (field.annotation, field.description or "") if field is not None else (None, "")
    return said


def _told(name: str, value: object) -> str:
    return f"is {_fit_to_print(name, value)!r}" if not name.startswith("secrets.") else f"is {HIDDEN}"


def _refuse_bad_sections(base: Values, sections: Mapping[str, Values], over: Values, chosen: str) -> None:
    # A mistake in the production section must show on the desk, not in production.
    for name, section in sections.items():
        if name != chosen:
            _validate({**base, **section, **over})


def _leaves(tree: Mapping[str, Any], parent: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, value in tree.items():
        key = f"{parent}{name}"
        leaves += _leaves(value, f"{key}.") if isinstance(value, Mapping) else [(key, value)]
    return leaves


def _fit_to_print(key: str, value: Any) -> Any:
    hidden = not key.startswith("secrets.") and any(word in key.lower() for word in SECRET_WORDS)
    return HIDDEN if hidden and value is not None else value
