"""SQLite files that several processes open at once."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from kedge.storage.sqlite_files import is_busy, log_ahead, make_private_file


def looking(path: Path) -> sqlite3.Connection:
    """A connection in the middle of a look at a file that has no write-ahead log yet."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return other


def test_the_change_to_a_write_ahead_log_is_tried_again_where_sqlite_does_not_wait(tmp_path: Path):
    path = tmp_path / "any.sqlite"
    other = looking(path)
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        db.execute("PRAGMA journal_mode = WAL")
    ends = threading.Timer(0.2, other.close)
    ends.start()
    try:
        log_ahead(db)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        ends.join()
        db.close()


def test_it_gives_up_at_last_and_says_that_the_file_is_busy(tmp_path: Path):
    path = tmp_path / "any.sqlite"
    other = looking(path)
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError) as caught:
        log_ahead(db, wait_s=0.05)
    assert is_busy(caught.value)
    other.close()
    log_ahead(db, wait_s=0.0)
    db.close()


def test_what_is_no_file_of_sqlite_is_not_busy(tmp_path: Path):
    path = tmp_path / "any.sqlite"
    path.write_bytes(b"no database" * 100)
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        log_ahead(db)
    assert not is_busy(caught.value)
    db.close()


def test_a_private_file_is_its_owners_whatever_the_umask_and_one_that_is_there_stays(tmp_path: Path):
    path, before = tmp_path / "any.sqlite", os.umask(0)
    try:
        make_private_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"kept")
    make_private_file(path)
    assert path.read_bytes() == b"kept"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_not_made_through_a_link(tmp_path: Path):
    path = tmp_path / "any.sqlite"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        make_private_file(path)
    assert not (tmp_path / "elsewhere").exists()
