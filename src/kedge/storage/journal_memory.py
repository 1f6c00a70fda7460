"""The journal in memory: same protocol, bytes and hashes as on disk, for runs without a file and for comparing reruns."""

from __future__ import annotations

from collections.abc import Iterator

from kedge.domain.errors import NotFound
from kedge.domain.ports import Clock
from kedge.domain.record import Record
from kedge.journal import ChainedJournal, Group, Head, Mention, Redactor, Row, Signer, Snapshot, decode_record


class MemoryJournal(ChainedJournal):
    """Keeps rows in a list. Rows of an open group show after `flush()`.

    Without a signer no heads are written; the records' bytes are the same either way (see `first_difference`).
    """

    def __init__(
        self,
        *,
        signer: Signer | None = None,
        source: str = "memory",
        group_size: int = 1_000,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(signer=signer, source=source, group_size=group_size, redactor=redactor, clock=clock)
        self.rows: list[Row] = []
        self.last_head: Head | None = None
        self.blobs: dict[str, bytes] = {}
        self._snapshots: list[Snapshot] = []
        self._mentions: dict[str, list[Mention]] = {}

    def raw_rows(self) -> Iterator[Row]:
        """The rows as stored."""
        return iter(self.rows)

    def records(self, *, start_seq: int = 0) -> Iterator[Record]:
        """Records from number `start_seq` on."""
        found = (decode_record(seq, body) for seq, _, body in self.rows)
        return (record for n, record in enumerate(r for r in found if r is not None) if n >= start_seq)

    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first."""
        return list(self._snapshots)

    def latest_snapshot(self, at_or_before: int | None = None) -> Snapshot | None:
        """The newest snapshot, or the newest one at or before a record."""
        kept = [s for s in self.snapshots() if at_or_before is None or s.seq <= at_or_before]
        return kept[-1] if kept else None

    def blob(self, sha256: str) -> bytes:
        """The bytes of this hash."""
        if sha256 not in self.blobs:
            raise NotFound(f"blob {sha256[:16]}", why="this journal does not hold it", fix="name one that a record names")
        return self.blobs[sha256]

    def find(self, id: str) -> list[tuple[str, int]]:
        """Records that mention an id, as `(kind, record number)`, in order."""
        return [(found.kind, found.seq) for found in self._mentions.get(id, ())]

    def _persist(self, group: Group) -> None:
        self.rows += group.rows
        self.last_head = group.head
        self.blobs.update(group.blobs)
        for found in group.ids:
            self._mentions.setdefault(found.id, []).append(found)
        if group.snapshot:
            self._snapshots.append(group.snapshot)
