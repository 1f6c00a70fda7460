"""The signing key is made once, is private, and says who it is without showing itself."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kedge.domain.errors import InvalidConfig, InvalidInput, NotFound
from kedge.storage import PublicKey, SigningKey, load_or_create_key, load_public_key
from kedge.storage.keys import KEY_FILE, PUBLIC_FILE


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path):
    folder = tmp_path / "state" / "keys"
    first, again = load_or_create_key(folder), load_or_create_key(folder)
    assert first.key_id == again.key_id
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [KEY_FILE, PUBLIC_FILE]
    assert load_public_key(folder).key_id == first.key_id


def test_the_key_id_is_the_start_of_the_public_key_s_hash():
    key = SigningKey.generate()
    assert key.key_id == hashlib.sha256(bytes.fromhex(key.public.text.removeprefix("ed25519:"))).hexdigest()[:16]


def test_what_one_key_signs_only_its_public_key_accepts():
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"message")
    public = PublicKey.from_text(f" {key.public.text}\n")
    assert public.verify(signature, b"message")
    assert not public.verify(signature, b"massage")
    assert not public.verify(signature[:-1], b"message")
    assert not other.public.verify(signature, b"message")


def test_a_key_does_not_show_itself():
    key = SigningKey.generate()
    assert repr(key) == f"SigningKey(key_id='{key.key_id}')"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(InvalidConfig, match=f"{mode:04o}") as caught:
        load_or_create_key(tmp_path)
    assert "chmod 600" in caught.value.fix


def _x25519():
    return X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("content", [b"", b"no key", _x25519()])
def test_a_damaged_key_is_refused(tmp_path, content):
    (tmp_path / KEY_FILE).write_bytes(content)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(InvalidConfig, match="is damaged"):
        load_or_create_key(tmp_path)


def test_a_lost_or_changed_public_file_is_written_again(tmp_path):
    key = load_or_create_key(tmp_path)
    (tmp_path / PUBLIC_FILE).write_text("something else")
    load_or_create_key(tmp_path)
    assert load_public_key(tmp_path).text == key.public.text
    (tmp_path / PUBLIC_FILE).unlink()
    with pytest.raises(NotFound, match="no public key"):
        load_public_key(tmp_path)


def test_what_a_dead_process_of_the_same_number_left_keeps_no_key_from_being_made(tmp_path):
    (tmp_path / f".{KEY_FILE}.{os.getpid()}").write_bytes(b"half a key")
    assert load_or_create_key(tmp_path).key_id == load_or_create_key(tmp_path).key_id


def test_a_public_key_that_is_being_written_is_not_seen_in_half(tmp_path, monkeypatch):
    key = load_or_create_key(tmp_path)
    (tmp_path / PUBLIC_FILE).write_text("an older one")
    seen, write = [], Path.write_text

    def slowly(path, content):
        write(path, content[:9])
        seen.append((tmp_path / PUBLIC_FILE).read_text())
        return write(path, content)

    monkeypatch.setattr(Path, "write_text", slowly)
    load_or_create_key(tmp_path)
    assert seen == ["an older one"]
    assert load_public_key(tmp_path).text == key.public.text
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_FILE, PUBLIC_FILE]


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:00", "rsa:" + "0" * 64, "ed25519:" + "g" * 64])
def test_text_that_is_no_public_key_is_refused(text):
    with pytest.raises(InvalidInput, match="public key"):
        PublicKey.from_text(text)
