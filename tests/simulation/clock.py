"""Virtual time for asyncio: a loop that never sleeps. When nothing is ready it jumps to its next timer.

Rules: no sockets, no threads, no clock of the machine. Work takes no time; only timers move it, those of one moment in the order in which
they were set. A loop in which nothing is ready and no timer is set would wait for ever: that is an error and not a hang.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

NS: Final = 1_000_000_000
SAME_S: Final = 1e-10
"""Timers of one moment fire together, later ones do not."""


class Deadlock(RuntimeError):
    """Everybody waits, and nothing can happen any more."""


class _NoSockets:
    """Stands where a selector would wait for sockets."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """What runs in one context, and all that it begins: it can be held, as a process that is stopped or gone, while time goes on.

    Attributes
    ----------
    context : Context
        To begin something within it.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop, self.is_held = loop, False
        self.backlog: list[asyncio.Handle] = []
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call within the process: at once, or when it goes on."""
        self._loop.call_soon(callback, *args, context=self.context)

    def hold(self) -> None:
        """Nothing of it runs any more."""
        if not self.is_held:
            self.is_held = True
            self._loop.held += 1

    def go_on(self) -> None:
        """What came due meanwhile runs now, in its order."""
        if self.is_held:
            self.is_held = False
            self._loop.held -= 1
            self._loop.resume(self.backlog)
            self.backlog = []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is its own; it begins at 0.

    Attributes
    ----------
    now_ns : int
        The loop's time in nanoseconds.
    held : int
        How many processes stand still.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self._time_s, self.now_ns, self.held = 0.0, 0, 0
        self._selector = _NoSockets()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._set = 0
        self.on_error: Callable[[BaseException], None] | None = None

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._time_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Call it next."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def get_debug(self) -> bool:
        """A day is not looked into: this is asked for each callback."""
        return False

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        """Set a timer."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        """Set a timer from now on."""
        return self.call_at(self._time_s + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
                heapq.heappop(timers)
            if not timers:
                raise Deadlock(f"nothing is ready and no timer is set, {self._time_s:.6f} s into the day")
            self._jump(timers[0][0])
        due_s = self._time_s + SAME_S
        while timers and timers[0][0] < due_s:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:  # type: ignore[attr-defined]
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                if self.held and (process := handle._context.get(_PROCESS)) is not None and process.is_held:  # type: ignore[attr-defined]
                    process.backlog.append(handle)
                else:
                    handle._run()  # type: ignore[attr-defined]

    def resume(self, handles: Iterable[asyncio.Handle]) -> None:
        """Have these run next."""
        self._ready.extend(handles)

    def _jump(self, when_s: float) -> None:
        """Go to the next timer."""
        if when_s > self._time_s:
            self._time_s = when_s
            self.now_ns = round(when_s * NS)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a timer raised ends the day. What a task raised that nobody awaited does not: the trader says itself what stopped it."""
        error = context.get("exception")
        if error is not None and "handle" in context and self.on_error is not None:
            self.on_error(error)
