"""Secrets by reference: configuration holds where a secret is, never the secret.

The rule: a literal is refused without being repeated, a reference is printed as it is, a value is read only when
somebody asks for it and never stands in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kedge.domain.errors import InvalidConfig, NotFound

SCHEMES = ("env", "file")


def check_reference(text: object, *, field: str) -> str:
    """Accept `env:NAME` or `file:PATH`; refuse anything else without printing it."""
    if isinstance(text, str):
        scheme, _, name = text.partition(":")
        if scheme in SCHEMES and name:
            return text
    raise InvalidConfig(
        f"{field} is a literal (not shown)",
        why="configuration holds references to secrets, never secrets",
        fix="write env:NAME or file:PATH, and keep the value there",
    )


def read_secret(reference: str, environ: Mapping[str, str], *, field: str) -> str:
    """The secret that `reference` points to, without its trailing newline; empty counts as missing."""
    scheme, _, name = check_reference(reference, field=field).partition(":")
    value = environ.get(name, "") if scheme == "env" else _read(Path(name).expanduser(), reference, field)
    if not value:
        raise NotFound(f"{field}: {reference} holds nothing", why="the secret is missing or empty", fix=f"set {name}")
    return value


def _read(path: Path, reference: str, field: str) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise NotFound(f"{field}: {reference} cannot be read", why=reason, fix="check the path and its permissions") from None
