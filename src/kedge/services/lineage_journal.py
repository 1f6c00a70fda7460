"""One run's journal as lineage reads it: ids to steps, dated instruments, and where a record stands in the chain.

Rules: read-only, in short transactions; the index is a hint and `find` checks it against the rows; a row whose hash does not follow from
the row before it is named, not trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from kedge.domain.canonical import GENESIS, chain_hash
from kedge.domain.errors import IntegrityError, NotFound
from kedge.domain.events import InstrumentChanged
from kedge.domain.instrument import Instrument
from kedge.domain.outputs import Predicted
from kedge.domain.record import RunStarted, Step
from kedge.governance.lineage import Proof
from kedge.governance.lineage_find import predicted_of
from kedge.journal import Head, Row, decode_head, decode_record, telling_step
from kedge.storage.journal_reader import SqliteJournalReader

INSTRUMENT: Final = "instrument_changed"
"""Kind of the one mention whose id is an instrument's."""
_STEP_END: Final = b'"type":"step"}'
_CHANGED: Final = b'"type":"instrument_changed"'


class RunRecords:
    """Reads one journal.

    Raises
    ------
    NotFound, IntegrityError
        As `SqliteJournalReader`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = SqliteJournalReader(path)
        self._steps: dict[int, Step] = {}
        self._started: RunStarted | None = None
        self._changes: list[tuple[int, Instrument]] | None = None

    def __enter__(self) -> RunRecords:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.reader.close()

    @property
    def started(self) -> RunStarted:
        """The first record."""
        if self._started is None:
            first = self.reader.record(0) if self.reader.last_seq() >= 0 else None
            self._started = first if isinstance(first, RunStarted) else self.reader.run_started()
        return self._started

    @property
    def indexed(self) -> bool:
        """Whether the journal has an index; one of an earlier version is walked."""
        return self.reader.beside.is_there

    def knows(self, wanted: str) -> bool:
        """Whether the index mentions this id, of anything but an instrument; no walk."""
        return any(kind != INSTRUMENT for kind, _ in self.reader.beside.hints(wanted))

    def begins(self, prefix: str, limit: int) -> list[str]:
        """Ids in the index that begin so, in order, at most `limit`."""
        return self.reader.beside.ids_from(prefix, limit)

    def around(self, wanted: str) -> list[str]:
        """The ids in the index just before and just after this one, which is not there."""
        return self.reader.beside.ids_around(wanted)

    def mentions(self, wanted: str, *, walk: bool = False) -> list[tuple[str, int]]:
        """Kinds and record numbers that mention an id, in order; `walk` searches journals without an index."""
        return self.reader.find(wanted) if walk or self.reader.beside.hints(wanted) else []

    def walked(self, wanted: str) -> list[tuple[str, int]]:
        """The same from the records alone, where the index says nothing of what must be there: entries may have been taken out of it."""
        return self.reader.walk(wanted)

    def steps(self, found: list[tuple[str, int]], *kinds: str) -> list[Step]:
        """The steps of mentions, of these kinds only where any are named, each once, in order."""
        return [self.step(seq) for seq in dict.fromkeys(seq for kind, seq in found if not kinds or kind in kinds)]

    def step(self, seq: int) -> Step:
        """One step; IntegrityError where the journal holds something else there."""
        if seq not in self._steps:
            record = self.reader.record(seq)
            if not isinstance(record, Step):
                raise IntegrityError(f"record {seq} of {self.path}", why="it is no step", fix="run 'kedge audit verify' on the journal")
            self._steps[seq] = record
        return self._steps[seq]

    def predictions(self, prediction_id: str) -> Iterator[tuple[Step, Predicted]]:
        """The step that made a prediction, and what it said; nothing where none did."""
        made = predicted_of(self.steps(self.mentions(prediction_id, walk=not self.indexed), "predicted"), prediction_id)
        if made is not None:
            yield made

    def spec(self, instrument: str, seq: int) -> Instrument:
        """The instrument's record in force at a record of the journal.

        Raises
        ------
        NotFound
            The run does not trade it.
        """
        spec = next((i for i in self.started.instruments if i.instrument_id == instrument), None)
        if spec is None:
            raise NotFound(f"instrument {instrument}", why=f"run {self.started.run_id} does not trade it", fix="see the run's first record")
        for at, changed in self._instrument_changes():
            if at <= seq and changed.instrument_id == instrument:
                spec = changed
        return spec

    def proof(self, seq: int) -> Proof:
        """Where a record stands in the chain, and the signed head over it.

        Raises
        ------
        IntegrityError
            The row's hash does not follow from the row before it.
        """
        row = self._row(seq)
        previous = self._stored_hash(row[0] - 1)
        if chain_hash(previous, row[2]) != row[1]:
            raise IntegrityError(
                f"row {row[0]} of {self.path} was changed, or the row before it",
                why="its hash does not follow",
                fix="keep the file as evidence, run 'kedge audit verify' on it",
            )
        head = self._head_after(row[0], seq)
        if head is None:
            return Proof(row=row[0], row_hash=row[1].hex())
        return Proof(row=row[0], row_hash=row[1].hex(), head_row=head[0], head_signature=head[1].signature, key_id=head[1].key_id)

    def _row(self, seq: int) -> Row:
        first = self.reader.row_of(seq)
        for row in self.reader.raw_rows(start=first, stop=first + 4):
            record = decode_record(row[0], row[2])
            if record is not None and (record.seq if isinstance(record, Step) else 0) == seq:
                return row
        raise NotFound(f"record {seq} of {self.path}", why="the journal has no such record", fix="run 'kedge audit verify' on it")

    def _stored_hash(self, row: int) -> bytes:
        if row < 0:
            return GENESIS
        return next((stored for _, stored, _ in self.reader.raw_rows(start=row, stop=row + 1)), GENESIS)

    def _head_after(self, row: int, record: int) -> tuple[int, Head] | None:
        """The next signed head: after the last row up to which every row is a record, found without reading the rows between."""
        low, high = row, row + 1
        while self._is_record(high, record + high - row):
            low, high = high, row + 2 * (high - row)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_record(middle, record + middle - row) else (low, middle)
        for seq, _, body in self.reader.raw_rows(start=high, stop=high + 2):  # a snapshot's mark may stand before it
            if (found := decode_head(body)) is not None:
                return seq, found
        return None

    def _is_record(self, row: int, record: int) -> bool:
        """Whether the row holds this record."""
        body = next((body for _, _, body in self.reader.raw_rows(start=row, stop=row + 1)), b"")
        return body.endswith(_STEP_END) and (step := decode_record(row, body)) is not None and isinstance(step, Step) and step.seq == record

    def _instrument_changes(self) -> list[tuple[int, Instrument]]:
        if self._changes is None:
            if self.indexed:
                found = [(kind, seq) for i in self.started.instruments for kind, seq in self.mentions(i.instrument_id)]
                steps = self.steps(found, INSTRUMENT)
            else:
                steps = [s for _, _, body in self.reader.raw_rows() if _CHANGED in body and isinstance(s := telling_step(body), Step)]
            self._changes = sorted(
                ((s.seq, s.event.instrument) for s in steps if isinstance(s.event, InstrumentChanged)), key=lambda change: change[0]
            )
        return self._changes
