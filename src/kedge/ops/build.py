"""What code is running: version, and a hash over the sources that decide."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import kedge

DECIDING_ROOMS = ("domain", "kernel", "market", "simulation", "journal", "learning", "risk", "strategy", "engine", "services")
"""Rooms whose sources can change a decision or a book; the CLI and the adapters cannot."""


def engine_version() -> str:
    """The package's version."""
    return kedge.__version__


@cache
def code_sha256() -> str:
    """SHA-256 over names and contents of every source of the deciding rooms, in sorted order."""
    root = Path(kedge.__file__).parent
    total = hashlib.sha256()
    for room in DECIDING_ROOMS:
        for source in sorted((root / room).rglob("*.py")):
            total.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return total.hexdigest()
