"""One recorded market at three speeds, by whole processes over sockets: the same trades, to the last unit."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.canonical import encode
from kedge.domain.events import OrderAccepted, OrderFilled
from kedge.domain.record import RunStarted, Step
from kedge.storage.journal_reader import SqliteJournalReader

from .commands import environment, kedge

pytestmark = pytest.mark.slow

BARS = 150
END_S_MAX = 400.0


class Played:
    """A `kedge up` over the file, played to its end, and what its journal holds."""

    def __init__(self, state: Path, file: Path, speed: str) -> None:
        self.state = state
        # fmt: off
        options = [
            "--market", f"replay:{file}", "--speed", speed, "--bars", BARS, "--port", 0, "--state-dir", state, "--json",
            "--strategy", "trend", "--param", "fast=3", "--param", "slow=9",
        ]
        # fmt: on
        command = [sys.executable, "-m", "kedge.apps.cli", "up", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True)

    def end(self) -> dict[str, Any]:
        """The last status."""
        out, err = self.process.communicate(timeout=END_S_MAX)
        assert (self.process.returncode, err) == (0, "")
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    def records(self) -> tuple[RunStarted, list[Step]]:
        """The journal of its only run."""
        (run,) = (self.state / "runs").iterdir()
        with SqliteJournalReader(run / "journal.sqlite") as reader:
            first, *steps = reader.records()
        assert isinstance(first, RunStarted)
        return first, [step for step in steps if isinstance(step, Step)]


def without_names(steps: list[Step], run_id: str) -> list[str]:
    """Events and outputs as text, with the run's name and the ids made from it by their order of appearance.

    An order's acknowledgement is left out: it is an event only where it comes before the trade, and answers and trades come on two
    connections.
    """
    known: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return known.setdefault(found.group(), f"order {len(known)}")

    told = [
        encode({"event": step.event, "outputs": step.outputs}).decode().replace(run_id, "run")
        for step in steps
        if not isinstance(step.event, OrderAccepted)
    ]
    ids = {name for step in steps if (name := getattr(step.event, "client_order_id", ""))}
    pattern = re.compile("|".join(map(re.escape, sorted(ids))))
    return [pattern.sub(number, text) for text in told]


def test_a_recorded_market_gives_the_same_trades_at_every_speed(data_folder: Path, tmp_path: Path) -> None:
    file = data_folder / "ohlcv" / "bybit-linear-BTCUSDT-5m.parquet"
    runs = {speed: Played(tmp_path / speed, file, speed) for speed in ("3000", "9000", "max")}
    try:
        ends = {speed: run.end() for speed, run in runs.items()}
    finally:
        for run in runs.values():
            if run.process.poll() is None:
                run.process.send_signal(signal.SIGTERM)
                run.process.communicate(timeout=60)
    told: dict[str, list[str]] = {}
    for speed, run in runs.items():
        last, (started, steps) = ends[speed], run.records()
        fills = [step.event for step in steps if isinstance(step.event, OrderFilled)]
        assert (last["outcome"], last["phase"], last["bars"]) == ("ended", "ended", BARS)
        assert (last["books_agree"], last["book_differences"], last["source"]) == (True, [], "replay")
        assert len(fills) == last["fills"] >= 10
        assert last["round_trips"] >= 1
        assert started.speed == speed
        told[speed] = without_names(steps, started.run_id)
        assert kedge("replay", started.run_id, "--state-dir", run.state, "--json").json["equal"] is True
        assert kedge("audit", "verify", started.run_id, "--state-dir", run.state, "--json").json["findings"] == []
    assert told["3000"] == told["9000"] == told["max"]
    for figure in ("equity", "wallet", "realised", "fees", "funding_paid", "drawdown", "funnel", "positions"):
        assert ends["3000"][figure] == ends["9000"][figure] == ends["max"][figure], figure
