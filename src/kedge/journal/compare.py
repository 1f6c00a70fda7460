"""Compares the records of two journals byte by byte, whatever their groups and signatures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from kedge.journal.rows import Row

# canonical bytes sort their keys, so `type` ends every row
_RECORD_ENDS = (b'"type":"step"}', b'"type":"run_started"}')


class Difference(NamedTuple):
    """The first record that differs: its number, and both sides' bytes (None where one journal has ended)."""

    record: int
    left: bytes | None
    right: bytes | None


def first_difference(left: Iterable[Row], right: Iterable[Row], *, start_record: int = 0) -> Difference | None:
    """Where two journals' records first differ, or None where they are equal to the byte.

    Heads and snapshot marks are left out: where groups end and whose key signs is not part of what happened.
    `start_record` numbers the first record of both sides, for comparing from a snapshot on.
    """
    for n, (one, other) in enumerate(zip_longest(_record_bodies(left), _record_bodies(right)), start_record):
        if one != other:
            return Difference(n, one, other)
    return None


def _record_bodies(rows: Iterable[Row]) -> Iterator[bytes]:
    return (body for _, _, body in rows if body.endswith(_RECORD_ENDS))
