"""Failures while the process stood still: asked once more and named; every other failure stands."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.standstill import GAP_S, LOOK_S, Watch

STOPPED = """
import subprocess, time
from pathlib import Path

def stand_still():
    # a shell that we started stops us, its parent, and wakes us again
    subprocess.run(["sh", "-c", "kill -STOP $PPID; sleep 0.7; kill -CONT $PPID"], check=True)
"""

CONFTEST = """
from tests.standstill import pytest_report_teststatus, pytest_runtest_protocol, pytest_terminal_summary
"""


def ran(folder: Path, text: str, *options: str) -> tuple[int, str]:
    """Run a file of tests in a pytest of its own; returns its exit code and what it printed."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(STOPPED + text)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", "/dev/null", *options, "."]
    env = {"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=env)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")])
def test_a_failure_while_the_process_stood_still_is_asked_again_and_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, text = ran(tmp_path, """
def test_late(request):
    if not Path("first").exists():
        Path("first").touch()
        stand_still()
        assert "the deadline" == "kept"

def test_after():
    pass
""", *options)  # fmt: skip
    assert code == 0, text
    assert "2 passed" in text
    assert "1 again" in text
    assert "test_it.py::test_late (call, 0." in text
    assert "assert 'the deadline' == 'kept'" in text


def test_a_failure_that_comes_again_fails(tmp_path: Path) -> None:
    code, text = ran(tmp_path, """
def test_late():
    stand_still()
    raise ValueError("really late")
""")  # fmt: skip
    assert code == 1, text
    assert "1 failed, 1 again" in text


def test_a_deadline_of_the_brake_is_asked_once(tmp_path: Path) -> None:
    code, text = ran(tmp_path, """
import pytest

@pytest.mark.once
def test_flat_in_time():
    stand_still()
    with Path("runs").open("a") as file:
        file.write("one ")
    raise ValueError("late")
""")  # fmt: skip
    assert code == 1, text
    assert (tmp_path / "runs").read_text() == "one "


def test_a_failure_of_a_process_that_ran_is_not_asked_again(tmp_path: Path) -> None:
    code, text = ran(tmp_path, """
def test_wrong():
    time.sleep(0.5)
    with Path("runs").open("a") as file:
        file.write("one ")
    raise ValueError("wrong")
""")  # fmt: skip
    assert code == 1, text
    assert (tmp_path / "runs").read_text() == "one "


def test_a_shared_fixture_that_failed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    code, text = ran(tmp_path, """
import pytest

@pytest.fixture(scope="module")
def server():
    if not Path("first").exists():
        Path("first").touch()
        stand_still()
        raise ValueError("no answer")
    yield 8080
    Path("closed").touch()

def test_one(server):
    assert server == 8080

def test_two(server):
    assert server == 8080
""")  # fmt: skip
    assert code == 0, text
    assert "2 passed, 1 again" in text
    assert "(setup, 0." in text
    assert (tmp_path / "closed").exists()


def test_what_a_broken_off_test_left_open_fails_no_other(tmp_path: Path) -> None:
    code, text = ran(tmp_path, """
import gc, socket

class Held:
    def __init__(self):
        self.itself, self.open = self, socket.socket()

def test_late():
    held = Held()
    if not Path("first").exists():
        Path("first").touch()
        stand_still()
        assert not held
    held.open.close()

def test_after():
    gc.collect()
""", "-W", "error")  # fmt: skip
    assert code == 0, text
    assert "2 passed, 1 again" in text


def test_a_sleep_that_a_test_replaced_is_not_the_watch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(time, "sleep", lambda _: asked.append(threading.current_thread().name))
    threading.Event().wait(4 * LOOK_S)
    assert "standstill" in {thread.name for thread in threading.enumerate()}
    assert "standstill" not in asked


def test_a_late_look_counts_less_what_was_slept_and_worked() -> None:
    clocks = {"seen": 100.0, "worked": 5.0}
    watch = Watch(lambda: clocks["seen"], lambda: clocks["worked"])
    for passed_s, worked_s, still_s in (
        (LOOK_S, 0.0, 0.0),
        (LOOK_S + 0.9 * GAP_S, 0.0, 0.0),  # no more than a turn late
        (LOOK_S + 2.0, 2.0, 0.0),  # at work, however long
        (LOOK_S + 2.0, 3.5, 0.0),  # on two cores
        (LOOK_S + 2.0, 0.5, 1.5),
        (LOOK_S + 2.0, 0.0, 3.5),
    ):
        clocks["seen"] += passed_s
        clocks["worked"] += worked_s
        watch.look()
        assert watch.still_s == pytest.approx(still_s)
