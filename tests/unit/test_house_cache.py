"""`import kedge` names the folder of compiled code, quickly and without importing anything heavy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import kedge

NAMING_S_MAX = 0.05
"""Ten times the five milliseconds it may take, for a busy machine."""


def folder_of(source: Path, **environment: str) -> str:
    code = "import os, kedge; print(os.environ['NUMBA_CACHE_DIR'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(source), **environment}
    )
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path, repository: Path) -> Path:
    shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path / "src"


def test_an_edit_of_a_compiled_source_names_another_folder(copy: Path, tmp_path: Path) -> None:
    place = {"KEDGE_CACHE_DIR": str(tmp_path / "cache")}
    before = folder_of(copy, **place)
    assert before.startswith(f"{tmp_path}/cache/numba/")
    assert folder_of(copy, **place) == before
    for file in ("kernel/__init__.py", "domain/units.py"):
        (copy / "kedge" / file).write_text((copy / "kedge" / file).read_text() + "\nEDITED = 1\n")
        after = folder_of(copy, **place)
        assert after != before
        before = after
    (copy / "kedge/apps/__init__.py").write_text('"""Edited."""\n')
    assert folder_of(copy, **place) == before


def test_the_tree_may_stand_anywhere(copy: Path, repository: Path) -> None:
    place = {"KEDGE_CACHE_DIR": "/c"}
    assert folder_of(copy, **place) == folder_of(repository / "src", **place)


def test_a_folder_named_by_somebody_else_is_not_trusted(copy: Path, tmp_path: Path) -> None:
    assert folder_of(copy, KEDGE_CACHE_DIR=str(tmp_path), NUMBA_CACHE_DIR="/stale") != "/stale"


def test_without_a_wish_it_is_the_users_cache(copy: Path, tmp_path: Path) -> None:
    named = folder_of(copy, XDG_CACHE_HOME=str(tmp_path), LOCALAPPDATA=str(tmp_path), HOME=str(tmp_path))
    assert named.startswith(str(tmp_path))
    assert "kedge" in named


def test_naming_is_quick() -> None:
    begun = time.thread_time()  # no file of the disk is waited for, and what the machine does meanwhile is not ours
    kedge.compiled_cache_folder()
    assert time.thread_time() - begun < NAMING_S_MAX


def test_import_is_light(repository: Path) -> None:
    code = (
        "import sys, kedge; print([n for n in ('numpy', 'numba', 'platformdirs', 'importlib.metadata', 'subprocess') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(repository / "src")}
    )
    assert done.stdout.strip() == "[]"


def test_numba_takes_the_folder_even_when_it_was_imported_first(repository: Path, tmp_path: Path) -> None:
    code = "import numba, kedge, os; print(numba.config.CACHE_DIR == os.environ['NUMBA_CACHE_DIR'])"
    environment = {"PYTHONPATH": str(repository / "src"), "KEDGE_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "True"


def test_a_processor_without_a_description_still_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert kedge._processor()


def test_another_numba_names_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = kedge.compiled_cache_folder()
    for version in (tmp_path / "__init__.py", None):
        spec = None if version is None else ModuleSpec("numba", None, origin=str(version))
        monkeypatch.setattr("importlib.util.find_spec", lambda name, spec=spec: spec)
        assert kedge.compiled_cache_folder() != before


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_each_system_has_its_own_place(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEDGE_CACHE_DIR", raising=False)
    monkeypatch.setattr(kedge.sys, "platform", system)
    assert "kedge" in str(kedge._cache_root()).lower()
