"""Everything that can go wrong around a running system says what happened, why, and what to do; what passes by itself is waited for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kedge.ops.paper_keys import load_or_create_paper_keys, paper_keys_file

from .commands import Answer, environment, kedge

WAIT_S = 90.0
QUICK = ("--param", "fast=3", "slow=9")


# what is refused at once -----------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def check_says(answer: Answer, code: int, *words: str) -> None:
    """One error in four lines, with these words in it, and nothing on stdout."""
    assert answer.code == code, answer
    lines = answer.err.splitlines()
    assert [text.split()[0] for text in lines] == ["error", "why", "fix", "code"], answer.err
    assert answer.err.isascii()
    assert answer.out == ""
    for word in words:
        assert word in answer.err


@pytest.mark.parametrize("command", [("up",), ("serve",), ("exchange", "serve")])
def test_a_port_in_use_names_the_port_and_the_way_out(command: tuple[str, ...], state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_says(kedge(*command, "--port", port, "--state-dir", state), 6, f"port {port}", "127.0.0.1", "--port")


@pytest.mark.parametrize("command", [("up", "--port", 0), ("trade", "--venue", "http://127.0.0.1:9"), ("exchange", "serve", "--port", 0)])
def test_a_state_folder_that_cannot_be_made_is_named(command: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    check_says(kedge(*command, "--state-dir", tmp_path / "file" / "state"), 1, "file", "check the path")


@pytest.mark.parametrize("command", [("trade", "--venue", "http://127.0.0.1:9"), ("exchange", "serve", "--port", 0)])
@pytest.mark.parametrize(("text", "mode", "words"), [("{", 0o600, ("damaged", "restore the file")), ("{}", 0o644, ("chmod 600",))])
def test_a_keys_file_that_cannot_be_trusted_is_refused(
    command: tuple[object, ...], text: str, mode: int, words: tuple[str, ...], state: Path
) -> None:
    path = paper_keys_file(state)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(mode)
    check_says(kedge(*command, "--state-dir", state), 4, str(path), *words)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("up", "--market", "replay:/nowhere/bars.parquet"), 3, ("/nowhere/bars.parquet",)),
        (("up", "--market", "relay:x"), 4, ("demo.market is 'relay:x' (flag)", "replay:FILE")),
        (("up", "--speed", "0"), 4, ("demo.speed", "max")),
        (("up", "--speed", "1000001"), 4, ("demo.speed", "max")),
        (("exchange", "serve", "--market", "live", "--speed", "2"), 4, ("--speed with live prices",)),
        (("exchange", "serve", "--host", "0.0.0.0"), 4, ("no TLS",)),
        (("serve", "--host", "0.0.0.0"), 4, ("TLS",)),
        (("trade", "--rung", "live"), 7, ("ladder", "--rung paper")),
        (("trade", "--rung", "testnet"), 7, ("proof for live", "--rung paper")),
        (("trade",), 4, ("--venue is not given", "kedge exchange serve")),
        (("trade", "--venue", "https://api.bybit.com"), 4, ("its keys go nowhere else",)),
        (("trade", "--interval", "7m", "--venue", "http://127.0.0.1:9"), 4, ("bars of 7m", "1m, 3m, 5m")),
        (("halt", "--reason", "drill"), 3, ("kedge up",)),
        (("status",), 3, ("kedge up",)),
    ],
)
def test_what_cannot_be_done_says_what_can(arguments: tuple[str, ...], code: int, words: tuple[str, ...], state: Path) -> None:
    check_says(kedge(*arguments, "--state-dir", state), code, *words)


# what happens while it runs --------------------------------------------------------------------------------------------------


class Desk:
    """Exchange, trader and server as processes of their own, started one by one."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kedge.apps.cli", *map(str, arguments), "--state-dir", str(self.state)]
        self.running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True))
        return self.running[-1]

    def exchange(self) -> subprocess.Popen[str]:
        return self.start("exchange", "serve", "--port", self.port, "--faults", "--speed", 600, "--wait-for", 1)

    def trader(self) -> subprocess.Popen[str]:
        return self.start("trade", "--venue", f"http://127.0.0.1:{self.port}", *QUICK)

    def server(self) -> subprocess.Popen[str]:
        return self.start("serve", "--port", 0)

    def file(self, name: str) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            found = json.loads((self.state / f"{name}.json").read_text())
            assert isinstance(found, dict)
            return found
        return {}

    def fault(self, **order: Any) -> None:
        body = json.dumps(order).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/kedge/faults", data=body, timeout=10) as answer:
            assert answer.status == 200

    def no_faults(self) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/kedge/faults", method="DELETE")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def health(self) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(self.file("server")["url"] + "/health/ready", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def until(self, reached: Callable[[], Any], *alive: subprocess.Popen[str]) -> Any:
        """What `reached` gives once it is true, while these processes live."""
        deadline = time.monotonic() + WAIT_S
        while not (found := reached()):
            for process in alive:
                assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, self.file("trader")
            time.sleep(0.05)
        return found

    def trades_on(self, trader: subprocess.Popen[str], *, was_banned: bool = False) -> dict[str, Any]:
        """Wait until it trades with all streams, after more bars and fills than now; its status.

        A ban between a trade and its stop leaves a position bare for too long: it is closed, and a person lets trading go on.
        """
        before = self.file("trader")
        bars, fills = before.get("bars", 0), before.get("fills", 0)

        def on() -> dict[str, Any] | None:
            told = self.file("trader")
            well = (told.get("pid"), told.get("phase"), told.get("problem")) == (trader.pid, "trading", "")
            return told if well and told.get("bars", 0) > bars + 4 and told.get("fills", 0) > fills else None

        told = self.until(on, trader)
        if was_banned and told["halt_code"] == "STOP_UNCONFIRMED":
            assert kedge("resume", "--reason", "the ban is over", "--state-dir", self.state).code == 0
            told = self.until(lambda: (seen := on()) and seen["risk_state"] == "running" and seen, trader)
        assert (told["books_agree"], told["risk_state"], told["differences"]) == (True, "running", 0)
        assert isinstance(told, dict)
        return told

    def problem(self, trader: subprocess.Popen[str], *words: str) -> str:
        """Wait until the trader's status says one of these words as its problem."""
        found = self.until(
            lambda: next((one for one in (str(self.file("trader").get("problem", "")),) if any(w in one for w in words)), ""), trader
        )
        return str(found)

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def desk(state: Path) -> Iterator[Desk]:
    made = Desk(state)
    yield made
    for process in made.running:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.communicate()


