"""`kedge demo`: the demo plays its market, keeps a journal and a status, stops when asked, and spares disk and neighbours."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedge.apps import demo
from kedge.apps.cli import main
from kedge.apps.view import utc_text
from kedge.domain.events import BarClosed, OrderFilled, RunEnded
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, OrderSent, RiskStateChanged
from kedge.ops import state_folder
from kedge.ops.status_file import STATUS_NAME, up_lock

from .market_files import QUICK, Answer, bars_file, first_record, kedge, refused, steps

SHOWN = (Decided, OrderSent, OrderRefused, CancelSent, RiskStateChanged)


class Wall:
    """A clock that only waiting moves; calls `then(seconds)` after each wait."""

    def __init__(self, then: Callable[[float], None] = lambda _: None) -> None:
        self.now_s, self.waits, self._then = 1_000.0, 0, then

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds
        self.waits += 1
        self._then(self.now_s - 1_000.0)

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def play(state: Path, *arguments: object, speed: str = "max") -> Answer:
    return kedge("demo", *QUICK, "--speed", speed, "--state-dir", state, *arguments)


def played(state: Path, *arguments: object, **options: str) -> dict[str, Any]:
    answer = play(state, *arguments, "--json", **options)
    assert answer.code == 0, answer
    assert answer.err == ""
    return answer.json


def journal_of(state: Path, run_id: str) -> Path:
    return state / "runs" / run_id / "journal.sqlite"


def ending(state: Path, run_id: str) -> str:
    last = steps(journal_of(state, run_id))[-1][0]
    assert isinstance(last, RunEnded)
    return last.reason


def disk(monkeypatch: pytest.MonkeyPatch, *free_bytes: int) -> None:
    """The disk's free space, answer by answer; the last one stays."""
    left = list(free_bytes)
    told = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=left.pop(0) if len(left) > 1 else left[0]))
    monkeypatch.setattr(state_folder, "shutil", told)


def test_a_demo_trades_and_seals_a_journal_that_replays(state: Path) -> None:
    answer = played(state, "--bars", 80)
    held = steps(journal_of(state, answer["run_id"]))
    assert (answer["schema"], answer["mode"], answer["source"]) == ("kedge/demo/v1", "demo", "synthetic")
    assert sum(isinstance(event, BarClosed) for event, _ in held) == answer["bars"] == answer["funnel"]["bars"] == 160
    assert answer["fills"] == sum(isinstance(event, OrderFilled) for event, _ in held) > 0
    assert answer["orders_sent"] == sum(isinstance(output, OrderSent) for _, outputs in held for output in outputs)
    assert ending(state, answer["run_id"]) == "END_OF_DATA"
    assert journal_of(state, answer["run_id"]).with_name("journal.sqlite.seal").is_file()
    assert answer["venue_time"] == utc_text(held[-1][0].ts_ns)
    assert kedge("audit", "verify", answer["run_id"], "--state-dir", state).code == 0
    assert kedge("replay", answer["run_id"], "--state-dir", state, "--json").json["equity"] == answer["equity"]
    started = first_record(journal_of(state, answer["run_id"]))
    assert started.assumptions["rung"] == "demo: labelled, never promotable"
    assert started.assumptions["market"].startswith("synthetic, seed 7")


def test_the_status_file_holds_the_same_figures(state: Path) -> None:
    answer = played(state, "--bars", 60)
    status = kedge("status", "--state-dir", state, "--json").json
    assert (status["running"], status["stale"]) == (False, True)
    assert {name: status[name] for name in answer if name != "schema"} == {name: answer[name] for name in answer if name != "schema"}
    assert {"fills", "round_trips", "equity", "drawdown", "funnel"} <= status.keys()
    assert sorted(path.name for path in state.iterdir()) == ["keys", "runs", STATUS_NAME, "up.lock"]


def test_the_seed_names_the_market(state: Path) -> None:
    def prices(seed: int) -> list[int]:
        answer = played(state, "--bars", 30, "--seed", seed)
        return [event.close_ticks for event, _ in steps(journal_of(state, answer["run_id"])) if isinstance(event, BarClosed)]

    assert prices(3) == prices(3)
    assert prices(3) != prices(4)


