"""The event loop of a long-running process: uvloop, and signals that ask it to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Answer = TypeVar("Answer")


class Stopping:
    """That somebody asked for the end, which signal did, how often, and (`again`) that they would not wait for a question."""

    def __init__(self) -> None:
        self.asked, self.again = asyncio.Event(), asyncio.Event()
        self.times = 0
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask for the end; safe to repeat."""
        self.times += 1
        self.reason = self.reason or reason
        if self.asked.is_set():
            self.again.set()
        self.asked.set()

    def forget(self) -> None:
        """The person changed their mind."""
        self.times, self.reason = 0, ""
        self.asked.clear()
        self.again.clear()


def run_until_stopped(main: Callable[[Stopping], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run `main` on uvloop; SIGINT, SIGTERM and SIGHUP set its `Stopping`."""
    import uvloop  # only the long-running commands need it

    async def whole() -> Answer:
        loop, stopping = asyncio.get_running_loop(), Stopping()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stopping.ask, f"STOPPED_BY_{number.name}")
        try:
            return await main(stopping)
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())
