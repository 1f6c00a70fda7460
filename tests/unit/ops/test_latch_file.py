"""The brake's latch: durable, whole or not at all, and HALTED whenever it cannot be relied upon."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import RecordingFailed
from kedge.ops.latch_file import LATCH_BYTES_MAX, LatchFile, guard_folder, latch_path

NOW_NS = 1_790_000_000_000_000_000
ON = Latch(
    account="demo",
    generation=7,
    level=BrakeLevel.FLATTENING,
    trigger=Trigger.DRAWDOWN,
    observed="10.2 %",
    limit="10 %",
    reason="drawdown",
    actor_id="guard",
    source="guard",
    engaged_wall_ns=NOW_NS,
    changed_wall_ns=NOW_NS,
    high_water_e8=5,
)


def latch_file(folder: Path, known: int | None = None, account: str = "demo") -> LatchFile:
    return LatchFile(latch_path(folder), account, known=lambda: known, wall_ns=lambda: NOW_NS)


def test_what_was_written_is_read_back_to_the_field(tmp_path: Path) -> None:
    file = latch_file(tmp_path)
    file.write(ON)
    assert latch_file(tmp_path, known=7).read() == ON
    assert file.why_unreadable == ""
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in guard_folder(tmp_path).iterdir()] == ["latch.json"]


def test_an_account_that_no_guard_has_watched_is_running(tmp_path: Path) -> None:
    file = latch_file(tmp_path)
    assert file.read() == Latch(account="demo", generation=0, level=BrakeLevel.RUNNING)
    file.begin()
    assert latch_file(tmp_path, known=0).read().level is BrakeLevel.RUNNING
    file.write(ON)
    file.begin()
    assert file.read() == ON


def test_a_first_latch_is_not_made_where_there_is_a_journal(tmp_path: Path) -> None:
    file = latch_file(tmp_path, known=0)
    file.begin()
    assert not file.path.exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "no latch"),
        (lambda text: text[: len(text) // 2], "no latch"),
        (lambda text: "\0" * len(text), "no latch"),
        (lambda text: "[]", "no latch"),
        (lambda text: text.replace('"flattening"', '"easy"'), "no latch"),
        (lambda text: text.replace('"account": "demo"', '"account": "other"'), "of account 'other'"),
        (lambda text: text.replace("kedge/latch/v1", "kedge/latch/v9"), "schema"),
        (lambda text: text.replace('"generation": 7', '"generation": -1'), "below zero"),
        (lambda text: text.replace('"drawdown",\n', "null,\n", 1), "without a trigger"),
        (lambda text: text.replace('"flattening"', '"running"'), "running for a trigger"),
        (lambda text: text.replace('"reason"', '"raison"'), "no latch"),
        (lambda text: text + " " * LATCH_BYTES_MAX, "no latch"),
    ],
)
def test_a_latch_that_does_not_say_well_what_it_says_is_halted(tmp_path: Path, damage: Callable[[str], str], words: str) -> None:
    file = latch_file(tmp_path, known=7)
    file.write(ON)
    damaged = damage(file.path.read_text())
    assert damaged != file.path.read_text()
    file.path.write_text(damaged)
    found = file.read()
    assert (found.level, found.trigger, found.account) == (BrakeLevel.HALTED, Trigger.UNREADABLE, "demo")
    assert words in file.why_unreadable
    assert words in found.observed
    assert found.generation > 7
    assert found.engaged_wall_ns == NOW_NS


def test_bytes_that_are_no_text_are_halted(tmp_path: Path) -> None:
    file = latch_file(tmp_path)
    file.write(ON)
    file.path.write_bytes(b'{"account": "\xff\xfe"}')
    assert file.read().trigger is Trigger.UNREADABLE


def test_a_latch_that_is_gone_beside_a_journal_is_halted_beyond_what_the_journal_knows(tmp_path: Path) -> None:
    found = latch_file(tmp_path, known=12).read()
    assert (found.level, found.trigger, found.generation) == (BrakeLevel.HALTED, Trigger.UNREADABLE, 13)
    assert "gone" in found.observed


def test_an_older_file_put_back_is_halted_whatever_it_says(tmp_path: Path) -> None:
    file = latch_file(tmp_path, known=9)
    file.write(Latch(account="demo", generation=8, level=BrakeLevel.RUNNING))
    found = file.read()
    assert (found.level, found.generation) == (BrakeLevel.HALTED, 10)
    assert "older file" in found.observed


def test_a_latch_ahead_of_its_journal_counts(tmp_path: Path) -> None:
    file = latch_file(tmp_path, known=3)
    file.write(ON)
    assert file.read() == ON


def test_a_folder_in_its_place_and_a_pipe_are_halted_at_once(tmp_path: Path) -> None:
    path = latch_path(tmp_path)
    path.mkdir(parents=True)
    assert latch_file(tmp_path).read().level is BrakeLevel.HALTED
    path.rmdir()
    os.mkfifo(path)
    assert latch_file(tmp_path).read().level is BrakeLevel.HALTED


def test_a_file_that_may_not_be_read_is_halted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = latch_file(tmp_path)
    file.write(ON)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    found = file.read()
    assert found.trigger is Trigger.UNREADABLE
    assert "Permission denied" in found.observed


def test_a_folder_that_cannot_be_written_is_told_and_the_old_latch_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = latch_file(tmp_path)
    file.write(ON)
    real = os.open

    def read_only(path: object, flags: int, *rest: int) -> int:
        if flags & os.O_WRONLY:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RecordingFailed, match="cannot write the latch") as refused:
        file.write(replace(ON, generation=8))
    assert "Permission denied" in refused.value.why
    monkeypatch.undo()
    assert file.read() == ON
    assert [path.name for path in guard_folder(tmp_path).iterdir()] == ["latch.json"]


def test_a_disk_that_takes_no_more_leaves_the_old_latch_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = latch_file(tmp_path)
    file.write(ON)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordingFailed):
        file.write(replace(ON, generation=8))
    monkeypatch.undo()
    assert file.read() == ON
    assert [path.name for path in guard_folder(tmp_path).iterdir()] == ["latch.json"]


def test_file_and_folder_are_on_the_disk_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = latch_file(tmp_path)
    file.write(ON)
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        assert json.loads(file.path.read_text())["generation"] == (7 if len(synced) == 1 else 8), "renamed before it was on the disk"
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    file.write(replace(ON, generation=8))
    assert synced == [".latch.json.draft", "guard"]


KILLED = """
import os, signal, sys
from pathlib import Path
from msgspec.structs import replace
from kedge.domain.brake import BrakeLevel
from kedge.ops.latch_file import LatchFile
file = LatchFile(Path(sys.argv[1]), "demo")
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file.write(replace(file.read(), generation=8, level=BrakeLevel.HALTED))
"""


def test_a_writer_killed_between_writing_and_renaming_leaves_the_old_latch_and_the_next_one_writes(tmp_path: Path) -> None:
    file = latch_file(tmp_path)
    file.write(ON)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(file.path)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert file.read() == ON
    assert (guard_folder(tmp_path) / ".latch.json.draft").exists()
    file.write(replace(ON, generation=9))
    assert file.read().generation == 9
    assert [path.name for path in guard_folder(tmp_path).iterdir()] == ["latch.json"]
