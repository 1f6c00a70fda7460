from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kedge.ops.status_file import FIELDS, STALE_AFTER_S, read_status, up_lock, write_status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS = dict.fromkeys(FIELDS, 1)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_status(tmp_path / "new", STATUS, NOW.astimezone(timezone(timedelta(hours=3))))
    with up_lock(tmp_path / "new"):
        found = read_status(tmp_path / "new", NOW + timedelta(seconds=1))
    assert found == {**STATUS, "updated_at": "2026-01-02T03:04:05+00:00", "running": True, "age_s": 1.0, "stale": False}


@pytest.mark.parametrize(("age_s", "stale"), [(0, False), (STALE_AFTER_S - 0.1, False), (STALE_AFTER_S, True), (-STALE_AFTER_S, True)])
def test_age_decides_whether_it_is_live(tmp_path: Path, age_s: float, stale: bool) -> None:
    write_status(tmp_path, STATUS, NOW)
    with up_lock(tmp_path):
        assert read_status(tmp_path, NOW + timedelta(seconds=age_s))["stale"] is stale
    assert read_status(tmp_path, NOW)["stale"] is True


def test_a_missing_figure_or_not_a_number_is_refused(tmp_path: Path) -> None:
    write_status(tmp_path, STATUS, NOW)
    with pytest.raises(KeyError, match="funnel"):
        write_status(tmp_path, {name: 2 for name in FIELDS if name != "funnel"}, NOW)
    with pytest.raises(ValueError, match="JSON"):
        write_status(tmp_path, {**STATUS, "equity": float("nan")}, NOW)
    assert json.loads((tmp_path / "status.json").read_text())["equity"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
