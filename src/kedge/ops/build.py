"""What code is running: version, commit, and a hash over the sources that decide."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

import kedge

COMMIT = re.compile(r"[0-9a-f]{7,64}")
DECIDING_ROOMS = ("domain", "kernel", "market", "simulation", "journal", "learning", "risk", "strategy", "engine", "services")
"""Rooms whose sources can change a decision or a book; the CLI and the adapters cannot."""


def engine_version() -> str:
    """The package's version."""
    return kedge.__version__


def git_sha() -> str | None:
    """The commit that was built, from KEDGE_GIT_SHA or from the checkout the package stands in; None where nobody says."""
    given = os.environ.get("KEDGE_GIT_SHA", "").strip().lower()
    if given:
        return given if COMMIT.fullmatch(given) else None
    return _checked_out(Path(kedge.__file__).parents[2] / ".git")


def _checked_out(git: Path) -> str | None:
    """The commit at a checkout's head, read from its files: a loose reference, else a packed one."""
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else None
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            found = loose.read_text(encoding="ascii").strip()
            return found if COMMIT.fullmatch(found) else None
        for line in (git / "packed-refs").read_text(encoding="ascii").splitlines():
            commit, _, packed = line.partition(" ")
            if packed == name and COMMIT.fullmatch(commit):
                return commit
    except (OSError, UnicodeDecodeError):
        pass
    return None


@cache
def code_sha256() -> str:
    """SHA-256 over names and contents of every source of the deciding rooms, in sorted order."""
    root = Path(kedge.__file__).parent
    total = hashlib.sha256()
    for room in DECIDING_ROOMS:
        for source in sorted((root / room).rglob("*.py")):
            total.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return total.hexdigest()
