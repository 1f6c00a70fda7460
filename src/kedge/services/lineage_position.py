"""Reads a journal backwards from a fill that the venue made by itself, to the beginning of the position that it closed.

A position has no id, so no index leads to it: rows are looked at by their bytes, and only those that may tell of it are decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kedge.domain.events import OrderFilled
from kedge.domain.record import Step
from kedge.governance.lineage_position import MARKS, Holding, HoldingReader
from kedge.journal import decode_record
from kedge.services.lineage_journal import RunRecords

PAGE_ROWS: Final = 4_096


def holding_before(run: RunRecords, seq: int, fill: OrderFilled, *, page_rows: int = PAGE_ROWS) -> Holding:
    """What a fill in record `seq` closed.

    Raises
    ------
    NotFound
        The run does not trade the instrument.
    IntegrityError
        A row that tells of the position cannot be read.
    """
    reader = HoldingReader(fill, lambda at: run.spec(fill.instrument, at))
    run.spec(fill.instrument, seq)
    for step in steps_back(run, MARKS, run.reader.row_of(seq) + 1, page_rows):
        if step.seq < seq and reader.take(step):
            break
    return reader.holding()


def steps_back(run: RunRecords, marks: tuple[bytes, ...], stop: int, page_rows: int = PAGE_ROWS) -> Iterator[Step]:
    """Steps in rows before `stop` whose bytes hold one of the marks, the newest first; rows are read `page_rows` at a time."""
    while stop > 0:
        start = max(0, stop - page_rows)
        page = [(row, body) for row, _, body in run.reader.raw_rows(start=start, stop=stop) if any(mark in body for mark in marks)]
        for row, body in reversed(page):
            record = decode_record(row, body)
            if isinstance(record, Step):
                yield record
        stop = start
