"""Content-addressed bytes: durable, written once, checked at every read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound, RecordingFailed
from kedge.storage.blobs import BlobStore, write_whole


def test_what_was_put_is_got_by_its_sha256(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    for body in (b"", b"one", bytes(range(256)) * 1000):
        name = store.put(body)
        assert name == hashlib.sha256(body).hexdigest()
        assert store.has(name)
        assert store.get(name) == body


def test_putting_twice_writes_once_and_leaves_no_draft(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"body")
    before = store.path(name).stat().st_mtime_ns
    assert store.put(b"body") == name
    assert store.path(name).stat().st_mtime_ns == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [store.path(name)]


def test_a_blob_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.path(store.put(b"body")).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [lambda body: body[:-1], lambda body: bytes([body[0] ^ 1]) + body[1:], lambda body: b""])
def test_an_altered_or_cut_blob_is_refused_with_its_file(tmp_path: Path, damage: object) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"the body")
    store.path(name).write_bytes(damage(b"the body"))  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=str(store.path(name))):
        store.get(name)
    with pytest.raises(IntegrityError):
        store.put(b"the body")


def test_a_missing_blob_and_a_name_that_is_no_hash_are_told_apart(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert not store.has("0" * 64)
    with pytest.raises(NotFound, match="0" * 64):
        store.get("0" * 64)
    for name in ("", "abc", "../" * 20, "A" * 64, "0" * 64 + "\n"):
        with pytest.raises(InvalidInput, match="64 hexadecimal"):
            store.get(name)


def test_a_folder_in_the_place_of_a_blob_is_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.path("0" * 64).mkdir(parents=True)
    with pytest.raises(IntegrityError, match="cannot be read"):
        store.get("0" * 64)


def test_a_failed_write_keeps_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordingFailed, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_recording_failure(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(RecordingFailed):
        BlobStore(tmp_path / "taken").put(b"body")
