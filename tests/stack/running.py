"""Starts what the pages show: the whole system, or a server over a journal that a real run left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.integration.commands import WIDE, environment, spawn

READY_S_MAX = 240.0
"""A first start trains a model and compiles the laws, on a machine that may be busy."""
END_S_MAX = 60.0
SPEED = 600
SEED = 7


class Running:
    """A system or a server of ours: where it answers, and which processes it is."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
        self.process, self.folder, self._log = process, folder, log
        self.url = ""

    def child(self, name: str) -> int:
        """The process id of a supervised part that this test started."""
        children = json.loads((self.folder / "supervisor.json").read_text())["children"]
        return int(next(row["pid"] for row in children if row["name"] == name))

    def get(self, path: str) -> Any:
        """An answer of the API."""
        with urllib.request.urlopen(f"{self.url}/api/v1{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, document: Any) -> Any:
        """An answer of the API to a document, sent by nobody in particular."""
        body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.url}/api/v1{path}", body, headers)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)

    def until(self, holds: Callable[[], Any], what: str, seconds: float = READY_S_MAX) -> Any:
        """Wait until something is there; fail with the log when it does not come or the process is gone."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, KeyError, StopIteration):
                if found := holds():
                    return found
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.said}"
            time.sleep(0.1)
        raise AssertionError(f"{what} did not come within {seconds:g} s: {self.said}")

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def started(folder: Path, *arguments: object) -> Iterator[Running]:
    log = folder / "said.log"
    command = [sys.executable, "-m", "kedge.apps.cli", *map(str, arguments), "--state-dir", str(folder), "--json"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    running = Running(process, folder, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


@contextlib.contextmanager
def system(folder: Path) -> Iterator[Running]:
    """`kedge up` on ports of its own, once its model has made it trade."""
    with started(folder, "up", "--port", 0, "--speed", SPEED, "--seed", SEED) as running:
        address = running.until(lambda: json.loads((folder / "server.json").read_text())["url"], "the server")
        running.url = str(address)
        running.until(lambda: running.get("/fills?limit=1")["items"], "the first fill")
        yield running


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Running]:
    """`kedge serve` over a state folder, once it has read the whole journal."""
    with started(folder, "serve", "--port", 0) as running:
        running.url = str(running.until(lambda: json.loads((folder / "server.json").read_text())["url"], "the server"))
        running.until(lambda: running.get("/overview")["following"]["state"] == "ended", "the end of the journal")
        yield running


def crowded_journal(folder: Path) -> None:
    """A run that trades all the time under wide limits: thousands of orders, decisions and fills, journalled as ever."""
    config = folder / "kedge.yaml"
    config.write_text(WIDE, encoding="utf-8")
    done = spawn(
        *("demo", "--speed", "max", "--bars", 20_000, "--strategy", "trend", "--param", "fast=2", "--param", "slow=3"),
        *("--state-dir", folder, "--config", config, "--json"),
    )
    assert done.code == 0, done.err
    assert done.json["fills"] >= 5_000, done.json["funnel"]