def test_strategy_wallet_and_instruments_are_chosen(state: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("demo: {instruments: [SOLUSDT, BTCUSDT]}\naccount: mine\n")
    options = ("--strategy", "mean_reversion", "--param", "window=10", "--config", config)
    answer = kedge("demo", "--speed", "max", "--bars", 40, "--wallet", "2500.5", "--state-dir", state, *options, "--json").json
    started = first_record(journal_of(state, answer["run_id"]))
    assert [i.instrument_id for i in started.instruments] == ["bybit-linear:BTCUSDT", "bybit-linear:SOLUSDT"]
    assert (started.account, started.settings["engine"]["strategy"]) == ("mine", "mean_reversion")
    assert started.settings["engine"]["wallet_e8"] == 250_050_000_000


def test_recorded_bars_are_played_to_their_end_or_so_many(state: Path, tmp_path: Path) -> None:
    market = f"replay:{bars_file(tmp_path, count=60, missing=[30])}"
    whole, part = played(state, "--market", market), played(state, "--market", market, "--bars", 40)
    assert (whole["source"], whole["bars"], whole["funnel"]["gaps"]) == ("replay", 59, 1)
    assert part["bars"] == 40
    first = [event for event, _ in steps(journal_of(state, whole["run_id"])) if isinstance(event, BarClosed)]
    assert [event for event, _ in steps(journal_of(state, part["run_id"])) if isinstance(event, BarClosed)] == first[:40]
    assert len(first_record(journal_of(state, part["run_id"])).data[0].sha256) == 64


def test_without_a_pace_or_a_number_the_market_ends(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "BARS_AT_MAX_SPEED", 25)
    assert played(state)["bars"] == 50


def test_a_pace_holds_each_bar_back(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall()
    monkeypatch.setattr(demo, "time", wall)
    answer = played(state, "--bars", 21, speed="600")
    assert answer["bars"] == 42
    assert wall.now_s - 1_000 == pytest.approx(20 * 60 / 600)
    assert wall.waits == 20


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_cleanly(state: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number = signal.Signals[name]
    before = signal.signal(number, lambda *_: None)  # ours, in case the demo installs none

    def after(seconds: float) -> None:
        if seconds >= 1.0:
            signal.raise_signal(number)

    try:
        mine = signal.getsignal(number)
        monkeypatch.setattr(demo, "time", Wall(after))
        answer = played(state, "--bars", 100, speed="600")
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)
    assert 18 <= answer["bars"] <= 22
    assert ending(state, answer["run_id"]) == f"STOPPED_BY_{name}"
    assert kedge("audit", "verify", answer["run_id"], "--state-dir", state).code == 0
    assert json.loads((state / STATUS_NAME).read_text())["bars"] == answer["bars"]


def test_a_disk_that_fills_up_stops_the_run_in_time(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty, little = state_folder.DISK_FREE_MIN_BYTES, state_folder.DISK_FREE_MIN_BYTES // 2 - 1
    disk(monkeypatch, plenty, plenty, plenty, little)
    monkeypatch.setattr(demo, "time", Wall())
    answer = played(state, "--bars", 300, speed="600")
    assert ending(state, answer["run_id"]) == "DISK_NEARLY_FULL"
    assert 38 <= answer["bars"] <= 42


def test_a_full_disk_is_refused_before_anything_is_written(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, state_folder.DISK_FREE_MIN_BYTES - 1)
    answer = play(state, "--bars", 5, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert answer.json["title"].startswith("199 MiB free at ")
    assert [path.name for path in state.iterdir()] == ["up.lock"]


def test_a_second_demo_is_refused_and_the_first_unharmed(state: Path) -> None:
    with up_lock(state):
        answer = play(state, "--bars", 5, "--json")
    assert refused(answer) == (6, "CONFLICT")
    assert str(os.getpid()) in answer.json["title"]
    assert not (state / "runs").exists()


def test_only_the_last_demos_are_kept_and_backtests_always(state: Path) -> None:
    for n in range(8):
        for kind in ("demo", "bt"):
            folder = state / "runs" / f"{kind}-{n:016x}"
            folder.mkdir(parents=True)
            os.utime(folder, (n, n))
    run_id = played(state, "--bars", 5)["run_id"]
    left = sorted(path.name for path in (state / "runs").iterdir())
    assert [name for name in left if name.startswith("bt-")] == [f"bt-{n:016x}" for n in range(8)]
    kept = {f"demo-{n:016x}" for n in range(8 - demo.RUNS_KEPT + 1, 8)}
    assert {name for name in left if name.startswith("demo-")} == kept | {run_id}


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (["--bars", "0"], (4, "INVALID_INPUT"), "--bars is 0"),
        (["--market", "live"], (4, "INVALID_CONFIG"), "demo.market"),
        (["--market", "replay:none.csv"], (3, "NOT_FOUND"), "none.csv"),
        (["--speed", "fast"], (4, "INVALID_CONFIG"), "demo.speed"),
        (["--seed", "-1"], (4, "INVALID_CONFIG"), "demo.seed"),
        (["--strategy", "trnd"], (3, "NOT_FOUND"), "trnd"),
        (["--param", "fast"], (4, "INVALID_INPUT"), "--param 'fast'"),
        (["--wallet", "0"], (4, "INVALID_INPUT"), "--wallet is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_played_is_refused(state: Path, arguments: list[str], expected: tuple[int, str], words: str) -> None:
    given = [option for option in ("--bars", "--speed") if option not in arguments]
    answer = kedge("demo", "--state-dir", state, *[text for option in given for text in (option, "5")], *arguments, "--json")
    assert refused(answer) == expected
    assert words in answer.json["title"]
    assert not (state / STATUS_NAME).exists()


def test_an_instrument_that_does_not_ship_is_refused_with_those_that_do(state: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("demo: {instruments: [PEPEUSDT]}\n")
    answer = play(state, "--bars", 5, "--config", config, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "BTCUSDT" in answer.json["why"]
    assert "PEPEUSDT" in answer.json["title"]


def test_a_pipe_gets_a_line_every_five_seconds_and_a_farewell(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "time", Wall())
    answer = play(state, "--bars", 21, speed="60")
    lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    status = json.loads((state / STATUS_NAME).read_text())
    title = f"DEMO · SYNTHETIC · {status['run_id']} "
    told = [line for line in lines if line.startswith(title)]
    assert len(told) == 6  # at the start, after 5, 10, 15 and 20 seconds, at the end
    assert told[0].endswith("bars 0 signals 0 vetoed 0 sent 0 filled 0 round trips 0 state running")
    assert f"equity {float(status['equity']):,.2f} drawdown {float(status['drawdown']):.2%} bars 42 " in told[-1]
    sent = sum(isinstance(output, OrderSent) for _, outputs in steps(journal_of(state, status["run_id"])) for output in outputs)
    assert status["orders_sent"] == sent > status["fills"]
    assert f"filled {status['fills']} round trips {status['round_trips']} " in told[-1]
    assert lines[-2].startswith(f"stopped: {status['fills']} fills, {status['round_trips']} round trips, ")
    assert lines[-1] == f"journal sealed: kedge audit verify {status['run_id']} · kedge replay {status['run_id']}"


def test_the_status_is_written_every_second_while_it_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(_: float) -> None:
        seen.append(json.loads((state / STATUS_NAME).read_text())["bars"])

    monkeypatch.setattr(demo, "time", Wall(look))
    played(state, "--bars", 9, speed="120")
    assert len(set(seen)) == 4
    assert seen == sorted(seen)
    assert seen[0] == 0


def test_a_terminal_gets_the_view_and_each_decision_has_its_own_time(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("LINES", "60")
    monkeypatch.setattr(demo, "time", Wall())
    market = f"replay:{bars_file(tmp_path, count=100)}"
    assert main(["demo", *QUICK, "--speed", "6000", "--state-dir", str(state), "--market", market]) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    run_id = json.loads((state / STATUS_NAME).read_text())["run_id"]
    frames = text.split(f"DEMO · REPLAY · {run_id}")[1:]
    assert len(frames) > 10
    decided = frames[-1].partition("Last decisions")[2]
    shown = re.findall(r"^ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", decided, re.MULTILINE)
    held = steps(journal_of(state, run_id))
    expected = [utc_text(event.ts_ns) for event, outputs in held for output in outputs if isinstance(output, SHOWN)]
    assert shown == expected[::-1][:8]
    assert "journal sealed" in text
