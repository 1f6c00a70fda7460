from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import NotFound
from kedge.ops.state_folder import JOURNAL_NAME, journal_path, keys_folder, run_folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three runs with a journal, one folder without, one run whose id is the beginning of another's."""
    for name in ("bt-aa11", "bt-aa22", "bt-aa", "demo-c3"):
        folder = run_folder(tmp_path, name)
        folder.mkdir(parents=True)
        (folder / JOURNAL_NAME).touch()
    run_folder(tmp_path, "demo-empty").mkdir()
    return tmp_path


def test_the_layout(tmp_path: Path) -> None:
    assert keys_folder(tmp_path) == tmp_path / "keys"
    assert run_folder(tmp_path, "bt-1") == tmp_path / "runs" / "bt-1"


@pytest.mark.parametrize(("typed", "found"), [("bt-aa11", "bt-aa11"), ("bt-aa2", "bt-aa22"), ("d", "demo-c3"), ("bt-aa", "bt-aa")])
def test_a_run_is_found_by_its_id_or_first_letters(state: Path, typed: str, found: str) -> None:
    assert journal_path(state, typed) == state / "runs" / found / JOURNAL_NAME


def test_a_path_wins_over_an_id(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "bt-aa11").mkdir(parents=True)
    (elsewhere / "bt-aa11" / JOURNAL_NAME).touch()
    (elsewhere / "copy.sqlite").touch()
    monkeypatch.chdir(elsewhere)
    assert journal_path(state, "copy.sqlite") == Path("copy.sqlite")
    assert journal_path(state, "bt-aa11") == Path("bt-aa11") / JOURNAL_NAME


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("bt-aa1x", "neither a file nor a run"),
        ("bt-", "3 runs begin so: bt-aa, bt-aa11, bt-aa22"),
        ("demo-empty", "neither a file nor a run"),
        ("../runs/bt-aa1", "neither a file nor a run"),
    ],
)
def test_none_or_several_are_not_found(state: Path, typed: str, why: str) -> None:
    with pytest.raises(NotFound) as told:
        journal_path(state, typed)
    assert why in told.value.why
    assert repr(typed) in told.value.what


def test_a_state_folder_without_runs_has_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither a file nor a run"):
        journal_path(tmp_path / "none", "bt-1")
