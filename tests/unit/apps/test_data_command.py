"""`kedge data` on files of a few rows, as a person and as a script read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kedge.apps import data
from kedge.ops.folders import default_state_folder

from .market_files import MINUTE_MS, T0_MS, bars_file, funding_file, kedge, refused

COUNT = 60


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return bars_file(tmp_path, count=COUNT, interval_ms=MINUTE_MS)


def spoil(path: Path, rows: range, *, column: int = 5, value: str = "-1") -> Path:
    """Put `value` into a column of some rows (from 0)."""
    lines = path.read_text().splitlines()
    for row in rows:
        cells = lines[row + 1].split(",")
        cells[column] = value
        lines[row + 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_good_file_has_no_findings(good: Path) -> None:
    answer = kedge("data", "validate", good, "--json")
    found = answer.json
    assert (answer.code, found["ok"], found["rows"], found["quarantine"], found["against"]) == (0, True, COUNT, [], None)
    assert (found["symbol"], found["interval"], found["file"]) == ("BTCUSDT", "1m", good.name)
    assert (found["first"], found["last"]) == ("2024-01-01 00:00", "2024-01-01 00:59")
    told = kedge("data", "validate", good)
    assert told.code == 0
    assert "BTCUSDT from 2024-01-01 00:00 to 2024-01-01 00:59 UTC" in told.out
    assert "not detectable from one file: VENUE_SWITCH" in told.out
    assert f"{good.name}: {COUNT} bars of 1m, 0 quarantined, coverage 100.00%: good" in told.out
    assert "row\trule\tvalues" not in told.out


def test_findings_make_nine_and_a_long_quarantine_is_cut_for_people_only(good: Path) -> None:
    spoil(good, range(10, 35))
    answer = kedge("data", "validate", good, "--json")
    assert (answer.code, answer.json["ok"], answer.json["quarantined"]) == (9, False, {"NEGATIVE_VOLUME": 25})
    assert len(answer.json["quarantine"]) == 25
    told = kedge("data", "validate", good)
    assert told.code == 9
    rows = [line for line in told.out.splitlines() if "\tNEGATIVE_VOLUME\t" in line]
    assert [int(row.split("\t")[0]) for row in rows] == [row["row"] for row in answer.json["quarantine"][: data.ROWS_SHOWN]]
    assert "and 5 more rows; --json lists all" in told.out
    assert "MISSING_BARS\t25" in told.out


def test_a_second_source_is_compared_and_named(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = spoil(bars_file(folder, count=COUNT, interval_ms=MINUTE_MS), range(7, 8), column=4, value="39000.0")
    other = spoil(other, range(7, 8), column=3, value="38999.0")
    answer = kedge("data", "validate", good, "--against", other, "--json")
    assert answer.code == 9
    assert answer.json["against"]["file"] == other.name
    assert answer.json["not_detectable"] == {}
    assert kedge("data", "validate", good, "--against", good, "--json").code == 0


def test_funding_is_told_from_bars(tmp_path: Path) -> None:
    path = funding_file(tmp_path, count=6)
    answer = kedge("data", "validate", path, "--json")
    found = answer.json
    assert (answer.code, found["schema"], found["ok"], found["accepted"]) == (0, "kedge/funding-validation/v1", True, 6)
    assert (found["symbol"], found["first"], found["last"]) == ("BTCUSDT", "2024-01-01 00:00", "2024-01-02 16:00")
    told = kedge("data", "validate", path)
    assert f"{path.name}: 6 settlements, 0 quarantined" in told.out
    path.write_text(path.read_text() + f"{T0_MS + 999 * MINUTE_MS},nan\n")
    spoiled = kedge("data", "validate", path, "--json")
    assert (spoiled.code, spoiled.json["ok"], sum(spoiled.json["quarantined"].values())) == (9, False, 1)
    assert "1 quarantined" in kedge("data", "validate", path).out


def test_funding_is_not_imported(tmp_path: Path) -> None:
    store = tmp_path / "store"
    answer = kedge("data", "import", funding_file(tmp_path), "--store", store, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert not store.exists()


def test_what_is_imported_is_found_again_by_its_hash(good: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    spoil(good, range(10, 12))
    answer = kedge("data", "import", good, "--store", store, "--json")
    kept = answer.json
    assert (answer.code, kept["rows"], kept["quarantine_rows"], kept["source"]["rows"]) == (0, COUNT - 2, 2, COUNT)
    assert kept["gaps"] == [{"start": "2024-01-01 00:10", "start_ms": T0_MS + 10 * MINUTE_MS, "count": 2}]
    assert kept["quality"]["quarantined"] == {"NEGATIVE_VOLUME": 2}
    good.unlink()
    shown = kedge("data", "show", kept["sha256"][:8], "--store", store, "--json").json
    assert {name: shown[name] for name in ("sha256", "rows", "first", "last", "gaps")} == {
        name: kept[name] for name in ("sha256", "rows", "first", "last", "gaps")
    }
    assert shown["quarantined"] == {"NEGATIVE_VOLUME": 2}
    assert shown["name"] == f"snapshot {kept['sha256'][:12]} of {good.name}"
    assert [day["day"] for day in shown["coverage_by_day"]] == ["2024-01-01"]
    told = kedge("data", "show", kept["sha256"], "--store", store)
    assert told.out.startswith(f"{shown['name']}: ")
    assert "NEGATIVE_VOLUME" in told.out


def test_without_a_store_the_state_folder_keeps_it(good: Path) -> None:
    answer = kedge("data", "import", good)
    assert answer.code == 0
    name = answer.out.splitlines()[0].removeprefix("snapshot ")
    assert len(name) == 64
    assert any(name in path.name for path in (default_state_folder() / "data").rglob("*"))
    assert kedge("data", "show", name).code == 0


def test_show_reads_a_file_and_its_age(good: Path) -> None:
    answer = kedge("data", "show", good, "--json")
    assert (answer.code, answer.json["rows"], answer.json["name"]) == (0, COUNT, good.name)
    assert answer.json["age_ms"] > 0
    assert answer.json["coverage_by_day"][0]["coverage_frac"] == 1


def test_outliers_are_quarantined_unless_kept(good: Path) -> None:
    spoil(good, range(30, 31), column=2, value="90000.0")
    spoil(good, range(30, 31), column=4, value="80000.0")
    strict, lenient = kedge("data", "validate", good, "--json"), kedge("data", "validate", good, "--keep-outliers", "--json")
    assert strict.json["quarantined"] == {"OUTLIER": 1}
    assert lenient.json["quarantined"] == {}
    assert "OUTLIER_KEPT" in {finding["code"] for finding in lenient.json["findings"]}
    assert (strict.code, lenient.code) == (9, 9)


def test_columns_symbol_and_zone_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("wann,o,h,l,c,menge\n" + "".join(f"15/11/2023 03:{n:02},1,1,1,1,{n + 1}\n" for n in range(9)))
    maps = ("--map", "ts=wann", "--map", "volume=menge", "--map", "format=%d/%m/%Y %H:%M", "--tz", "UTC+3")
    found = kedge("data", "validate", path, *maps, "--symbol", "ODDUSDT", "--interval", "1m", "--json").json
    assert (found["symbol"], found["first"], found["rows"]) == ("ODDUSDT", "2023-11-15 00:00", 9)
    assert kedge("data", "show", path, *maps, "--json").json["first"] == "2023-11-15 00:00"
    assert refused(kedge("data", "validate", path, "--json")) == (4, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("validate", "none.csv"), (3, "NOT_FOUND")),
        (("validate", "{good}", "--against", "none.csv"), (3, "NOT_FOUND")),
        (("validate", "{good}", "--interval", "5m"), (4, "INVALID_INPUT")),
        (("validate", "{good}", "--interval", "soon"), (4, "INVALID_INPUT")),
        (("validate", "{good}", "--map", "x"), (4, "INVALID_INPUT")),
        (("validate", "{good}", "--tz", "Mars/Phobos"), (4, "INVALID_INPUT")),
        (("import", "none.csv", "--store", "{good}.store"), (3, "NOT_FOUND")),
        (("show", "none.csv"), (3, "NOT_FOUND")),
        (("show", "0123abcd", "--store", "{good}.store"), (3, "NOT_FOUND")),
        (("validate",), (2, "USAGE")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_errors_have_their_exit_codes(arguments: tuple[str, ...], expected: tuple[int, str], good: Path) -> None:
    before = json.dumps(sorted(str(path) for path in good.parent.iterdir()))
    assert refused(kedge("data", *(text.format(good=good) for text in arguments), "--json")) == expected
    assert json.dumps(sorted(str(path) for path in good.parent.iterdir())) == before


def test_progress_is_told_on_stderr_when_asked_for(good: Path) -> None:
    answer = kedge("data", "validate", good, "--progress", "plain", "--json")
    assert answer.err.splitlines() == [f"validating {good.name}: {n}/{data.STEPS}" for n in range(1, data.STEPS + 1)]
    assert answer.json["ok"] is True
