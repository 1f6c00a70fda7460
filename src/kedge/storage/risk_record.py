"""The daily record of risk in its file: one line a body, each chained to the one before, appended and synchronised, never rewritten.

A line is the chain's hash in hex, a space, and canonical JSON. A last line without its end is a write that a dying process did not
finish: it is cut off by the writer and left out by readers. Anything else that does not follow is altered, and is refused.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kedge.domain.canonical import GENESIS, chain_hash
from kedge.domain.errors import Conflict, IntegrityError, RecordingFailed

_FIX = "keep the file as evidence, move it away, and start again: the record begins anew"


class RiskRecordFile:
    """The writer. One per file, by a lock that ends with the process.

    Parameters
    ----------
    path : Path
        Made, with its folder, where it is not there, for its owner alone.

    Raises
    ------
    Conflict
        Another process writes it.
    IntegrityError
        A line does not follow from the one before.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(path, error) from None
        try:
            self._begin()
        except BaseException:
            os.close(self._fd)
            raise

    def _begin(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{self.path} is being written", why="another server keeps it", fix="stop the other server") from None
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        self.bodies: list[bytes] = []
        self._hash = GENESIS
        for link, body in _links(self.path, whole):
            self._hash = link
            self.bodies.append(body)
        if len(whole) < len(content):
            os.ftruncate(self._fd, len(whole))
        os.lseek(self._fd, 0, os.SEEK_END)

    def append(self, *bodies: bytes) -> None:
        """Add canonical bodies, all or none; on return they are on the disk.

        Raises
        ------
        RecordingFailed
            They could not be written; what was written of them is taken back, and where that fails too, a half line is cut off by the next
            writer.
        """
        link, lines = self._hash, b""
        for body in bodies:
            link = chain_hash(link, body)
            lines += link.hex().encode() + b" " + body + b"\n"
        at = os.lseek(self._fd, 0, os.SEEK_CUR)
        try:
            if os.write(self._fd, lines) != len(lines):
                raise OSError("the disk took only a part")
            os.fdatasync(self._fd)
        except OSError as error:
            self._take_back(at)
            raise _failed(self.path, error) from None
        self._hash = link
        self.bodies += bodies

    def _take_back(self, at: int) -> None:
        with suppress(OSError):
            os.ftruncate(self._fd, at)
            os.lseek(self._fd, at, os.SEEK_SET)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._fd)


def read_risk_record(path: Path) -> list[bytes]:
    """Every whole body, oldest first, without a lock; nothing where there is no file.

    Raises
    ------
    IntegrityError
        A line does not follow from the one before.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [body for _, body in _links(path, content[: content.rfind(b"\n") + 1])]


def _links(path: Path, whole: bytes) -> Iterator[tuple[bytes, bytes]]:
    link = GENESIS
    for number, line in enumerate(whole.splitlines(), start=1):
        told, _, body = line.partition(b" ")
        link = chain_hash(link, body)
        if told != link.hex().encode():
            raise IntegrityError(f"{path}: line {number}", why="it does not follow from the line before it", fix=_FIX)
        yield link, body


def _failed(path: Path, error: OSError) -> RecordingFailed:
    why = "the daily record of risk could not be written"
    return RecordingFailed(f"{path}: {error}", why=why, fix="free disk space, or mend its rights")
