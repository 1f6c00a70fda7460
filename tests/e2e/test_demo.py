"""`kedge demo` as a person runs it: in a terminal and in a pipe, watched from outside, stopped kindly and unkindly."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kedge.domain.errors import Conflict
from kedge.storage import SqliteJournal, load_or_create_key

from ..integration.commands import Answer, environment, kedge, spawn

FIRST_FILL_S_MAX = 60.0
QUICK = ("--speed", "60000", "--param", "fast=3", "--param", "slow=9")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """A `kedge` in a terminal of its own; what it draws is collected by a thread, so that it never waits for us."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 160, 0, 0))
        self.process = _start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm-256color"))
        os.close(theirs)
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            while chunk := os.read(self._ours, 65_536):
                self._chunks.append(chunk)

    @property
    def text(self) -> str:
        return ESCAPES.sub("", b"".join(self._chunks).decode(errors="replace"))

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self._ours, text.encode())

    def drained(self) -> None:
        """Wait until all that it drew has been read; it has ended."""
        self._reader.join(5)

    def close(self) -> None:
        _end(self.process)
        self._reader.join(5)
        os.close(self._ours)


def _start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "kedge.apps.cli", *map(str, arguments)], start_new_session=True, **options)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(10)


def until(reached: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes]) -> float:
    """Wait for something to be true while the process lives; the seconds it took."""
    began = time.monotonic()
    while not reached():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - began