def check_nothing_lost(desk: Desk, run_id: str) -> None:
    """One run, its journal verifies and replays, and every fill stands in it."""
    assert [path.name for path in (desk.state / "runs").iterdir()] == [run_id]
    replay = kedge("replay", run_id, "--state-dir", desk.state, "--json").json
    assert replay["equal"] is True
    assert replay["equity"] == desk.file("trader")["equity"]
    findings = kedge("audit", "verify", run_id, "--state-dir", desk.state, "--json").json["findings"]
    assert [one for one in findings if one["kind"] != "crash"] == []


@pytest.mark.slow
def test_a_venue_that_is_down_and_one_in_maintenance_are_waited_for(desk: Desk) -> None:
    trader, server = desk.trader(), desk.server()
    assert f"no exchange answers at http://127.0.0.1:{desk.port}" in desk.problem(trader, "no exchange")
    exchange = desk.exchange()
    run_id = desk.trades_on(trader)["run_id"]
    desk.until(lambda: desk.health()[0] == 200, trader, server)

    desk.fault(fault="maintenance", ms=4_000)
    desk.problem(trader, "stream", "503")
    status, ready = desk.until(lambda: found if (found := desk.health())[0] == 503 else None, trader, server)
    assert (status, ready["ready"]) == (503, False)
    assert {"feed"} <= {one["check"] for one in ready["failed"]} <= {"trader", "exchange", "feed", "reconciliation"}
    assert all(one["fix"] for one in ready["failed"])
    shown = kedge("status", "--state-dir", desk.state, "--json").json
    assert (shown["running"], shown["run_id"]) == (True, run_id)
    desk.trades_on(trader)

    exchange.send_signal(signal.SIGSTOP)
    _, ready = desk.until(lambda: found if (found := desk.health())[0] == 503 else None, trader, server)
    assert "exchange" in {one["check"] for one in ready["failed"]}
    exchange.send_signal(signal.SIGCONT)
    assert desk.trades_on(trader)["run_id"] == run_id
    desk.until(lambda: desk.health()[0] == 200, trader, server)
    code, _, err = desk.end(trader)
    assert (code, err) == (0, "")
    check_nothing_lost(desk, run_id)


