"""The schedule in the server, in `kedge doctor` and in `kedge system status`; and the command that holds a drill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests import steady
from tests.unit.apps.drill_world import InProcess
from tests.unit.apps.market_files import kedge, refused
from tests.unit.services.drills.crashes import BTC, crash, report

from kedge.apps import brake_test, drill_clerk, drill_processes
from kedge.apps.brake_test import judged, plan_of, told_seconds
from kedge.apps.drill_clerk import keep_drills, run_quietly
from kedge.apps.drill_processes import Processes
from kedge.apps.state_checks import brake_drill
from kedge.apps.system import _drill
from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_DAY
from kedge.ops.trader_status import write_trader_status
from kedge.services.brake_records import rung_of
from kedge.services.drills.crash import Bar, Timing
from kedge.services.drills.plan import DRAWDOWN, VAR99, DrillPlan
from kedge.services.drills.records import drills_folder, read_records, write_record
from kedge.services.drills.report import Times
from kedge.services.people.desk import PeopleDesk

LONG_AGO_NS = 1_600_000_000 * 10**9


def test_a_drill_that_is_due_is_held_once_a_day_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_clerk, "guarded_since", lambda folder: LONG_AGO_NS)
    held: list[Sequence[str]] = []
    looked = asyncio.Event()

    async def run(argv: Sequence[str], out: Path) -> int:
        held.append(argv)
        looked.set()
        return 9

    async def main() -> None:
        with PeopleDesk.open(tmp_path) as desk:
            keeping = asyncio.create_task(keep_drills(tmp_path, desk, ["brake", "test"], holds=True, every_s=0.01, run=run))
            await looked.wait()
            await asyncio.sleep(0.2)
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    steady.run(main(), within_s=30)
    assert held == [["brake", "test"]]


def test_where_it_may_not_hold_or_cannot_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_clerk, "guarded_since", lambda folder: LONG_AGO_NS)
    asked: list[str] = []

    async def broken(argv: Sequence[str], out: Path) -> int:
        asked.append("held")
        raise TimeoutError

    async def main() -> None:
        with PeopleDesk.open(tmp_path) as desk:
            for holds in (False, True):
                keeping = asyncio.create_task(keep_drills(tmp_path, desk, [], holds=holds, every_s=0.01, run=broken))
                while len(asked) < int(holds):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                assert not keeping.done()
                keeping.cancel()
                with suppress(asyncio.CancelledError):
                    await keeping
                assert len(asked) == int(holds)

    steady.run(main(), within_s=30)


def test_a_command_is_run_with_its_output_in_a_file(tmp_path: Path) -> None:
    out = tmp_path / "drills" / "scheduled.out"
    assert asyncio.run(run_quietly(["--version"], out)) == 0
    assert out.read_text().strip()
    assert out.stat().st_mode & 0o077 == 0


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_clerk, "HOLD_WITHIN_S", 0.05)
    with pytest.raises(TimeoutError):
        asyncio.run(run_quietly(["serve", "--port", "0"], tmp_path / "out"))


def test_processes_of_a_drill_are_commands_that_see_no_settings_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_ACCOUNT", "somebody")
    assert drill_processes.KEPT == ("KEDGE_CACHE_DIR",)

    async def main() -> int:
        child = await Processes().spawn(["config", "show", "--json"], tmp_path / "out")
        code = await child.ended
        child.signal(signal.SIGTERM)
        assert not child.is_alive
        return code

    assert asyncio.run(main()) == 0
    assert "somebody" not in (tmp_path / "out").read_text()


def test_a_process_can_be_signalled_while_it_lives(tmp_path: Path) -> None:
    async def main() -> int:
        child = await Processes().spawn(["serve", "--port", "0", "--state-dir", tmp_path], tmp_path / "out")
        assert child.is_alive
        child.signal(signal.SIGKILL)
        return await child.ended

    assert asyncio.run(main()) == -signal.SIGKILL


def test_the_rung_is_the_traders_and_paper_without_one(tmp_path: Path) -> None:
    assert rung_of(tmp_path) == "paper"
    write_trader_status(tmp_path, {"rung": "demo"}, datetime.now(UTC))
    assert rung_of(tmp_path) == "demo"


def test_the_doctor_and_the_system_status_tell_a_missed_drill(tmp_path: Path) -> None:
    assert brake_drill(tmp_path)[0] == "skip"
    assert _drill(tmp_path) is None
    for age_days, answer in ((40, "fail"), (7.5, "warn"), (1, "ok")):
        write_record(tmp_path, report(drill_id=f"held-{answer}", started_wall_ns=time.time_ns() - int(age_days * NS_PER_DAY)))
        said, words, fix = brake_drill(tmp_path)
        assert said == answer
        assert (fix == "kedge brake test") is (answer != "ok")
        told = _drill(tmp_path)
        assert told is not None
        assert (told["is_missed"], told["words"]) == (answer == "fail", words)


# --- the command ------------------------------------------------------------------------------------------------------


def small_plan(scenario: str, trigger: str, bar_seconds: int, seed: int) -> DrillPlan:
    return DrillPlan(crash(symbols=(BTC,), bars=(Bar(1.0, 1.0, 0.6, 0.62),)), Timing(1, 1, None, 20), kind=trigger, within_s=1.0)


@pytest.mark.slow
def test_the_command_holds_a_drill_and_keeps_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brake_test, "plan_of", small_plan)
    monkeypatch.setattr(drill_processes, "Processes", InProcess)
    kept = tmp_path / "report.json"
    code = brake_test.drill(state_dir=str(tmp_path / "state"), report=kept)
    found = read_records(tmp_path / "state").reports
    assert len(found) == 1
    assert code == (0 if found[0].is_passed else 9)
    assert json.loads(kept.read_bytes())["drill_id"] == found[0].drill_id
    assert (tmp_path / "state" / found[0].journal).is_file()
    assert found[0].actor
    assert os.stat(drills_folder(tmp_path / "state") / found[0].drill_id).st_mode & 0o077 == 0


def test_what_came_too_late_is_a_finding() -> None:
    assert judged(report()).findings == ()
    slow = judged(report(seen=Times(), guard=Times(), findings=("it reversed",)))
    assert slow.findings[0] == "it reversed"
    assert all(words.startswith("too late") for words in slow.findings[1:])


def test_plans_are_what_was_asked_for() -> None:
    plan = plan_of("nov-2022", VAR99, 7, 3)
    assert (plan.kind, plan.timing.bar_s, plan.seed, plan.crash.name) == (VAR99, 7, 3, "nov-2022")
    assert plan.timing.midnight_after == plan.crash.lowest_after
    assert plan_of("nov-2022", DRAWDOWN, 7, 3).timing.midnight_after is None
    assert told_seconds(plan) < 120


@pytest.mark.parametrize(("flag", "value"), [("--scenario", "tulips-1637"), ("--bar-seconds", "61"), ("--bar-seconds", "0")])
def test_what_cannot_be_played_is_refused(flag: str, value: str, tmp_path: Path) -> None:
    answer: Any = refused(kedge("brake", "test", "--state-dir", tmp_path, flag, value, "--json"))
    assert answer
    with pytest.raises(InvalidInput):
        plan_of("mar-2020", DRAWDOWN, 0, 1)
