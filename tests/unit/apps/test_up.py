"""`kedge up`: what it starts, what it refuses first, what it shows, and how it ends. The processes are tiny real ones here."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console

from kedge.apps import up, up_model, up_parts, up_plan, up_screen
from kedge.apps.cli import main
from kedge.apps.exchange_file import Running, exchange_lock, write_running
from kedge.apps.system_loop import Stopping
from kedge.apps.up_parts import Plan
from kedge.apps.up_screen import Screen, ask, is_flat, line, risk_in_words, warnings
from kedge.domain.events import Command
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.ops import state_folder
from kedge.ops.guard_files import write_status
from kedge.ops.health_file import SERVER, SUPERVISOR, read_health_file, write_health_file
from kedge.ops.status_file import up_lock
from kedge.ops.trader_status import trader_lock, write_trader_status
from kedge.services import live
from kedge.services.inbox import Inbox
from kedge.services.supervisor_child import ChildSpec
from kedge.services.training import synthetic_dataset

from .market_files import bars_file, kedge, refused
from .model_world import keep_model

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAIT_S = 20.0
RULE = ("--strategy", "trend")
"""What trades where the test is about processes: a rule needs no training."""
FUNNEL = {"bars": 4, "gaps": 0, "signals": 3, "sized": 3, "vetoed": {"STALE": 1}, "sent": 2, "refused": {}, "filled": 2}
FIGURES: dict[str, Any] = {
    "run_id": "paper-1",
    "rung": "paper",
    "source": "synthetic",
    "guard": "none",
    "fills": 2,
    "round_trips": 1,
    "problem": "",
    **dict.fromkeys(("drawdown", "drawdown_now", "daily_loss", "realised", "unrealised", "fees", "funding_paid"), "0.00"),
    "equity": "100123.45",
    "risk_state": "running",
    "halt_code": "",
    "ts_ns": 1_700_000_000_000_000_000,
    "bars": 4,
    "funnel": FUNNEL,
    "positions": [],
    "live_orders": [],
    "alarms": [],
    "phase": "trading",
    "recent": [[1_700_000_000_000_000_000, "buy 1 market sent", "bybit-linear:BTCUSDT", "OK", "", ""]],
}
POSITION = {"instrument": "bybit-linear:BTCUSDT", "qty": "1", "entry": "1", "mark": "1", "notional": "1", "unrealised": "0"}
TRADER = """
import json, signal, sys, time
from datetime import UTC, datetime
from pathlib import Path
from kedge.ops.trader_status import trader_lock, write_trader_status
state, figures, seconds = Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with trader_lock(state):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        write_trader_status(state, figures, datetime.now(UTC))
        time.sleep(0.05)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def tiny(state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`kedge up` then starts one process that writes a trader's figures for so many seconds."""

    def use(seconds: float = 60.0, code: str = TRADER, **more: Any) -> None:
        figures = json.dumps({**FIGURES, **more})

        def specs(plan: Plan, _: aiohttp.ClientSession) -> list[ChildSpec]:
            command = (sys.executable, "-c", code, str(state), figures, str(seconds))
            probe = up_parts.trader_probe(state)
            return [ChildSpec(name="trader", command=command, console=state / "logs" / "trader.out", probe=probe, ends_by_itself=True)]

        monkeypatch.setattr(up, "specs", specs)
        monkeypatch.setattr(up, "REFRESH_S", 0.05)

    return use


def later(then: Callable[[], object], reached: Callable[[], bool]) -> threading.Thread:
    """Do something from outside once something is true; a deadline ends the wait."""

    def wait() -> None:
        deadline = time.monotonic() + WAIT_S
        while not reached() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_end_of_the_traders_work_ends_it_with_the_last_figures(state: Path, tiny: Callable[..., None]) -> None:
    tiny(seconds=0.5)
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state, "--json")
    assert answer.code == 0
    assert (answer.json["schema"], answer.json["outcome"], answer.json["fills"]) == ("kedge/up/v1", "ended", 2)
    rows = read_health_file(state, SUPERVISOR, datetime.now(UTC))["children"]
    assert [(row["name"], row["state"]) for row in rows] == [("trader", "ended")]
    bodies = [json.loads(text)["body"] for text in (state / "logs" / "supervisor.jsonl").read_text().splitlines()]
    assert (bodies[0], bodies[-1]) == ("system starts", "system ended")


