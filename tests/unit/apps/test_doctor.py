from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from kedge.apps import machine_checks, state_checks
from kedge.apps.cli import main
from kedge.apps.doctor import _guarded
from kedge.domain.events import TimerFired
from kedge.domain.record import RunStarted
from kedge.ops.process_lock import ProcessLock
from kedge.ops.status_file import up_lock
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import SigningKey

FIRST = RunStarted(
    run_id="r1",
    account="demo",
    source="synthetic",
    speed="max",
    engine_version="0",
    code_sha256="0" * 64,
    settings_sha256="1" * 64,
    settings={},
    instruments=(),
    data=(),
    assumptions={},
    seed=1,
    started_ts_ns=0,
)


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("KEDGE_STATE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_fit_machine_passes(state_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = {check["name"]: check["state"] for check in report["checks"]}
    assert len(names) == 13
    assert names["durable write"] == names["packages"] == names["python"] == "ok"
    assert report["ok"] is True
    assert list(state_folder.iterdir()) == []


def test_a_failure_makes_nine(state_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state_folder.chmod(0o777)
    assert main(["doctor"]) == 9
    out = capsys.readouterr().out
    assert f"FAIL\tstate folder\t{state_folder} has mode 777: others can write\tchmod 700 {state_folder}" in out
    assert "1 fail" in out.splitlines()[-1]


def test_a_broken_configuration_is_one_failure(state_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("kedge.yaml").write_text("walet: 5\n")
    assert main(["doctor", "--json"]) == 9
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["configuration"]["state"] == "fail"
    assert "wallet" in checks["configuration"]["fix"]
    assert checks["disk"]["state"] == "skip"


def test_locks_are_named_with_their_holder(state_folder: Path) -> None:
    assert state_checks.locks(state_folder)[0] == "ok"
    with ProcessLock(state_folder / "run.journal.lock", what="a run"):
        state, seen, fix = state_checks.locks(state_folder)
    assert state == "warn"
    assert f"pid {os.getpid()}" in seen
    assert fix
    with up_lock(state_folder):
        assert state_checks.locks(state_folder)[0] == "ok"


def test_a_head_without_a_readable_journal_fails(state_folder: Path) -> None:
    assert state_checks.last_journal(state_folder)[0] == "skip"
    (state_folder / "run.journal.head").write_bytes(b"{}")
    assert state_checks.last_journal(state_folder)[0] == "fail"
    (state_folder / "run.journal").write_bytes(b"not a database" * 100)
    state, _, fix = state_checks.last_journal(state_folder)
    assert state == "fail"
    assert fix.startswith("kedge audit verify ")


def test_the_head_file_of_the_last_journal_is_compared(state_folder: Path) -> None:
    path = state_folder / "runs" / "r1" / "journal.sqlite"
    path.parent.mkdir(parents=True)
    head = path.with_name("journal.sqlite.head")
    copies = []
    with SqliteJournal(path, signer=SigningKey.generate(), source="test") as journal:
        journal.start(FIRST)
        for n in range(1, 4):
            journal.commit(TimerFired(n, "t"), ())
            copies.append(head.read_bytes())
    assert state_checks.last_journal(state_folder)[0] == "ok"
    assert "runs/r1/journal.sqlite" in state_checks.last_journal(state_folder)[1]
    head.write_bytes(copies[-2])
    assert state_checks.last_journal(state_folder)[0] == "warn"
    for wrong in (copies[0], b"", b"{}", copies[-1].replace(b"r1", b"r2")):
        head.write_bytes(wrong)
        state, seen, fix = state_checks.last_journal(state_folder)
        assert (state, fix) == ("fail", f"kedge audit verify {path}")
        assert "disagree" in seen


def test_a_folder_that_is_not_there_is_skipped_or_refused(tmp_path: Path) -> None:
    missing = tmp_path / "a" / "b"
    assert state_checks.folder_permissions(missing)[0] == "skip"
    assert state_checks.durable_write(missing)[0] == "skip"
    assert state_checks.disk_space(missing)[0] in ("ok", "warn")
    assert state_checks.locks(missing)[0] == "ok"


@pytest.mark.parametrize(
    ("free_bytes", "state"), [(0, "fail"), (state_checks.FREE_WARN_BYTES - 1, "warn"), (state_checks.FREE_WARN_BYTES, "ok")]
)
def test_disk_space_by_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, state: str) -> None:
    monkeypatch.setattr(state_checks.shutil, "disk_usage", lambda path: SimpleNamespace(free=free_bytes))
    assert state_checks.disk_space(tmp_path)[0] == state


def test_a_missing_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "PACKAGES", ("numpy", "no-such-package-of-kedge"))
    assert machine_checks.packages(Path()) == ("fail", "missing: no-such-package-of-kedge", "make install")


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "PYTHON_MIN", (99, 0))
    assert machine_checks.python_version(Path())[0] == "fail"


def test_an_unknown_system_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks.platform, "machine", lambda: "vax")
    assert machine_checks.system(Path())[0] == "warn"


def test_compiled_code_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_CACHE_DIR", str(tmp_path))
    assert "(0 compiled functions)" in machine_checks.compiled_cache(Path())[1]
    monkeypatch.setattr(machine_checks.os, "access", lambda *_: False)
    assert machine_checks.compiled_cache(Path())[0] == "fail"
    assert state_checks.folder_permissions(tmp_path)[0] == "fail"


def test_a_clock_of_the_past_fails_and_a_jump_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks.time, "time", lambda: 1.0)
    assert machine_checks.clock(Path())[0] == "fail"
    readings = iter([2e9, 2e9 + 60.0])
    monkeypatch.setattr(machine_checks.time, "time", lambda: next(readings))
    assert machine_checks.clock(Path())[0] == "warn"


def test_a_cache_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_CACHE_DIR", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    result = _guarded("compiled code", machine_checks.compiled_cache, Path())
    assert result.state == "fail"
    assert result.fix


def test_the_probe_is_private_and_gone(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    real_fsync = os.fsync

    def watch(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real_fsync(descriptor)

    monkeypatch.setattr(state_checks.os, "fsync", watch)
    assert state_checks.durable_write(state_folder)[0] in ("ok", "warn")
    assert modes == [0o600]
    assert list(state_folder.iterdir()) == []
