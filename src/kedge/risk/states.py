"""When the trader itself reduces or halts: drawdown, loss of the day, or something it cannot understand.

Rules: upward moves are immediate. REDUCE_ONLY for a measure ends when that measure is back under its soft level and no other one is at
its reduce level; drawdown, which no day's end sets back, takes a REDUCE_ONLY for the day's loss over as soon as it reaches its own. A
person may accept a drawdown beyond its reduce level by resuming from it: until it is under its soft level, or trading is held again, only
its halt level acts. A halt for the day's loss ends with the UTC day; every other halt, and a flattening, stays until a person resumes.
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


COMMAND = "COMMAND"
"""A person halted trading, or let it go on."""
BRAKE = "BRAKE"
"""The guard's brake is on. It is taken off by the guard's release, and then by whoever resumes."""
REPEATED_EXECUTION = "REPEATED_EXECUTION"
"""The strategy acted on too many decisions in a row: it only reduces until a person lets it go on."""
HELD = frozenset({BRAKE, REPEATED_EXECUTION})
"""Codes under which trading may only reduce until a person resumes, whatever the measures say."""
DAILY_LOSS = "DAILY_LOSS"
DRAWDOWN = "DRAWDOWN"
RECOVERED = "RECOVERED"
NEW_DAY = "NEW_DAY"
INHERITED = "inherited: "
"""How what was observed begins where an earlier run of the account observed it."""
FLATTEN = "FLATTEN"
"""A person wants every position closed. Nothing but a person ends it, and a loss does not stop the closing."""
STOP_UNCONFIRMED = "STOP_UNCONFIRMED"
"""A position stood without its stop for too long: code of the halt, of the closing decision, and of the veto that follow."""
WAYS_OUT = frozenset({FLATTEN, STOP_UNCONFIRMED})
"""Codes under which a position is being closed for good: its target is zero, whatever the market did since."""

_SEVERITY = {RiskState.RUNNING: 0, RiskState.REDUCE_ONLY: 1, RiskState.HALTED: 2}


def percent(frac_e8: int) -> str:
    """A fraction in 1e-8 as a per cent text with four decimals."""
    return f"{frac_e8 * 100 / E8:.4f}%"


class _Measure(NamedTuple):
    """What one measure stands at, and its levels, in 1e-8."""

    code: str
    observed_e8: int
    soft_e8: int
    reduce_e8: int
    halt_e8: int

    @property
    def is_calm(self) -> bool:
        return self.observed_e8 < self.soft_e8


def judge(
    state: RiskState, halt_code: str, drawdown_e8: int, daily_loss_e8: int, limits: Limits, *, day_over: bool, is_accepted: bool = False
) -> Change | None:
    """The move that the measures demand now, or None.

    Parameters
    ----------
    halt_code : str
        The code of what holds trading ('' when nothing does); it decides what may end it.
    drawdown_e8, daily_loss_e8 : int
        What is lost, as fractions in 1e-8.
    day_over : bool
        Whether a UTC day has ended since trading is held.
    is_accepted : bool
        Whether a person accepted the drawdown; a move to RUNNING while trading runs ends that.
    """
    if halt_code == FLATTEN:
        return None
    drawdown = _Measure(DRAWDOWN, drawdown_e8, limits.drawdown_soft_e8, limits.drawdown_reduce_e8, limits.drawdown_halt_e8)
    loss = _Measure(DAILY_LOSS, daily_loss_e8, limits.daily_loss_soft_e8, limits.daily_loss_reduce_e8, limits.daily_loss_halt_e8)
    worst = _worst(drawdown, loss)
    if is_accepted and state is RiskState.RUNNING and worst is not None and worst.state is RiskState.REDUCE_ONLY:
        worst = _beside_the_accepted(worst, loss)
    if worst is not None and _SEVERITY[worst.state] > _SEVERITY[state]:
        return worst
    if state is RiskState.HALTED:
        if halt_code == DAILY_LOSS and day_over:
            return worst or Change(RiskState.RUNNING, NEW_DAY, percent(daily_loss_e8), percent(limits.daily_loss_halt_e8))
        return None
    if state is RiskState.RUNNING:
        return _recovered(drawdown) if is_accepted and drawdown.is_calm else None
    return _reduced({DRAWDOWN: drawdown, DAILY_LOSS: loss}.get(halt_code), worst)


def may_accept(state: RiskState, halt_code: str, drawdown_e8: int, limits: Limits) -> bool:
    """Whether a person who resumes now accepts the drawdown: only from REDUCE_ONLY for it, and while it still is beyond that level."""
    return state is RiskState.REDUCE_ONLY and halt_code == DRAWDOWN and drawdown_e8 >= limits.drawdown_reduce_e8


def holds_harder(state: RiskState, code: str, other: RiskState, other_code: str) -> bool:
    """Whether what held another run of the account (`other`) is to hold this one, in place of what does so now.

    That is where it is more severe, or as severe and lasts until a person resumes while ours would end by itself. A flattening stays.
    """
    if code == FLATTEN or other is RiskState.RUNNING:
        return False
    if other is not state:
        return _SEVERITY[other] > _SEVERITY[state]
    return _ends_by_itself(state, code) and not _ends_by_itself(other, other_code)


def _ends_by_itself(state: RiskState, code: str) -> bool:
    return code == DAILY_LOSS or (state is RiskState.REDUCE_ONLY and code == DRAWDOWN)


def _reduced(held: _Measure | None, worst: Change | None) -> Change | None:
    """What becomes of REDUCE_ONLY for this measure; None of one that only a person ends."""
    if held is None:
        return None
    if worst is not None and worst.code != held.code and (held.is_calm or worst.code == DRAWDOWN):
        return worst
    return _recovered(held) if held.is_calm else None


def _recovered(measure: _Measure) -> Change:
    return Change(RiskState.RUNNING, RECOVERED, f"{measure.code} {percent(measure.observed_e8)}", percent(measure.soft_e8))


def _beside_the_accepted(worst: Change, loss: _Measure) -> Change | None:
    """An accepted drawdown reduces nothing by itself; where the loss of the day does, it holds trading again, for it outlasts the day."""
    if loss.observed_e8 < loss.reduce_e8:
        return None
    if worst.code == DAILY_LOSS:
        return worst
    return worst._replace(observed=f"{worst.observed}, which was accepted, and {DAILY_LOSS} {percent(loss.observed_e8)}")


def _worst(drawdown: _Measure, loss: _Measure) -> Change | None:
    for one in (drawdown, loss):
        if one.observed_e8 >= one.halt_e8:
            return Change(RiskState.HALTED, one.code, percent(one.observed_e8), percent(one.halt_e8))
    for one in (drawdown, loss):
        if one.observed_e8 >= one.reduce_e8:
            return Change(RiskState.REDUCE_ONLY, one.code, percent(one.observed_e8), percent(one.reduce_e8))
    return None
