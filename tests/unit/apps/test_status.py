from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kedge.apps.cli import main
from kedge.ops.status_file import FIELDS, up_lock, write_status

STATUS = {**dict.fromkeys(FIELDS, 0), "run_id": "r1", "mode": "demo", "funnel": {"decisions": 4}, "equity": "100.5"}


def test_no_run_yet_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state-dir", str(tmp_path)]) == 3
    assert "fix    kedge up" in capsys.readouterr().err


def test_a_running_demo_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_status(tmp_path, STATUS, datetime.now(UTC))
    with up_lock(tmp_path):
        assert main(["status", "--state-dir", str(tmp_path), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert main(["status", "--state-dir", str(tmp_path)]) == 0
    assert set(FIELDS) <= shown.keys()
    assert shown["schema"] == "kedge/status/v1"
    assert (shown["running"], shown["stale"]) == (True, False)
    assert "state\trunning\n" in capsys.readouterr().out


def test_a_stopped_demo_is_never_shown_as_live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_status(tmp_path, STATUS, datetime.now(UTC))
    assert main(["status", "--state-dir", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["running"], shown["stale"]) == (False, True)
    main(["status", "--state-dir", str(tmp_path)])
    assert "stopped; figures are the last ones" in capsys.readouterr().out


def test_a_silent_demo_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_status(tmp_path, STATUS, datetime.now(UTC) - timedelta(seconds=60))
    with up_lock(tmp_path):
        main(["status", "--state-dir", str(tmp_path)])
    assert "running but silent: figures are stale, written 60 s ago" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"updated_at": "yesterday"}', '{"updated_at": 5}'])
def test_a_broken_file_is_told(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "status.json").write_text(text)
    assert main(["status", "--state-dir", str(tmp_path)]) == 1
    assert "is not a status" in capsys.readouterr().err
