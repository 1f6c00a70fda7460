"""The file of the daily risk record: appended, chained, resumable, and refused when altered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kedge.domain.errors import Conflict, IntegrityError, RecordingFailed
from kedge.storage.risk_record import RiskRecordFile, read_risk_record


def written(path: Path, *bodies: bytes) -> Path:
    file = RiskRecordFile(path)
    for body in bodies:
        file.append(body)
    file.close()
    return path


def test_bodies_come_back_in_order_for_readers_and_for_the_next_writer(tmp_path: Path) -> None:
    path = written(tmp_path / "risk" / "daily.log", b'{"a":1}', b'{"a":2}')
    again = RiskRecordFile(path)
    assert again.bodies == read_risk_record(path) == [b'{"a":1}', b'{"a":2}']
    again.append(b'{"a":3}')
    assert read_risk_record(path) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']
    again.close()


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_risk_record(tmp_path / "none") == []


def test_a_line_that_a_dying_process_did_not_finish_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path / "daily.log", b'{"a":1}', b'{"a":2}')
    path.write_bytes(path.read_bytes()[:-4])
    assert read_risk_record(path) == [b'{"a":1}']
    written(path, b'{"a":4}')
    assert read_risk_record(path) == [b'{"a":1}', b'{"a":4}']


def test_an_altered_a_moved_and_a_missing_line_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "daily.log", b'{"a":1}', b'{"a":2}', b'{"a":3}')
    lines = path.read_bytes().splitlines(keepends=True)
    for content in (b"".join(lines).replace(b'"a":2', b'"a":9'), lines[1] + lines[0] + lines[2], lines[0] + lines[2], b"\n"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError):
            read_risk_record(path)
        with pytest.raises(IntegrityError):
            RiskRecordFile(path)


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = RiskRecordFile(tmp_path / "daily.log")
    with pytest.raises(Conflict):
        RiskRecordFile(first.path)
    first.close()
    RiskRecordFile(first.path).close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "risk" / "daily.log", b"{}")
    assert path.stat().st_mode & 0o077 == 0


def test_a_write_that_fails_is_told_and_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RiskRecordFile(tmp_path / "daily.log")
    file.append(b'{"a":1}')
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, line: real(fd, line[:10]))
    with pytest.raises(RecordingFailed):
        file.append(b'{"a":2}')
    monkeypatch.undo()
    file.append(b'{"a":3}')
    file.close()
    assert read_risk_record(file.path) == [b'{"a":1}', b'{"a":3}']


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "risk").write_text("a file")
    with pytest.raises(RecordingFailed):
        RiskRecordFile(tmp_path / "risk" / "daily.log")
