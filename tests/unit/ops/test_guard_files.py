"""The guard's small files: secrets for their owner alone, requests that are whole or not there, a copy that is judged, a key that stays."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import IntegrityError, InvalidConfig, KedgeError, NotFound, RecordingFailed
from kedge.ops import guard_files as files
from kedge.ops.guard_files import BrakeRequest
from kedge.ops.latch_file import guard_folder

ASKED = BrakeRequest(level=BrakeLevel.HALTED, actor_id="ana", reason="odd fills", source="cli", asked_wall_ns=1_790_000_000_000_000_000)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


# secrets --------------------------------------------------------------------------------------------------------------


def test_secrets_are_made_once_for_their_owner_and_differ(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token, key = files.operator_token(tmp_path), files.permit_key(tmp_path)
    finally:
        os.umask(before)
    assert files.operator_token(tmp_path) == token
    assert files.permit_key(tmp_path) == key
    assert (len(token), len(key)) == (64, 32)
    assert token != key.hex()
    for name in (files.OPERATOR_TOKEN, files.PERMIT_KEY):
        assert stat.S_IMODE((guard_folder(tmp_path) / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in guard_folder(tmp_path).iterdir()) == [files.OPERATOR_TOKEN, files.PERMIT_KEY]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    files.operator_token(tmp_path)
    (guard_folder(tmp_path) / files.OPERATOR_TOKEN).chmod(0o640)
    with pytest.raises(InvalidConfig, match="0640"):
        files.operator_token(tmp_path)


@pytest.mark.parametrize("text", ["", "short", "z" * 64, "A" * 64])
def test_a_damaged_secret_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    files.permit_key(tmp_path)
    path = guard_folder(tmp_path) / files.PERMIT_KEY
    path.write_text(text)
    with pytest.raises(InvalidConfig, match="damaged"):
        files.permit_key(tmp_path)
    assert path.read_text() == text


def test_a_secret_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "guard").write_text("a file where the folder belongs")
    with pytest.raises(RecordingFailed, match="cannot be had"):
        files.operator_token(tmp_path)


def test_where_another_process_was_faster_its_secret_is_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def slow_link(draft: Path, path: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        files.operator_token(tmp_path)
        real(draft, path)

    monkeypatch.setattr(os, "link", slow_link)
    assert files.operator_token(tmp_path) == files.operator_token(tmp_path)
    assert [path.name for path in guard_folder(tmp_path).iterdir()] == [files.OPERATOR_TOKEN]


# requests -------------------------------------------------------------------------------------------------------------


def test_a_request_waits_until_it_is_taken(tmp_path: Path) -> None:
    assert files.waiting_requests(tmp_path) == []
    path = files.drop_request(tmp_path, ASKED)
    assert files.waiting_requests(tmp_path) == [path]
    assert files.read_request(path) == ASKED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files.remove_request(path)
    files.remove_request(path)
    assert files.waiting_requests(tmp_path) == []


def test_requests_come_in_the_order_in_which_they_were_asked_and_drafts_are_none(tmp_path: Path) -> None:
    paths = [files.drop_request(tmp_path, replace(ASKED, asked_wall_ns=wall_ns)) for wall_ns in (30, 4, 200)]
    (files.requests_folder(tmp_path) / ".half").write_text("{")
    assert files.waiting_requests(tmp_path) == [paths[1], paths[0], paths[2]]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"{}", b'{"level":"running","actor_id":"a","reason":"r","source":"cli","asked_wall_ns":1}',
     b'{"level":"halted_flat","actor_id":"a","reason":"r","source":"cli","asked_wall_ns":1}',
     b'{"level":"reduce_only","actor_id":"a","reason":"r","source":"cli","asked_wall_ns":1,"schema":"kedge/brake-request/v9"}'],
)  # fmt: skip
def test_a_request_that_cannot_be_read_asks_for_halted(tmp_path: Path, content: bytes) -> None:
    path = files.drop_request(tmp_path, ASKED)
    path.write_bytes(content)
    found = files.read_request(path)
    assert found.level is BrakeLevel.HALTED
    assert "cannot be read" in found.reason


def test_a_request_that_vanished_or_is_a_link_elsewhere_asks_for_halted_too(tmp_path: Path) -> None:
    path = files.drop_request(tmp_path, ASKED)
    link = path.with_name("z.json")
    link.symlink_to(path)
    assert files.read_request(link).actor_id == "unknown"
    path.unlink()
    assert files.read_request(path).level is BrakeLevel.HALTED


def test_a_request_that_cannot_be_left_says_that_nobody_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordingFailed, match="cannot leave a request") as refused:
        files.drop_request(tmp_path, ASKED)
    assert "No space" in refused.value.why
    assert files.waiting_requests(tmp_path) == []
    assert list(files.requests_folder(tmp_path).iterdir()) == []


def test_a_request_that_cannot_be_taken_away_is_no_error(tmp_path: Path) -> None:
    path = files.drop_request(tmp_path, ASKED)
    path.unlink()
    path.mkdir()
    files.remove_request(path)
    assert path.is_dir()


# the copy for readers -------------------------------------------------------------------------------------------------


def test_the_copy_is_judged_by_its_age_and_its_writer(tmp_path: Path) -> None:
    wall_ns = int(NOW.timestamp() * 1e9)
    for pid, written_ns, fresh in (
        (os.getpid(), wall_ns - 10**9, True),
        (os.getpid(), wall_ns - 10**10, False),
        (2**22 + 1, wall_ns, False),
    ):
        files.write_status(tmp_path, json.dumps({"pid": pid, "written_wall_ns": written_ns, "account": "demo"}).encode())
        found = files.read_status(tmp_path, NOW)
        assert (found["fresh"], found["account"]) == (fresh, "demo")
    assert found["age_s"] == 0
    assert found["alive"] is False


def test_no_copy_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no guard has run"):
        files.read_status(tmp_path, NOW)
    for content in (b"", b"[]", b'{"pid":1}', b'{"pid":"x","written_wall_ns":1}'):
        files.write_status(tmp_path, content)
        with pytest.raises(IntegrityError, match="not readable"):
            files.read_status(tmp_path, NOW)


# the server's key -----------------------------------------------------------------------------------------------------


def test_the_first_key_of_the_server_stays_and_another_takes_a_person(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no server's key"):
        files.pinned_server_key(tmp_path, None)
    assert files.pinned_server_key(tmp_path, "ed25519:aa\n") == "ed25519:aa"
    assert files.pinned_server_key(tmp_path, None) == "ed25519:aa"
    with pytest.raises(IntegrityError, match="another key") as refused:
        files.pinned_server_key(tmp_path, "ed25519:bb")
    assert "rm " in refused.value.fix
    assert files.pinned_server_key(tmp_path, "ed25519:aa") == "ed25519:aa"


def test_a_pinned_key_that_cannot_be_read_is_no_key(tmp_path: Path) -> None:
    (guard_folder(tmp_path) / files.SERVER_KEY).mkdir(parents=True)
    with pytest.raises(KedgeError, match="cannot be had"):
        files.pinned_server_key(tmp_path, "ed25519:aa")
