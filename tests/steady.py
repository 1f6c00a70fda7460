"""An event loop on which a machine that stands still takes no time: for tests in which what comes first decides.

A busy machine may hold a whole process for a second or two. Then a timer of 150 ms and an answer that was there after 2 ms are ready
together, and a deadline of a second passes though nobody had a chance to meet it. Here no more than `STEP_S` passes between two looks at
the clock, unless the thread worked for longer, and the loop looks often: what the code does with its time is measured, what the machine
does with it is not.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")
LOOK_S: Final = 0.005
STEP_S: Final = 0.02


class _OftenBack(selectors.DefaultSelector):
    """Waits for sockets no longer than until the next look at the clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(LOOK_S if timeout is None else min(timeout, LOOK_S))


class SteadyLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only while it runs."""

    def __init__(self) -> None:
        self._now_s = self._seen_s = time.monotonic()
        self._worked_s = time.thread_time()
        self.ahead_ns = time.time_ns() - time.monotonic_ns()
        super().__init__(_OftenBack())

    def time(self) -> float:
        """The machine's monotonic clock, less the seconds for which the machine stood still."""
        seen_s, worked_s = time.monotonic(), time.thread_time()
        self._now_s += min(seen_s - self._seen_s, max(STEP_S, worked_s - self._worked_s))
        self._seen_s, self._worked_s = seen_s, worked_s
        return self._now_s


def run(main: Coroutine[Any, Any, Answer], within_s: float = 10.0) -> Answer:
    """Run a coroutine to its end; `TimeoutError` where it hangs."""

    async def bounded() -> Answer:
        async with asyncio.timeout(within_s):
            return await main

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        return runner.run(bounded())


def monotonic_ns() -> int:
    """The running loop's time, for code that asks a clock of its own; outside of a loop, the machine's."""
    try:
        return int(asyncio.get_running_loop().time() * 1e9)
    except RuntimeError:
        return time.monotonic_ns()


def wall_ns() -> int:
    """The wall's time by a running `SteadyLoop`; outside of one, the machine's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.time_ns()
    return monotonic_ns() + loop.ahead_ns if isinstance(loop, SteadyLoop) else time.time_ns()
