"""One drill of the table: which crash, how it is laid out, what is broken, and what must come of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec

from kedge.apps.drill_run import Drill
from kedge.apps.drill_stage import Stage, Starter
from kedge.services.drills.crash import Crash, Timing
from kedge.services.drills.plan import DRAWDOWN, VAR99, DrillPlan
from kedge.services.drills.report import DrillReport, late

from .table import NO_FAULT, Fault
from .traders import LONG, start_trader

CALM_S, BAR_S, STILL_S = 6, 8, 40
TRADER_CALM_S = 16
MINUTE_AFTER_S = 6


def plan_of(crash: Crash, kind: str = DRAWDOWN, fault: Fault = NO_FAULT, *, bar_s: int = BAR_S) -> DrillPlan:
    """The drill of one crash, trigger and fault."""
    timing = Timing(
        calm_s=TRADER_CALM_S if fault.with_trader else CALM_S,
        bar_s=bar_s,
        midnight_after=crash.lowest_after if kind == VAR99 else None,
        still_s=STILL_S,
        minute_after_s=MINUTE_AFTER_S if fault.with_trader else None,
    )
    return DrillPlan(
        crash,
        timing,
        kind=kind,
        stop_frac=Decimal(fault.stop_frac),
        fault="" if fault is NO_FAULT else fault.name,
        within_s=fault.within_s,
        config={**LONG, "stops": {"distance_frac": fault.stop_frac}} if fault.with_trader else {},
    )


async def hold(folder: Path, starter: Starter, plan: DrillPlan, fault: Fault = NO_FAULT) -> DrillReport:
    """Hold it and say what was not as it must be."""
    stage = Stage(folder, plan, starter)
    try:
        report = await Drill(stage, start_trader=start_trader if fault.with_trader else None).hold(fault.disturb)
    finally:
        await stage.close()
    found = list(report.findings)
    if report.outcome not in fault.outcomes:
        found.append(f"it ended {report.outcome}, and may end {' or '.join(fault.outcomes)}")
    if fault.slack:
        found += [f"too late: {words}" for words in late(report, fault.slack)]
    return msgspec.structs.replace(report, findings=tuple(found))
