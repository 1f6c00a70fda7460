"""`kedge brake test`: a drill of the brake on a private simulated exchange, with a timed report that is kept."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit
from kedge.domain.errors import InvalidInput
from kedge.ops.atomic_file import replace_content
from kedge.ops.config import load_config

if TYPE_CHECKING:
    from kedge.services.drills.plan import DrillPlan
    from kedge.services.drills.report import DrillReport

BAR_S: Final = 10
CALM_S: Final = 5
STILL_S: Final = 15


def drill(
    *,
    scenario: str = "mar-2020",
    trigger: Literal["drawdown", "var99", "defaults"] = "drawdown",
    bar_seconds: int = BAR_S,
    seed: int = 1,
    report: Path | None = None,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Hold a drill: play a crash on a private simulated exchange, let a real guard brake, and time it. Takes about a minute.

    The drill has its own folder, keys, wallet and guard: the account that trades, its exchange and its brake are never touched. The report
    is kept in `drills/` of the state folder; the schedule counts drills that passed. Exits 9 when anything was not as it must be.

    Parameters
    ----------
    scenario
        Which crash, by the id of a stress scenario, such as mar-2020, nov-2022, oct-2025 or equities-2008.
    trigger
        `drawdown` or `var99` moves the other triggers that measure risk out of the way, and the report says how; `defaults` moves none
        and shows which fires first.
    bar_seconds
        Wall time into which each bar of the crash is compressed, 1 to 60.
    seed
        Of the made up past and of the path of prices.
    report
        Write the report there too, as JSON.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print the report as JSON.
    """
    from kedge.services.drills.report import text_of

    settings = load_config(config, flags={"state_dir": state_dir})
    plan = plan_of(scenario, trigger, bar_seconds, seed)
    if not as_json:
        print(f"drill: {plan.crash.title}, about {told_seconds(plan)} s", file=sys.stderr, flush=True)
    found = asyncio.run(hold(settings.state_folder, plan))
    if report is not None:
        replace_content(report.expanduser().resolve(), msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    emit(msgspec.to_builtins(found), as_json, lambda target: target.print(text_of(found), highlight=False, soft_wrap=True, markup=False))
    return exit_codes.OK if found.is_passed else exit_codes.FINDINGS


def plan_of(scenario: str, trigger: str, bar_seconds: int, seed: int) -> DrillPlan:
    """The drill that a command line asks for.

    Raises
    ------
    InvalidInput
        No such scenario, or a bar that cannot be played.
    """
    from kedge.services.drills.crash import BAR_S_MAX, Timing
    from kedge.services.drills.plan import VAR99, DrillPlan
    from kedge.services.drills.scenarios import crash_of

    if not 1 <= bar_seconds <= BAR_S_MAX:
        raise InvalidInput(f"--bar-seconds is {bar_seconds}", why=f"a bar takes 1 to {BAR_S_MAX} s", fix=f"--bar-seconds {BAR_S}")
    crash = crash_of(scenario, seed=seed)
    timing = Timing(calm_s=CALM_S, bar_s=bar_seconds, midnight_after=crash.lowest_after if trigger == VAR99 else None, still_s=STILL_S)
    bars = len(next(iter(crash.bars.values())))
    return DrillPlan(crash, timing, kind=trigger, seed=seed, within_s=float(CALM_S + bars * bar_seconds + STILL_S))


def told_seconds(plan: DrillPlan) -> int:
    """About how long it takes, with the start of its processes."""
    return int(plan.within_s) + BAR_S


async def hold(state_folder: Path, plan: DrillPlan) -> DrillReport:
    """Hold one drill in its own folder below `drills/`, keep its record, and return it; deadlines that were missed are findings.

    Raises
    ------
    KedgeError
        The drill could not be set up: nothing is recorded.
    """
    from kedge.apps.drill_processes import Processes
    from kedge.apps.drill_run import Drill, new_id
    from kedge.apps.drill_stage import Stage
    from kedge.ops.latch_file import latch_path
    from kedge.services.drills.records import drills_folder, write_record
    from kedge.storage.guard_journal import GUARD_JOURNAL

    drill_id = new_id(time.time_ns(), plan)
    folder = drills_folder(state_folder) / drill_id
    folder.mkdir(parents=True, mode=0o700)
    stage = Stage(folder, plan, Processes())
    try:
        found = judged(await Drill(stage, drill_id).hold())
        where = str(latch_path(folder).with_name(GUARD_JOURNAL).relative_to(state_folder))
        found = msgspec.structs.replace(found, actor=getpass.getuser(), journal=where)
    finally:
        await stage.close()
    write_record(state_folder, found)
    return found


def judged(report: DrillReport) -> DrillReport:
    """The report with what came too late among its findings."""
    from kedge.services.drills.report import late

    return msgspec.structs.replace(report, findings=(*report.findings, *(f"too late: {words}" for words in late(report))))
