"""`kedge fill list`: which run, how many, and a form that a shell can cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from kedge.apps.fill import COLUMNS, _draw

from ..services.lineage_world import journal_of, model_run, rule_run, stocked, touch_newest, written
from .market_files import kedge, refused


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """State folder, an older run of a rule, a newer one of a model."""
    state = tmp_path_factory.mktemp("state")
    rule, model = rule_run(state), model_run(state, stocked(state))
    touch_newest(journal_of(state, model), 10**9)
    return state, rule, model


def test_a_pipe_gets_one_line_a_fill_with_the_id_first_and_the_newest_last(runs: tuple[Path, str, str]) -> None:
    state, _, model = runs
    header, *lines = kedge("fill", "list", "--state-dir", state).out.splitlines()
    assert tuple(header.split("\t")) == COLUMNS
    assert len(lines) == 20
    times = [line.split("\t")[1] for line in lines]
    assert times == sorted(times)
    newest = lines[-1].split("\t")[0]
    found = kedge("audit", "trace", newest, "--run", model, "--state-dir", state, "--json").json
    assert (found["root"], found["run_id"]) == (f"fill:{newest}", model)


def test_the_run_written_last_is_meant_unless_another_is_named(runs: tuple[Path, str, str]) -> None:
    state, rule, model = runs
    newest = kedge("fill", "list", "--limit", 3, "--state-dir", state, "--json").json
    assert (newest["schema"], newest["run_id"], len(newest["fills"])) == ("kedge/fills/v1", model, 3)
    assert {"seq", "notional", *COLUMNS} == set(newest["fills"][0])
    assert kedge("fill", "list", rule, "--state-dir", state, "--json").json["run_id"] == rule
    assert kedge("fill", "list", journal_of(state, rule), "--state-dir", state, "--json").json["run_id"] == rule


def test_a_run_without_fills_says_so_to_a_person_and_nothing_to_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, [], "quiet")
    assert kedge("fill", "list", "--state-dir", tmp_path).out == "\t".join(COLUMNS) + "\n"
    assert kedge("fill", "list", "--state-dir", tmp_path, "--json").json["fills"] == []
    _draw(Console(force_terminal=True, no_color=True), "quiet", [])
    assert capsys.readouterr().out == "run quiet has no fills\n"


def test_what_cannot_be_listed_is_refused_with_a_way_out(runs: tuple[Path, str, str], tmp_path: Path) -> None:
    state, _, _ = runs
    assert refused(kedge("fill", "list", "--state-dir", tmp_path, "--json")) == (3, "NOT_FOUND")
    assert refused(kedge("fill", "list", "nowhere", "--state-dir", state, "--json")) == (3, "NOT_FOUND")
    assert refused(kedge("fill", "list", "--limit", 0, "--state-dir", state, "--json")) == (4, "INVALID_INPUT")
    assert "fix    kedge up" in kedge("fill", "list", "--state-dir", tmp_path).err
