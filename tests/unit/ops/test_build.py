from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import kedge
from kedge.ops import build


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a few small rooms, hashed instead of the real one."""
    root = tmp_path / "kedge"
    for room in ("domain", "engine", "apps"):
        (root / room).mkdir(parents=True)
        (root / room / "one.py").write_text(f"ROOM = {room!r}\n")
    (root / "__init__.py").touch()
    monkeypatch.setattr(build.kedge, "__file__", str(root / "__init__.py"))
    build.code_sha256.cache_clear()
    yield root
    build.code_sha256.cache_clear()


def fresh() -> str:
    build.code_sha256.cache_clear()
    return build.code_sha256()


def test_the_version_is_the_packages() -> None:
    assert build.engine_version() == kedge.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", build.engine_version())


def test_the_hash_is_over_names_and_contents_in_order(copy: Path) -> None:
    expected = hashlib.sha256()
    for name in ("domain/one.py", "engine/one.py"):
        expected.update(name.encode() + b"\0" + (copy / name).read_bytes() + b"\0")
    assert fresh() == expected.hexdigest()


def test_what_can_decide_changes_it_and_nothing_else(copy: Path) -> None:
    before = fresh()
    (copy / "apps" / "one.py").write_text("ROOM = 'other'\n")
    (copy / "engine" / "notes.txt").write_text("not a source")
    assert fresh() == before
    (copy / "engine" / "one.py").write_text("ROOM = 'other'\n")
    changed = fresh()
    (copy / "engine" / "one.py").rename(copy / "engine" / "two.py")
    moved = fresh()
    (copy / "domain" / "deeper").mkdir()
    (copy / "domain" / "deeper" / "three.py").touch()
    assert len({before, changed, moved, fresh()}) == 4


def test_it_is_worked_out_once_and_does_not_depend_on_the_place(copy: Path) -> None:
    first = fresh()
    (copy / "engine" / "one.py").write_text("ROOM = 'later'\n")
    assert build.code_sha256() == first
    shutil.copytree(copy, copy.with_name("elsewhere"))
    build.kedge.__file__ = str(copy.with_name("elsewhere") / "__init__.py")
    there = fresh()
    build.kedge.__file__ = str(copy / "__init__.py")
    assert fresh() == there != first


def test_every_deciding_room_exists() -> None:
    root = Path(kedge.__file__).parent
    assert [room for room in build.DECIDING_ROOMS if not (root / room).is_dir()] == []


SHA, OTHER = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"HEAD": f"{SHA}\n"}, SHA),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{SHA}\n"}, SHA),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": f"# pack\n{OTHER} refs/heads/old\n{SHA} refs/heads/main\n"}, SHA),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": f"{OTHER} refs/heads/old\n"}, None),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": "half"}, None),
        ({"HEAD": "ref: refs/heads/main\n"}, None),
        ({"HEAD": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_the_commit_of_a_checkout_is_read_from_its_files(
    files: dict[str, str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build.kedge, "__file__", str(tmp_path / "src" / "kedge" / "__init__.py"))
    for name, text in files.items():
        (tmp_path / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".git" / name).write_text(text)
    assert build.git_sha() == expected


@pytest.mark.parametrize(("given", "expected"), [(SHA, SHA), (f" {SHA.upper()} ", SHA), ("main", None)])
def test_a_commit_given_by_the_builder_wins_and_a_word_is_none(given: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_GIT_SHA", given)
    assert build.git_sha() == expected
