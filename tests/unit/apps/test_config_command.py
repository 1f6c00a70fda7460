from __future__ import annotations

import json
from pathlib import Path

import pytest

from kedge.apps.cli import main


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_show_with_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kedge.yaml").write_text("account: alpha\nsecrets:\n  key: env:SECRET\n")
    monkeypatch.setenv("KEDGE_DEMO__SEED", "11")
    monkeypatch.setenv("SECRET", "hunter2hunter2")
    assert main(["config", "show", "--origin", "--profile", "staging", "--json"]) == 0
    out = capsys.readouterr().out
    shown = json.loads(out)
    assert shown["values"]["account"] == "alpha"
    assert shown["origins"]["account"] == "kedge.yaml:1"
    assert shown["origins"]["demo.seed"] == "env KEDGE_DEMO__SEED"
    assert shown["origins"]["profile"] == "flag"
    assert shown["values"]["secrets.key"] == "env:SECRET"
    assert "hunter2" not in out


def test_show_draws_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--origin"]) == 0
    assert "account\tdemo\tdefault" in capsys.readouterr().out.splitlines()


def test_validate_names_the_line_and_the_neighbour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("limits:\n  gross_leverage_mx: 2\n")
    assert main(["config", "validate", "mine.yaml"]) == 4
    err = capsys.readouterr().err
    assert "limits.gross_leverage_mx (mine.yaml:2)" in err
    assert "did you mean limits.gross_leverage_max?" in err


def test_validate_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("wallet: 5000\n")
    assert main(["config", "validate", "mine.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys_given"] == 1
    assert main(["config", "validate", "mine.yaml"]) == 0
    assert capsys.readouterr().out.startswith("ok  mine.yaml")


def test_a_file_that_is_not_there_is_not_found() -> None:
    assert main(["config", "validate", "other.yaml"]) == 3


def test_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    assert "limits" in schema["properties"]


def test_origins_are_shown_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "key\tvalue"
    assert main(["config", "show", "--json"]) == 0
    assert "origins" not in json.loads(capsys.readouterr().out)
