"""`kedge data` as a person types it, on small files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kedge.apps.cli import main

T0 = 1_700_006_400_000
HEADER = "ts,open,high,low,close,volume\n"


def line(n: int, *, volume: str = "1.5", open_: str = "100.0") -> str:
    return f"{T0 + n * 60_000},{open_},101.5,98.5,100.5,{volume}\n"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text(HEADER + "".join(line(n) for n in range(40)))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.csv"
    path.write_text(HEADER + "".join(line(n, volume="-1" if n == 5 else "1.5") for n in range(40)))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    code = main(["data", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_validate_answers_0_without_findings_and_9_with(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]):
    code, answer = run(capsys, "validate", good)
    assert (code, answer["ok"], answer["accepted"], answer["state"]) == (0, True, 40, "good")
    assert "VENUE_SWITCH" in answer["not_detectable"]
    code, answer = run(capsys, "validate", bad)
    assert (code, answer["ok"], answer["quarantined"]) == (9, False, {"NEGATIVE_VOLUME": 1})
    assert answer["quarantine"][0] | {"values": None} == {"row": 6, "code": "NEGATIVE_VOLUME", "codes": ["NEGATIVE_VOLUME"], "values": None}
    assert answer["quarantine"][0]["values"][-1] == "-1"


def test_validate_against_a_second_source(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = tmp_path / "other.csv"
    other.write_text(HEADER + "".join(line(n, open_="99.0" if n == 7 else "100.0") for n in range(40)))
    code, answer = run(capsys, "validate", good, "--against", other)
    assert (code, answer["against"]["off_by_more_than_half_a_percent"]["open"], answer["not_detectable"]) == (9, 1, {})
    assert run(capsys, "validate", good, "--against", good)[0] == 0


def test_import_keeps_a_snapshot_that_show_finds_again(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = tmp_path / "store"
    code, kept = run(capsys, "import", bad, "--symbol", "TESTUSDT", "--interval", "1m", "--store", store)
    assert (code, kept["rows"], kept["quarantine_rows"], kept["symbol"]) == (0, 39, 1, "TESTUSDT")
    assert run(capsys, "import", bad, "--symbol", "TESTUSDT", "--store", store)[1]["sha256"] == kept["sha256"]
    code, shown = run(capsys, "show", kept["sha256"][:10], "--store", store)
    assert (code, shown["rows"], shown["quarantined"]) == (0, 39, {"NEGATIVE_VOLUME": 1})
    assert shown["gaps"] == kept["gaps"] == [{"start": "2023-11-15 00:05", "start_ms": T0 + 5 * 60_000, "count": 1}]
    assert str(tmp_path) not in json.dumps(shown)


def test_import_uses_the_state_folder_when_none_is_named(good: Path, capsys: pytest.CaptureFixture[str]):
    _, kept = run(capsys, "import", good)
    assert run(capsys, "show", kept["sha256"])[1]["rows"] == 40


def test_columns_and_zone_can_be_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "odd.csv"
    path.write_text("wann,o,h,l,c,menge\n" + "".join(f"15/11/2023 03:{n:02},1,1,1,1,{n + 1}\n" for n in range(9)))
    maps = ["--map", "ts=wann", "--map", "volume=menge", "--map", "format=%d/%m/%Y %H:%M"]
    code, answer = run(capsys, "validate", path, *maps, "--tz", "UTC+3")
    assert (code, answer["first"], answer["last"]) == (0, "2023-11-15 00:00", "2023-11-15 00:08")
    code, error = run(capsys, "validate", path)
    assert (code, error["code"]) == (4, "INVALID_INPUT")
    assert "--map volume=COLUMN" in error["fix"]


def test_funding_is_validated_and_not_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "funding.csv"
    path.write_text("date,rate\n" + "".join(f"2023-11-{15 + n // 3} {3 + 8 * (n % 3):02}:00:00,0.0001\n" for n in range(9)))
    code, answer = run(capsys, "validate", path)
    assert (code, answer["findings"][0]["code"], answer["accepted"]) == (9, "TIMEZONE_SUSPECT", 9)
    assert run(capsys, "validate", path, "--tz", "UTC+3")[0] == 0
    assert run(capsys, "import", path)[0] == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["none.csv"], 3), (["{good}", "--interval", "5m"], 4), (["{good}", "--interval", "soon"], 4), (["{good}", "--map", "x"], 4)],
)
def test_errors_have_their_exit_codes(arguments: list[str], code: int, good: Path, capsys: pytest.CaptureFixture[str]):
    got, error = run(capsys, "validate", *(argument.format(good=good) for argument in arguments))
    assert (got, error["status"]) == (code, code)
    assert error["fix"]


def test_show_of_nothing_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "show", "0" * 64, "--store", tmp_path)[0] == 3
    assert run(capsys, "show", tmp_path / "none.csv")[0] == 3


def test_a_person_reads_findings_rows_and_what_stays_unseen(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "validate", str(bad)]) == 9
    text = capsys.readouterr().out
    for part in ("39 bars of 1m, 1 quarantined", "MISSING_BARS\t1", "6\tNEGATIVE_VOLUME", "not detectable from one file: PARTIAL_BARS"):
        assert part in text
    assert main(["data", "import", str(bad), "--store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.startswith("snapshot ")
    assert main(["data", "show", str(bad)]) == 0
