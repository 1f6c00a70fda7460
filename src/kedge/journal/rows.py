"""The rows of a journal: records, snapshot marks and signed heads, and how their bytes are read.

A row is `(seq, hash, body)`: its number from 0, its 32-byte chain hash, its canonical bytes. Two counts run side
by side: `seq` numbers rows, `Step.seq` numbers records (the `RunStarted` is record 0), so that the bytes of a
step do not depend on where the writer happened to close a group.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError
from kedge.domain.instrument import NonNegativeInt
from kedge.domain.record import Record, RunStarted, Step
from kedge.journal.acts import ActRecorded, ActsStarted
from kedge.journal.watch import Watched, WatchStarted

Row = tuple[int, bytes, bytes]
"""`(seq, hash, body)`; a plain tuple because the stores write millions of them."""


class Signer(Protocol):
    """Signs heads. `key_id` names the key; signatures are deterministic (Ed25519)."""

    @property
    def key_id(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


class Verifier(Protocol):
    """Checks what a `Signer` with the same `key_id` signed."""

    @property
    def key_id(self) -> str: ...

    def verify(self, signature: bytes, message: bytes) -> bool: ...


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="head", omit_defaults=True):
    """The signed last row of a group.

    Attributes
    ----------
    group : int
        Number of this group, from 0.
    seq : int
        This row's own number.
    count : int
        Records (the start, and steps, acts or what a guard saw) so far.
    last_hash : str
        Hex hash of the row before this one, which fixes everything before it.
    signature : str
        Hex signature over this head's canonical bytes without the signature.
    """

    run_id: str
    group: NonNegativeInt
    seq: NonNegativeInt
    count: NonNegativeInt
    last_hash: str
    key_id: str
    signature: str = ""

    def claim(self) -> bytes:
        """The bytes that are signed."""
        return encode(msgspec.structs.replace(self, signature=""))

    def signed_by(self, verifier: Verifier) -> bool:
        """Whether the key id and the signature are the verifier's."""
        return self.key_id == verifier.key_id and _verifies(verifier, self.signature, self.claim())


class SnapshotTaken(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Binds a stored snapshot to the chain: the state after record `seq_of` has this SHA-256 (hex)."""

    seq_of: NonNegativeInt
    sha256: str


class Snapshot(NamedTuple):
    """The engine's state after record `seq`: its SHA-256 (hex) and its bytes."""

    seq: int
    sha256: str
    body: bytes


AnyRow = RunStarted | Step | ActsStarted | ActRecorded | WatchStarted | Watched | Head | SnapshotTaken

_decoder: Final = msgspec.json.Decoder(AnyRow)
_head_decoder: Final = msgspec.json.Decoder(Head)


def sign_head(head: Head, signer: Signer) -> Head:
    """The same head with its signature."""
    return msgspec.structs.replace(head, signature=signer.sign(head.claim()).hex())


def decode_row(seq: int, body: bytes) -> AnyRow:
    """A row's body as a value.

    Raises
    ------
    IntegrityError
        The bytes are no row of this journal format; names the row.
    """
    try:
        value: AnyRow = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise IntegrityError(
            f"journal row {seq} cannot be read",
            why=str(error),
            fix="run `kedge audit verify` on the journal and keep the file as evidence",
        ) from None
    return value


def decode_record(seq: int, body: bytes) -> Record | None:
    """The record in a row, or None where the row is a head or a snapshot mark, or belongs to a journal of acts or of a guard."""
    value = decode_row(seq, body)
    return value if isinstance(value, RunStarted | Step) else None


SIGNATURE_BYTES = 64


def decode_head(body: bytes) -> Head | None:
    """The head in these bytes, or None where they are not exactly one head's canonical bytes."""
    try:
        head: Head = _head_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None
    return head if encode(head) == body else None


def signature_bytes(text: str) -> bytes | None:
    """A signature from its one spelling, 128 lower-case hex digits; every other text is None, also where it means the same."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if len(raw) == SIGNATURE_BYTES and raw.hex() == text else None


def _verifies(verifier: Verifier, signature: str, message: bytes) -> bool:
    raw = signature_bytes(signature)
    return raw is not None and verifier.verify(raw, message)
