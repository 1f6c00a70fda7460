"""`kedge serve`, `kedge system status`, `kedge halt` and `kedge resume`, and how a supervised process ends with its parent."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kedge import __version__
from kedge.apps import system, system_child
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.domain.events import Command
from kedge.domain.people import Source
from kedge.ops.health_file import SERVER, SUPERVISOR, health_path, write_health_file
from kedge.ops.logs import log_file
from kedge.ops.state_folder import inbox_path
from kedge.ops.status_file import up_lock
from kedge.services.inbox import Inbox

from .market_files import Answer, kedge, refused
from .people_server import types

WAIT_S = 20.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


class Visitor(threading.Thread):
    """Waits until a server stands, looks at its pages, and ends it with a signal to this process."""

    def __init__(self, state: Path, number: int = signal.SIGTERM) -> None:
        super().__init__(daemon=True)
        self.state, self.number = state, number
        self.seen: dict[str, Any] = {}
        self.told: Answer | None = None

    def run(self) -> None:
        path = health_path(self.state, SERVER)
        deadline = time.monotonic() + WAIT_S
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            url = json.loads(path.read_text())["url"]
            with urllib.request.urlopen(f"{url}/health/live", timeout=5) as answer:
                self.seen["live"] = answer.status
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5)
            except urllib.error.HTTPError as error:
                with error:
                    self.seen["health"] = (error.code, json.load(error)["status"])
            self.seen["system"] = system._health(self.state, datetime.now(UTC))
        finally:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_until_a_signal_and_takes_its_file_away(state: Path, number: int) -> None:
    visitor = Visitor(state, number)
    visitor.start()
    answer = kedge("serve", "--port", 0, "--state-dir", state, "--json")
    visitor.join(WAIT_S)
    assert answer.code == 0
    assert answer.json["health"] == answer.json["url"] + "/health"
    assert visitor.seen["live"] == 200
    assert visitor.seen["health"] == (503, "failing")
    assert visitor.seen["system"]["services"]["trader"] == "failed"
    assert not health_path(state, SERVER).exists()
    bodies = [json.loads(line)["body"] for line in log_file(state, SERVER).read_text().splitlines()]
    assert bodies == ["serving", "stopping"]


def test_a_taken_port_is_a_conflict_that_names_it(state: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        answer = kedge("serve", "--port", port, "--state-dir", state, "--json")
    assert refused(answer) == (6, "CONFLICT")
    assert str(port) in answer.json["title"]
    assert "--port" in answer.json["fix"]


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--port", "-1"], ["--host", "0.0.0.0"]])
def test_where_it_may_not_listen_is_refused(state: Path, arguments: list[str]) -> None:
    assert refused(kedge("serve", "--state-dir", state, *arguments, "--json")) == (4, "INVALID_INPUT")


def test_system_status_shows_supervised_processes_and_no_health_as_a_finding(state: Path) -> None:
    rows = [{"name": "trader", "state": "ready", "pid": 7, "restarts": 2, "last_exit": -9, "why": ""}]
    write_health_file(state, SUPERVISOR, {"children": rows}, datetime.now(UTC))
    with up_lock(state):
        answer = kedge("system", "status", "--state-dir", state, "--json")
    assert answer.code == 9
    assert (answer.json["supervised"], answer.json["processes"], answer.json["health"]) == (True, rows, None)
    text = kedge("system", "status", "--state-dir", state).out
    assert "trader\tready\t7\t2\t-9\t" in text
    assert "no health server answers" in text


def test_system_status_of_a_well_system_is_0(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_health_file(state, SUPERVISOR, {"children": []}, datetime.now(UTC))
    row = {"name": "trader", "state": "ready", "pid": 1, "restarts": 0, "last_exit": None, "why": ""}
    monkeypatch.setattr(system, "_processes", lambda *_: [row])
    monkeypatch.setattr(system, "_health", lambda *_: {"status": "ok", "services": {"trader": "ok"}})
    answer = kedge("system", "status", "--state-dir", state)
    assert answer.code == 0
    assert "trader\tok" in answer.out


def test_processes_that_nobody_supervises_are_shown_one_by_one(state: Path) -> None:
    write_health_file(state, "trader", {}, datetime.now(UTC))
    (state / "server.json").write_text("{")
    (state / "exchange.json").write_text("{}")
    rows = {row["name"]: row for row in kedge("system", "status", "--state-dir", state, "--json").json["processes"]}
    assert (rows["trader"]["state"], rows["trader"]["pid"]) == ("running", os.getpid())
    assert rows["server"]["state"] == "unknown"
    assert rows["exchange"]["state"] == "gone"


def test_where_nothing_ran_there_is_no_system(state: Path) -> None:
    assert refused(kedge("system", "status", "--state-dir", state, "--json")) == (3, "NOT_FOUND")


@pytest.mark.parametrize(("word", "command"), [("halt", Command.HALT), ("resume", Command.RESUME)])
def test_a_command_is_left_in_the_inbox_with_who_and_why(state: Path, word: str, command: Command) -> None:
    answer = kedge(word, "--reason", "drill", "--state-dir", state, "--json")
    assert answer.code == 0
    with Inbox(inbox_path(state)) as inbox:
        (left,) = inbox.waiting()
    assert (left.command, left.reason, left.command_id) == (command, "drill", answer.json["id"])
    assert (left.actor, left.roles, left.source) == (f"local:{pwd.getpwuid(os.getuid()).pw_name}", (), Source.LOCAL)
    assert word in kedge(word, "--reason", "again", "--state-dir", state).out


@pytest.mark.parametrize("word", ["halt", "flatten", "resume"])
def test_nobody_names_themselves_on_the_command_line(state: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(kedge(word, "--reason", "drill", "--actor", "ann", "--state-dir", state, "--json"))[0] == 2
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "ann")
    assert kedge(word, "--reason", "drill", *(["--confirm", "flatten"] if word == "flatten" else []), "--state-dir", state).code == 0
    with Inbox(inbox_path(state)) as inbox:
        assert [left.actor for left in inbox.waiting()] == [f"local:{pwd.getpwuid(os.getuid()).pw_name}"]


def test_closing_every_position_wants_a_second_word(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(kedge("flatten", "--reason", "storm", "--state-dir", state, "--json")) == (4, "INVALID_INPUT")
    assert refused(kedge("flatten", "--reason", "storm", "--confirm", "yes", "--state-dir", state, "--json")) == (4, "INVALID_INPUT")
    types(monkeypatch, "no")
    assert refused(kedge("flatten", "--reason", "storm", "--state-dir", state, "--json")) == (4, "INVALID_INPUT")
    types(monkeypatch, "flatten")
    assert kedge("flatten", "--reason", "storm", "--state-dir", state).code == 0
    with Inbox(inbox_path(state)) as inbox:
        assert [left.command for left in inbox.waiting()] == [Command.FLATTEN]


def test_a_stop_needs_neither_server_nor_accounts_that_can_be_read(state: Path) -> None:
    """With the store of people damaged nobody knows who may resume; a halt asks nothing."""
    (state / "people").mkdir(mode=0o700)
    store = state / "people" / "people.sqlite"
    store.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    store.chmod(0o600)
    assert kedge("halt", "--reason", "drill", "--state-dir", state).code == 0
    assert kedge("resume", "--reason", "drill", "--state-dir", state, "--json").code != 0
    with Inbox(inbox_path(state)) as inbox:
        assert [left.command for left in inbox.waiting()] == [Command.HALT]


def test_a_command_without_a_reason_or_a_trader_is_refused(state: Path) -> None:
    assert refused(kedge("halt", "--state-dir", state, "--json"))[0] == 2
    assert refused(kedge("halt", "--reason", " ", "--state-dir", state, "--json")) == (4, "INVALID_INPUT")
    assert refused(kedge("halt", "--reason", "x", "--state-dir", state / "none", "--json")) == (3, "NOT_FOUND")


def test_a_stop_can_be_asked_for_twice_and_taken_back() -> None:
    async def main(stopping: Stopping) -> list[Any]:
        seen: list[Any] = []
        signal.raise_signal(signal.SIGTERM)
        await stopping.asked.wait()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        while stopping.times < 2:
            await asyncio.sleep(0)
        seen += [stopping.times >= 2, stopping.reason]
        stopping.forget()
        return [*seen, stopping.times, stopping.asked.is_set(), stopping.reason]

    import asyncio

    assert run_until_stopped(main) == [True, "STOPPED_BY_SIGTERM", 0, False, ""]


WATCH = """
import signal, sys, time
from kedge.apps import system_child
def ask(*_):
    print("asked", flush=True)
    {reaction}
