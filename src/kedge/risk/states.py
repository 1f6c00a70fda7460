"""When the trader itself reduces or halts: drawdown, loss of the day, or something it cannot understand.

Rules: upward moves are immediate; REDUCE_ONLY ends when every measure is back under its soft level; a halt for the
day's loss ends with the UTC day; every other halt, and a flattening, stays until a person resumes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from kedge.domain.units import E8
from kedge.risk.limits import Limits


class RiskState(StrEnum):
    """What the trader itself may do: anything, only reduce, or nothing."""

    RUNNING = "running"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"


class Change(NamedTuple):
    """A move to `state` with the rule's code, what was observed and the limit."""

    state: RiskState
    code: str
    observed: str
    limit: str


DAILY_LOSS = "DAILY_LOSS"
DRAWDOWN = "DRAWDOWN"
RECOVERED = "RECOVERED"
NEW_DAY = "NEW_DAY"
FLATTEN = "FLATTEN"
"""A person wants every position closed. Nothing but a person ends it, and a loss does not stop the closing."""

_SEVERITY = {RiskState.RUNNING: 0, RiskState.REDUCE_ONLY: 1, RiskState.HALTED: 2}


def percent(frac_e8: int) -> str:
    """A fraction in 1e-8 as a per cent text with four decimals."""
    return f"{frac_e8 * 100 / E8:.4f}%"


def judge(state: RiskState, halt_code: str, drawdown_e8: int, daily_loss_e8: int, limits: Limits, *, day_over: bool) -> Change | None:
    """The move that the measures demand now, or None.

    `halt_code` is the code of the halt in force ('' when none); it decides whether a halt may end by itself. `day_over` says
    whether a UTC day has ended since the halt began.
    """
    if halt_code == FLATTEN:
        return None
    worst = _worst(drawdown_e8, daily_loss_e8, limits)
    if worst is not None and _SEVERITY[worst.state] > _SEVERITY[state]:
        return worst
    if state is RiskState.HALTED and halt_code == DAILY_LOSS and day_over:
        return worst or Change(RiskState.RUNNING, NEW_DAY, percent(daily_loss_e8), percent(limits.daily_loss_halt_e8))
    calm = drawdown_e8 < limits.drawdown_soft_e8 and daily_loss_e8 < limits.daily_loss_soft_e8
    if state is RiskState.REDUCE_ONLY and calm:
        return Change(RiskState.RUNNING, RECOVERED, percent(drawdown_e8), percent(limits.drawdown_soft_e8))
    return None


def _worst(drawdown_e8: int, daily_loss_e8: int, limits: Limits) -> Change | None:
    rows = (
        (drawdown_e8, limits.drawdown_halt_e8, RiskState.HALTED, DRAWDOWN),
        (daily_loss_e8, limits.daily_loss_halt_e8, RiskState.HALTED, DAILY_LOSS),
        (drawdown_e8, limits.drawdown_reduce_e8, RiskState.REDUCE_ONLY, DRAWDOWN),
        (daily_loss_e8, limits.daily_loss_reduce_e8, RiskState.REDUCE_ONLY, DAILY_LOSS),
    )
    for observed, limit, state, code in rows:
        if observed >= limit:
            return Change(state, code, percent(observed), percent(limit))
    return None
