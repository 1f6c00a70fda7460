"""One process at a time: an advisory file lock that the system releases when its holder dies, however it dies.

The rule: the lock decides, the pid inside the file only names the holder.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from kedge.domain.errors import Conflict

PID_DIGITS_MAX = 20
TRIES_HELD, TRIES_ASKED = 21, 500
"""How often to try for a lock that somebody holds, and for one that others only ask about, for which they take it for an instant each.
Counted, not timed: a machine that stands still would use up any time without a second try."""
RETRY_S = 0.01


class ProcessLock:
    """Hold `path` exclusively while the `with` block runs.

    Parameters
    ----------
    path : Path
        The lock file; created when missing, left in place afterwards.
    what : str
        What is being protected, for the message to whoever comes second.

    Raises
    ------
    Conflict
        On entry, when another process (or another lock object of this one) holds it.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self.path = path
        self.what = what
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _taken(descriptor):
            holder = os.read(descriptor, PID_DIGITS_MAX).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Conflict(
                f"{self.what} is running already (pid {holder})", why=f"it holds {self.path}", fix=f"stop it first: kill {holder}"
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _taken(descriptor: int) -> bool:
    """Take the lock; False when somebody keeps it."""
    held = asked = 0
    while not _locks(descriptor, fcntl.LOCK_EX):
        if _locks(descriptor, fcntl.LOCK_SH):  # so nobody holds it
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            asked += 1
        else:
            held += 1
        if held == TRIES_HELD or asked == TRIES_ASKED:
            return False
        time.sleep(RETRY_S)
    return True


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder_of(path: Path) -> int | None:
    """The pid of the live process that holds the lock at `path`; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, PID_DIGITS_MAX).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None
