"""The whole system as processes: ready, trading, killed and back, stopped, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kedge.ops.health_file import is_alive

from .commands import environment, kedge

pytestmark = pytest.mark.slow

READY_S_MAX = 120.0
QUICK = ("--strategy", "trend", "--param", "fast=3", "--param", "slow=9")


class System:
    """A `kedge up` in a process of its own, looked at from outside."""

    def __init__(self, state: Path, *arguments: object, strategy: Sequence[str] = QUICK) -> None:
        self.state = state
        command = [sys.executable, "-m", "kedge.apps.cli", "up", "--port", "0", "--state-dir", str(state), *strategy, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True, text=True
        )
        self.pids: set[int] = set()

    def file(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            found = json.loads((self.state / f"{name}.json").read_text())
            assert isinstance(found, dict)
            return found
        return {}

    def child(self, name: str) -> dict[str, Any]:
        return next((row for row in self.file("supervisor").get("children", []) if row["name"] == name), {"state": "", "pid": None})

    def until(self, reached: Callable[[], bool], seconds: float = READY_S_MAX) -> None:
        """Wait for something; a figure that a process has not said yet is not reached either."""

        def is_reached() -> bool:
            with contextlib.suppress(KeyError):
                return reached()
            return False

        began = time.monotonic()
        while not is_reached():
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate())
            assert time.monotonic() - began < seconds, (self.file("supervisor"), self.file("trader"))
            self.pids |= {row["pid"] for row in self.file("supervisor").get("children", []) if row["pid"]}
            time.sleep(0.05)

    def health(self, page: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(self.file("server")["url"] + page, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (OSError, KeyError):
            return 0, {}

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        deadline = time.monotonic() + 30
        while any(is_alive(pid) for pid in self.pids) and time.monotonic() < deadline:
            time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    begun: list[System] = []

    def make(*arguments: object) -> System:
        begun.append(System(tmp_path / "state", *arguments))
        return begun[-1]

    yield make
    for system in begun:
        system.end()


def books_agree(system: System, run_id: str) -> dict[str, Any]:
    """The journal holds, replays to the byte, and the trader's last comparison with the exchange found nothing."""
    audit = kedge("audit", "verify", run_id, "--state-dir", system.state, "--json")
    assert [finding for finding in audit.json["findings"] if finding["kind"] != "crash"] == []
    replay = kedge("replay", run_id, "--state-dir", system.state, "--json").json
    assert replay["equal"]
    trader = system.file("trader")
    assert (trader["books_agree"], trader["book_differences"], trader["differences"]) == (True, [], 0)
    assert trader["equity"] == replay["equity"]
    return trader


def test_it_becomes_ready_trades_ends_with_its_market_and_leaves_nothing(start: Callable[..., System]) -> None:
    system = start("--speed", "1200", "--bars", "240", "--json")
    system.until(lambda: system.health("/health/ready")[0] == 200)
    status, health = system.health("/health")
    assert (status, health["status"], health["services"]["guard"], health["services"]["supervisor"]) == (200, "ok", "ok", "ok")
    assert "equity" not in json.dumps(health)
    out, err = system.process.communicate(timeout=120)
    assert (system.process.returncode, err) == (0, "")
    last = json.loads(out)
    assert (last["outcome"], last["phase"], last["bars"]) == ("ended", "ended", 480)
    assert last["fills"] >= 10
    assert last["round_trips"] >= 1
    assert (system.state / "runs" / last["run_id"] / "journal.sqlite.seal").exists()
    books_agree(system, last["run_id"])
    assert not any(is_alive(pid) for pid in system.pids)
    secrets = [key["api_secret"] for key in json.loads((system.state / "paper" / "keys.json").read_text())["keys"]]
    secrets += [(system.state / "guard" / name).read_text().strip() for name in ("operator.token", "permit.key")]
    kept = ("keys.json", "operator.token", "permit.key")
    written = [path for path in system.state.rglob("*") if path.is_file() and path.name not in kept]
    assert [path.name for path in written if any(secret.encode() in path.read_bytes() for secret in secrets)] == []


def test_a_trader_killed_with_9_comes_back_to_equal_books(start: Callable[..., System]) -> None:
    system = start("--speed", "600", "--bars", "600")
    seen: list[int] = []
    for wanted in (4, 10):
        system.until(lambda wanted=wanted: system.file("trader").get("fills", 0) >= wanted and system.child("trader")["state"] == "ready")
        pid = system.child("trader")["pid"]
        fills = system.file("trader")["fills"]
        os.kill(pid, signal.SIGKILL)
        seen.append(pid)
        system.until(
            lambda pid=pid: system.child("trader")["pid"] not in (None, pid) and system.file("trader").get("pid") not in (pid, None)
        )
        system.until(lambda fills=fills: system.file("trader").get("fills", 0) > fills)
    assert len(set(seen)) == 2
    assert system.child("trader")["restarts"] == 2
    system.process.send_signal(signal.SIGTERM)
    system.process.communicate(timeout=60)
    assert system.process.returncode == 0
    assert len(list((system.state / "runs").iterdir())) == 1
    books_agree(system, system.file("trader")["run_id"])


def test_a_killed_exchange_is_another_market_and_another_run(start: Callable[..., System]) -> None:
    system = start("--speed", "600", "--bars", "600")
    system.until(lambda: system.file("trader").get("bars", 0) > 20)
    first = system.file("trader")["run_id"]
    os.kill(system.child("exchange")["pid"], signal.SIGKILL)
    system.until(lambda: system.file("trader").get("run_id") not in ("", first) and system.file("trader").get("bars", 0) > 20)
    assert system.child("exchange")["restarts"] == 1
    system.process.send_signal(signal.SIGINT)
    system.process.communicate(timeout=60)
    assert system.process.returncode == 0
    books_agree(system, system.file("trader")["run_id"])


def test_a_killed_supervisor_leaves_no_orphans_and_the_next_one_starts(start: Callable[..., System]) -> None:
    system = start("--speed", "600", "--bars", "600")
    system.until(lambda: system.file("trader").get("bars", 0) > 10)
    system.process.kill()
    system.process.communicate()
    deadline = time.monotonic() + 30
    while any(is_alive(pid) for pid in system.pids):
        assert time.monotonic() < deadline, "orphans"
        time.sleep(0.05)
    again = start("--speed", "1200", "--bars", "20", "--json")
    out, _ = again.process.communicate(timeout=120)
    assert json.loads(out)["outcome"] == "ended"


def test_a_halt_reaches_the_trader_and_a_resume_too(start: Callable[..., System]) -> None:
    system = start("--speed", "600", "--bars", "2000")
    system.until(lambda: system.file("trader").get("bars", 0) > 10)
    assert kedge("halt", "--reason", "drill", "--state-dir", system.state).code == 0
    system.until(lambda: system.file("trader").get("risk_state") == "halted")
    assert kedge("resume", "--reason", "drill over", "--state-dir", system.state).code == 0
    system.until(lambda: system.file("trader").get("risk_state") == "running")
    shown = kedge("system", "status", "--state-dir", system.state, "--json")
    assert {row["name"]: row["state"] for row in shown.json["processes"]} == dict.fromkeys(
        ("exchange", "guard", "trader", "server"), "ready"
    )
    assert kedge("status", "--state-dir", system.state, "--json").json["running"] is True
