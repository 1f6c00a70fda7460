"""The one place that builds the chain; a store adds only `_persist`.

Rules: a group is linked, signed and handed to the store whole; state moves on only after the store took it; after
any failure the writer refuses everything, so that nothing is acted upon that was not recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec

from kedge.domain.canonical import GENESIS, chain_hash, digest, encode
from kedge.domain.errors import Conflict, InvalidInput, RecordingFailed
from kedge.domain.events import BarClosed, Event
from kedge.domain.outputs import Output
from kedge.domain.people import Act
from kedge.domain.ports import Clock
from kedge.domain.record import RunStarted, Step
from kedge.journal.acts import ActRecorded, ActsStarted, act_bytes
from kedge.journal.mentions import Mention, mentions, telling_step
from kedge.journal.redaction import FREE_TEXT, Redactor
from kedge.journal.rows import Head, Row, Signer, Snapshot, SnapshotTaken, sign_head
from kedge.journal.watch import Watched, WatchStarted, watched_content

_NOT_STARTED = "it has not been started"


class Tail(NamedTuple):
    """Where a journal ends: what the next row follows from."""

    run_id: str
    next_seq: int
    next_record: int
    next_group: int
    last_hash: bytes


class Group(NamedTuple):
    """What a store keeps at once, all of it or nothing: rows, and what belongs to them.

    `blobs` are content-addressed (SHA-256, hex) and may be there already; `ids` says which records mention which ids.
    """

    rows: list[Row]
    head: Head | None
    snapshot: Snapshot | None
    blobs: dict[str, bytes]
    ids: list[Mention]


class ChainedJournal(ABC):
    """Chains records, closes groups with a signed head, hands each group to `_persist`.

    Parameters
    ----------
    signer : Signer or None
        Signs heads; with None no heads are written (memory only, nobody could check them).
    source : str
        Label of the writer in every step, such as 'backtest'.
    group_size : int
        Records per group. With 1 every `commit` is durable on return.
    redactor : Redactor, optional
        Keeps secrets out of the bytes; the default knows patterns but no configured secrets.
    clock : Clock, optional
        Stamps `recorded_ts_ns`; left out where venue time is the only clock.
    """

    def __init__(
        self,
        *,
        signer: Signer | None,
        source: str,
        group_size: int = 1,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
    ) -> None:
        if isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1:
            raise InvalidInput(f"group_size is {group_size!r}", why="a group holds at least one record", fix="use 1 or more")
        if not source:
            raise InvalidInput("source is empty", why="every step names its writer", fix="pass a label such as 'backtest'")
        self._signer, self._source, self._group_size, self._clock = signer, source, group_size, clock
        self._redactor = redactor or Redactor()
        self._pending: list[bytes] = []
        self._ids: list[Mention] = []
        self._blobs: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._tail = Tail("", 0, 0, 0, GENESIS)
        self._next_record = 0
        self._last_snapshot = -1
        self._refusal = _NOT_STARTED

    @abstractmethod
    def _persist(self, group: Group) -> None:
        """Keep one group, all of it or nothing; raises RecordingFailed."""

    @property
    def run_id(self) -> str:
        return self._tail.run_id

    @property
    def count(self) -> int:
        """Records committed so far, including those whose group is still open."""
        return self._tail.next_record + len(self._pending)

    @property
    def last_hash(self) -> bytes:
        """Hash (32 bytes) of the last row of the last closed group; the genesis before any."""
        return self._tail.last_hash

    def start(self, run_started: RunStarted) -> None:
        """Write the first record. Durable on return.

        Raises
        ------
        Conflict
            The journal has a first record already.
        InvalidInput
            A float in `settings`: canonical bytes hold integers and text only.
        """
        self._refuse_second_start()
        _refuse_floats(run_started.settings, "settings")
        clean = self._redactor.run_started(run_started)
        self._begin(clean.run_id, encode(clean))

    def start_acts(self, started: ActsStarted) -> None:
        """Write the first record of a journal of acts. Durable on return; Conflict where there is a first record."""
        self._refuse_second_start()
        self._begin(started.run_id, encode(started))

    def start_watch(self, started: WatchStarted) -> None:
        """Write the first record of a guard's journal. Durable on return; Conflict where there is a first record."""
        self._refuse_second_start()
        self._begin(started.run_id, encode(started))

    def keep(self, blobs: Mapping[str, bytes]) -> None:
        """Hold content-addressed bytes that the next commit's outputs name: in the file with that step, or not at all.

        Raises
        ------
        InvalidInput
            A name that is not the SHA-256 (hex) of its bytes.
        """
        if self._refusal:
            self._refuse()
        for sha256, body in blobs.items():
            if digest(body) != sha256:
                raise InvalidInput(f"blob {sha256[:16]}", why=f"its bytes have SHA-256 {digest(body)}", fix="name it by its hash")
        self._kept.update(blobs)

    def commit(self, event: Event, outputs: Sequence[Output] = ()) -> None:
        """Record one step. Durable on return with `group_size` 1, else with its group.

        Raises
        ------
        RecordingFailed
            The store could not take the group, now or before. Nothing may be acted upon.
        InvalidInput
            The event or an output has no canonical bytes, or the journal was not started.
        """
        if self._refusal:
            self._refuse()
        pending, kept = self._pending, self._kept
        if kept:
            self._kept = {}  # they stand and fall with this step
        try:
            if outputs or type(event) in FREE_TEXT:
                event, outputs = self._redactor.step(event, outputs)
            step = Step(
                seq=self._next_record + len(pending),
                source=self._source,
                event=event,
                outputs=tuple(outputs),
                recorded_ts_ns=self._clock.now_ns() if self._clock else None,
            )
            pending.append(encode(step))
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"{event!r} cannot be recorded", why=str(error), fix="record what kedge.domain defines") from None
        self._blobs.update(kept)
        if outputs or type(event) is not BarClosed:
            self._ids += mentions(step)
        if len(pending) >= self._group_size:
            self._close_group()

    def commit_act(self, act: Act, recorded_wall_ns: int) -> None:
        """Record one act. Durable on return with `group_size` 1, else with its group.

        Raises
        ------
        RecordingFailed
            The store could not take the group, now or before.
        InvalidInput
            The act has no canonical bytes, or the journal was not started.
        """
        if self._refusal:
            self._refuse()
        act_bytes(act)
        recorded = ActRecorded(seq=self.count, recorded_wall_ns=recorded_wall_ns, act=self._redactor.act(act))
        self._pending.append(encode(recorded))
        self._ids += mentions(recorded)
        if len(self._pending) >= self._group_size:
            self._close_group()

    def commit_watched(self, record: msgspec.Struct, recorded_wall_ns: int) -> None:
        """Record one thing that a guard saw or did. Durable on return with `group_size` 1, else with its group.

        Raises
        ------
        RecordingFailed
            The store could not take the group, now or before.
        InvalidInput
            The record has no canonical bytes, or the journal was not started.
        """
        if self._refusal:
            self._refuse()
        kind, content = watched_content(record)
        watched = Watched(seq=self.count, recorded_wall_ns=recorded_wall_ns, kind=kind, content=self._redactor.watched(content))
        self._pending.append(encode(watched))
        self._ids += mentions(watched)
        if len(self._pending) >= self._group_size:
            self._close_group()

    def flush(self) -> None:
        """Close the open group: everything committed so far is durable on return."""
        if self._pending:
            if self._refusal:
                self._refuse()
            self._close_group()

    def save_snapshot(self, seq: int, body: bytes) -> None:
        """Keep the engine's state after record `seq`, the last committed one, and bind its hash into the chain."""
        if self._refusal:
            self._refuse()
        if seq != self.count - 1:
            raise InvalidInput(f"snapshot of record {seq}", why=f"the last record is {self.count - 1}", fix="take it after that one")
        if seq <= self._last_snapshot:
            raise InvalidInput(f"snapshot of record {seq}", why="there is one already", fix="take the next one after another step")
        self._close_group(Snapshot(seq, digest(body), body))
        self._last_snapshot = seq

    def _refuse_second_start(self) -> None:
        if self._tail.next_seq:
            raise Conflict(
                f"the journal already holds run {self.run_id!r}", why="a journal records one run", fix="continue it, or name another file"
            )
        if self._refusal != _NOT_STARTED:
            self._refuse()

    def _begin(self, run_id: str, body: bytes) -> None:
        self._tail = self._tail._replace(run_id=run_id)
        self._refusal = ""
        self._pending.append(body)
        self._close_group()

    def _close_group(self, snapshot: Snapshot | None = None) -> None:
        bodies = self._redactor.scrub(self._pending)
        if bodies is not self._pending:  # a secret may have stood in an id
            self._ids = [found for body in bodies if (step := telling_step(body)) for found in mentions(step)]
        if snapshot:
            bodies = [*bodies, encode(SnapshotTaken(seq_of=snapshot.seq, sha256=snapshot.sha256))]
        rows = _link(self._tail, bodies)
        head = self._sign(rows[-1])
        if head:
            rows.append(_follow(rows[-1], encode(head)))
        self._refusal = "an earlier group could not be recorded"
        self._persist(Group(rows, head, snapshot, self._blobs, self._ids))
        last_seq, last_hash, _ = rows[-1]
        self._continue_from(Tail(self.run_id, last_seq + 1, self.count, self._tail.next_group + 1, last_hash))

    def _sign(self, last: Row) -> Head | None:
        if self._signer is None:
            return None
        claim = Head(
            run_id=self.run_id,
            group=self._tail.next_group,
            seq=last[0] + 1,
            count=self.count,
            last_hash=last[1].hex(),
            key_id=self._signer.key_id,
        )
        return sign_head(claim, self._signer)

    def _continue_from(self, tail: Tail) -> None:
        self._tail = tail
        self._next_record = tail.next_record
        self._pending.clear()
        self._ids, self._blobs = [], {}
        self._refusal = ""

    def _refuse(self) -> NoReturn:
        if self._refusal == _NOT_STARTED:
            raise InvalidInput("the journal takes no record yet", why="the first record says how to run again", fix="call start first")
        raise RecordingFailed(
            f"the journal takes no record: {self._refusal}",
            why="what is not recorded must not be acted upon",
            fix="stop the run, cure the cause (disk space, permissions), open the journal again",
        )


def _link(tail: Tail, bodies: Sequence[bytes]) -> list[Row]:
    previous, rows = tail.last_hash, []
    for seq, body in enumerate(bodies, tail.next_seq):
        previous = chain_hash(previous, body)
        rows.append((seq, previous, body))
    return rows


def _follow(row: Row, body: bytes) -> Row:
    return row[0] + 1, chain_hash(row[1], body), body


def _refuse_floats(value: Any, name: str) -> None:
    if isinstance(value, float):
        raise InvalidInput(f"{name} is {value!r}", why="canonical bytes hold no floats", fix="write it as text or as a scaled integer")
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_floats(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            _refuse_floats(inner, f"{name}[{n}]")