@pytest.mark.slow
def test_a_ban_is_sat_out_for_as_long_as_the_venue_says_and_a_new_trader_goes_on(desk: Desk) -> None:
    desk.exchange()
    trader = desk.trader()
    run_id = desk.trades_on(trader)["run_id"]
    desk.fault(fault="ban", ms=3_000)
    said = desk.problem(trader, "banned for")
    assert "HTTP 403" in said
    assert int(said.partition("banned for ")[2].split()[0]) > 500
    assert desk.file("trader")["phase"] == "reconciling"
    code, _, err = desk.end(trader)
    assert (code, err) == (0, "")
    trader = desk.trader()
    assert desk.trades_on(trader, was_banned=True)["run_id"] == run_id
    assert desk.end(trader)[0] == 0
    check_nothing_lost(desk, run_id)


@pytest.mark.slow
def test_a_clock_that_is_wrong_by_an_hour_halts_and_a_person_resumes_when_it_is_right(desk: Desk) -> None:
    desk.exchange()
    desk.until(lambda: (desk.state / "exchange.json").exists())
    desk.fault(fault="clock_skew", ms=-3_600_000)
    trader = desk.trader()
    halted = desk.until(lambda: one if (one := desk.file("trader")).get("risk_state") == "halted" else None, trader)
    assert halted["halt_code"] == "CLOCK_BEYOND_LIMIT"
    assert halted["fills"] == 0
    assert "this machine's clock is 3600." in (desk.state / "logs" / "trader.jsonl").read_text()
    desk.no_faults()
    assert kedge("resume", "--reason", "clock set", "--state-dir", desk.state).code == 0
    assert desk.trades_on(trader)["run_id"] == halted["run_id"]
    code, _, err = desk.end(trader)
    assert (code, err) == (0, "")
    check_nothing_lost(desk, halted["run_id"])


def with_key(state: Path, **changes: Any) -> None:
    """Change the trader's paper key in its file."""
    (key, _) = load_or_create_paper_keys(state)
    path = paper_keys_file(state)
    held = json.loads(path.read_text())
    assert held["keys"][0]["api_key"] == key.api_key
    held["keys"][0] |= changes
    path.write_text(json.dumps(held))


@pytest.mark.slow
def test_a_wrong_secret_ends_the_trader_and_says_which_key(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.until(lambda: (desk.state / "exchange.json").exists(), exchange)
    with_key(desk.state, api_secret="0" * 36)
    trader = desk.trader()
    out, err = trader.communicate(timeout=WAIT_S)
    check_says(Answer(trader.returncode, "", err), 7, "sign")
    assert "0" * 36 not in out + err + (desk.state / "logs" / "trader.jsonl").read_text()
    assert desk.file("trader")["phase"] == "failed"
    assert exchange.poll() is None


@pytest.mark.slow
def test_a_key_that_may_withdraw_ends_the_trader(desk: Desk) -> None:
    desk.state.mkdir()
    permissions = [*load_or_create_paper_keys(desk.state)[0].permissions, "Wallet.Withdraw"]
    with_key(desk.state, permissions=permissions)
    exchange = desk.exchange()
    trader = desk.trader()
    _, err = trader.communicate(timeout=WAIT_S)
    check_says(Answer(trader.returncode, "", err), 7, "the key may withdraw", "make a key without Withdraw")
    assert desk.file("trader")["phase"] == "failed"
    assert exchange.poll() is None