def status(state: Path) -> dict[str, Any]:
    """What `kedge status --json` says, {} while nothing has run."""
    answer = kedge("status", "--state-dir", state, "--json")
    return answer.json if answer.code == 0 else {}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """At its default speed."""
    found = Terminal("demo", "--state-dir", tmp_path)
    yield found
    found.close()


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = _start("demo", *QUICK, "--state-dir", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    yield process
    _end(process)
    process.communicate()


def checked(state: Path, run_id: str) -> tuple[Answer, Answer]:
    return kedge("audit", "verify", run_id, "--state-dir", state, "--json"), kedge("replay", run_id, "--state-dir", state, "--json")


def test_a_person_watches_it_trade_and_stops_it(terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    took_s = until(lambda: status(tmp_path).get("fills", 0) > 0, FIRST_FILL_S_MAX, terminal.process)
    with capsys.disabled():
        print(f"\n  kedge demo: first fill after {took_s:.1f} s")
    live = status(tmp_path)
    assert (live["running"], live["stale"], live["mode"], live["source"]) == (True, False, "demo", "synthetic")
    assert {"fills", "round_trips", "equity", "drawdown", "funnel", "positions", "orders", "bars"} <= set(live)
    assert live["funnel"]["filled"] == live["fills"]
    _others_are_turned_away(tmp_path, terminal.process.pid, live["run_id"])
    until(lambda: live["run_id"] in terminal.text and "Last decisions" in terminal.text, 10, terminal.process)
    shown = terminal.text
    for words in (
        "DEMO · SYNTHETIC",
        "equity: ",
        "drawdown: ",
        "risk state: running",
        "Positions (",
        "Orders (",
        "Funnel",
        "signals",
        "sent",
        "Ctrl-C stops",
    ):
        assert words in shown
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(20) == 0
    terminal.drained()
    assert f"kedge replay {live['run_id']}" in terminal.text
    _sealed_and_equal(tmp_path, live["run_id"], "STOPPED_BY_SIGINT")


def _others_are_turned_away(state: Path, pid: int, run_id: str) -> None:
    second = spawn("demo", "--state-dir", state, "--bars", "5", "--json")
    assert (second.code, second.json["code"]) == (6, "CONFLICT")
    assert str(pid) in second.json["title"]
    assert second.json["fix"]
    with pytest.raises(Conflict, match=f"process {pid}"):
        SqliteJournal(state / "runs" / run_id / "journal.sqlite", signer=load_or_create_key(state / "keys"), source="intruder")


def _sealed_and_equal(state: Path, run_id: str, reason: str) -> None:
    folder = state / "runs" / run_id
    assert (folder / "journal.sqlite.seal").is_file()
    audit, replay = checked(state, run_id)
    assert (audit.code, audit.json["ok"], audit.json["findings"]) == (0, True, [])
    assert (replay.code, replay.json["equal"]) == (0, True)
    last = status(state)
    assert (last["running"], last["equity"], last["run_id"]) == (False, replay.json["equity"], run_id)
    assert reason.encode() in (folder / "journal.sqlite").read_bytes()


def test_in_a_pipe_it_prints_plain_lines_and_a_polite_kill_ends_it_cleanly(piped: subprocess.Popen[bytes], tmp_path: Path):
    until(lambda: status(tmp_path).get("round_trips", 0) > 0, 40, piped)
    run_id = status(tmp_path)["run_id"]
    piped.send_signal(signal.SIGTERM)
    out, err = piped.communicate(timeout=20)
    assert piped.returncode == 0
    assert err == b""
    text = out.decode()
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if line.startswith("DEMO · SYNTHETIC")]
    assert len(lines) >= 2
    for words in (run_id, "equity ", "drawdown ", "filled ", "round trips ", " state "):
        assert words in lines[-1]
    assert "stopped: " in text
    _sealed_and_equal(tmp_path, run_id, "STOPPED_BY_SIGTERM")


def test_after_kill_9_nothing_that_was_told_is_lost_and_the_next_one_starts(piped: subprocess.Popen[bytes], tmp_path: Path):
    until(lambda: status(tmp_path).get("fills", 0) > 2, 40, piped)
    before = status(tmp_path)
    piped.kill()
    piped.wait(10)
    dead = status(tmp_path)
    assert (dead["running"], dead["stale"]) == (False, True)
    audit, replay = checked(tmp_path, before["run_id"])
    assert (replay.code, replay.json["equal"]) == (0, True)
    assert replay.json["records"] >= before["bars"]
    assert [f for f in audit.json["findings"] if f["kind"] != "crash"] == []
    again = kedge("demo", "--speed", "max", "--bars", "300", "--state-dir", tmp_path, "--json")
    assert again.code == 0
    assert again.json["run_id"] != before["run_id"]
    assert checked(tmp_path, again.json["run_id"])[0].json["ok"]
    assert (tmp_path / "runs" / before["run_id"] / "journal.sqlite").is_file()


def test_recorded_bars_play_through_the_same_command(data_folder: Path, tmp_path: Path):
    source = data_folder / "ohlcv" / "bybit-linear-BTCUSDT-5m.parquet"
    answer = spawn("demo", "--market", f"replay:{source}", "--bars", "500", "--speed", "max", "--state-dir", tmp_path, "--json")
    assert answer.code == 0
    shown = answer.json
    assert (shown["bars"], shown["source"], shown["mode"]) == (500, "replay", "demo")
    assert shown["fills"] > 0
    last = pl.read_parquet(source)["ts"][499] + 300_000
    assert shown["venue_time"] == str(pl.Series([last]).cast(pl.Datetime("ms"))[0])
    audit, replay = checked(tmp_path, shown["run_id"])
    assert (audit.json["ok"], replay.json["equal"]) == (True, True)


def test_a_backtest_of_the_same_bars_gives_the_same_equity(data_folder: Path, tmp_path: Path):
    """Demo and backtest are one engine: only pace and view differ."""
    path = tmp_path / "bybit-linear-ETHUSDT-1h.parquet"
    pl.read_parquet(data_folder / "ohlcv" / path.name).head(900).write_parquet(path)
    demo = kedge("demo", "--market", f"replay:{path}", "--speed", "max", "--state-dir", tmp_path / "a", "--json")
    test = kedge("backtest", "run", "--strategy", "trend", "--data", path, "--state-dir", tmp_path / "b", "--json")
    names = ("bars", "fills", "round_trips", "equity", "drawdown", "funnel", "positions")
    assert {name: demo.json[name] for name in names} == {name: test.json[name] for name in names}
    assert test.json["fills"] > 5


def test_a_person_reads_the_status_of_a_demo_that_ended(tmp_path: Path):
    assert kedge("demo", "--speed", "max", "--bars", "300", "--state-dir", tmp_path, "--json").code == 0
    text = kedge("status", "--state-dir", tmp_path)
    assert text.code == 0
    assert "state\tstopped" in text.out
    for name in ("fills", "round_trips", "equity", "drawdown", "funnel"):
        assert f"\n{name}\t" in text.out
