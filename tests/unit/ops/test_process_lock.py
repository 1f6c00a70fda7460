from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from kedge.domain.errors import Conflict
from kedge.ops import process_lock
from kedge.ops.process_lock import ProcessLock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from kedge.ops.process_lock import ProcessLock
with ProcessLock(Path(sys.argv[1]), what="it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "up.lock"
    with ProcessLock(path, what="kedge up"):
        assert holder_of(path) == os.getpid()
        with pytest.raises(Conflict, match=f"kedge up is running already .pid {os.getpid()}"), ProcessLock(path, what="kedge up"):
            pytest.fail("two hold one lock")
        assert holder_of(path) == os.getpid()
    assert holder_of(path) is None
    with ProcessLock(path, what="kedge up"):
        assert holder_of(path) == os.getpid()


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "none.lock") is None


def test_a_killed_holder_lets_go(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "up.lock"
    environment = {"PYTHONPATH": str(repository / "src")}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert holder_of(path) == holder.pid
        with pytest.raises(Conflict, match=f"pid {holder.pid}"), ProcessLock(path, what="it"):
            pytest.fail("two hold one lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert holder_of(path) is None
    assert path.read_text() == str(holder.pid)


def test_a_holder_without_a_name_is_still_a_holder(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    with ProcessLock(path, what="it"):
        path.write_text("")
        assert holder_of(path) == 0


def test_a_lock_that_is_only_asked_about_is_waited_for_longer_than_a_held_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tries = tmp_path / "x.lock", list[float]()
    path.touch()
    asking = os.open(path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)

    def sleep(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == process_lock.TRIES_HELD + 5:
            os.close(asking)

    monkeypatch.setattr(process_lock, "time", SimpleNamespace(sleep=sleep))  # the module's alone: other threads sleep too
    with ProcessLock(path, what="x"):
        assert len(tries) == process_lock.TRIES_HELD + 5
        with pytest.raises(Conflict), ProcessLock(path, what="x"):
            pytest.fail("two hold one lock")
    assert len(tries) == 2 * process_lock.TRIES_HELD + 4


def test_asking_that_never_ends_is_no_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"
    path.touch()
    monkeypatch.setattr(process_lock, "RETRY_S", 0.0)
    with open(path) as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        with pytest.raises(Conflict, match="pid unknown"), ProcessLock(path, what="x"):
            pytest.fail("somebody asks")


def test_asking_for_the_holder_all_the_time_keeps_nobody_from_the_lock(tmp_path: Path) -> None:
    path, over = tmp_path / "x.lock", threading.Event()
    path.touch()

    def keep_asking() -> None:
        while not over.is_set():
            holder_of(path)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for _ in range(50):
            with ProcessLock(path, what="x"):
                pass
    finally:
        over.set()
        asking.join()