def test_a_signal_stops_it_and_a_pipe_gets_lines(state: Path, tiny: Callable[..., None]) -> None:
    tiny(positions=[POSITION])
    later(interrupt, lambda: (state / "trader.json").exists())
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[-2].startswith("stopped: 2 fills, 1 round trips, equity 100,123.45, ")
    assert lines[-1] == "journal: kedge audit verify paper-1 · kedge replay paper-1"


def test_what_a_restart_cannot_mend_ends_it_with_the_reason(state: Path, tiny: Callable[..., None]) -> None:
    tiny(code="import sys\nprint('error  wrong key')\nsys.exit(7)")
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state, "--json")
    assert refused(answer) == (1, "CHILD_GIVEN_UP")
    assert "trader" in answer.json["title"]
    assert "wrong key" in answer.json["why"]


def test_stopped_before_a_trader_began_it_says_so(state: Path, tiny: Callable[..., None]) -> None:
    tiny(code="import time\ntime.sleep(60)")
    later(interrupt, lambda: (state / "supervisor.json").exists())
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "stopped before the trader began")


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        (["--bars", "0"], (4, "INVALID_INPUT"), "--bars is 0"),
        (["--port", "70000"], (4, "INVALID_INPUT"), "--port is 70000"),
        (["--market", "live"], (4, "INVALID_CONFIG"), "demo.market"),
        (["--market", "replay:none.csv"], (3, "NOT_FOUND"), "none.csv"),
        (["--speed", "fast"], (4, "INVALID_CONFIG"), "demo.speed"),
        (["--strategy", "trnd"], (3, "NOT_FOUND"), "trnd"),
        (["--param", "fast"], (4, "INVALID_INPUT"), "--param 'fast'"),
        (["--wallet", "0"], (4, "INVALID_INPUT"), "--wallet is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_refused_before_anything_starts(
    state: Path, arguments: list[str], expected: tuple[int, str], words: str
) -> None:
    port = [] if "--port" in arguments else ["--port", "0"]
    answer = kedge("up", *port, *arguments, "--state-dir", state, "--json")
    assert refused(answer) == expected
    assert words in answer.json["title"]
    assert not (state / SUPERVISOR).exists()


