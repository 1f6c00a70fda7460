"""Where state lies: the short way to the folder answers as the whole configuration does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import InvalidConfig, NotFound
from kedge.ops import folders
from kedge.ops.config import load_config
from kedge.ops.folders import state_folder
from kedge.ops.state_folder import JOURNAL_NAME, journal_path


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without configuration; its working folder."""
    for name in ("KEDGE_CONFIG", "KEDGE_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("given", [None, "/some/where", "~/there", "relative"])
def test_the_flag_and_the_default_are_those_of_the_configuration(quiet: Path, given: str | None) -> None:
    assert state_folder(None, given) == load_config(None, flags={"state_dir": given}).state_folder


def test_no_configuration_is_built_where_nothing_speaks(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kedge.ops.config.load_config", lambda *_, **__: pytest.fail("the whole configuration was built"))
    assert state_folder(None, "/some/where") == Path("/some/where")
    assert state_folder() == folders.default_state_folder()


@pytest.mark.parametrize("speaker", ["variable", "file here", "user's file", "KEDGE_CONFIG", "--config"])
def test_whoever_speaks_is_heard(quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speaker: str) -> None:
    said = {
        "file here": quiet / "kedge.yaml",
        "user's file": tmp_path / "config" / "kedge" / "kedge.yaml",
        "KEDGE_CONFIG": tmp_path / "named.yaml",
        "--config": tmp_path / "named.yaml",
    }.get(speaker)
    if said is None:
        monkeypatch.setenv("KEDGE_STATE_DIR", "/spoken")
    else:
        said.parent.mkdir(parents=True, exist_ok=True)
        said.write_text("state_dir: /spoken\n")
        if speaker == "KEDGE_CONFIG":
            monkeypatch.setenv("KEDGE_CONFIG", str(said))
    config = said if speaker == "--config" else None
    assert state_folder(config) == Path("/spoken")
    assert state_folder(config, "/flag") == Path("/flag"), "a flag wins"


def test_what_the_configuration_refuses_is_refused(quiet: Path) -> None:
    with pytest.raises(InvalidConfig, match="state_dir"):
        state_folder(None, "")
    with pytest.raises(NotFound, match=r"none\.yaml"):
        state_folder(quiet / "none.yaml")
    (quiet / "kedge.yaml").write_text("stat_dir: /typo\n")
    with pytest.raises(InvalidConfig, match="did you mean state_dir"):
        state_folder()


@pytest.mark.parametrize("run", ["r" * 5_000, "**", "../../etc", "[", "\udcff"])
def test_names_that_no_run_can_have_are_not_found(tmp_path: Path, run: str) -> None:
    path = tmp_path / "runs" / "bt-1" / JOURNAL_NAME
    path.parent.mkdir(parents=True)
    path.touch()
    assert journal_path(tmp_path, "bt") == path
    with pytest.raises(NotFound, match="neither a file nor a run"):
        journal_path(tmp_path, run)
