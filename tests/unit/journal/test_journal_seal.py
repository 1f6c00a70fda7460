"""The seal names the chunk of any changed byte."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.canonical import encode
from kedge.journal import CHUNK_BYTES, check_seal, decode_seal, sign_seal
from kedge.storage import SigningKey

DATA = bytes(range(256)) * 600  # two whole chunks and a part


def chunks(data):
    return [data[n : n + CHUNK_BYTES] for n in range(0, len(data), CHUNK_BYTES)]


@pytest.fixture
def seal(key):
    return sign_seal(chunks(DATA), key, run_id="run-1", last_hash=bytes(32))


def test_a_whole_file_has_no_finding(seal, key):
    assert list(check_seal(seal, chunks(DATA))) == []
    assert (seal.size_bytes, len(seal.chunks)) == (153_600, 3)
    assert seal.signed_by(key.public)
    assert decode_seal(encode(seal)) == seal


@pytest.mark.parametrize(("offset", "chunk", "last"), [(0, 0, 65_535), (65_536, 1, 131_071), (153_599, 2, 153_599)])
def test_a_flipped_byte_is_named_by_its_chunk(seal, offset, chunk, last):
    data = bytearray(DATA)
    data[offset] ^= 1
    assert list(check_seal(seal, chunks(bytes(data)))) == [
        f"chunk {chunk} (bytes {chunk * CHUNK_BYTES} to {last}) was changed after sealing"
    ]


def test_a_shorter_and_a_longer_file(seal):
    assert list(check_seal(seal, chunks(DATA)[:2])) == ["chunk 2 (bytes 131072 to 153599) is missing"]
    assert list(check_seal(seal, [*chunks(DATA), b"x"])) == ["chunk 3 (bytes 196608 to 196608) was added after sealing"]


def test_a_changed_seal_is_not_signed(seal, key):
    assert not msgspec.structs.replace(seal, size_bytes=1).signed_by(key.public)
    assert not msgspec.structs.replace(seal, signature="zz").signed_by(key.public)
    assert not seal.signed_by(SigningKey.generate().public)
    for body in (b"", b"\xff", b"{}", encode(seal) + b"\n"):
        assert decode_seal(body) is None
