"""Sealed secrets and the key file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError, InvalidConfig
from kedge.ops.identity.sealing import KEY_FILE, Sealer, load_or_create_sealer


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(b"k" * 32, os.urandom)


def test_what_is_sealed_opens_for_what_it_is_for(sealer: Sealer) -> None:
    sealed = sealer.seal(b"secret", bound_to="totp|p-1")
    assert sealer.open(sealed, bound_to="totp|p-1") == b"secret"
    assert b"secret".hex() not in sealed
    assert sealer.seal(b"secret", bound_to="totp|p-1") != sealed


def test_sealed_text_that_was_moved_altered_or_cut_does_not_open(sealer: Sealer) -> None:
    sealed = sealer.seal(b"secret", bound_to="totp|p-1")
    flipped = sealed[:-1] + ("0" if sealed[-1] != "0" else "1")
    for text, bound_to in ((sealed, "totp|p-2"), (flipped, "totp|p-1"), (sealed[:-2], "totp|p-1"), ("v1:", "totp|p-1"), ("x", "totp|p-1")):
        with pytest.raises(IntegrityError, match="does not open"):
            sealer.open(text, bound_to=bound_to)
    with pytest.raises(IntegrityError):
        Sealer(b"j" * 32, os.urandom).open(sealed, bound_to="totp|p-1")


def test_a_code_of_authentication_is_this_keys_alone(sealer: Sealer) -> None:
    code = sealer.mac("device|p-1|n")
    assert sealer.is_mac("device|p-1|n", code)
    for text, given in (("device|p-2|n", code), ("device|p-1|n", ""), ("device|p-1|n", "\udcff"), ("device|p-1|n", code[:-1])):
        assert not sealer.is_mac(text, given)
    assert not Sealer(b"j" * 32, os.urandom).is_mac("device|p-1|n", code)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    sealed = load_or_create_sealer(folder, os.urandom).seal(b"secret", bound_to="x")
    assert load_or_create_sealer(folder, os.urandom).open(sealed, bound_to="x") == b"secret"
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create_sealer(tmp_path, os.urandom)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(InvalidConfig, match="0640"):
        load_or_create_sealer(tmp_path, os.urandom)


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    load_or_create_sealer(tmp_path, os.urandom)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(InvalidConfig, match="5 bytes, not 32"):
        load_or_create_sealer(tmp_path, os.urandom)


def test_of_two_who_make_the_key_at_once_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE

    def slow(count: int) -> bytes:
        if not path.exists():
            path.write_bytes(b"f" * 32)
            path.chmod(0o600)
        return b"s" * count

    made = load_or_create_sealer(tmp_path, slow)
    assert path.read_bytes() == b"f" * 32
    assert made.mac("x") == Sealer(b"f" * 32, slow).mac("x")
    assert [one.name for one in tmp_path.iterdir()] == [KEY_FILE]