signal.signal(signal.SIGTERM, ask)
system_child.watch_parent(0, {grace})
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("reaction", "grace", "code"), [("sys.exit(0)", 30, 0), ("time.sleep(60)", 0.1, 1)])
def test_a_child_whose_parent_dies_is_asked_to_stop_and_then_ended(reaction: str, grace: float, code: int) -> None:
    script = WATCH.format(reaction=reaction, grace=grace)
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.stdin.write("ignored")
        process.stdin.close()
        assert process.stdout.readline() == "asked\n"
        assert process.wait(WAIT_S) == code


def test_the_watch_is_a_signal_first_and_an_end_later(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(system_child.os, "kill", lambda pid, number: done.append((pid, number)))
    monkeypatch.setattr(system_child.os, "_exit", done.append)
    reading, writing = os.pipe()
    watch = system_child.watch_parent(reading, 0.0)
    os.write(writing, b"x")
    os.close(writing)
    watch.join(WAIT_S)
    os.close(reading)
    assert done == [(os.getpid(), signal.SIGTERM), 1]
    done.clear()
    system_child.watch_parent(reading, 0.0).join(WAIT_S)  # closed: nobody watches
    assert done == []


def test_a_child_runs_kedge_itself() -> None:
    command = system_child.command(["--version"])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == __version__
        assert process.wait(WAIT_S) == 0
