"""Canonical bytes and their hash: one value, one encoding, for ever.

The rule: JSON, UTF-8, keys sorted, no spaces, integers only (decimals travel as text or scaled integers,
floats are refused by a test over all recorded types), one `type` tag per event and output. The chain is
`hash_i = SHA-256(hex(hash_{i-1}) + LF + bytes_i)`, from a genesis of 32 zero bytes, so that anyone can check a
link with a shell and `sha256sum`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

GENESIS: Final = bytes(32)

_encoder = msgspec.json.Encoder(order="sorted")
encode = _encoder.encode


def digest(data: bytes) -> str:
    """SHA-256 of raw bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical bytes."""
    return digest(encode(value))


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """The next link, 32 bytes, from the previous link's 32 bytes and the record's canonical bytes."""
    return hashlib.sha256(b"%b\n%b" % (previous.hex().encode(), body)).digest()
