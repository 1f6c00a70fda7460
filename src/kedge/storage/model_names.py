"""How models are named by people: `name@alias`, `name/3`; what a name and an alias may be, and the aliases that Kedge sets."""

from __future__ import annotations

import re
from typing import Final

from kedge.domain.errors import InvalidInput

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z._-]{0,79}")
ALIAS: Final = re.compile(r"[a-z][0-9a-z_-]{0,39}")


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


def checked_alias(alias: str) -> str:
    """An alias, if it can be one.

    Raises
    ------
    InvalidInput
        Other characters than lower-case letters, digits, `_`, `-`, or too long.
    """
    if not ALIAS.fullmatch(alias):
        raise InvalidInput(f"alias {alias!r}", why="lower-case letters, digits, '_' and '-', a letter first", fix="such as champion")
    return alias


def parse_reference(reference: str) -> tuple[str, str | None, int]:
    """`name@alias` to (name, alias, 0), `name/3` to (name, None, 3).

    Raises
    ------
    InvalidInput
        It is neither.
    """
    name, at, alias = reference.partition("@")
    if at:
        return checked_name(name), checked_alias(alias), 0
    name, _, version = reference.partition("/")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise InvalidInput(
            f"model reference {reference!r}",
            why="it is name@alias, name/version, or 8 digits or more of a model's hash",
            fix=f"such as {name or 'btc-15m'}@{CHAMPION}",
        )
    return checked_name(name), None, int(version)
