"""`kedge doctor` about the guard: each thing that is not well is said with what to do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.apps.test_guard_http import STATUS

from kedge.apps.guard_checks import guard_and_brake
from kedge.apps.guard_http import status_bytes
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.ops import guard_files
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path

ON = Latch(account="demo", generation=5, level=BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)


def left(folder: Path, **changed: object) -> None:
    """The copy that a guard leaves now."""
    guard_files.write_status(folder, status_bytes(replace(STATUS, wall_ns=time.time_ns(), **changed)))


def test_before_there_was_a_guard_nothing_is_said(tmp_path: Path) -> None:
    assert guard_and_brake(tmp_path)[0] == "skip"
    LatchFile(latch_path(tmp_path), "demo").write(ON)
    assert guard_and_brake(tmp_path) == ("warn", "there is a latch, and no guard has left a word", "kedge guard")


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({}, "ok", "the brake is off"),
        ({"latch": ON}, "warn", "halted (drawdown)"),
        ({"permits": "the account was seen 3.0 s ago"}, "warn", "seen 3.0 s ago"),
        ({"journal": "disk full"}, "warn", "disk full"),
    ],
)
def test_where_it_turns_its_own_words_count(tmp_path: Path, changed: dict[str, object], state: str, words: str) -> None:
    left(tmp_path, **changed)
    found = guard_and_brake(tmp_path)
    assert found[0] == state
    assert words in found[1]


def test_a_guard_that_is_gone_and_a_request_that_nobody_takes(tmp_path: Path) -> None:
    content = msgspec.json.decode(status_bytes(STATUS)) | {"written_wall_ns": time.time_ns(), "pid": 2**22 + 1}
    guard_files.write_status(tmp_path, msgspec.json.encode(content))
    assert guard_and_brake(tmp_path)[:2] == ("warn", "the brake is off, and no guard runs: nothing permits new risk")
    asked = guard_files.BrakeRequest(level=BrakeLevel.HALTED, actor_id="a", reason="r", source="cli", asked_wall_ns=1)
    guard_files.drop_request(tmp_path, asked)
    assert guard_and_brake(tmp_path)[0] == "fail"


def test_a_copy_that_cannot_be_read_and_secrets_that_others_can(tmp_path: Path) -> None:
    guard_files.write_status(tmp_path, b"{")
    assert guard_and_brake(tmp_path)[0] == "fail"
    left(tmp_path)
    guard_files.operator_token(tmp_path)
    assert guard_and_brake(tmp_path)[0] == "ok"
    os.chmod(guard_folder(tmp_path) / guard_files.OPERATOR_TOKEN, 0o644)
    state, seen, fix = guard_and_brake(tmp_path)
    assert (state, seen) == ("fail", "others can read operator.token")
    assert fix.startswith("rm ")
