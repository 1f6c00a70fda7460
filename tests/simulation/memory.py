"""A journal that outlives the processes that write it: what was committed is there for the next one, what was not is gone.

It keeps the bytes of each record and nothing else. Hashes, heads and mentions of a real journal are tested with its stores; here each
record has to cost little, since a day has thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from kedge.domain.canonical import encode
from kedge.domain.events import Event
from kedge.domain.outputs import Output
from kedge.domain.record import Record, RunStarted, Step
from kedge.journal import Snapshot, decode_record


class Killed(BaseException):
    """The process is gone: nothing of it may tidy up."""


class DayJournal:
    """The journal of one process of a trader, durable with every record.

    Parameters
    ----------
    tell : callable
        Told of the bytes of every record right after they are durable.
    before : DayJournal, optional
        The journal as the process before left it.
    """

    def __init__(self, tell: Callable[[bytes], None], before: DayJournal | None = None) -> None:
        self._tell, self.is_frozen = tell, False
        self._bodies: list[bytes] = before._bodies if before is not None else []
        self._snapshots: list[Snapshot] = before._snapshots if before is not None else []

    def freeze(self) -> None:
        """The process is gone: whatever still runs of it writes nothing more."""
        self.is_frozen = True

    @property
    def count(self) -> int:
        """Records so far."""
        return len(self._bodies)

    def start(self, run_started: RunStarted) -> None:
        """Write the first record."""
        self._persist(encode(run_started))

    def keep(self, blobs: Mapping[str, bytes]) -> None:
        """No model trades on a day, so no step has blobs."""
        raise AssertionError(f"blobs {sorted(blobs)}")

    def commit(self, event: Event, outputs: Sequence[Output] = ()) -> None:
        """Record one step."""
        self._persist(encode(Step(seq=len(self._bodies), source="live", event=event, outputs=tuple(outputs), recorded_ts_ns=None)))

    def flush(self) -> None:
        """Everything is durable already."""

    def save_snapshot(self, seq: int, body: bytes) -> None:
        """Keep the engine's state after record `seq`."""
        if self.is_frozen:
            raise Killed
        self._snapshots.append(Snapshot(seq, "", body))

    def latest_snapshot(self, at_or_before: int | None = None) -> Snapshot | None:
        """The newest snapshot, or the newest one at or before a record."""
        kept = [one for one in self._snapshots if at_or_before is None or one.seq <= at_or_before]
        return kept[-1] if kept else None

    def records(self, *, start_seq: int = 0) -> Iterator[Record]:
        """Records from number `start_seq` on, decoded only where they are asked for."""
        for seq, body in enumerate(self._bodies[start_seq:], start_seq):
            found = decode_record(seq, body)
            if found is not None:
                yield found

    def _persist(self, body: bytes) -> None:
        if self.is_frozen:
            raise Killed
        self._bodies.append(body)
        self._tell(body)
