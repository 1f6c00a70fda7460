"""The engine's timers on the venue's clock. In lock-step nobody arms them: they fire when a bar has moved the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kedge.domain.events import TimerFired
from kedge.services.live_core import LiveCore


class Timers:
    """Fires what is due, once each, in order of due time, then id.

    Parameters
    ----------
    fail : callable
        Told when firing fails.
    armed : bool
        Whether the wall's time makes them fire by themselves.
    """

    def __init__(self, core: LiveCore, fail: Callable[[BaseException], None], *, armed: bool) -> None:
        self._core, self._fail, self._is_armed = core, fail, armed
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
            if core.state.timers.get(timer.timer_id) == timer.due_ts_ns:
                core.step(TimerFired(now_ns, timer.timer_id))
                core.kill.reach("after_timer")

    def arm(self) -> None:
        """Wake up for the next one."""
        self.close()
        timers = self._core.state.timers
        if self._is_armed and timers:
            wait_s = self._core.clock.wall_s_until(min(timers.values()))
            self._handle = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def close(self) -> None:
        """Wake up no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self) -> None:
        self._handle = None
        try:
            self.fire()
            self.arm()
        except BaseException as error:
            self._fail(error)
