"""Configuration text to flat values that know their line.

The rules: YAML without its type traps (only `true`, `false`, `null` and plain integers are more than text, so a
fraction keeps the digits that were written), no duplicate keys, no anchors that merge, `${NAME}` and
`${NAME:-default}` taken from the environment, every value remembering file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from kedge.domain.errors import InvalidConfig, NotFound

Scalar = str | int | bool | None
KeyPath = tuple[str, ...]

DEPTH_MAX = 8
"""Deeper than any section; an alias that holds itself would never end."""

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "~": None, "": None}


class Value(NamedTuple):
    """A value and where it was written, such as `kedge.yaml:12`, `env KEDGE_ACCOUNT`, `flag` or `default`."""

    value: Scalar | list[Scalar]
    origin: str


Values = dict[KeyPath, Value]


def read_config_file(path: Path, environ: Mapping[str, str]) -> Values:
    """Read a configuration file.

    Raises
    ------
    NotFound
        The file does not exist or cannot be read.
    InvalidConfig
        Not YAML, a duplicate key, a reference to an unset variable; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise NotFound(f"configuration {path} cannot be read", why=reason, fix="name another file with --config") from None
    return parse_config(text, name=path.name, environ=environ)


def parse_config(text: str, *, name: str, environ: Mapping[str, str]) -> Values:
    """Parse configuration text; `name` is how its origin is called."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidConfig(f"{place} is not YAML", why=problem, fix="check indentation, quotes and colons") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and read_scalar(root.value) is None):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise InvalidConfig(f"{name}:1 is not a mapping", why="configuration is `key: value`", fix="start with `account: demo`, say")
    return dict(_walk(root, (), name, environ))


def _walk(node: yaml.MappingNode, parent: KeyPath, name: str, environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, Value]]:
    if len(parent) > DEPTH_MAX:
        raise InvalidConfig(
            f"{name}: {'.'.join(parent)} is nested too deeply", why=f"no key has over {DEPTH_MAX} parts", fix="write it out flat"
        )
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(key_node.value)
        path = (*parent, key)
        if key in seen:
            raise InvalidConfig(
                f"{name}:{line} gives {'.'.join(path)} again",
                why=f"it stands on line {seen[key]} already, and one of them would be lost",
                fix="remove one",
            )
        seen[key] = line
        if isinstance(value_node, yaml.MappingNode):
            yield from _walk(value_node, path, name, environ)
        else:
            yield path, Value(_plain(value_node, f"{name}:{line}", ".".join(path), environ), f"{name}:{line}")


def _plain(node: yaml.Node, place: str, field: str, environ: Mapping[str, str]) -> Scalar | list[Scalar]:
    if isinstance(node, yaml.SequenceNode):
        items = [item for item in node.value if isinstance(item, yaml.ScalarNode)]
        if len(items) != len(node.value):
            raise InvalidConfig(f"{place}: {field} is nested", why="lists hold plain values only", fix="write `[a, b]`")
        return [_scalar(item, place, field, environ) for item in items]
    if not isinstance(node, yaml.ScalarNode):
        raise InvalidConfig(f"{place}: {field} is neither a value nor a list", why="nothing else is understood here", fix="write a value")
    return _scalar(node, place, field, environ)


def _scalar(node: yaml.ScalarNode, place: str, field: str, environ: Mapping[str, str]) -> Scalar:
    text = expand(node.value, environ, place=place, field=field)
    quoted = node.style in ("'", '"', "|", ">")
    return text if quoted else read_scalar(text)


def read_scalar(text: str) -> Scalar:
    """An unquoted word: `true`, `false`, `null`, an integer, else text. `0.15`, `no` and `12:30` stay text."""
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def expand(text: str, environ: Mapping[str, str], *, place: str, field: str) -> str:
    """Replace `${NAME}` and `${NAME:-default}`; an unset name without default is refused."""

    def replace(match: re.Match[str]) -> str:
        named = _NAME.fullmatch(match[1])
        if named is None:
            raise InvalidConfig(f"{place}: {field} holds {match[0]}", why="not a variable's name", fix="write ${NAME} or ${NAME:-default}")
        found = environ.get(named[1], named[2])
        if found is None:
            raise InvalidConfig(
                f"{place}: {field} needs the variable {named[1]}",
                why="it is not set in the environment",
                fix=f"export {named[1]}=..., or write ${{{named[1]}:-default}}",
            )
        return found

    return _REFERENCE.sub(replace, text)
