"""Walks the chain link by link and names what broke it.

A break is told apart by trying what would mend it: the neighbour before the last, the hash the last row should have
had, the reverse order, an earlier gap. Only where nothing mends it, the row itself (or rows before it) was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kedge.domain.canonical import GENESIS, chain_hash
from kedge.journal.findings import Finding, FindingKind
from kedge.journal.rows import Row

Link = tuple[Row, bytes, bool]
"""A row, the stored hash of the row it should follow, and whether it does."""


class LinkWalk:
    """Iterates rows as links; `findings` fills while it goes, one for each break."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.findings: list[Finding] = []
        self._rows = rows
        self._last: Row = (-1, GENESIS, b"")
        self._before = GENESIS
        # the hash that the broken last row should have had, and where its findings begin
        self._tentative: tuple[bytes, int] | None = None
        self._gaps: dict[bytes, tuple[int, Finding]] = {}
        self._renumbered = -1

    @property
    def last_seq(self) -> int:
        """Number of the row up to which the journal has come; -1 before the first."""
        return self._last[0]

    def __iter__(self) -> Iterator[Link]:
        for row in self._rows:
            seq, stored, body = row
            last_seq, previous, _ = self._last
            if seq == last_seq + 1 and type(body) is bytes and type(stored) is bytes and chain_hash(previous, body) == stored:
                self._tentative, self._before, self._last = None, previous, row
                yield row, previous, True
            else:
                yield self._broken(self._typed(row))

    def _typed(self, row: Row) -> Row:
        seq, stored, body = row
        if type(stored) is bytes and type(body) is bytes:
            return row
        self._find(seq, FindingKind.TYPE, f"row {seq} holds another type where bytes belong")
        return seq, _bytes(stored), _bytes(body)

    def _broken(self, row: Row) -> Link:
        last_seq, previous, _ = self._last
        if row[1:] == self._last[1:]:
            self._find(row[0], FindingKind.DUPLICATE, f"row {row[0]} repeats row {last_seq}")
            self._last = row
            return row, previous, False
        if row[0] != last_seq + 1:
            return row, previous, self._misnumbered(row)
        return row, previous, self._mended(row)

    def _misnumbered(self, row: Row) -> bool:
        """The row's number does not follow; whether its hash does."""
        seq, stored, body = row
        expected, previous = self._last[0] + 1, self._last[1]
        if chain_hash(previous, body) == stored:
            if seq != self._renumbered + 1:
                self._find(expected, FindingKind.SEQ, f"row {expected} carries the number {seq}")
            self._renumbered = expected
            self._advance(row)
            return True
        for gap_hash, (gap_seq, missing) in self._gaps.items():
            if chain_hash(gap_hash, body) == stored:
                self.findings.remove(missing)
                self._tentative = None
                del self._gaps[gap_hash]
                self._find(gap_seq, FindingKind.SEQ, f"row {gap_seq} carries the number {seq} and stands after row {expected - 1}")
                return False
        if seq > expected:
            self._find(expected, FindingKind.MISSING, f"rows {expected} to {seq - 1} are missing")
            self._gaps[previous] = (expected, self.findings[-1])
            self._advance(row)
        else:
            self._find(seq, FindingKind.ORDER, f"row {seq} stands after row {expected - 1}")
        return False

    def _mended(self, row: Row) -> bool:
        """The number follows and the hash does not; whether another reading of the last row mends that."""
        seq, stored, body = row
        last_seq, previous, last_body = self._last
        if chain_hash(self._before, body) == stored:
            self._drop_tentative()
            if chain_hash(stored, last_body) == previous:
                self._find(last_seq, FindingKind.SWAPPED, f"rows {last_seq} and {seq} are swapped")
                self._before, self._last = stored, (seq, previous, last_body)
            else:
                self._find(last_seq, FindingKind.INSERTED, f"row {last_seq} was put in: row {seq} follows the row before it")
                self._last = row
            return False
        if self._tentative and chain_hash(self._tentative[0], body) == stored:
            self._drop_tentative()
            self._find(last_seq, FindingKind.HASH, f"the hash of row {last_seq} was changed")
            self._advance(row)
            return True
        self._advance(row)
        self._find(seq, FindingKind.LINK, f"row {seq} was changed, or rows before it removed: hash and body do not follow row {last_seq}")
        self._tentative = (chain_hash(previous, body), len(self.findings) - 1)
        return False

    def _advance(self, row: Row) -> None:
        self._tentative, self._before, self._last = None, self._last[1], row

    def _drop_tentative(self) -> None:
        if self._tentative:
            del self.findings[self._tentative[1] :]
            self._tentative = None

    def _find(self, seq: int, kind: FindingKind, detail: str) -> None:
        self.findings.append(Finding(seq, kind, detail))


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else repr(value).encode()