def test_a_taken_port_is_named_with_its_remedy(state: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        answer = kedge("up", *RULE, "--port", port, "--state-dir", state, "--json")
    assert refused(answer) == (6, "CONFLICT")
    assert f"port {port}" in answer.json["title"]
    assert "--port" in answer.json["fix"]


def test_a_second_one_on_the_same_state_is_refused(state: Path) -> None:
    with up_lock(state):
        answer = kedge("up", *RULE, "--port", 0, "--state-dir", state, "--json")
    assert refused(answer) == (6, "CONFLICT")


def test_a_full_disk_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(free=state_folder.DISK_FREE_MIN_BYTES - 1)
    monkeypatch.setattr(state_folder, "shutil", SimpleNamespace(disk_usage=lambda _: full))
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "199 MiB free" in answer.json["title"]


def planned(state: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> dict[str, tuple[str, ...]]:
    """What each process would be started with."""
    found: dict[str, tuple[str, ...]] = {}

    def specs(plan: Plan, session: aiohttp.ClientSession) -> list[ChildSpec]:
        found.update({spec.name: spec.command[3:] for spec in up_parts.specs(plan, session)})
        idle = (sys.executable, "-c", "")
        probe = up_parts.trader_probe(state)
        return [ChildSpec(name="trader", command=idle, console=state / "out", probe=probe, ends_by_itself=True)]

    monkeypatch.setattr(up, "specs", specs)
    assert kedge("up", "--port", 0, "--state-dir", state, *arguments, "--json").code == 0
    return found


def test_every_option_reaches_the_process_that_needs_it(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("demo: {instruments: [SOLUSDT]}\n")
    options = ("--speed", "max", "--seed", "3", "--wallet", "500", "--strategy", "trend", "--param", "fast=3", "--config", config)
    found = planned(state, monkeypatch, *options)
    exchange, trader, server = (" ".join(found[name]) for name in ("exchange", "trader", "server"))
    for words in (
        "exchange serve --port ",
        "--speed max",
        "--wait-for 1",
        "--seed 3",
        "--wallet 500",
        "--bars 20000",
        "--instrument SOLUSDT",
    ):
        assert words in exchange
    for words in (
        "trade --venue http://127.0.0.1:",
        "--rung paper",
        "--interval 1m",
        "--instrument SOLUSDT --strategy trend --param fast=3",
    ):
        assert words in trader
    assert server.startswith("serve --port ")
    guard = " ".join(found["guard"])
    url = guard.partition("--port ")[2].partition(" ")[0]
    assert guard.startswith("guard --venue http://127.0.0.1:")
    assert "--on-stop leave --instrument SOLUSDT" in guard
    assert f"--guard http://127.0.0.1:{url} " in trader
    assert all(f"--state-dir {state} --config {config}" in text for text in (exchange, guard, trader, server))


def test_the_guard_has_its_configured_port_and_no_process_has_another_s(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "own.yaml"
        config.write_text(f"guard: {{port: {port}}}\n")
        answer = kedge("up", *RULE, "--port", 0, "--config", config, "--state-dir", state, "--json")
        assert refused(answer) == (6, "CONFLICT")
        assert "guard.port" in answer.json["title"]
    found = planned(state, monkeypatch, *RULE, "--config", config)
    assert f"--port {port}" in " ".join(found["guard"])
    drawn = up_parts.free_port()
    assert up_parts.free_port(drawn) != drawn


def test_a_plan_without_a_guard_port_has_no_guard_and_says_so_to_the_trader(state: Path) -> None:
    plan = Plan(state, 1, 2, "1", "1m", (), (), ())
    found = {spec.name: spec.command for spec in up_parts.specs(plan, None)}  # type: ignore[arg-type]  # nobody is asked
    assert set(found) == {"exchange", "trader", "server"}
    assert " --guard none" in " ".join(found["trader"])
    assert plan.guard_url == ""


def test_a_brake_that_is_on_is_said_with_the_way_out(state: Path) -> None:
    now = datetime.now(UTC)
    assert up.brake_words(state, now) == ""
    latch = {"level": "halted_flat", "trigger": "drawdown", "reason": "", "observed": "10.2 %"}
    write_status(state, json.dumps({"latch": latch, "pid": 1, "written_wall_ns": 1}).encode())
    assert up.brake_words(state, now).startswith("THE BRAKE IS ON (halted_flat: drawdown, 10.2 %)")
    assert "kedge brake release" in up.brake_words(state, now)
    write_status(state, json.dumps({"latch": {"level": "running"}, "pid": 1, "written_wall_ns": 1}).encode())
    assert up.brake_words(state, now) == ""


def test_the_guard_is_well_while_it_writes_its_file(state: Path) -> None:
    probe = up_parts.guard_probe(state)
    assert asyncio.run(probe(os.getpid())) is False
    write_health_file(state, "guard", {"url": "http://127.0.0.1:1"}, datetime.now(UTC))
    assert asyncio.run(probe(os.getpid())) is True
    assert asyncio.run(probe(1)) is False


def test_a_recorded_market_gives_its_interval_and_the_walls_speed_waits_for_nobody(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(state, monkeypatch, "--market", f"replay:{bars_file(tmp_path, count=30)}", *RULE, "--speed", "1", "--bars", "5")
    exchange, trader = " ".join(found["exchange"]), " ".join(found["trader"])
    assert "--interval 5m" in trader
    assert "--instrument BTCUSDT --strategy" in trader
    assert "--bars 5" in exchange
    assert "--wait-for" not in exchange
    assert "--instrument" not in exchange


def test_probes_believe_only_the_process_they_ask_for(state: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response({"pid": os.getpid()})

    async def main() -> list[bool]:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        seen = []
        async with aiohttp.ClientSession() as session:
            exchange, trader = up_parts.exchange_probe(state, session), up_parts.trader_probe(state)
            server = up_parts.server_probe(state, session)
            seen += [await exchange(os.getpid()), await trader(os.getpid())]
            write_running(state, Running(os.getpid(), url, "now"))
            write_health_file(state, SERVER, {"url": url}, datetime.now(UTC))
            write_trader_status(state, {}, datetime.now(UTC))
            with exchange_lock(state), trader_lock(state):
                seen += [await one(pid) for one in (exchange, trader, server) for pid in (os.getpid(), 1)]
        await runner.cleanup()
        return seen

    assert asyncio.run(main()) == [False, False, True, False, True, False, True, False]


# the screen -----------------------------------------------------------------------------------------------------------

ROWS = [
    {"name": "trader", "state": "ready", "restarts": 1, "why": ""},
    {"name": "server", "state": "waiting", "restarts": 0, "why": "died"},
]


def test_lines_in_a_pipe_come_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    out = StringIO()
    screen = Screen(Console(file=out, width=10_000), None, "note", lambda: at[0])
    status = {**FIGURES, "stale": False, "age_s": 0.1}
    for _ in range(11):
        screen.show(status, ROWS)
        at[0] += 1.0
    screen.show(None, ROWS)
    screen.say("ready")
    with screen.paused():
        pass
    lines = out.getvalue().splitlines()
    assert lines[:3] == [line(status)] * 3
    assert lines[-1] == "ready"
    assert "PAPER · SYNTHETIC · paper-1 2023-11-14 22:13:20 equity 100,123.45" in lines[0]
    assert lines[0].endswith("vetoed 1 sent 2 filled 2 round trips 1 state running guard none")
    assert line({**status, "stale": True}).endswith("(old figures)")


def test_before_there_are_figures_the_processes_are_shown() -> None:
    out = StringIO()
    Screen(Console(file=out, width=10_000), None, "note").show({"run_id": "", "stale": False}, ROWS)
    assert out.getvalue() == "trader ready (restarts 1) · server waiting: died\n"
    Screen(Console(file=out, width=10_000), None, "note").show(None, [])
    assert out.getvalue().count("\n") == 1
    Screen(None, None, "note").show(None, ROWS)
    Screen(None, None, "note").say("nothing")


def test_what_is_wrong_stands_on_top_in_words() -> None:
    told = warnings({"stale": True, "age_s": 7.4, "problem": "no exchange", "alarms": ["LATE"]}, ROWS)
    assert told == ["LATE", "the trader is silent for 7 s: these figures are old", "no exchange", "server is waiting: died"]
    limits = [{"group": "order", "used_frac": 0.9, "level": "critical"}, {"group": "position", "used_frac": 0.75, "level": "warning"}]
    status = {"stale": False, "action_needed": ["the key expired; renew it"], "stops_missing_s": {"a": 0.2, "b": 3.0}, "limits": limits}
    assert warnings(status, []) == [
        "a person must act: the key expired; renew it",
        "b has no stop for 3 s",
        "requests: order at 90% of our share",
    ]


def test_the_last_figures_of_a_trader_that_has_ended_are_not_called_old() -> None:
    ended = {**FIGURES, "stale": True, "age_s": 9.0, "phase": "ended"}
    assert warnings(ended, [{"name": "server", "state": "starting", "restarts": 0, "why": ""}]) == ["server is starting"]
    assert not line(ended).endswith("(old figures)")
    assert line({**ended, "phase": "trading"}).endswith("(old figures)")


def test_an_earlier_systems_figures_are_never_shown_as_this_ones(state: Path, tiny: Callable[..., None]) -> None:
    write_trader_status(state, {**FIGURES, "run_id": "paper-old"}, datetime.now(UTC))
    (state / "trader.json").write_text((state / "trader.json").read_text().replace(f'"pid":{os.getpid()}', '"pid":1'))
    tiny(code="import time\ntime.sleep(60)")
    later(interrupt, lambda: (state / "supervisor.json").exists())
    answer = kedge("up", *RULE, "--port", 0, "--state-dir", state)
    assert "paper-old" not in answer.out
    assert answer.out.splitlines()[-1] == "stopped before the trader began"


def test_risk_is_told_in_words_or_not_at_all() -> None:
    assert risk_in_words(None) == risk_in_words({"run_id": ""}) == risk_in_words(FIGURES) == ""
    assert risk_in_words({**FIGURES, "positions": [1], "live_orders": [1, 2]}) == "1 position and 2 orders"


@pytest.mark.parametrize(
    ("typed", "expected"), [("f\n", "flatten"), ("G\n", "go on"), ("leave\n", "leave"), ("?\n", "leave"), ("", "leave")]
)
def test_the_question_is_answered_by_a_letter_and_silence_leaves(
    typed: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, typed.encode())
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert asyncio.run(asked(answer_s=0.05 if not typed else WAIT_S)) == expected
    os.close(writing)
    assert "risk is on: 1 position" in capsys.readouterr().out


async def asked(*, answer_s: float, urged: bool = False) -> str:
    """The answer to the question; `urged` by a second Ctrl-C while it stands there."""
    stopping = Stopping()
    stopping.ask("STOPPED_BY_SIGINT")
    if urged:
        asyncio.get_running_loop().call_soon(stopping.ask, "STOPPED_BY_SIGINT")
    return await ask("1 position", stopping.again, answer_s=answer_s)


def test_a_second_ctrl_c_answers_the_question_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        began = time.monotonic()
        assert asyncio.run(asked(answer_s=WAIT_S, urged=True)) == "leave"
        assert time.monotonic() - began < WAIT_S
    os.close(writing)


def test_who_goes_on_is_asked_again_at_the_next_ctrl_c() -> None:
    async def go_on() -> tuple[bool, bool]:
        stopping = Stopping()
        for _ in range(2):
            stopping.ask("STOPPED_BY_SIGINT")
        urged = stopping.again.is_set()
        stopping.forget()
        stopping.ask("STOPPED_BY_SIGINT")
        return urged, stopping.again.is_set()

    assert asyncio.run(go_on()) == (True, False)


def test_flat_is_what_the_trader_says_now_and_silence_is_not_flat() -> None:
    flat = {**FIGURES, "stale": False}
    assert is_flat(flat)
    for status in (None, {"run_id": "", "stale": False}, {**flat, "stale": True}, {**flat, "positions": [1]}, {**flat, "live_orders": [1]}):
        assert not is_flat(status)


def test_only_a_trader_that_says_so_has_reached_the_end_of_the_market(state: Path) -> None:
    state.mkdir(exist_ok=True)
    is_done = up_parts.trader_is_done(state)
    assert not is_done(os.getpid())
    write_trader_status(state, {"phase": "stopped"}, datetime.now(UTC))
    assert not is_done(os.getpid())
    write_trader_status(state, {"phase": live.ENDED}, datetime.now(UTC))
    assert is_done(os.getpid())
    assert not is_done(os.getpid() + 1)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(state: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> tuple[int, str]:
    """`kedge up` with a terminal, whose person presses Ctrl-C and answers in turn."""
    shown, given = Terminal(), list(answers)

    async def answer(what: str, _: asyncio.Event) -> str:
        assert what == "1 position"
        chosen = given.pop(0)
        if chosen == "go on":
            frames = shown.getvalue().count("Positions (1)")
            later(interrupt, lambda: shown.getvalue().count("Positions (1)") > frames)
        return chosen

    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", shown)
        monkeypatch.setattr(up, "ask", answer)
        for name, value in (("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("COLUMNS", "160"), ("LINES", "60")):
            monkeypatch.setenv(name, value)
        later(interrupt, lambda: "Positions (1)" in shown.getvalue())
        code = main(["up", *RULE, "--port", "0", "--state-dir", str(state)])
    os.close(ours)
    assert given == []
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())


def test_a_terminal_gets_the_view_and_may_go_on_or_leave(state: Path, tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(positions=[POSITION])
    code, text = on_a_terminal(state, monkeypatch, ["go on", "leave"])
    assert code == 0
    for words in ("PAPER · SYNTHETIC · paper-1", "risk state: running", "Positions (1)", "Last decisions", "dashboard http"):
        assert words in text
    assert "stopped: 2 fills" in text
    assert not (state / state_folder.INBOX_NAME).exists()


def test_flatten_is_told_to_the_trader_and_what_is_left_is_said(
    state: Path, tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(positions=[POSITION])
    monkeypatch.setattr(up, "FLATTEN_S", 0.1)
    _, text = on_a_terminal(state, monkeypatch, ["flatten"])
    assert "not flat: 1 position left" in text
    with Inbox(state / state_folder.INBOX_NAME) as inbox:
        assert [command.command for command in inbox.waiting()] == [Command.FLATTEN]


def test_it_says_when_it_is_ready(state: Path, tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready is what the health server says, not what the processes look like."""
    tiny()
    asked: list[int] = []

    class Handler(threading.Thread):
        def __init__(self) -> None:
            super().__init__(daemon=True)
            self.listening = socket.create_server(("127.0.0.1", 0))

        def run(self) -> None:
            while True:
                try:
                    client, _ = self.listening.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    asked.append(1)
                    word = "503 Service Unavailable" if len(asked) < 3 else "200 OK"
                    client.sendall(f"HTTP/1.1 {word}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())

    server = Handler()
    server.start()
    port = server.listening.getsockname()[1]
    monkeypatch.setattr(up_plan, "check_free", lambda _: port)
    later(interrupt, lambda: len(asked) >= 3)
    answer = kedge("up", *RULE, "--port", port, "--state-dir", state)
    server.listening.close()
    url = rf"http://127\.0\.0\.1:{port}"
    assert re.search(rf"^ready after [\d.]+ s: dashboard {url}, brake {url}, health {url}/health$", answer.out, re.MULTILINE)
    assert len(asked) >= 3


def test_late_compilations_are_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up_screen, "late_compilations", lambda: ["law"])
    assert up_screen.alarms() == ["LATE_COMPILATION law"]


# the model ------------------------------------------------------------------------------------------------------------


def quarter(symbol: str, seed: int = 99) -> Any:
    """Synthetic minutes of one symbol to learn from."""
    spec = CATALOGUE[f"{VENUE}:{symbol}"][-1]
    return synthetic_dataset([spec], seed=seed, bars=800, interval_ns=60 * 10**9, start_ts_ns=1_717_999_980 * 10**9)


def test_a_model_trades_where_nothing_else_is_said(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("demo: {instruments: [ETHUSDT]}\n")
    sha256 = keep_model(state, quarter("ETHUSDT"), "demo-synthetic-1m")
    found = planned(state, monkeypatch, "--config", config, "--param", "exposure_frac=0.05")
    exchange, trader = " ".join(found["exchange"]), " ".join(found["trader"])
    assert "--market synthetic" in exchange
    assert "--instrument ETHUSDT --history 1000" in exchange
    assert f"--strategy model --param model={sha256} exposure_frac=0.05" in trader
    told = [json.loads(text)["body"] for text in (state / "logs" / "supervisor.jsonl").read_text().splitlines()]
    assert f"model: demo-synthetic-1m/1 ({sha256[:12]}) from the local copy" in told


def test_a_person_hears_on_stderr_which_model_it_is(
    state: Path, tmp_path: Path, tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("demo: {instruments: [ETHUSDT]}\n")
    sha256 = keep_model(state, quarter("ETHUSDT"), "mine")
    tiny(seconds=0.3, model=sha256, model_version="mine/1", predictions=1_234)
    answer = kedge("up", "--model", "mine@champion", "--port", 0, "--state-dir", state, "--config", config)
    assert re.search(rf"^ *\d+\.\d s  model: mine/1 \({sha256[:12]}\) from the local copy$", answer.err, re.MULTILINE)
    shown = up_screen.title({**FIGURES, "model": sha256, "model_version": "mine/1", "predictions": 1_234})
    assert shown == f"PAPER · SYNTHETIC · paper-1 · mine/1 {sha256[:12]}, 1,234 predictions"
    assert f"model mine/1 ({sha256[:12]}): 1234 predictions · kedge model show {sha256[:12]}" in answer.out


def test_recorded_bars_are_traded_by_a_model_from_where_learning_ends(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = bars_file(tmp_path, count=30)
    spec = CATALOGUE["bybit-linear:BTCUSDT"][-1]
    learned = synthetic_dataset([spec], seed=99, bars=800, interval_ns=300 * 10**9, start_ts_ns=1_717_999_800 * 10**9)
    sha256 = keep_model(state, learned, "five")
    found = planned(state, monkeypatch, "--market", f"replay:{file}", "--param", f"model={sha256[:10]}")
    exchange, trader = " ".join(found["exchange"]), " ".join(found["trader"])
    assert "--from 2024-01-01T01:40:00Z --history 1000 --one-grid" in exchange
    assert f"--instrument BTCUSDT --strategy model --param model={sha256}" in trader
    assert "--interval 5m --on-stop leave --guard http://127.0.0.1:" in trader


def test_recorded_bars_that_cannot_be_played_are_refused_before_a_model_learns(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[object] = []
    monkeypatch.setattr(up_model, "run_job", lambda *asked: learned.append(asked))
    files = f"{bars_file(tmp_path, count=300)},{bars_file(tmp_path, 'ETHUSDT', count=60)}"
    answer = kedge("up", "--port", 0, "--state-dir", state, "--market", f"replay:{files}", "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "ETHUSDT-5m.csv: no bar from " in answer.json["title"]
    assert learned == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "trend", "--model", "a@champion"), "--model a@champion with --strategy trend"),
        (("--model", "a@champion", "--param", "model=b@champion"), "--model a@champion and --param model=b@champion"),
        (("--param", "exposure_frac=7"), "exposure_frac"),
        (("--funding", "none.csv"), "--funding with --market synthetic"),
    ],
)
def test_what_does_not_fit_a_model_is_refused_first(state: Path, arguments: tuple[str, ...], words: str) -> None:
    answer = kedge("up", "--port", 0, "--state-dir", state, *arguments, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert words in answer.json["title"]


def test_a_configured_rule_is_what_trades(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("strategy: {name: mean_reversion}\n")
    found = planned(state, monkeypatch, "--config", config)
    assert "--strategy mean_reversion" in " ".join(found["trader"])
    assert "--history" not in " ".join(found["exchange"])


def test_old_rules_of_the_venue_are_told_with_their_age() -> None:
    problem = "the venue's rules and margin tiers cannot be read: no answer"
    status = {"stale": False, "instruments_problem": problem, "instruments_age_s": 90_000.0}
    assert warnings(status, []) == [f"{problem}; those in force are 25.0 h old"]
    assert warnings({**status, "instruments_age_s": None}, []) == [problem]
    assert warnings({**status, "instruments_problem": ""}, []) == []
