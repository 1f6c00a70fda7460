"""docs/risk.md says what the study finds: a part of it is worked out again, from the same market data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts import risk_study
from scripts.risk_study_page import put, taken, verdict_row
from scripts.risk_study_play import ACCOUNTS, STRATEGIES, World, watched
from scripts.risk_study_series import CRYPTO, HOUR_MS, Series, days_of, read_closes, series_of
from scripts.risk_study_var import METHODS, WINDOW, by_historical
from scripts.risk_study_verdict import judge

from kedge.risk.limits_table import TABLE

NAMES = ("series", "backtests", "fits", "levels at 0.1", "levels at 0.5", "first levels", "limits in force")


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "risk.md").read_text(encoding="utf-8")


def btc_days(data_folder: Path) -> Series:
    return series_of("BTC", "day", days_of(read_closes(data_folder / CRYPTO["BTC"], HOUR_MS)), WINDOW["day"])


def test_the_historical_row_of_btc_days_is_what_it_comes_to(page: str, data_folder: Path) -> None:
    series = btc_days(data_folder)
    assert verdict_row(series, judge(by_historical(series), "day")) in taken(page, "backtests").splitlines()
    assert series.sha256[:16] in taken(page, "series")


@pytest.mark.slow
def test_the_filtered_and_the_parametric_rows_of_btc_days_are_what_they_come_to(page: str, data_folder: Path) -> None:
    series = btc_days(data_folder)
    for name in ("age-weighted", "fhs-ewma", "parametric-t"):
        assert verdict_row(series, judge(METHODS[name](series), "day")) in taken(page, "backtests").splitlines()


@pytest.mark.slow
def test_the_levels_of_trend_on_btc_are_what_they_come_to(page: str, data_folder: Path) -> None:
    run = watched(World(data_folder), ("BTC",), "trend", "0.1")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in taken(page, "levels at 0.1").splitlines()]
    assert table[0][2] == run.title
    told = {(row[0], row[1]): row[2] for row in _filled(table[2:])}
    for found in run.rows:
        rows = {level: text for (title, level), text in told.items() if title == found.row.title}
        if found.soft is not None:
            soft = next(text for level, text in rows.items() if level.startswith("soft"))
            assert soft == (f"{found.soft.times} ({found.soft.days} d)" if found.soft.times else "0")
        brakes = [text for level, text in rows.items() if level.startswith("brake")]
        assert brakes == [f"{one.times} ({one.days} d)" if one.times else "0" for _, one in found.brake]


def _filled(table: list[list[str]]) -> list[list[str]]:
    """The title of a measure in each of its rows."""
    title, rows = "", []
    for row in table:
        title = row[0] or title
        rows.append([title, *row[1:]])
    return rows


def test_every_table_has_its_series_methods_runs_and_levels(page: str) -> None:
    rows = taken(page, "backtests").splitlines()[2:]
    assert len(rows) == 6 * (len(METHODS) + 1)
    levels = taken(page, "levels at 0.1")
    assert all(f"| {row.title} |" in levels for row in TABLE if row.brake)
    assert len(taken(page, "first levels").splitlines()) == 2 + 3 * len(ACCOUNTS) * len(STRATEGIES)
    assert all(f"{strategy}, {'+'.join(account)}" in levels for strategy in STRATEGIES for account in ACCOUNTS)


def test_a_failed_method_is_shown_as_failed(page: str) -> None:
    """The document hides nothing: each p-value below 5 % is named in the last column of its row."""
    for row in taken(page, "backtests").splitlines()[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        kupiec, ind, cc = (bool(re.match(r"\*\*", cell)) for cell in cells[5:8])
        assert (kupiec, ind, cc) == (
            "Kupiec" in cells[11],
            re.search(r"\bind\b", cells[11]) is not None,
            re.search(r"\bcc\b", cells[11]) is not None,
        )


def test_how_many_runs_ended_how_is_what_the_table_says(page: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in taken(page, "limits in force").splitlines()[2:]]
    ended = [row[7] for row in rows]
    assert f"{ended.count('reduce_only (DRAWDOWN)')} of these {len(rows)} runs ended so." in page
    assert f"{ended.count('reduce_only (DAILY_LOSS)')} of these {len(rows)} runs ended so." in page


def test_a_table_goes_between_its_markers_and_nowhere_else(page: str) -> None:
    changed = put(page, "fits", "| new |")
    assert taken(changed, "fits") == "| new |"
    assert put(changed, "fits", taken(page, "fits")) == page
    assert [name for name in NAMES if not taken(page, name)] == []
    with pytest.raises(ValueError, match="weather"):
        put(page, "weather", "sun")


def test_the_command_puts_its_tables_into_the_page_and_check_only_compares(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "risk.md"
    copy.write_text(page, encoding="utf-8")
    monkeypatch.setattr(risk_study, "PAGE", copy)
    monkeypatch.setattr(risk_study, "var_parts", lambda data: {"fits": "| other |"})
    assert risk_study.main(["--data", str(tmp_path), "--only", "var", "--check"]) == 1
    assert copy.read_text(encoding="utf-8") == page
    assert risk_study.main(["--data", str(tmp_path), "--only", "var"]) == 0
    assert taken(copy.read_text(encoding="utf-8"), "fits") == "| other |"
    assert risk_study.main(["--data", str(tmp_path), "--only", "var", "--check"]) == 0
    assert "CPU seconds" in capsys.readouterr().err
