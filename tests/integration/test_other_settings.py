"""A trader that is started with another setting after a halt: halted still, and nothing leaves before a person resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.events import AccountInherited, CommandGiven
from kedge.domain.outputs import OrderSent, RiskStateChanged
from kedge.domain.record import Step
from kedge.storage.journal_reader import SqliteJournalReader

from .commands import kedge
from .test_limits_hot import FAR, rising
from .trading_processes import Processes, processes

pytestmark = pytest.mark.slow


def trade(at: Processes, url: str, slow: int) -> None:
    at.trade("--venue", url, "--instrument", "BTCUSDT", "--strategy", "trend", "--param", "fast=2", "--param", f"slow={slow}")


def steps(at: Processes, run_id: str) -> list[Step]:
    with SqliteJournalReader(at.state / "runs" / run_id / "journal.sqlite") as reader:
        return [record for record in reader.records() if isinstance(record, Step)]


def test_another_setting_does_not_lift_a_halt_and_a_resume_does(tmp_path: Path) -> None:
    with processes(tmp_path, FAR) as at:
        url = at.exchange("--market", f"replay:{rising(tmp_path)}", "--speed", 120)
        trade(at, url, 3)
        at.until(lambda status: len(status["live_orders"]) == 1)
        assert kedge("halt", "--reason", "enough for today", "--state-dir", at.state).code == 0
        at.until(lambda status: status["risk_state"] == "halted" and not status["live_orders"] and status["under_way"] == 0)
        first = at.stop_trader()

        trade(at, url, 4)
        at.until(lambda status: status["run_id"] != first["run_id"] and status["funnel"]["bars"] >= 5)
        second = at.stop_trader()
        assert (second["risk_state"], second["halt_code"], second["funnel"]["sent"]) == ("halted", "COMMAND", 0)

        trade(at, url, 4)
        at.until(lambda status: status["run_id"] == second["run_id"] and status["reconciled"])
        assert kedge("resume", "--reason", "looked at it", "--state-dir", at.state).code == 0
        at.until(lambda status: status["risk_state"] == "running" and len(status["live_orders"]) == 1)
        at.stop_trader()

        made = steps(at, second["run_id"])
        told = made[0].event
        assert isinstance(told, AccountInherited)
        assert (told.from_run, told.risk_state, told.unexplained_e8) == (first["run_id"], "halted", 0)
        assert told.from_record == steps(at, first["run_id"])[-1].seq
        assert [output.code for output in made[0].outputs if isinstance(output, RiskStateChanged)] == ["COMMAND"]
        resumed = next(n for n, step in enumerate(made) if isinstance(step.event, CommandGiven) and step.event.command == "resume")
        assert not any(isinstance(output, OrderSent) for step in made[:resumed] for output in step.outputs)
        for run_id in (first["run_id"], second["run_id"]):
            assert kedge("replay", run_id, "--state-dir", at.state, "--json").json["equal"] is True
            assert kedge("audit", "verify", run_id, "--state-dir", at.state, "--json").json["ok"] is True
