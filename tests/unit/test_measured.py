"""What coverage counts where all tests run at once: the quick unit tests, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = "from tests.measured import pytest_runtest_setup\n"
SOURCE = "\n".join(f"def {name}():\n    return '{name}'\n" for name in ("quick", "slow", "whole", "law", "last", "at_the_end", "nobody"))
TESTS = {
    "tests/integration/test_first.py": "import source\ndef test_it(): assert source.whole()\ndef test_more(): assert source.whole()\n",
    "tests/property/test_law.py": "import source\ndef test_it(): assert source.law()\n",
    "tests/unit/test_it.py": """
import pytest, source

@pytest.fixture(scope="module")
def slowly():
    yield source.slow()

def test_quick(): assert source.quick()

@pytest.mark.slow
def test_slow(slowly): assert slowly

def test_last(): assert source.last()
""",
    "tests/unit/test_slow.py": "import pytest, source\n@pytest.mark.slow\ndef test_it(): assert source.at_the_end()\n",
}


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "worker"])
def test_what_slow_and_whole_tests_reach_is_not_counted(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "source.py").write_text(SOURCE)
    for name, text in TESTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_cov", *workers, "--rootdir", str(tmp_path)]
    measured = ["-c", "/dev/null", "--import-mode=importlib", "--cov=source", "--cov-report=json:found.json", "tests"]
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": os.defpath, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([*command, *measured], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    functions = json.loads((tmp_path / "found.json").read_text())["files"]["source.py"]["functions"]
    reached = {name for name, one in functions.items() if name and one["summary"]["covered_lines"]}
    assert reached == {"quick", "last"}
