"""What no import contract sees: builtins and methods that would bring IO, a clock or randomness into a pure room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kedge import COMPILED_ROOMS

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
CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}
METHODS = {"now", "utcnow", "today", "default_rng", "seed", "getenv", "tofile", "fromfile", "memmap", "savez", "loadtxt", "genfromtxt"}


def impurities(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in CALLS:
            found.append(f"line {node.lineno}: {called.id}()")
        elif isinstance(called, ast.Attribute) and called.attr in METHODS:
            seeded = called.attr == "default_rng" and (node.args or node.keywords)
            found += [] if seeded else [f"line {node.lineno}: .{called.attr}()"]
    return found


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_are_pure(repository: Path, room: str) -> None:
    files = sorted((repository / "src/kedge" / room).rglob("*.py"))
    assert {str(file): found for file in files if (found := impurities(file.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "line", ["open('x')", "datetime.now()", "np.random.default_rng()", "date.today()", "print(1)", "datetime.now(UTC)"]
)
def test_an_impurity_is_seen(line: str) -> None:
    assert impurities(line)


@pytest.mark.parametrize("line", ["np.random.default_rng(seed)", "reopen()", "clock.now_ns()"])
def test_what_is_pure_passes(line: str) -> None:
    assert impurities(line) == []


def test_compiled_functions_live_in_the_rooms_whose_sources_name_the_cache(repository: Path) -> None:
    package = repository / "src/kedge"
    folders = {file.parent.relative_to(package).as_posix() for file in package.rglob("*.py") if compiles(file.read_text(encoding="utf-8"))}
    assert {"kernel", "risk/var/laws"} <= folders
    assert {folder for folder in folders if not any(f"{folder}/".startswith(f"{room}/") for room in COMPILED_ROOMS)} == set()


def compiles(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if "law" in names or any(name.split(".")[0] == "numba" for name in [module, *names]):
            return True
    return False
