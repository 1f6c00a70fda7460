"""Small files are replaced whole, for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kedge.ops.atomic_file import replace_content


def test_a_file_is_made_and_replaced_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    replace_content(path, b"old and long")
    replace_content(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_open_to_others_is_closed_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace_content(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_content(tmp_path / "none" / "status.json", b"")
