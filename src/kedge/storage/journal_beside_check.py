"""Checks a journal's blobs and index against its rows: what a row names is there and whole, and nothing is there that no row names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError
from kedge.domain.record import Step
from kedge.journal import ActRecorded, Finding, FindingKind, Row, Watched, blobs_named, mentions, telling_step
from kedge.storage.journal_tables import Beside

FINDINGS_MAX: Final = 100
"""So many blobs and ids are named one by one; a last finding says how many more there are."""


class BesideCheck:
    """Follows the rows of a verification. Memory grows with the number of blobs, by about 100 bytes each.

    Use: `row(row)` for every row up to the verified moment, then `findings(later)` with the rows that a writer at work added since.
    """

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._findings: list[Finding] = []
        self._more = 0
        self._named: set[bytes] = set()
        self._mentioned = 0
        self._last_record = -1
        self._broken = ""

    def row(self, row: Row) -> None:
        """Check what one row names and mentions."""
        seq, _, body = row
        step = telling_step(body) if type(body) is bytes else None
        if step is None or self._broken:
            return
        self._last_record = max(self._last_record, step.seq)
        try:
            self._blobs(seq, step)
            self._ids(seq, step)
        except IntegrityError as error:
            self._broken = f"{error.what}: {error.why}"

    def findings(self, later: Iterable[Row]) -> list[Finding]:
        """All findings, superfluous blobs and entries of the index included."""
        if not self._broken:
            try:
                self._superfluous(later)
            except IntegrityError as error:
                self._broken = f"{error.what}: {error.why}"
        found = list(self._findings)
        if self._more:
            found.append(Finding(None, FindingKind.BLOB, f"{self._more} more findings in blobs and index"))
        if self._broken:
            found.append(Finding(None, FindingKind.UNREADABLE, f"blobs and index: {self._broken}"))
        return found

    def _blobs(self, seq: int, step: Step | ActRecorded | Watched) -> None:
        for sha256 in blobs_named(step):
            name = _name(sha256)
            if name in self._named:
                continue
            self._named.add(name)
            body = self._beside.stored_blob(name)
            if body is None:
                self._find(seq, FindingKind.BLOB, f"blob {sha256[:16]}, which row {seq} names, is missing")
            elif not isinstance(body, bytes) or digest(body) != sha256:
                self._find(seq, FindingKind.BLOB, f"blob {sha256[:16]}, which row {seq} names, was changed")

    def _ids(self, seq: int, step: Step | ActRecorded | Watched) -> None:
        if not self._beside.is_there:
            return
        for one in set(mentions(step)):
            self._mentioned += 1
            if not self._beside.has_hint(one):
                self._find(seq, FindingKind.INDEX, f"the index does not know that record {one.seq} mentions {one.id} ({one.kind})")
                self._mentioned -= 1

    def _superfluous(self, later: Iterable[Row]) -> None:
        strange = [name for name in self._beside.blob_names() if not isinstance(name, bytes) or name not in self._named]
        first, entries = self._last_record + 1, self._beside.hints_between(-(2**63), self._last_record)
        last = 2**63 - 1
        beyond = self._beside.hints_between(first, last)
        if strange or beyond:  # a writer at work may have added them with rows that were not verified
            steps = [step for _, _, body in later if type(body) is bytes and (step := telling_step(body)) is not None]
            since = {_name(name) for step in steps for name in blobs_named(step)}
            strange = [name for name in strange if not isinstance(name, bytes) or name not in since]
            beyond -= min(beyond, len({one for step in steps for one in mentions(step)}))
        for name in strange:
            told = name.hex()[:16] if isinstance(name, bytes) else repr(name)[:40]
            self._find(None, FindingKind.BLOB, f"blob {told} is there, and no row names it")
        if extra := entries - self._mentioned + beyond:
            self._find(None, FindingKind.INDEX, f"the index holds {extra} entries that no record bears out")

    def _find(self, seq: int | None, kind: FindingKind, detail: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(Finding(seq, kind, detail))
        else:
            self._more += 1


def _name(sha256: str) -> bytes:
    """A blob's key; a row that was changed may name it by no hash at all."""
    try:
        return bytes.fromhex(sha256)
    except ValueError:
        return sha256.encode()
