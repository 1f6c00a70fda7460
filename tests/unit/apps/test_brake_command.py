"""`kedge brake` and the way to the guard: the door, the file where it does not answer, and what is said of either."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.apps.test_guard_http import KEY, NOW_NS, STATUS, Brake

from kedge.api import listening
from kedge.apps import exit_codes
from kedge.apps.cli import main
from kedge.apps.guard_http import GuardDoor, status_bytes
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import Conflict, Forbidden, InvalidInput, RecordingFailed, VenueUnavailable
from kedge.ops import guard_files
from kedge.ops.health_file import GUARD, write_health_file
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.services import guard_door
from kedge.services.guard.records import Breached, Latched, Seen
from kedge.services.guard_record import KeptRecords
from kedge.storage import SigningKey
from kedge.storage.guard_journal import GUARD_JOURNAL, GuardWriter

ON = Latch(
    account="demo", generation=5, level=BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN, observed="8.2 %", limit="8 %", reason="drawdown",
    actor_id="guard", source="guard", engaged_wall_ns=NOW_NS, changed_wall_ns=NOW_NS,
)  # fmt: skip


@contextmanager
def guarded(state: Path, brake: Brake) -> Iterator[Brake]:
    """A door of a guard, in a loop and thread of its own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    sockets = listening.listen("127.0.0.1", 0)
    door = GuardDoor(
        brake.doors(), account="demo", token=guard_files.operator_token(state), key=KEY, clock_s=lambda: 0.0, wall_ns=lambda: NOW_NS
    )

    def turn() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(door.start(sockets))
        ready.set()
        loop.run_forever()
        loop.run_until_complete(door.close())
        loop.close()

    thread = threading.Thread(target=turn)
    thread.start()
    ready.wait(10)
    write_health_file(state, GUARD, {"url": f"http://127.0.0.1:{sockets[0].getsockname()[1]}"}, datetime.now(UTC))
    try:
        yield brake
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def kedge(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    out = capsys.readouterr()
    return code, json.loads(out.out or out.err)


def engage(state: Path, level: BrakeLevel = BrakeLevel.HALTED, **changed: Any) -> guard_door.Engaged:
    given = {"actor_id": "ana", "reason": " odd \n fills ", "source": "browser", "wall_ns": NOW_NS, **changed}
    return guard_door.engage(state, level, **given)


# the door -------------------------------------------------------------------------------------------------------------


def test_engaging_goes_to_the_guard_and_comes_back_with_its_latch(tmp_path: Path) -> None:
    with guarded(tmp_path, Brake()) as brake:
        done = engage(tmp_path)
    assert (done.via, done.level, done.generation, done.is_durable, done.why) == ("guard", BrakeLevel.HALTED, 4, True, "")
    assert brake.engaged == [(BrakeLevel.HALTED, "ana", "odd fills", "browser")]
    assert guard_files.waiting_requests(tmp_path) == []


def test_a_guard_that_could_not_write_its_latch_is_told(tmp_path: Path) -> None:
    brake = Brake()
    brake.is_durable = False
    with guarded(tmp_path, brake):
        assert engage(tmp_path).is_durable is False


def test_without_a_guard_a_file_waits_and_the_answer_says_so(tmp_path: Path) -> None:
    done = engage(tmp_path, BrakeLevel.FLATTENING)
    assert (done.via, done.level, done.generation, done.why) == ("request", BrakeLevel.FLATTENING, None, "no guard is running here")
    (path,) = guard_files.waiting_requests(tmp_path)
    assert guard_files.read_request(path) == guard_files.BrakeRequest(
        level=BrakeLevel.FLATTENING, actor_id="ana", reason="odd fills", source="browser", asked_wall_ns=NOW_NS
    )


def test_a_door_that_hangs_is_given_up_and_a_file_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_door, "WITHIN_S", 0.05)
    hung, *others = listening.listen("127.0.0.1", 0)
    write_health_file(tmp_path, GUARD, {"url": f"http://127.0.0.1:{hung.getsockname()[1]}"}, datetime.now(UTC))
    done = engage(tmp_path)
    listening.close([hung, *others])
    assert done.via == "request"
    assert "does not answer" in done.why


def test_a_token_that_is_not_the_guard_s_leaves_a_file(tmp_path: Path) -> None:
    with guarded(tmp_path, Brake()) as brake:
        (guard_folder(tmp_path) / guard_files.OPERATOR_TOKEN).write_text("cd" * 32)
        done = engage(tmp_path)
    assert done.via == "request"
    assert "token is wrong" in done.why
    assert brake.engaged == []


def test_a_token_that_cannot_be_read_leaves_a_file_too(tmp_path: Path) -> None:
    guard_files.operator_token(tmp_path)
    (guard_folder(tmp_path) / guard_files.OPERATOR_TOKEN).chmod(0o644)
    assert engage(tmp_path).via == "request"


