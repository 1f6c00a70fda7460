"""The head file: a copy of the newest signed head beside the journal, in two slots that are written in turn.

Rules: group n goes to slot n % 2, in place, so that the copy costs one fdatasync and the slot not being written is
the group before. A slot counts when it is one head in canonical form and its signature holds: a torn write mixes
two heads of equal length, which only the signature tells apart. Like SQLite's log this relies on a write never
damaging bytes outside its range. The file is created whole (see `replace_file`), by the first write of a process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import InvalidInput
from kedge.journal import Head, decode_head
from kedge.storage.journal_files import replace_file

SLOT_BYTES: Final = 1_024
"""One slot: a power of two, so that a slot lies within one page of the disk. A head has about 350 bytes."""

_BLANK: Final = b"\n".rjust(SLOT_BYTES)
_NUMBER_MAX: Final = 2**63 - 1
# macOS has no fdatasync
_sync_data: Final = getattr(os, "fdatasync", os.fsync)


class HeadCopy(NamedTuple):
    """What a head file holds.

    Attributes
    ----------
    body : bytes
        Canonical bytes of the newest head; the whole file where no slot holds one.
    damaged : bool
        One slot holds, the other is neither blank nor a signed head: a write was torn, or somebody changed it.
    """

    body: bytes
    damaged: bool


def newest_copy(file: bytes, signature_holds: Callable[[Head], bool] = lambda head: True) -> HeadCopy:
    """The newest head in a head file's bytes; one whose signature holds goes before all others.

    Parameters
    ----------
    file : bytes
        The whole file; only its two slots are looked at.
    signature_holds : callable
        Whether the expected key signed this head. Left out where there is no key: then every head counts.
    """
    slots = [slot for at in (0, SLOT_BYTES) if (slot := file[at : at + SLOT_BYTES].rstrip(b" \n"))]
    heads = [head for slot in slots if (head := decode_head(slot))]
    signed = [head for head in heads if signature_holds(head)]
    newest = max(signed or heads, key=lambda head: head.group, default=None)
    return HeadCopy(encode(newest) if newest else file, damaged=0 < len(signed) < len(slots))


def check_fits(head: Head) -> None:
    """Refuse a run whose heads would not fit a slot, now or when their numbers have grown.

    Raises
    ------
    InvalidInput
        The run id is too long.
    """
    largest = msgspec.structs.replace(head, group=_NUMBER_MAX, seq=_NUMBER_MAX, count=_NUMBER_MAX)
    spare_bytes = SLOT_BYTES - 1 - len(encode(largest))
    if spare_bytes < 0:
        raise InvalidInput(
            f"run_id {head.run_id[:40]!r}... is too long",
            why=f"the run's signed heads exceed a slot of {SLOT_BYTES} bytes by {-spare_bytes}",
            fix=f"shorten run_id by {-spare_bytes} bytes",
        )


class HeadFile:
    """Writes the copies of one journal's heads, on one descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def write(self, head: Head) -> None:
        """Copy a head to its slot, durably on return.

        Raises
        ------
        OSError
            The disk is full or failing; the other slot is still whole.
        """
        slot, place = encode(head).ljust(SLOT_BYTES - 1) + b"\n", head.group % 2
        if self._fd < 0:
            replace_file(self.path, _BLANK + slot if place else slot + _BLANK)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            return
        if os.pwrite(self._fd, slot, place * SLOT_BYTES) != SLOT_BYTES:
            raise OSError(errno.EIO, "short write")
        _sync_data(self._fd)

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
