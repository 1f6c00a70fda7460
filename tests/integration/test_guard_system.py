"""The guard beside a whole system of processes: permits that stop and come back, a brake that outlives who put it on, a release by two."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.commands import environment, kedge, spawn
from tests.integration.people_session import Served, first_person
from tests.integration.test_system_up import System

from kedge.apps.up import setup_link

pytestmark = [pytest.mark.slow, pytest.mark.once]

PERMIT_S = 2.0
SLACK = 3


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    begun: list[System] = []

    def make(*arguments: object) -> System:
        begun.append(System(tmp_path / "state", *arguments))
        return begun[-1]

    yield make
    for system in begun:
        system.end()


class Beside(Served):
    """The server of a system that runs already."""

    def __init__(self, system: System) -> None:
        self.url = system.file("server")["url"]
        self.port = int(self.url.rpartition(":")[2])
        self.origin = f"http://localhost:{self.port}"
        self.setup_url = setup_link(system.state, self.port)


def guard_of(system: System) -> dict[str, Any]:
    """The guard's last word, whoever lives."""
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads((system.state / "guard" / "status.json").read_bytes())
        return found
    return {}


def trades(system: System) -> None:
    """Wait until the trader adds risk under a permit."""
    fills = system.file("trader").get("fills", 0)
    system.until(lambda: (told := system.file("trader"))["may_add_risk"] is True and told["fills"] > fills + 3)
    seen = system.file("trader")
    assert (seen["guard"], seen["brake"]) == ("guard", "running")


def test_the_trader_adds_risk_only_under_the_guard_s_permits_and_a_flatten_ends_flat(start: Callable[..., System]) -> None:
    system = start("--speed", "600", "--bars", "20000")
    trades(system)
    assert {row["name"] for row in system.file("supervisor")["children"]} == {"exchange", "guard", "trader", "server"}
    shown = kedge("brake", "status", "--state-dir", system.state, "--json")
    assert (shown.code, shown.json["latch"]["level"], shown.json["source"]) == (0, "running", "guard")
    assert system.health("/health")[1]["services"]["guard"] == "ok"

    # a guard that hangs: its permits run out within two seconds, and the trader goes on without adding risk
    pid = system.child("guard")["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    system.until(lambda: system.file("trader")["may_add_risk"] is False)
    assert time.monotonic() - stopped_s < SLACK * PERMIT_S + 1.0, "the status itself is a second old"
    os.kill(pid, signal.SIGCONT)
    trades(system)

    # a guard that is killed: the same, until the supervisor has another one
    os.kill(pid, signal.SIGKILL)
    killed_s = time.monotonic()
    system.until(lambda: system.file("trader")["may_add_risk"] is False)
    assert time.monotonic() - killed_s < SLACK * PERMIT_S + 1.0
    refused = system.file("trader")["funnel"]["refused"]
    system.until(lambda: system.child("guard")["pid"] not in (None, pid))
    trades(system)
    assert system.child("trader")["restarts"] == 0
    assert set(refused) <= {"NO_PERMIT"}

    # a person flattens
    engaged = kedge("brake", "engage", "--level", "flatten", "--reason", "drill", "--state-dir", system.state, "--json")
    assert (engaged.code, engaged.json["via"], engaged.json["level"]) == (0, "guard", "flattening")
    system.until(lambda: guard_of(system)["latch"]["level"] == "halted_flat")
    system.until(lambda: system.file("trader")["positions"] == [] and system.file("trader")["halt_code"] == "BRAKE")
    told = system.file("trader")
    assert (told["risk_state"], told["may_add_risk"], told["orders"]) == ("halted", False, [])
    history = kedge("brake", "history", "--limit", "200", "--state-dir", system.state, "--json").json["records"]
    assert {"guard_started", "latched", "cancels_sent", "slice_sent", "flat"} <= {row["kind"] for row in history}
    assert [row["content"]["level"] for row in history if row["kind"] == "latched"] == ["halted_flat", "flattening"]
    journal = system.state / "guard" / "journal.sqlite"
    assert kedge("audit", "verify", journal, "--state-dir", system.state, "--json").json["ok"]

    # nobody gets around it: neither a resume, nor another system in the same folder
    assert kedge("resume", "--reason", "drill", "--state-dir", system.state).code == 0
    bars = told["bars"]
    system.until(lambda: system.file("trader")["bars"] > bars + 200)
    assert system.file("trader")["risk_state"] == "halted"
    system.process.send_signal(signal.SIGTERM)
    system.process.communicate(timeout=60)
    assert system.process.returncode == 0
    alone = spawn("trade", "--guard", "none", "--venue", "http://127.0.0.1:9", "--state-dir", system.state)
    assert alone.code == 7
    assert "the brake of this account is halted_flat" in alone.err


def test_two_people_release_it_over_the_command_line(start: Callable[..., System], tmp_path: Path) -> None:
    system = start("--speed", "600", "--bars", "20000")
    trades(system)
    here = ("--state-dir", system.state, "--json")
    assert kedge("brake", "engage", "--level", "halt", "--reason", "drill", *here).code == 0
    system.until(lambda: system.file("trader")["halt_code"] == "BRAKE")
    ada = first_person(Beside(system))
    rita = ada.invite("rita", "viewer")
    ada.grant(rita, "risk")
    rita.sign_in()
    env = environment(KEDGE_TOKEN=ada.token("read", "brake:engage", "brake:release"), XDG_CONFIG_HOME=str(tmp_path / "config"))
    server = ("--server", system.file("server")["url"])

    asked = spawn("brake", "release", "--reason", "calm", "--root-cause", "a drill", *server, *here, env=env)
    assert asked.code == 0, asked
    approval = asked.json
    assert approval["payload"]["generation"] == guard_of(system)["latch"]["generation"]
    assert spawn("approval", "use", approval["id"], *server, *here, env=env).code == 7
    assert ada.decide(ada.get(f"/api/v1/approvals/{approval['id']}")).code == "OWN_REQUEST"
    decided = rita.decide(rita.get(f"/api/v1/approvals/{approval['id']}"))
    assert (decided.status, decided.body["four_eyes"]) == (200, True)
    used = spawn("approval", "use", approval["id"], *server, *here, env=env)
    assert (used.code, used.json["state"]) == (0, "used")
    system.until(lambda: guard_of(system)["latch"]["level"] == "running" and guard_of(system)["permits"] == "")
    assert guard_of(system)["latch"]["release_id"] == approval["id"]
    assert spawn("approval", "use", approval["id"], *server, *here, env=env).code == 7
    assert spawn("approval", "show", approval["id"], "--verify", *server, *here, env=env).json["verified"] is True

    # the trader stays halted until a person lets it go on
    assert system.file("trader")["risk_state"] == "halted"
    assert ada.make("/api/v1/commands", {"command": "resume", "reason": "calm"}).status in (200, 201, 202)
    trades(system)
