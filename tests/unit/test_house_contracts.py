"""The floors of the house hold, and the contracts that hold them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PURE = (
    "domain",
    "kernel",
    "market",
    "journal",
    "simulation",
    "learning",
    "risk",
    "measures",
    "strategy",
    "governance",
    "engine",
    "research",
)
MUST_BAN = {"asyncio", "socket", "threading", "time", "random", "os", "pathlib", "sqlite3", "subprocess", "http", "urllib", "httpx"}
PROBE = "_probe_of_the_contract.py"


def contracts(repository: Path) -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return {contract["id"]: contract for contract in settings["contracts"]}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def copy(tmp_path: Path, repository: Path) -> Path:
    shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_holds(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("domain", "from kedge.risk import limits"),
        ("risk", "from kedge.learning import features"),
        ("kernel", "import time"),
        ("engine", "def late():\n    import socket"),
        ("strategy", "from os import path"),
    ],
)
def test_a_wrong_import_breaks_a_contract(copy: Path, room: str, text: str) -> None:
    (copy / "src/kedge" / room / PROBE).write_text(text + "\n")
    done = lint(copy)
    assert done.returncode != 0
    assert PROBE.removesuffix(".py") in done.stdout


def test_an_indirect_import_breaks_a_contract(copy: Path) -> None:
    (copy / "src/kedge/domain" / PROBE).write_text("import random\n")
    (copy / "src/kedge/engine/_caller.py").write_text(f"from kedge.domain import {PROBE.removesuffix('.py')}\n")
    done = lint(copy)
    assert done.returncode != 0
    assert "kedge.engine" in done.stdout


def test_a_new_room_must_choose_its_floor(copy: Path) -> None:
    (copy / "src/kedge/attic").mkdir()
    (copy / "src/kedge/attic/__init__.py").write_text("")
    done = lint(copy)
    assert done.returncode != 0
    assert "attic" in done.stdout + done.stderr


def test_every_pure_room_that_exists_is_held_pure(repository: Path) -> None:
    here = {f"kedge.{room}" for room in PURE if (repository / "src/kedge" / room / "__init__.py").exists()}
    assert set(contracts(repository)["pure"]["source_modules"]) == here
    assert set(contracts(repository)["pure"]["forbidden_modules"]) >= MUST_BAN


def test_a_room_that_exists_is_no_longer_optional(repository: Path) -> None:
    for layer in contracts(repository)["floors"]["layers"]:
        for entry in layer.split("|"):
            room = entry.strip().strip("()")
            exists = (repository / "src/kedge" / room / "__init__.py").exists()
            assert entry.strip().startswith("(") is not exists, f"{room}: the parentheses are for rooms that do not exist yet"
