"""The seal of a finished journal: signed hashes of the store's file, chunk by chunk.

The chain protects records. The seal protects every byte of the file that holds them, also outside records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.instrument import NonNegativeInt, PositiveInt
from kedge.journal.rows import Signer, Verifier, signature_bytes

CHUNK_BYTES: Final = 65_536


class Seal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="seal", omit_defaults=True):
    """Size of the sealed file, SHA-256 (hex) of each chunk of it, the last row's hash, and the signature over all that."""

    run_id: str
    size_bytes: NonNegativeInt
    chunk_bytes: PositiveInt
    chunks: tuple[str, ...]
    last_hash: str
    key_id: str
    signature: str = ""

    def claim(self) -> bytes:
        """The bytes that are signed."""
        return encode(msgspec.structs.replace(self, signature=""))

    def signed_by(self, verifier: Verifier) -> bool:
        """Whether the key id and the signature are the verifier's."""
        signature = signature_bytes(self.signature)
        return signature is not None and self.key_id == verifier.key_id and verifier.verify(signature, self.claim())


def sign_seal(chunks: Iterable[bytes], signer: Signer, *, run_id: str, last_hash: bytes) -> Seal:
    """The signed seal of a file given as chunks of `CHUNK_BYTES` (the last one may be shorter)."""
    sizes, hashes = [], []
    for chunk in chunks:
        sizes.append(len(chunk))
        hashes.append(digest(chunk))
    claim = Seal(
        run_id=run_id,
        size_bytes=sum(sizes),
        chunk_bytes=CHUNK_BYTES,
        chunks=tuple(hashes),
        last_hash=last_hash.hex(),
        key_id=signer.key_id,
    )
    return msgspec.structs.replace(claim, signature=signer.sign(claim.claim()).hex())


def decode_seal(body: bytes) -> Seal | None:
    """The seal in these bytes, or None where they are not exactly one seal's canonical bytes."""
    try:
        seal = msgspec.json.decode(body, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return seal if encode(seal) == body else None


def check_seal(seal: Seal, chunks: Iterable[bytes]) -> Iterator[str]:
    """One sentence for each chunk that is not what was sealed, with its offsets; nothing where the file is whole."""
    for n, (sealed, chunk) in enumerate(zip_longest(seal.chunks, chunks)):
        first = n * seal.chunk_bytes
        if chunk is None:
            yield f"chunk {n} (bytes {first} to {min(first + seal.chunk_bytes, seal.size_bytes) - 1}) is missing"
        elif sealed is None:
            yield f"chunk {n} (bytes {first} to {first + len(chunk) - 1}) was added after sealing"
        elif digest(chunk) != sealed:
            yield f"chunk {n} (bytes {first} to {first + len(chunk) - 1}) was changed after sealing"
