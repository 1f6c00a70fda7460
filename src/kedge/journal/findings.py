"""What a verification may find, each kind with its place."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class FindingKind(StrEnum):
    """Kinds of defects. The value is stable and documented in `docs/journal.md`."""

    EMPTY = "empty"
    START = "start"
    MISSING = "missing"
    SEQ = "seq"
    ORDER = "order"
    DUPLICATE = "duplicate"
    INSERTED = "inserted"
    SWAPPED = "swapped"
    LINK = "link"
    HASH = "hash"
    TYPE = "type"
    UNDECODABLE = "undecodable"
    STEP_SEQ = "step_seq"
    HEAD = "head"
    WRONG_KEY = "wrong_key"
    SIGNATURE = "signature"
    CUT_TAIL = "cut_tail"
    LENGTHENED_TAIL = "lengthened_tail"
    HEAD_FILE = "head_file"
    SNAPSHOT = "snapshot"
    BLOB = "blob"
    INDEX = "index"
    SEAL = "seal"
    CHUNK = "chunk"
    UNREADABLE = "unreadable"
    UNFINISHED = "unfinished"
    UNSEALED = "unsealed"


class Finding(msgspec.Struct, frozen=True):
    """One defect: the row where it shows (None where it is not in a row), its kind, and a sentence for a person."""

    seq: int | None
    kind: FindingKind
    detail: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification.

    Attributes
    ----------
    ok : bool
        Nothing was found.
    records, rows, heads : int
        How many were read; `rows` counts heads and snapshot marks too.
    last_hash : str
        Hex hash of the last row, to be compared with a copy kept elsewhere.
    snapshots : dict
        Record number to SHA-256 (hex), as bound into the chain.
    notes : tuple of str
        What is worth knowing and no defect, such as a head file that lags by one group.
    ended : bool
        The last step is the run's end. Where it is not, the run is running, was killed, or was cut back to an older signed head.
    """

    ok: bool
    records: int
    findings: tuple[Finding, ...]
    rows: int = 0
    heads: int = 0
    run_id: str = ""
    last_hash: str = ""
    snapshots: dict[int, str] = {}
    notes: tuple[str, ...] = ()
    ended: bool = False
