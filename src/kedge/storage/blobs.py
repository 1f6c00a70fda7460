"""Bytes addressed by their SHA-256, one file each: `<first two digits>/<hash>`.

Rules: a blob appears whole (written aside, synced, renamed) or not at all, is written once, and is checked against its name whenever
it is read.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound, RecordingFailed

SHA256: Final = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Content-addressed bytes in one folder.

    Parameters
    ----------
    folder : Path
        Created when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, body: bytes) -> str:
        """Keep bytes, durably; returns their SHA-256 (hex). What is there already is checked, not written again.

        Raises
        ------
        IntegrityError
            A file of this name holds other bytes.
        RecordingFailed
            The disk is full or refuses; nothing is left behind.
        """
        sha256 = digest(body)
        path = self.path(sha256)
        if path.is_file():
            self.get(sha256)
            return sha256
        write_whole(path, body)
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes of that name.

        Raises
        ------
        InvalidInput
            The name is no SHA-256.
        NotFound
            There is no such blob.
        IntegrityError
            The file holds other bytes than its name says.
        """
        path = self.path(sha256)
        try:
            body = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(
                f"blob {sha256}", why=f"no file {path}", fix="restore it from a backup, or make it again from its sources"
            ) from None
        except OSError as error:
            raise IntegrityError(
                f"blob {path} cannot be read", why=error.strerror or str(error), fix="check permissions and disk"
            ) from None
        if (found := digest(body)) != sha256:
            raise IntegrityError(
                f"blob {path} is damaged",
                why=f"its bytes have SHA-256 {found}",
                fix="keep the file as evidence elsewhere, remove it here, restore it from a backup or make it again",
            )
        return body

    def has(self, sha256: str) -> bool:
        """Whether a blob of that name is there (not whether it is whole)."""
        return self.path(sha256).is_file()

    def path(self, sha256: str) -> Path:
        """Where the blob of that name lies or would lie."""
        if not SHA256.fullmatch(sha256):
            raise InvalidInput(f"blob {sha256!r}", why="not 64 hexadecimal digits", fix="name it by its SHA-256")
        return self.folder / sha256[:2] / sha256


def write_whole(path: Path, body: bytes) -> None:
    """Put a file in place, durably, readable by its owner alone: the old content or the new, never half of either.

    Raises
    ------
    RecordingFailed
        The disk is full or refuses; an old file is still whole.
    """
    draft: Path | None = None
    try:
        make_folder(path.parent)
        fd, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        draft = Path(name)
        with open(fd, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if draft is not None:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        raise RecordingFailed(
            f"{path} could not be written: {error.strerror or error}",
            why="the disk is full or refuses; what was there before is still whole",
            fix=f"free space or mend the permissions of {path.parent}",
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with durable names. OSError where the disk refuses."""
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in reversed(missing):
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