def test_where_neither_takes_it_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "guard").write_text("a file where the folder belongs")
    with pytest.raises(RecordingFailed, match="cannot leave a request"):
        engage(tmp_path)


def test_only_what_may_be_asked_for_is_asked_for(tmp_path: Path) -> None:
    for level in (BrakeLevel.RUNNING, BrakeLevel.HALTED_FLAT):
        with pytest.raises(InvalidInput):
            engage(tmp_path, level)
    assert engage(tmp_path, reason="x" * 900).reason == "x" * 500
    assert engage(tmp_path, reason="").reason == "no reason was given"
    assert guard_door.level_of(" Reduce-Only ") is BrakeLevel.REDUCE_ONLY
    assert guard_door.level_of("flattening") is BrakeLevel.FLATTENING


def test_a_refused_release_comes_back_in_the_guard_s_words(tmp_path: Path) -> None:
    with guarded(tmp_path, Brake()):
        assert guard_door.release(tmp_path, "signed")["latch"]["level"] == "running"
        with pytest.raises(Conflict, match="not released") as refused:
            guard_door.release(tmp_path, "bad")
        assert refused.value.why == "drawdown is still breached"
        with pytest.raises(InvalidInput):
            guard_door.release(tmp_path, "")
    with pytest.raises(VenueUnavailable):
        guard_door.release(tmp_path / "elsewhere", "signed")


def test_refusals_keep_their_kind() -> None:
    assert isinstance(guard_door._said(403, {}), Forbidden)
    unknown = guard_door._said(500, {})
    assert isinstance(unknown, VenueUnavailable)
    assert (unknown.what, unknown.why) == ("the guard answered 500", "it gave no reason")


def test_the_status_comes_from_the_door_else_from_the_copy(tmp_path: Path) -> None:
    with guarded(tmp_path, Brake()):
        live = guard_door.status(tmp_path)
        assert (live["source"], live["fresh"], live["latch"]["generation"]) == ("guard", True, 3)
    guard_files.write_status(tmp_path, status_bytes(replace(STATUS, wall_ns=NOW_NS)))
    copy = guard_door.status(tmp_path)
    assert (copy["source"], copy["fresh"]) == ("file", False)
    assert guard_door.status(tmp_path, live=False)["source"] == "file"


# the commands ---------------------------------------------------------------------------------------------------------


def test_engage_says_by_its_code_whether_the_guard_took_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("brake", "engage", "--level", "halt", "--reason", "odd fills", "--state-dir", tmp_path)
    code, said = kedge(capsys, *arguments)
    assert (code, said["via"], said["level"]) == (exit_codes.UNAVAILABLE, "request", "halted")
    with guarded(tmp_path, Brake()) as brake:
        code, said = kedge(capsys, *arguments)
    assert (code, said["via"], said["generation"]) == (exit_codes.OK, "guard", 4)
    assert brake.engaged[0][3] == "cli"
    assert main([*map(str, arguments)]) == exit_codes.UNAVAILABLE
    words = capsys.readouterr().out
    assert "THE GUARD DOES NOT ANSWER" in words
    assert "kedge halt" in words


def test_engage_in_words_says_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brake = Brake()
    brake.status = replace(STATUS, latch=replace(ON, level=BrakeLevel.FLATTENING))
    with guarded(tmp_path, brake):
        brake.is_durable = False
        assert main(["brake", "engage", "--level", "halt", "--reason", "x", "--state-dir", str(tmp_path)]) == exit_codes.OK
    words = capsys.readouterr().out
    assert "the brake is flattening (asked for was halted, which is milder), generation 5, IN THE GUARD'S MEMORY ONLY" in words


def test_an_empty_reason_and_an_unknown_level_engage_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = kedge(capsys, "brake", "engage", "--level", "halt", "--reason", "  ", "--state-dir", tmp_path)
    assert (code, said["code"]) == (exit_codes.INVALID, "INVALID_INPUT")
    assert main(["brake", "engage", "--level", "off", "--reason", "x", "--state-dir", str(tmp_path)]) == exit_codes.USAGE
    assert guard_files.waiting_requests(tmp_path) == []


