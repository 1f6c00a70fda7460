"""`make install` says exactly what the system lacks, and the locks are what they claim."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LOCKS = ("runtime", "dev")


def pins(repository: Path, lock: str) -> dict[str, str]:
    text = (repository / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9-]*)==([^ ;\\]+)", text, re.MULTILINE))


def install(folder: Path, repository: Path, *, python: str) -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir()
    shutil.copy(repository / "scripts/venv.sh", folder / "scripts")
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHON": python}
    return subprocess.run(["bash", "scripts/venv.sh", "none.txt"], cwd=folder, capture_output=True, text=True, env=environment, check=False)


def pretend(folder: Path, script: str) -> str:
    fake = folder / "fake-python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return "fake-python"


def test_without_python(tmp_path: Path, repository: Path) -> None:
    done = install(tmp_path, repository, python="no-such-python")
    assert done.returncode == 1
    assert "no Python found" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_python_too_old(tmp_path: Path, repository: Path) -> None:
    old = pretend(tmp_path, '[ "$1" = --version ] && echo "Python 3.9.2" && exit 0; exit 1')
    done = install(tmp_path, repository, python=old)
    assert done.returncode == 1
    assert "this is Python 3.9.2; Kedge needs Python 3.11 or later" in done.stderr


def test_python_without_venv(tmp_path: Path, repository: Path) -> None:
    bare = pretend(tmp_path, f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    done = install(tmp_path, repository, python=bare)
    assert done.returncode == 1
    assert "fix    apt-get install python3-venv\n" in done.stderr


def test_every_line_of_a_lock_is_hashed_and_names_no_place(repository: Path) -> None:
    for lock in LOCKS:
        text = (repository / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        assert not re.search(r"https?:|file:|--(?:extra-)?index|--find-links|@ ", text)
        entries = re.split(r"\n(?=[a-z0-9])", text[text.index("\n", text.rindex("#")) + 1 :])
        assert len(entries) == len(pins(repository, lock)) > 15
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_agree_and_hold_what_is_declared(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, dev = (pins(repository, lock) for lock in LOCKS)
    assert {name: dev.get(name) for name in runtime} == runtime
    groups = project["dependency-groups"]
    wanted = {
        "runtime": project["project"]["dependencies"] + groups["build"] + groups["install"],
        "dev": groups["test"] + groups["check"] + groups["install"],
    }
    for lock, needs in wanted.items():
        names = [re.split(r"[><=\[]", need)[0].lower() for need in needs]
        assert [name for name in names if name not in pins(repository, lock)] == []


def test_the_build_backend_is_locked(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]


def test_each_dependency_says_why(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    lines = [line for line in block.splitlines() if line.startswith('  "')]
    assert len(lines) >= 10
    assert [line for line in lines if not re.search(r"# \w.{20,}", line)] == []


@pytest.mark.parametrize(
    "target", ["install", "up", "test", "check", "bench", "lock", "coverage", "test-unit", "test-integration", "test-engine"]
)
def test_make_knows_its_targets(repository: Path, target: str) -> None:
    text = (repository / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.*## \w", text, re.MULTILINE)
