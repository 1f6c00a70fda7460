"""Verifies a journal file with everything that lies beside it: rows, head file, snapshots, blobs, index, seal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kedge.domain.canonical import digest
from kedge.domain.errors import Conflict, IntegrityError
from kedge.journal import Finding, FindingKind, Row, Verifier, VerifyReport, check_seal, decode_seal, verify_rows
from kedge.storage.journal_beside_check import BesideCheck
from kedge.storage.journal_files import chunks_of, head_path, read_if_there, seal_path
from kedge.storage.journal_head import HeadCopy, newest_copy
from kedge.storage.journal_reader import SqliteJournalReader

_ATTEMPTS = 50
RUN_ENDED = b'"type":"run_ended"'
TAIL_ROWS = 4
"""Rows in which a finished run's last step stands: the step, a snapshot mark, the head, and one to spare."""
ALWAYS_ENDS = "bt-"
"""Runs that are put in place only when they are finished."""


def verify_journal(path: Path, public_key: Verifier) -> VerifyReport:
    """Verify a journal, also while its writer is at work.

    Returns
    -------
    VerifyReport
        `ok`, and a finding with its place for each defect. A damaged file is a finding, not an error.

    Raises
    ------
    NotFound
        There is no such file.
    Conflict
        The file is locked, or grows too fast to catch it between two groups.
    """
    path = Path(path)
    sealed = list(_seal_findings(path, public_key))
    try:
        with SqliteJournalReader(path) as reader:
            snapshot_seqs = reader.snapshot_seqs()
            head_file, stop = _still_moment(reader)
            copy = None if head_file is None else newest_copy(head_file, lambda head: head.signed_by(public_key))
            beside = BesideCheck(reader.beside)
            rows = _Rows(reader, stop, beside)
            report = verify_rows(rows, public_key, head_copy=copy.body if copy else None, copy_expected=True)
            more = rows.unreadable or [
                *_snapshot_findings(reader, snapshot_seqs, report.snapshots),
                *beside.findings(reader.raw_rows(start=stop)),
            ]
            ended = any(
                isinstance(body, bytes) and RUN_ENDED in body for _, _, body in reader.raw_rows(start=max(0, stop - TAIL_ROWS), stop=stop)
            )
    except IntegrityError as error:
        finding = Finding(None, FindingKind.UNREADABLE, f"{error.what}: {error.why}")
        return VerifyReport(ok=False, records=0, findings=(*sealed, finding))
    ending = _ending_findings(report.run_id, ended=ended, is_sealed=seal_path(path).is_file())
    return _joined(report, [*sealed, *more, *ending], _slot_notes(copy), ended=ended)


class _Rows:
    """Rows up to a moment, each shown to the check of what lies beside them; a file that breaks on the way ends here, with a finding."""

    def __init__(self, reader: SqliteJournalReader, stop: int, beside: BesideCheck) -> None:
        self._reader, self._stop, self._beside = reader, stop, beside
        self.unreadable: list[Finding] = []

    def __iter__(self) -> Iterator[Row]:
        seq = -1
        try:
            for row in self._reader.raw_rows(stop=self._stop):
                seq = row[0]
                self._beside.row(row)
                yield row
        except IntegrityError as error:
            self.unreadable.append(Finding(seq + 1, FindingKind.UNREADABLE, f"no row after {seq} can be read: {error.why}"))


def _still_moment(reader: SqliteJournalReader) -> tuple[bytes | None, int]:
    """The head file and the end of the journal as they were together, while a writer may be at work."""
    for _ in range(_ATTEMPTS):
        before = read_if_there(head_path(reader.path))
        stop = reader.last_seq() + 1
        after = read_if_there(head_path(reader.path))
        if before == after:
            return after, stop
    raise Conflict(f"journal {reader.path} grows too fast to verify", why="each look finds another head", fix="try again")


def _snapshot_findings(reader: SqliteJournalReader, stored: list[int], chained: dict[int, str]) -> Iterator[Finding]:
    for seq in stored:
        if seq not in chained:
            yield Finding(None, FindingKind.SNAPSHOT, f"the snapshot of record {seq} is not in the chain")
            continue
        try:
            snapshot = reader.stored_snapshot(seq)
        except IntegrityError as error:
            yield Finding(None, FindingKind.UNREADABLE, f"{error.what}: {error.why}")
            continue
        if digest(snapshot.body) != chained[seq] or snapshot.sha256 != chained[seq]:
            yield Finding(None, FindingKind.SNAPSHOT, f"the snapshot of record {seq} was changed")
    # a writer at work may have added some since `stored` was read
    for seq in sorted(chained.keys() - set(stored) - set(reader.snapshot_seqs())):
        yield Finding(None, FindingKind.SNAPSHOT, f"the snapshot of record {seq} is missing")


def _seal_findings(path: Path, public_key: Verifier) -> Iterator[Finding]:
    body = read_if_there(seal_path(path))
    if body is None or not path.is_file():
        return
    seal = decode_seal(body)
    if seal is None or not seal.signed_by(public_key):
        yield Finding(None, FindingKind.SEAL, "the seal is damaged or not signed with the expected key")
        return
    for sentence in check_seal(seal, chunks_of(path)):
        yield Finding(None, FindingKind.CHUNK, sentence)


def _ending_findings(run_id: str, *, ended: bool, is_sealed: bool) -> Iterator[Finding]:
    """Who holds no key can still put back an older state that was signed; a run that must have an end and a seal shows it."""
    if not run_id.startswith(ALWAYS_ENDS):
        return
    if ended and not is_sealed:
        yield Finding(None, FindingKind.UNSEALED, "the run has ended, and its seal is missing: bytes outside its records are unproven")
    if not ended:
        yield Finding(None, FindingKind.UNFINISHED, "the run has no end: it was killed, or its tail was cut back to an older signed head")


def _slot_notes(copy: HeadCopy | None) -> tuple[str, ...]:
    return ("a slot of the head file is unreadable: a crash tore the write, or somebody changed it",) if copy and copy.damaged else ()


def _joined(report: VerifyReport, more: list[Finding], notes: tuple[str, ...], *, ended: bool) -> VerifyReport:
    findings = (*report.findings, *more)
    return VerifyReport(
        ok=not findings,
        records=report.records,
        findings=findings,
        rows=report.rows,
        heads=report.heads,
        run_id=report.run_id,
        last_hash=report.last_hash,
        snapshots=report.snapshots,
        notes=(*report.notes, *notes),
        ended=ended,
    )
