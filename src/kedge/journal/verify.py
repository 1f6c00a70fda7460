"""Verifies a journal's rows against the public key, and names the place of every defect that shows by itself.

Rules: no store, no file: rows come in as an iterator, the copy of the newest head as bytes. One pass; memory grows
with defects and snapshots only. Consequences of a defect already named (every later head after a rewritten middle)
are not named again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from kedge.domain.record import RunStarted
from kedge.journal.acts import ActsStarted
from kedge.journal.findings import Finding, FindingKind, VerifyReport
from kedge.journal.links import LinkWalk
from kedge.journal.rows import Head, Row, SnapshotTaken, Verifier, decode_head
from kedge.journal.watch import WatchStarted

FINDINGS_MAX: Final = 1_000
"""A file that is broken all over is not listed row by row; a last finding says how many more there are."""


class _Outline(msgspec.Struct, gc=False):
    type: str
    seq: int | None = None


_NUMBERED: Final = frozenset({"step", "acted", "watched"})
_STARTS: Final = frozenset({"run_started", "acts_started", "watch_started"})
_start: Final = msgspec.json.Decoder(RunStarted | ActsStarted | WatchStarted).decode
_outline: Final = msgspec.json.Decoder(_Outline).decode
_Unreadable: Final = (msgspec.DecodeError, UnicodeDecodeError)


def verify_rows(rows: Iterable[Row], verifier: Verifier, *, head_copy: bytes | None = None, copy_expected: bool = False) -> VerifyReport:
    """Verify rows from the first to the last.

    Parameters
    ----------
    rows : iterable of Row
        `(seq, hash, body)` in the store's order.
    verifier : Verifier
        The public key the journal is expected to be signed with.
    head_copy : bytes, optional
        The newest head as kept in the second file.
    copy_expected : bool
        Whether the store keeps a second file, so that its absence is a defect.

    Returns
    -------
    VerifyReport
        Never raises for what is wrong with the rows; `ok` is False and `findings` name it.
    """
    return _Audit(verifier).run(rows, head_copy, copy_expected)


class _Audit:
    """What the rows say about themselves, on top of the links between them."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._links = LinkWalk(())
        self._notes: list[str] = []
        self._run_id = ""
        self._records = self._heads = 0
        self._records_sure = self._heads_sure = True
        self._next_group = self._shift = 0
        self._last_head_seq = self._good_head_seq = -1
        self._last_hash = b""
        self._good_head: Head | None = None
        self._in_bad_heads = False
        self._snapshots: dict[int, str] = {}
        self._copy: Head | None = None

    def run(self, rows: Iterable[Row], head_copy: bytes | None, copy_expected: bool) -> VerifyReport:
        self._links = LinkWalk(rows)
        self._read_copy(head_copy)
        rows_read = 0
        for row, previous, linked in self._links:
            rows_read += 1
            self._row(row, previous, linked)
        if not rows_read:
            self._find(0, FindingKind.EMPTY, "the journal holds no row")
        self._check_tail()
        self._check_copy(head_copy, copy_expected)
        return self._report(rows_read)

    def _row(self, row: Row, previous: bytes, linked: bool) -> None:
        seq, stored, body = row
        self._last_hash = stored
        try:
            outline = _outline(body)
        except _Unreadable as error:
            outline = _Outline("", None)
            if linked:
                self._find(seq, FindingKind.UNDECODABLE, f"row {seq} is signed but cannot be read: {error}")
        kind = outline.type
        if kind in _NUMBERED:
            self._step(seq, outline.seq, linked)
        elif kind == "head":
            self._head(row, previous, linked)
        elif kind:
            self._other(seq, kind, body, linked)
        if seq == 0 and kind not in _STARTS and linked:
            self._find(0, FindingKind.START, "row 0 is not the start of a run")
        if not linked:
            self._records_sure = self._heads_sure = False

    def _step(self, seq: int, record: int | None, linked: bool) -> None:
        expected = self._records
        if record == expected:
            self._records_sure = self._records_sure or linked
        elif record is None:
            self._find(seq, FindingKind.STEP_SEQ, f"the step in row {seq} has no number")
        elif linked:
            if self._records_sure:
                self._find(seq, FindingKind.STEP_SEQ, f"the step in row {seq} is numbered {record}, after record {expected - 1}")
            # after one surprise the next number is taken as it comes
            self._records, self._records_sure = record, not self._records_sure
        elif record > expected and self._records_sure and self._links.findings[-1].kind is not FindingKind.MISSING:
            self._find(seq, FindingKind.MISSING, f"records {expected} to {record - 1} are missing before row {seq}")
        self._records += 1

    def _other(self, seq: int, kind: str, body: bytes, linked: bool) -> None:
        try:
            if kind in _STARTS:
                self._started(seq, body, linked)
            else:
                mark = msgspec.json.decode(body, type=SnapshotTaken)
                self._snapshots[mark.seq_of] = mark.sha256
        except _Unreadable as error:
            if linked:
                self._find(seq, FindingKind.UNDECODABLE, f"row {seq} ({kind}) cannot be read: {error}")

    def _started(self, seq: int, body: bytes, linked: bool) -> None:
        self._records += 1
        if seq and linked:
            self._find(seq, FindingKind.START, f"row {seq} starts a run again")
        elif not seq:
            self._run_id = _start(body).run_id

    def _head(self, row: Row, previous: bytes, linked: bool) -> None:
        seq, _, body = row
        unsigned_from = self._last_head_seq + 1
        self._heads += 1
        self._last_head_seq = seq
        head = decode_head(body)
        if not linked:
            return
        if head is None:
            self._find(seq, FindingKind.UNDECODABLE, f"the head in row {seq} is not in canonical form")
            return
        problem = self._problem(head, seq, previous)
        self._next_group += 1
        if problem is None or problem[0] is FindingKind.HEAD:
            self._next_group, self._shift, self._records = head.group + 1, seq - head.seq, head.count
            self._heads_sure = self._records_sure = True
        if problem is None:
            self._in_bad_heads, self._good_head, self._good_head_seq, self._run_id = False, head, seq, head.run_id
        elif not self._in_bad_heads:
            self._in_bad_heads = True
            self._find(seq, problem[0], f"{problem[1]}: rows {unsigned_from} to {seq} are not what was signed, or nobody signed them")

    def _problem(self, head: Head, seq: int, previous: bytes) -> tuple[FindingKind, str] | None:
        if head.key_id != self._verifier.key_id:
            return FindingKind.WRONG_KEY, f"the head in row {seq} is signed with key {head.key_id}, expected {self._verifier.key_id}"
        if not head.signed_by(self._verifier):
            return FindingKind.SIGNATURE, f"the signature of the head in row {seq} is wrong"
        if head.last_hash != previous.hex():
            return FindingKind.HEAD, f"the head in row {seq} was signed over another row {seq - 1}"
        said = {"run_id": head.run_id, "group": head.group, "seq": head.seq, "count": head.count}
        is_ = {"run_id": self._run_id, "group": self._next_group, "seq": seq - self._shift, "count": self._records}
        if self._heads_sure and self._records_sure and said != is_:
            wrong = next(name for name in said if said[name] != is_[name])
            return FindingKind.HEAD, f"the head in row {seq} says {wrong} {said[wrong]}, the rows say {is_[wrong]}"
        return None

    def _read_copy(self, head_copy: bytes | None) -> None:
        if head_copy is None:
            return
        copy = decode_head(head_copy)
        if copy is None:
            self._find(None, FindingKind.HEAD_FILE, "the head file is not a head in canonical form")
        elif not copy.signed_by(self._verifier):
            self._find(None, FindingKind.HEAD_FILE, "the head file is not signed with the expected key")
        else:
            self._copy = copy

    def _check_tail(self) -> None:
        covered = self._copy.seq + self._shift if self._copy else -1
        after_last_head = self._links.last_seq > max(self._last_head_seq, covered)
        after_copy = self._in_bad_heads and covered >= 0 and covered == self._good_head_seq
        if after_last_head or after_copy:
            first = (self._good_head_seq if after_copy else self._last_head_seq) + 1
            self._find(first, FindingKind.LENGTHENED_TAIL, f"rows {first} to {self._links.last_seq} come after the last signed head")

    def _check_copy(self, head_copy: bytes | None, copy_expected: bool) -> None:
        copy, head = self._copy, self._good_head
        if head_copy is None:
            if copy_expected and self._next_group > 1:
                self._find(None, FindingKind.HEAD_FILE, "the head file is missing, so a cut tail would not show")
            elif copy_expected and head:
                self._notes.append("the head file is missing: the writer stopped right after its first group")
        elif copy and (head is None or copy.group > head.group):
            self._ahead(copy)
        elif copy and head and copy.group == head.group and copy != head:
            self._find(head.seq, FindingKind.HEAD_FILE, f"the head file holds another head than row {head.seq}")
        elif copy and head and copy.group == head.group - 1:
            self._notes.append("the head file lags by one group: the writer stopped, or is, between the group and the copy")
        elif copy and head and copy.group < head.group:
            self._find(None, FindingKind.HEAD_FILE, f"the head file lags by {head.group - copy.group} groups")

    def _ahead(self, copy: Head) -> None:
        if self._links.last_seq < copy.seq + self._shift:
            first, last = self._links.last_seq + 1, copy.seq + self._shift
            self._find(first, FindingKind.CUT_TAIL, f"rows {first} to {last} are missing: the head file was signed at row {copy.seq}")
        elif not self._links.findings:
            self._find(copy.seq, FindingKind.HEAD_FILE, f"the head file was signed at row {copy.seq}, which holds something else")

    def _find(self, seq: int | None, kind: FindingKind, detail: str) -> None:
        self._links.findings.append(Finding(seq, kind, detail))

    def _report(self, rows: int) -> VerifyReport:
        findings = self._links.findings
        if len(findings) > FINDINGS_MAX:
            more = Finding(findings[FINDINGS_MAX].seq, FindingKind.LINK, f"{len(findings) - FINDINGS_MAX} more findings from here on")
            findings = [*findings[:FINDINGS_MAX], more]
        return VerifyReport(
            ok=not findings,
            records=self._records,
            findings=tuple(findings),
            rows=rows,
            heads=self._heads,
            run_id=self._run_id,
            last_hash=self._last_hash.hex(),
            snapshots=self._snapshots,
            notes=tuple(self._notes),
        )
