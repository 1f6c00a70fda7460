"""One supervised process: how it is started, when it counts as ready, as dead for good, and how it is ended.

Rules: a child has a session of its own, so that a Ctrl-C reaches it through the supervisor alone; its standard input is a pipe
that ends when the supervisor dies; what it prints goes to a file of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import msgspec

LAST_WORDS_BYTES = 4_096
LAST_WORDS_LINES = 6

Probe = Callable[[int], Awaitable[bool]]
"""Asked with the process's pid, so that the answer of a dead predecessor is not taken for its own."""


class ChildState(StrEnum):
    """What a supervised process is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    ENDED = "ended"
    GIVEN_UP = "given up"
    STOPPED = "stopped"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep alive.

    Attributes
    ----------
    probe : callable
        Answers whether the process is well; an exception counts as no.
    needs : str
        The child that must be ready first. When that one dies this one is started again, since its world died with it.
    ends_by_itself : bool
        Exit code 0 may be the end of the work, not a death.
    is_done : callable
        Asked with the pid of such a one whether its work is done; else somebody told it to stop, and it is started again.
    needed : bool
        Giving it up ends the system.
    start_s, silent_s : float
        How long the first good answer may take, and how long a ready process may stay silent, before it is killed.
    grace_s : float
        From SIGTERM to SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    console: Path
    probe: Probe
    needs: str = ""
    ends_by_itself: bool = False
    is_done: Callable[[int], bool] = lambda pid: True
    needed: bool = True
    start_s: float = 60.0
    silent_s: float = 15.0
    grace_s: float = 10.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How often to look, how long to wait between starts, and when to give up.

    Attributes
    ----------
    final_codes : frozenset of int
        Exit codes that a restart cannot mend, such as a refused configuration or key.
    final_deaths_max, final_window_s
        So many of those deaths within the window, and the child is given up.
    healthy_after_s : float
        A child that was ready so long begins again with the shortest wait.
    """

    probe_every_s: float = 0.5
    probe_timeout_s: float = 2.0
    backoff_first_s: float = 0.25
    backoff_max_s: float = 15.0
    jitter_frac: float = 0.2
    healthy_after_s: float = 20.0
    final_codes: frozenset[int] = frozenset()
    final_deaths_max: int = 2
    final_window_s: float = 120.0


class Child:
    """A spec with its present process and its history."""

    def __init__(self, spec: ChildSpec, policy: Policy, dice: Random) -> None:
        self.spec, self._policy, self._dice = spec, policy, dice
        self.state = ChildState.WAITING
        self.ready = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.last_exit: int | None = None
        self.last_words = ""
        self.why = ""
        self._is_cleared = False
        self._backoff_s = policy.backoff_first_s
        self._final_deaths: deque[float] = deque()

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def start(self, parent_pipe: int) -> None:
        """Start the process; `parent_pipe` becomes its standard input."""
        self.ready.clear()
        self.spec.console.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(self.spec.console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as console:
            self.process = await asyncio.create_subprocess_exec(
                *self.spec.command, stdin=parent_pipe, stdout=console, stderr=console, start_new_session=True
            )
        self._is_cleared = False
        self.state, self.starts = ChildState.STARTING, self.starts + 1

    async def well(self) -> bool:
        """Whether it answers now; whatever goes wrong while asking is a no."""
        pid = self.pid
        if pid is None:
            return False
        try:
            async with asyncio.timeout(self._policy.probe_timeout_s):
                return await self.spec.probe(pid)
        except Exception:
            return False

    async def end(self, *, politely: bool) -> None:
        """End the process and wait until it is gone: SIGTERM, after `grace_s` SIGKILL to all it started."""
        process = self.process
        if process is None:
            return
        if politely and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self.spec.grace_s):
                    await process.wait()
            except TimeoutError:
                self.why = f"did not end within {self.spec.grace_s:g} s of SIGTERM and was killed"
        self.clear()
        await process.wait()

    def clear(self) -> None:
        """Kill what is left of the process and of all it started; once, since its id may be another's later."""
        if self._is_cleared or self.process is None:
            return
        self._is_cleared = True
        with suppress(ProcessLookupError, PermissionError):  # nothing is left of it
            os.killpg(self.process.pid, signal.SIGKILL)

    def buried(self, code: int, lived_s: float, now_s: float) -> float | None:
        """Note a death; returns how long to wait before the next start, None when it is given up."""
        self.last_exit, self.last_words = code, self._read_last_words()
        if code in self._policy.final_codes:
            self._final_deaths.append(now_s)
            while self._final_deaths[0] < now_s - self._policy.final_window_s:
                self._final_deaths.popleft()
            if len(self._final_deaths) >= self._policy.final_deaths_max:
                return None
        if self.ready.is_set() and lived_s >= self._policy.healthy_after_s:
            self._backoff_s = self._policy.backoff_first_s
        wait_s = self._backoff_s * (1 + self._policy.jitter_frac * self._dice.random())
        self._backoff_s = min(2 * self._backoff_s, self._policy.backoff_max_s)
        return wait_s

    def _read_last_words(self) -> str:
        try:
            with self.spec.console.open("rb") as console:
                console.seek(max(0, console.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
                lines = console.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in lines if line.strip()][-LAST_WORDS_LINES:])

    def shown(self) -> dict[str, Any]:
        """Its row in the supervisor's status."""
        return {
            "name": self.spec.name,
            "state": self.state.value,
            "pid": self.pid,
            "restarts": max(0, self.starts - 1),
            "last_exit": self.last_exit,
            "why": self.why,
        }
