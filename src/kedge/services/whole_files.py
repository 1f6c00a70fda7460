"""Files that are whole and durable as soon as their name is seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def put_new(path: Path, body: bytes) -> None:
    """Make a file that is not there yet.

    Raises
    ------
    FileExistsError
        It is; nothing was changed.
    OSError
        It could not be made durable.
    """
    _put(path, body, os.link)


def put_over(path: Path, body: bytes) -> None:
    """Make a file, or replace it. Raises `OSError` where it could not be made durable."""
    _put(path, body, os.replace)


def _put(path: Path, body: bytes, place: Callable[[Path, Path], Any]) -> None:
    """Write and synchronise a draft, give it its name, and synchronise the folder."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        place(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
