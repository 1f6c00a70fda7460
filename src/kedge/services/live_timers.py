"""The engine's timers on the venue's clock. In lock-step nobody arms them: they fire when a bar has moved the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kedge.domain.events import TimerFired
from kedge.engine.fold import PLANNING_TIMERS, WORK_TIMER
from kedge.risk.states import FLATTEN
from kedge.services.live_core import LiveCore

STILL_S: Final = 0.1
"""While venue time stands still, so much wall time passes before it is looked at again."""

LEAST_S: Final = 0.001
"""A wait is never shorter, whatever is left of it after rounding."""


class Timers:
    """Fires what is due, once each, in order of due time, then id.

    Parameters
    ----------
    fail : callable
        Told when firing fails.
    may_work : callable
        Whether orders may be sent now. Timers that plan orders wait until then; those that cancel, or close what a person wants closed,
        never do.
    armed : bool
        Whether the wall's time makes them fire by themselves.
    """

    def __init__(self, core: LiveCore, fail: Callable[[BaseException], None], may_work: Callable[[], bool], *, armed: bool) -> None:
        self._core, self._fail, self._may_work, self._is_armed = core, fail, may_work, armed
        self._handle: asyncio.TimerHandle | None = None
        if armed:
            core.on_timers = self.arm
            self.arm()

    def fire(self) -> None:
        """Fire what is due now."""
        core = self._core
        now_ns = core.now_ns()
        for timer in core.engine.timers():
            if timer.due_ts_ns > now_ns:
                break
            if core.state.timers.get(timer.timer_id) == timer.due_ts_ns and not self._waits(timer.timer_id):
                core.step(TimerFired(now_ns, timer.timer_id))
                core.kill.reach("after_timer")

    def arm(self) -> None:
        """Wake up for the next one."""
        self.close()
        due = [due_ts_ns for name, due_ts_ns in self._core.state.timers.items() if not self._waits(name)]
        if self._is_armed and due:
            self._handle = asyncio.get_running_loop().call_later(self._wait_s(min(due)), self._wake)

    def close(self) -> None:
        """Wake up no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait_s(self, due_ts_ns: int) -> float:
        clock = self._core.clock
        if due_ts_ns <= self._core.now_ns():
            return 0.0
        return STILL_S if clock.stands_still else max(LEAST_S, clock.wall_s_until(due_ts_ns))

    def _waits(self, timer_id: str) -> bool:
        """Whether a timer waits until orders may be sent: not where a position is to be closed that has no stop."""
        state = self._core.state
        if not timer_id.startswith(PLANNING_TIMERS) or state.halt_code == FLATTEN or self._may_work():
            return False
        return not (timer_id.startswith(WORK_TIMER) and state.slots[timer_id.removeprefix(WORK_TIMER)].stop_failed)

    def _wake(self) -> None:
        self._handle = None
        try:
            self.fire()
            self.arm()
        except BaseException as error:
            self._fail(error)
