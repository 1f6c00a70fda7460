"""What processes leave for each other: whole, judged by age and pid, never trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kedge.domain.errors import Conflict, IntegrityError, NotFound
from kedge.ops.health_file import health_path, is_alive, read_health_file, remove_health_file, write_health_file
from kedge.ops.trader_status import read_trader_status, trader_lock, write_trader_status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_file_just_written_by_a_living_process_is_fresh(tmp_path: Path) -> None:
    write_health_file(tmp_path / "state", "server", {"url": "http://x"}, NOW)
    found = read_health_file(tmp_path / "state", "server", NOW + timedelta(seconds=2))
    assert (found["url"], found["pid"], found["age_s"]) == ("http://x", os.getpid(), 2.0)
    assert (found["alive"], found["fresh"]) == (True, True)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["server.json"]


@pytest.mark.parametrize("seconds", [5.0, 3600.0, -5.0])
def test_an_old_one_or_one_from_the_future_is_not_fresh(tmp_path: Path, seconds: float) -> None:
    write_health_file(tmp_path, "server", {}, NOW)
    assert not read_health_file(tmp_path, "server", NOW + timedelta(seconds=seconds))["fresh"]


def test_one_whose_writer_is_gone_is_not_fresh(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    write_health_file(tmp_path, "server", {}, NOW)
    path = health_path(tmp_path, "server")
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": process.pid}))
    found = read_health_file(tmp_path, "server", NOW)
    assert (found["alive"], found["fresh"]) == (False, False)


def test_a_file_is_for_its_owner_alone_whatever_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    write_health_file(tmp_path, "server", {}, NOW)
    assert health_path(tmp_path, "server").stat().st_mode & 0o777 == 0o600


def test_what_cannot_even_be_read_is_named(tmp_path: Path) -> None:
    health_path(tmp_path, "server").mkdir()
    with pytest.raises(IntegrityError, match=r"server\.json"):
        read_health_file(tmp_path, "server", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"updated_at": "soon", "pid": 1}',
        '{"updated_at": "2026-01-01T00:00:00+00:00", "pid": "x"}',
        '{"updated_at": "2026-01-01T00:00:00+00:00", "pid": 1000000000000000000000}',
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    health_path(tmp_path, "server").write_text(text)
    with pytest.raises(IntegrityError, match=r"server\.json"):
        read_health_file(tmp_path, "server", NOW)


def test_none_there_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="kedge up"):
        read_health_file(tmp_path, "server", NOW)
    write_health_file(tmp_path, "server", {}, NOW)
    remove_health_file(tmp_path, "server")
    remove_health_file(tmp_path, "server")
    with pytest.raises(NotFound):
        read_health_file(tmp_path, "server", NOW)


def test_a_figure_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    write_health_file(tmp_path, "trader", {"fills": 1}, NOW)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_health_file(tmp_path, "trader", {"equity": float("nan")}, NOW)
    assert read_health_file(tmp_path, "trader", NOW)["fills"] == 1


def test_a_process_of_another_user_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert is_alive(1)


def test_the_traders_figures_are_stale_unless_its_lock_is_held(tmp_path: Path) -> None:
    write_trader_status(tmp_path, {"fills": 3}, NOW)
    dead = read_trader_status(tmp_path, NOW)
    assert (dead["fills"], dead["running"], dead["stale"]) == (3, False, True)
    with trader_lock(tmp_path):
        assert not read_trader_status(tmp_path, NOW)["stale"]
        assert read_trader_status(tmp_path, NOW + timedelta(seconds=9))["stale"]
        with pytest.raises(Conflict, match="a trader is running already"), trader_lock(tmp_path):
            raise AssertionError


def test_a_status_never_holds_credentials(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="api_secret"):
        write_trader_status(tmp_path, {"api_secret": "x"}, NOW)
    assert not health_path(tmp_path, "trader").exists()
