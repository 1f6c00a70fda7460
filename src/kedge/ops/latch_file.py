"""The latch of the brake: one small file, `<state>/guard/latch.json`, that outlives every process.

Rules: the guard alone writes it; what was written is on the disk, file and folder, before `write` returns; a reader sees the old content
or the new, never half of either. A file that cannot be read, that is another account's, older than what the guard's journal knows, or gone
although there is a journal, reads as HALTED: whoever damages the latch stops trading, and never lets go on what was stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.brake import LATCH_SCHEMA, BrakeLevel, Latch, Trigger, permits_risk
from kedge.domain.errors import RecordingFailed

GUARD_FOLDER: Final = "guard"
LATCH_NAME: Final = "latch.json"
LATCH_BYTES_MAX: Final = 64 * 1024
WORDS_CHARS_MAX: Final = 200
"""Of the reason why a file does not count."""

Known = Callable[[], int | None]
"""The newest generation that the guard's journal knows: None where there is no journal, 0 where there is one and nobody can say."""


def guard_folder(state_folder: Path) -> Path:
    """Where the guard keeps latch, journal, keys and requests."""
    return state_folder / GUARD_FOLDER


def latch_path(state_folder: Path) -> Path:
    """The file of the latch."""
    return guard_folder(state_folder) / LATCH_NAME


class LatchFile:
    """Reads and writes the latch of one account.

    Parameters
    ----------
    path : Path
        The file; `write` makes its folder where it is not there, for its owner alone.
    account : str
        Whose latch it is.
    known : callable
        What the guard's journal knows; see `Known`.
    wall_ns : callable
        The time now, for a latch that stands in for one that cannot be read.

    Attributes
    ----------
    why_unreadable : str
        Why the last `read` gave a latch of its own making; empty where it gave the file's.
    """

    def __init__(self, path: Path, account: str, *, known: Known = lambda: None, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = Path(path)
        self.account = account
        self.why_unreadable = ""
        self._known, self._wall_ns = known, wall_ns

    def read(self) -> Latch:
        """What the file says; HALTED by the trigger `unreadable` where it does not say it well. Never raises."""
        self.why_unreadable = ""
        generation = self._known()
        try:
            raw = self.load()
        except FileNotFoundError:
            if generation is None:
                return Latch(account=self.account, generation=0, level=BrakeLevel.RUNNING)
            return self._halted(generation, f"{self.path.name} is gone, and the guard's journal is there")
        except OSError as error:
            return self._halted(generation, f"{self.path.name} cannot be read: {error.strerror or error}")
        try:
            found = msgspec.json.decode(raw, type=Latch)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._halted(generation, f"{self.path.name} is no latch: {error}")
        problem = _problem(found, self.account, generation)
        if problem:
            return self._halted(max(generation or 0, found.generation if found.account == self.account else 0), problem)
        return found

    def begin(self) -> None:
        """Write the first latch of an account that no guard has watched: before its journal is made, since a journal without one is HALTED.

        Raises
        ------
        RecordingFailed
            It cannot be written.
        """
        if not self.path.exists() and self._known() is None:
            self.write(self.read())

    def write(self, latch: Latch) -> None:
        """Put a latch in place of the one before: durable on return.

        Raises
        ------
        RecordingFailed
            The disk is full or failing, or the folder cannot be written. The old content still stands.
        """
        try:
            self.store(msgspec.json.format(msgspec.json.encode(latch), indent=2) + b"\n")
        except OSError as error:
            raise RecordingFailed(
                f"cannot write the latch {self.path}",
                why=error.strerror or str(error),
                fix="free space, mend the disk or the folder's permissions; what the guard decided holds in its memory until then",
            ) from None

    def load(self) -> bytes:
        """The file's bytes as they are; `OSError` where there are none to be had."""
        return _content(self.path)

    def store(self, content: bytes) -> None:
        """Have the file hold these bytes, or, with an `OSError`, those before; durable on return."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(self.path, content)

    def _halted(self, generation: int | None, why: str) -> Latch:
        self.why_unreadable = why[:WORDS_CHARS_MAX]
        now_wall_ns = self._wall_ns()
        return Latch(
            account=self.account,
            generation=(generation or 0) + 1,
            level=BrakeLevel.HALTED,
            trigger=Trigger.UNREADABLE,
            observed=self.why_unreadable,
            limit="a latch that can be read",
            reason="the brake's file cannot be relied upon",
            actor_id="guard",
            source="latch",
            engaged_wall_ns=now_wall_ns,
            changed_wall_ns=now_wall_ns,
        )


def _content(path: Path) -> bytes:
    """All of the file; a longer one than any latch is cut, and so is none."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        return file.read(LATCH_BYTES_MAX) if os.fstat(file.fileno()).st_size <= LATCH_BYTES_MAX else b""


def _problem(found: Latch, account: str, known: int | None) -> str:
    """Why a well-formed latch does not count; empty where it does."""
    if found.schema != LATCH_SCHEMA:
        return f"the latch has schema {found.schema!r}, not {LATCH_SCHEMA}"
    if found.account != account:
        return f"the latch is of account {found.account!r}, not {account!r}"
    if found.generation < 0 or found.high_water_e8 < 0:
        return "the latch holds a number below zero"
    if known is not None and found.generation < known:
        return f"the latch has generation {found.generation}, and the guard's journal knows {known}: an older file was put in its place"
    if permits_risk(found.level) == bool(found.trigger):
        return f"the latch is {found.level} {'for' if found.trigger else 'without'} a trigger"
    return ""


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")  # one name, since one process writes: what a crash left is written over
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
