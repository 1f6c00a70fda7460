"""Records in a hash chain, sealed group by group with signed heads, and the verifier that finds what was changed.

Rules: pure; bytes in, bytes out. Stores (in `kedge.storage`) keep the rows, keys live there too.
"""

from kedge.journal.acts import ACT_BYTES_MAX, ACTS_PREFIX, ActRecorded, ActsStarted, act_bytes, decode_act
from kedge.journal.compare import Difference, first_difference
from kedge.journal.findings import Finding, FindingKind, VerifyReport
from kedge.journal.mentions import Mention, blobs_named, mentions, telling_step
from kedge.journal.redaction import REDACTED, Redactor
from kedge.journal.rows import (
    Head,
    Row,
    Signer,
    Snapshot,
    SnapshotTaken,
    Verifier,
    decode_head,
    decode_record,
    decode_row,
    sign_head,
)
from kedge.journal.seal import CHUNK_BYTES, Seal, check_seal, decode_seal, sign_seal
from kedge.journal.verify import verify_rows
from kedge.journal.watch import LATCH, WATCH_PREFIX, Watched, WatchStarted, watched_content
from kedge.journal.writer import ChainedJournal, Group, Tail

__all__ = [
    "ACTS_PREFIX",
    "ACT_BYTES_MAX",
    "CHUNK_BYTES",
    "LATCH",
    "REDACTED",
    "WATCH_PREFIX",
    "ActRecorded",
    "ActsStarted",
    "ChainedJournal",
    "Difference",
    "Finding",
    "FindingKind",
    "Group",
    "Head",
    "Mention",
    "Redactor",
    "Row",
    "Seal",
    "Signer",
    "Snapshot",
    "SnapshotTaken",
    "Tail",
    "Verifier",
    "VerifyReport",
    "WatchStarted",
    "Watched",
    "act_bytes",
    "blobs_named",
    "check_seal",
    "decode_act",
    "decode_head",
    "decode_record",
    "decode_row",
    "decode_seal",
    "first_difference",
    "mentions",
    "sign_head",
    "sign_seal",
    "telling_step",
    "verify_rows",
    "watched_content",
]
