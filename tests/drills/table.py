"""The faults of the table: what is broken, how it may end, and how the drill is set up for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from kedge.apps.drill_run import Drill
from kedge.services.drills.report import FLAT, HALTED, VENUE_STOP

from . import faults


class Fault(NamedTuple):
    """One row: its name, what disturbs, how it may end, and how the drill is set up for it.

    Attributes
    ----------
    with_trader : bool
        A real trader holds the positions.
    grows : bool
        Somebody else trades on after the latch: positions may be larger than at the latch, and the times of a quiet account do not hold.
    slack : int
        The deadlines are asserted times this; 0 for not at all, where the fault itself takes longer.
    """

    name: str
    disturb: Callable[[Drill], Awaitable[None]] | None
    outcomes: Sequence[str] = (FLAT,)
    with_trader: bool = False
    grows: bool = False
    slack: int = 3
    stop_frac: str = "0.6"
    note: str = ""
    within_s: float = 60.0


NO_FAULT = Fault("none", None)
FAULTS = (
    NO_FAULT,
    Fault("nothing: a live trader under the brake", faults.live_trader, with_trader=True),
    Fault("trader killed", faults.kill_trader, with_trader=True),
    Fault("trader hung (SIGSTOP)", faults.hang_trader, with_trader=True),
    Fault("in-flight order accepted late", faults.accept_late),
    Fault("database down: every store of trader and server locked", faults.lock_databases, with_trader=True),
    Fault("Redis down", None, note="not applicable: this profile has none, the shares of the venue's limits are static"),
    Fault("API down", faults.kill_api),
    Fault("guard killed mid-flatten, restarted", faults.kill_guard_mid_flatten, slack=0),
    Fault("guard's own journal locked", faults.lock_guards_journal),
    Fault("private socket frozen", faults.freeze_private),
    Fault("rejects: orders 9 s, cancels 5 s", faults.reject, slack=0),
    Fault("two orders carried out and never answered", faults.lose_answers, slack=0),
    Fault("rate-limit saturation", faults.saturate, slack=0),
    Fault("thin book", faults.thin_book, slack=0),
    Fault("partial fills: a flickering book", faults.flickering_book, slack=0),
    Fault("gap through the collar for 6 s", faults.gap, slack=0),
    Fault("empty book to the end", faults.empty_book, outcomes=(HALTED,), slack=0, within_s=35.0),
    Fault("venue silent for 5 s", faults.maintenance, slack=0),
    Fault("second trader", faults.second_trader, grows=True, slack=0),
    Fault("host gone", faults.kill_host, outcomes=(VENUE_STOP,), with_trader=True, slack=0, stop_frac="0.06"),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