def test_a_dry_run_says_what_would_happen_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("brake", "engage", "--reason", "x", "--dry-run", "--state-dir", tmp_path, "--level")
    unknown = kedge(capsys, *arguments, "flatten")[1]["would"]
    assert "not known" in unknown[1]
    with guarded(tmp_path, Brake()) as brake:
        would = kedge(capsys, *arguments, "flatten")[1]["would"]
        assert would[0].startswith("the brake goes from running to flattening")
        assert would[1] == "2 resting orders are cancelled; 1 position stops stay"
        assert "-5 lots are closed" in would[2]
        assert len(kedge(capsys, *arguments, "reduce-only")[1]["would"]) == 1
        brake.status = replace(STATUS, positions=())
        assert kedge(capsys, *arguments, "flatten")[1]["would"][-1] == "there is no position to close"
        brake.status = replace(STATUS, latch=ON)
        assert kedge(capsys, *arguments, "halt")[1]["would"] == ["nothing: the brake is halted already"]
        assert main([*map(str, arguments), "halt"]) == exit_codes.OK
        assert brake.engaged == []
    assert guard_files.waiting_requests(tmp_path) == []


def test_status_exits_well_only_with_a_guard_and_the_brake_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("brake", "status", "--state-dir", tmp_path)
    code, found = kedge(capsys, *arguments)
    assert (code, found["source"], found["latch"]["level"], found["fresh"]) == (exit_codes.FINDINGS, "latch", "running", False)
    with guarded(tmp_path, Brake()) as brake:
        assert kedge(capsys, *arguments)[0] == exit_codes.OK
        brake.status = replace(STATUS, latch=ON, pages=("BRAKE: halted",))
        assert kedge(capsys, *arguments)[0] == exit_codes.FINDINGS
        assert main([*map(str, arguments)]) == exit_codes.FINDINGS
    words = capsys.readouterr().out
    assert "drawdown 8.2 % over 8 %" in words
    assert "calls for a person: BRAKE: halted" in words
    assert "breached" in words
    assert main([*map(str, arguments)]) == exit_codes.FINDINGS
    assert "never ran" in capsys.readouterr().out


def test_with_the_guard_gone_the_latch_itself_is_believed_not_the_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_files.write_status(tmp_path, status_bytes(STATUS))
    LatchFile(latch_path(tmp_path), "demo").write(ON)
    found = kedge(capsys, "brake", "status", "--state-dir", tmp_path)[1]
    assert (found["source"], found["latch"]["level"], found["permits"]) == ("file", "halted", "no guard is running here")
    latch_path(tmp_path).write_text("{")
    assert kedge(capsys, "brake", "status", "--state-dir", tmp_path)[1]["latch"]["trigger"] == "unreadable"


def test_a_release_of_a_brake_that_is_off_is_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = kedge(capsys, "brake", "release", "--reason", "r", "--root-cause", "c", "--state-dir", tmp_path)
    assert (code, said["code"]) == (exit_codes.INVALID, "INVALID_INPUT")


# history --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[..., None]]:
    path, key = guard_folder(tmp_path) / GUARD_JOURNAL, SigningKey.generate()
    records = KeptRecords(path, lambda: GuardWriter(path, "demo", signer=key, engine_version="1", wall_ns=lambda: NOW_NS))
    records.start()

    def keep(*found: Any) -> None:
        for one in found:
            records.append(one)
        assert records.journal.flush(10)

    yield keep
    records.close()


def test_history_tells_acts_and_leaves_readings_out_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: Callable[..., None]
) -> None:
    seen = Seen(
        wall_ns=1, equity_e8=1, wallet_e8=1, drawdown_e8=0, day_loss_e8=0, gross_e8=0, maintenance_e8=0, var99_e8=None, var_method="",
        open_orders=0,
    )  # fmt: skip
    fired = Breached(wall_ns=1, trigger=Trigger.DRAWDOWN, level=BrakeLevel.HALTED, observed="8.2 %", limit="8 %")
    on = Latched(
        wall_ns=1, level=BrakeLevel.HALTED, generation=5, trigger=Trigger.DRAWDOWN, observed="", limit="", reason="r", actor_id="guard",
        source="", is_durable=True, took_ns=5,
    )  # fmt: skip
    kept(fired, *[seen] * 600, on)
    arguments = ("brake", "history", "--state-dir", tmp_path)
    rows = kedge(capsys, *arguments)[1]["records"]
    assert [row["kind"] for row in rows] == ["latched", "breached"]
    assert len(kedge(capsys, *arguments, "--readings", "--limit", 700)[1]["records"]) == 602
    assert [row["kind"] for row in kedge(capsys, *arguments, "--limit", 1)[1]["records"]] == ["latched"]
    assert main([*map(str, arguments)]) == exit_codes.OK
    assert "generation=5" in capsys.readouterr().out


def test_history_without_a_guard_or_with_no_limit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kedge(capsys, "brake", "history", "--state-dir", tmp_path)[0] == exit_codes.NOT_FOUND
    assert kedge(capsys, "brake", "history", "--limit", 0, "--state-dir", tmp_path)[0] == exit_codes.INVALID


def test_the_pid_of_the_copy_is_its_writer_s() -> None:
    assert msgspec.json.decode(status_bytes(STATUS))["pid"] == os.getpid()
