"""When the next drill is due, and whether one was missed. Pure.

Rules: weekly on paper, demo and testnet, every 30 days live; missed is 8 days without one, 35 live. Only a drill that passed counts. Where
none was ever held, time runs from when the account was first guarded. A clock that went back hides nothing: the future counts as now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kedge.domain.units import NS_PER_DAY
from kedge.services.drills.report import DrillReport

ALERT: Final = "DRILL_MISSED"


class Pace(NamedTuple):
    """Days between two drills, and days after which one was missed."""

    every_days: int
    missed_days: int


WEEKLY: Final = Pace(7, 8)
MONTHLY: Final = Pace(30, 35)
PACES: Final = {"paper": WEEKLY, "demo": WEEKLY, "testnet": WEEKLY, "live": MONTHLY}


class Due(NamedTuple):
    """Where the schedule stands.

    Attributes
    ----------
    last_wall_ns : int or None
        When the last drill that passed was held; None for never.
    next_wall_ns : int
        When the next one is due.
    is_due, is_missed : bool
        Whether that is now, or too late.
    words : str
        For people; what to do where it is missed.
    """

    last_wall_ns: int | None
    next_wall_ns: int
    is_due: bool
    is_missed: bool
    words: str


def due(rung: str, reports: Sequence[DrillReport], since_wall_ns: int, now_wall_ns: int) -> Due:
    """Where the schedule of a rung stands.

    Parameters
    ----------
    rung : str
        Where the account trades; only drills held there count. One that nobody planned for is held to the strictest pace.
    reports : sequence of DrillReport
        In any order.
    since_wall_ns : int
        When the account was first guarded.
    """
    pace = PACES.get(rung, WEEKLY)
    held = [min(one.started_wall_ns, now_wall_ns) for one in reports if one.rung == rung and one.is_passed and not one.fault]
    last = max(held, default=None)
    since = min(since_wall_ns, now_wall_ns) if last is None else last
    age_ns = now_wall_ns - since
    next_ns = since + pace.every_days * NS_PER_DAY
    is_missed = age_ns > pace.missed_days * NS_PER_DAY
    days = age_ns // NS_PER_DAY
    when = "none has passed yet" if last is None else f"the last one passed {days} days ago"
    if is_missed:
        words = f"drill of the brake missed: {when}, at most {pace.missed_days} days are allowed on {rung}; run `kedge brake test`"
    elif age_ns >= pace.every_days * NS_PER_DAY:
        words = f"drill of the brake due: {when}; run `kedge brake test`"
    else:
        words = f"next drill of the brake in {-(-(next_ns - now_wall_ns) // NS_PER_DAY)} days; {when}"
    return Due(last, next_ns, now_wall_ns >= next_ns, is_missed, words)
