"""`kedge exchange serve` and `kedge trade` as processes of their own over one state folder, and what the trader leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedge.domain.record import Step
from kedge.storage.journal_reader import SqliteJournalReader

from .commands import environment

WAIT_S = 60.0
END_S = 30.0


class Processes:
    """The processes of one state folder, which end with the test.

    Parameters
    ----------
    configuration : str
        Contents of the configuration file that both are given.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self.state, self._config = folder / "state", folder / "kedge.yaml"
        self._config.write_text(configuration)
        self._running: dict[str, subprocess.Popen[str]] = {}

    def exchange(self, *options: object) -> str:
        """Start the exchange; its address."""
        process = self._start("exchange", "exchange", "serve", "--port", 0, "--json", *options)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=END_S)
        return str(json.loads(line)["url"])

    def trade(self, *options: object) -> None:
        """Start a trader that a test may only watch from outside."""
        self._start("trader", "trade", "--guard", "none", "--json", *options)

    def until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The trader's status, once it is as wanted."""
        begun_s, last = time.monotonic(), {}
        while time.monotonic() - begun_s < WAIT_S:
            if self._running["trader"].poll() is not None:
                raise AssertionError(f"the trader ended: {self._running['trader'].communicate(timeout=END_S)}")
            try:
                last = json.loads((self.state / "trader.json").read_bytes())
            except FileNotFoundError:
                last = {}
            if "funnel" in last and reached(last):
                return last
            time.sleep(0.05)
        raise AssertionError(f"not reached within {WAIT_S:g} s; the last status is {last}")

    def stop_trader(self) -> dict[str, Any]:
        """Stop it as a person would; its last word."""
        process = self._running.pop("trader")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=END_S)
        assert process.returncode == 0, err
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    def steps(self) -> list[Step]:
        """The journal of the only run."""
        (run,) = (self.state / "runs").iterdir()
        with SqliteJournalReader(run / "journal.sqlite") as reader:
            return [record for record in reader.records() if isinstance(record, Step)]

    def end(self) -> None:
        """End whatever still runs."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def _start(self, name: str, *command: object) -> subprocess.Popen[str]:
        whole = [sys.executable, "-m", "kedge.apps.cli", *map(str, command), "--state-dir", str(self.state), "--config", str(self._config)]
        process = self._running[name] = subprocess.Popen(
            whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
        )
        return process


@contextmanager
def processes(folder: Path, configuration: str) -> Iterator[Processes]:
    """Processes that end with the test."""
    made = Processes(folder, configuration)
    try:
        yield made
    finally:
        made.end()
