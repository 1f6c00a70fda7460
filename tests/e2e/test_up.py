"""`kedge up` as a person runs it: in a terminal at its default speed, watched from outside, asked at the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.domain.events import CommandGiven
from kedge.domain.record import Step
from kedge.storage.journal_reader import SqliteJournalReader

from ..integration.commands import kedge, spawn
from .test_demo import Terminal, status, until

pytestmark = pytest.mark.slow

READY_S_MAX = 120.0
TRADED_S_MAX = 240.0
"""Twice what is promised, for machines that are busy with other tests."""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The command of the README, on a free port."""
    found = Terminal("up", "--port", "0", "--state-dir", tmp_path)
    yield found
    found.close()


def test_a_person_sees_it_ready_trading_and_is_asked_before_it_stops(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    until(lambda: "ready after " in terminal.text, READY_S_MAX, terminal.process)
    ready_s = time.monotonic() - began
    second = spawn("up", "--port", "0", "--state-dir", tmp_path, "--json")
    assert (second.code, second.json["code"]) == (6, "CONFLICT")
    until(lambda: status(tmp_path).get("fills", 0) >= 10 and status(tmp_path)["round_trips"] >= 1, TRADED_S_MAX, terminal.process)
    with capsys.disabled():
        print(f"\n  kedge up: ready after {ready_s:.1f} s, ten fills and a round trip after {time.monotonic() - began:.1f} s")
    live = status(tmp_path)
    assert (live["running"], live["stale"], live["guard"], live["mode"]) == (True, False, "guard", "paper")
    for words in (
        "PAPER · SYNTHETIC",
        "equity: ",
        "risk state: running",
        "Funnel",
        "Ctrl-C stops",
        "health http://127.0.0.1:",
        "exchange ready",
    ):
        assert words in terminal.text
    until(lambda: bool(status(tmp_path)["positions"]), TRADED_S_MAX, terminal.process)
    terminal.process.send_signal(signal.SIGINT)
    until(lambda: "[f]latten, [l]eave" in terminal.text, 30, terminal.process)
    terminal.type("f\n")
    assert terminal.process.wait(90) == 0
    terminal.drained()
    assert "flat" in terminal.text
    assert f"kedge replay {live['run_id']}" in terminal.text
    last = status(tmp_path)
    assert (last["running"], last["positions"], last["live_orders"]) == (False, [], [])
    replay = kedge("replay", live["run_id"], "--state-dir", tmp_path, "--json")
    assert (replay.json["equal"], replay.json["equity"]) == (True, last["equity"])
    with SqliteJournalReader(tmp_path / "runs" / live["run_id"] / "journal.sqlite") as journal:
        given = [one.event.reason for one in journal.records() if isinstance(one, Step) and isinstance(one.event, CommandGiven)]
    assert "kedge up: flatten before the stop" in given
    assert (live["strategy"], live["model_version"]) == ("model", "demo-synthetic-1m/1")
    assert live["predictions"] > 0
    assert not os.path.exists(tmp_path / "exchange.json")
