"""The documents agree with the code: generated pages, links, commands, and words that do not belong."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from scripts import docs

from kedge.apps.cli import app_of, find
from kedge.apps.commands import COMMANDS, NOUNS, Command
from kedge.apps.exit_codes import MEANINGS
from kedge.ops.config import known_keys

# Spelled in pieces, so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "|".join(["/" + "work/", "/" + "home/", "/" + "Users/", "/" + "root/", "as an " + "AI", "language " + "model", "pypi" + r"\.org"])
)
MARKS = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b", "lorem " + "ipsum"]))
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".sh", ".yaml", ".yml", ".json", ""}


def pages(repository: Path) -> list[Path]:
    return [repository / "README.md", repository / "CHANGELOG.md", *sorted((repository / "docs").rglob("*.md"))]


def files(repository: Path) -> list[Path]:
    folders = ("src", "tests", "scripts", "docs", "benchmarks", "requirements", ".ci")
    inside = [path for folder in folders for path in sorted((repository / folder).rglob("*")) if path.is_file()]
    named = [repository / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")]
    skipped = ("__pycache__", ".egg-info")
    return [path for path in named + inside if path.suffix in TEXT_SUFFIXES and not any(part in str(path) for part in skipped)]


@pytest.mark.parametrize("page", docs.PAGES)
def test_generated_pages_are_fresh(repository: Path, page: str) -> None:
    assert (repository / page).read_text(encoding="utf-8") == docs.PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_is_in_the_reference(repository: Path, command: Command) -> None:
    text = (repository / "docs/cli.md").read_text(encoding="utf-8")
    section = text.split(f"## kedge {command.name}\n", 1)[1].split("\n## ", 1)[0]
    names = [name for argument in app_of(command).assemble_argument_collection(parse_docstring=True) for name in argument.names]
    assert [name for name in names if f"`{name}`" not in section] == []
    undescribed = re.findall(r"^\| `[^|]*\| [^|]*\|\s*\|$", section, re.MULTILINE)
    assert undescribed == []


def test_every_exit_code_is_in_the_reference(repository: Path) -> None:
    text = (repository / "docs/cli.md").read_text(encoding="utf-8")
    assert [code for code in MEANINGS if f"| {code} |" not in text] == []


def test_every_configuration_key_is_in_the_reference(repository: Path) -> None:
    text = (repository / "docs/configuration.md").read_text(encoding="utf-8")
    assert [key for path in known_keys() if f"| `{(key := '.'.join(path))}" not in text] == []


def test_internal_links_lead_somewhere(repository: Path) -> None:
    broken = []
    for page in pages(repository):
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_commands_in_the_documents_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    unknown = []
    for page in pages(repository):
        text = page.read_text(encoding="utf-8")
        for typed in re.findall(r"(?:`|^(?:\$ )?)((?:kedge|make) [a-z][^`\n#]*)", text, re.MULTILINE):
            if not _exists(shlex.split(typed.split("|")[0]), targets):
                unknown.append(f"{page.name}: {typed}")
    assert unknown == []


def _exists(words: list[str], targets: set[str]) -> bool:
    if words[0] == "make":
        return words[1] in targets
    if len(words) == 2 and words[1] in NOUNS:
        return True
    try:
        find(words[1:])
    except Exception:
        return False
    return True


def test_no_file_names_a_machine_or_a_helper(repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:80]}"
        for path in files(repository)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FOREIGN.search(line) or (path.suffix == ".py" and MARKS.search(line))
    ]
    assert found == []


def test_the_adrs_are_numbered_without_holes(repository: Path) -> None:
    numbers = sorted(int(path.name[:4]) for path in (repository / "docs/adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_scripts_are_sound_bash(repository: Path) -> None:
    for script in (".ci/run", "scripts/venv.sh"):
        text = (repository / script).read_text(encoding="utf-8")
        assert "set -euo pipefail" in text
        assert (repository / script).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", script], cwd=repository, check=True)


@pytest.mark.parametrize(("covered", "code"), [(86, 0), (84, 1)])
def test_the_coverage_floor_can_fail(covered: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from scripts.coverage_floor import main

    full = {"covered_branches": 10, "num_branches": 10, "covered_lines": 10, "num_statements": 10}
    partly = {"covered_branches": covered, "num_branches": 100, "covered_lines": 100, "num_statements": 100}
    plain = {"covered_branches": 0, "num_branches": 0, "covered_lines": 9, "num_statements": 9}
    summaries = {"src/kedge/risk/a.py": full, "src/kedge/kernel/b.py": partly, "src/kedge/__init__.py": plain}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": {name: {"summary": counts} for name, counts in summaries.items()}}))
    assert main(str(report)) == code
    assert ("kernel" in capsys.readouterr().out.splitlines()[-1]) is bool(code)
    report.write_text('{"files": {}}')
    assert main(str(report)) == 1
