"""The small files beside a journal: the newest head, the writer's lock, the seal.

Rules: a file is replaced whole (temporary file, fsync, rename, fsync of the folder) or not at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from kedge.domain.errors import Conflict, RecordingFailed
from kedge.journal import CHUNK_BYTES


def head_path(journal: Path) -> Path:
    """The second file, which holds the newest signed head."""
    return journal.with_name(journal.name + ".head")


def seal_path(journal: Path) -> Path:
    """The signed hashes of a finished journal's file."""
    return journal.with_name(journal.name + ".seal")


def lock_path(journal: Path) -> Path:
    """The file that the one writer holds locked."""
    return journal.with_name(journal.name + ".lock")


def read_if_there(path: Path) -> bytes | None:
    """The file's bytes, None where there is no file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace_file(path: Path, body: bytes) -> None:
    """Replace `path` by a file that holds `body`, durably.

    Raises
    ------
    OSError
        The disk is full or failing; the old file is still whole.
    """
    draft = path.with_name(path.name + ".tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        written = 0
        while written < len(body):
            written += os.write(fd, body[written:])
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(path)
    _sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file if it is there, durably."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def chunks_of(path: Path) -> Iterator[bytes]:
    """The file in chunks of `CHUNK_BYTES`."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class WriterLock:
    """One writer per journal, for as long as its process lives: an advisory lock with the holder's pid in the file."""

    def __init__(self, journal: Path) -> None:
        path = lock_path(journal)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RecordingFailed(f"cannot create {path}", why=error.strerror or str(error), fix="check the folder's permissions") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise Conflict(
                f"journal {journal} is being written by process {holder}",
                why="a journal has one writer",
                fix=f"stop process {holder}, wait for it, or name another journal",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next writer in. The file stays: removing it would let two writers lock two files."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1
