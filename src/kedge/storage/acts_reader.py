"""Reads acts back, newest first, for people who look at them. Chain and signatures are the verification's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.domain.people import Act
from kedge.journal import ActRecorded, decode_row
from kedge.storage.journal_reader import SqliteJournalReader

PAGE_ACTS_MAX: Final = 500
ROWS_LOOKED_AT_MAX: Final = 5_000
"""So many rows one page looks at: a rare filter gives short pages, never a long wait."""
_STRIDE: Final = 250


class StoredAct(NamedTuple):
    """An act with its record number, which a cursor goes by, and when it was journalled."""

    seq: int
    recorded_wall_ns: int
    act: Act


class ActPage(NamedTuple):
    """Acts, newest first. `before_seq` asks for the next page, None at the journal's start; a filtered page may be empty and go on."""

    acts: list[StoredAct]
    before_seq: int | None


class ActReader:
    """Pages of acts, also while they are being written. A journal that is not there yet holds none."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def page(self, limit: int, before_seq: int | None = None, *, person_id: str | None = None, action: str | None = None) -> ActPage:
        """Up to `limit` acts recorded before number `before_seq`, of one person or one action where named.

        Raises
        ------
        InvalidInput
            The limit is none.
        IntegrityError
            A row is no act in canonical form.
        """
        if not 1 <= limit <= PAGE_ACTS_MAX:
            raise InvalidInput(
                f"limit is {limit}", why=f"a page holds 1 to {PAGE_ACTS_MAX} acts", fix="ask for fewer, then for the next page"
            )
        if not self.path.is_file():
            return ActPage([], None)
        with SqliteJournalReader(self.path) as reader:
            return self._page(reader, limit, before_seq, person_id, action)

    def newest(self, fits: Callable[[Act], bool]) -> Act | None:
        """The newest act for which this is so, None where there is none: it reads back as far as it must.

        Raises
        ------
        IntegrityError
            A row is no act in canonical form.
        """
        if not self.path.is_file():
            return None
        with SqliteJournalReader(self.path) as reader:
            return next((stored.act for stored in _acts_below(reader, reader.last_seq() + 1, 0) if fits(stored.act)), None)

    def _page(self, reader: SqliteJournalReader, limit: int, before_seq: int | None, person_id: str | None, action: str | None) -> ActPage:
        found: list[StoredAct] = []
        top = reader.last_seq() + 1
        if before_seq is not None:
            top = min(top, reader.row_of(before_seq))
        lowest, oldest = max(0, top - ROWS_LOOKED_AT_MAX), before_seq
        for stored in _acts_below(reader, top, lowest):
            if before_seq is not None and stored.seq >= before_seq:
                continue
            oldest = stored.seq
            if person_id in (None, stored.act.person_id) and action in (None, stored.act.action):
                found.append(stored)
                if len(found) == limit:
                    break
        # record 0 is the start
        return ActPage(found, oldest if oldest is not None and oldest > 1 else None)


def _acts_below(reader: SqliteJournalReader, top: int, lowest: int) -> Iterator[StoredAct]:
    """Acts in rows `lowest <= row < top`, newest first."""
    while top > lowest:
        start = max(lowest, top - _STRIDE)
        for row, _, body in reversed(list(reader.raw_rows(start=start, stop=top))):
            value = decode_row(row, body)
            if isinstance(value, ActRecorded):
                if encode(value) != body:
                    raise IntegrityError(
                        f"row {row} of {reader.path} is no act in canonical form",
                        why="its bytes say more or other",
                        fix="run `kedge audit verify`",
                    )
                yield StoredAct(value.seq, value.recorded_wall_ns, value.act)
        top = start
