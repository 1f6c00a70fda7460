"""Virtual time for asyncio: a loop that never sleeps. When nothing is ready it jumps to its next timer.

Rules: no sockets, no threads, no clock of the machine. Work takes no time; only timers move it, those of one moment in the order in which
they were set. A loop in which nothing is ready and no timer is set would wait for ever: that is an error and not a hang.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

import msgspec

NS: Final = 1_000_000_000
SAME_S: Final = 1e-10
"""Timers of one moment fire together, later ones do not."""


T = TypeVar("T")


class Deadlock(RuntimeError):
    """Everybody waits, and nothing can happen any more."""


class _NoSockets:
    """Stands where a selector would wait for sockets."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


class Turn(msgspec.Struct):
    """Something that is to be called, now or at its time; what `asyncio.Handle` is elsewhere, at a fraction of the cost."""

    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: Context

    def cancel(self) -> None:
        """It is dropped when its turn comes."""
        self.callback, self.args = None, ()


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
        self.backlog: list[Turn] = []
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

    _ready: deque[Turn]
    _stopping: bool
    get_debug = staticmethod(bool)  # type: ignore[assignment]
    """A day is not looked into: each future asks for it, so it is what says no at once."""

    def __init__(self) -> None:
        super().__init__()
        self._time_s, self.now_ns, self.held = 0.0, 0, 0
        self._selector = _NoSockets()
        self._timers: list[tuple[float, int, Turn]] = []
        self._set = 0
        self.on_error: Callable[[BaseException], None] | None = None

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._time_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Turn:  # type: ignore[override]
        """Call it next."""
        turn = Turn(callback, args, copy_context() if context is None else context)
        self._ready.append(turn)
        return turn

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """Set a timer."""
        timer = Turn(callback, args, copy_context() if context is None else context)
        self._set += 1
        heappush(self._timers, (when, self._set, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """Set a timer from now on."""
        timer = Turn(callback, args, copy_context() if context is None else context)
        self._set += 1
        heappush(self._timers, (self._time_s + delay, self._set, timer))
        return timer

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin it; a number for a name, as tasks get elsewhere, would be worked out and read by nobody."""
        return asyncio.Task(coro, loop=self, name=name or "task", context=context)

    def _run_once(self) -> None:
        """Round after round, until somebody stops the loop: between two rounds its base would ask for that alone."""
        ready, timers = self._ready, self._timers
        while True:
            if not ready and not self._stopping:
                while timers and timers[0][2].callback is None:
                    heappop(timers)
                if not timers:
                    raise Deadlock(f"nothing is ready and no timer is set, {self._time_s:.6f} s into the day")
                if timers[0][0] > self._time_s:
                    self._time_s = timers[0][0]
                    self.now_ns = round(self._time_s * NS)
            due_s = self._time_s + SAME_S
            while timers and timers[0][0] < due_s:
                ready.append(heappop(timers)[2])
            for _ in range(len(ready)):
                turn = ready.popleft()
                if turn.callback is None:
                    continue
                if self.held and (process := turn.context.get(_PROCESS)) is not None and process.is_held:
                    process.backlog.append(turn)
                    continue
                try:
                    turn.context.run(turn.callback, *turn.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": "an exception in a callback", "exception": error, "handle": turn})
            if self._stopping:
                return

    def resume(self, turns: Iterable[Turn]) -> None:
        """Have these run next."""
        self._ready.extend(turns)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a timer raised ends the day. What a task raised that nobody awaited does not: the trader says itself what stopped it."""
        error = context.get("exception")
        if error is not None and "handle" in context and self.on_error is not None:
            self.on_error(error)
