"""Keeps named processes alive: starts them in order, restarts what died or fell silent, ends them in order.

Rules: a death is answered by a restart with growing, jittered waits; a death that a restart cannot mend (a refused
configuration or key) is given up loudly; a silent process is ended, first politely; nothing outlives the supervisor, because
every child's standard input is a pipe that ends with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from kedge.ops.logs import fields
from kedge.services.supervisor_child import Child, ChildSpec, ChildState, Policy

HEARTBEAT_S = 1.0

Report = Callable[[list[dict[str, Any]]], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Why the supervisor ended: `stopped` by request, `ended` because the work is done, or `given_up`, with the child concerned."""

    reason: str
    child: str = ""
    exit_code: int = 0
    last_words: str = ""


class Supervisor:
    """Supervise until told to stop, the work ends, or a needed child is given up.

    Parameters
    ----------
    specs : sequence of ChildSpec
        In the order in which they are shown.
    stop_order : sequence of str
        In which they are ended; those not named come last.
    report : callable
        Gets the children's rows at every change and every second.
    seed : int
        Of the jitter.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        policy: Policy | None = None,
        stop_order: Sequence[str] = (),
        report: Report = lambda rows: None,
        logger: logging.Logger | None = None,
        seed: int | None = None,
    ) -> None:
        self._policy = policy or Policy()
        dice = Random(seed)
        self.children = {spec.name: Child(spec, self._policy, dice) for spec in specs}
        known = [name for name in stop_order if name in self.children]
        self._stop_order = [*known, *(name for name in self.children if name not in known)]
        self._report = report
        self._log = logger or logging.getLogger("kedge.supervisor")
        self._stop = asyncio.Event()
        self._outcome: Outcome | None = None

    def stop(self) -> None:
        """Ask for the end; safe to call from a signal handler of the loop, and twice."""
        self._finish(Outcome(reason="stopped"))

    def _finish(self, outcome: Outcome) -> None:
        if self._outcome is None:
            self._outcome = outcome
        self._stop.set()

    def all_ready(self) -> bool:
        """Whether every child that is kept alive is ready."""
        return all(child.state == ChildState.READY for child in self.children.values() if child.state != ChildState.GIVEN_UP)

    async def run(self) -> Outcome:
        """Supervise; returns when all children have ended.

        Raises
        ------
        OSError
            A child cannot even be started.
        """
        reading, writing = os.pipe()
        tasks = [asyncio.create_task(self._keep_or_stop(child, reading)) for child in self.children.values()]
        tasks.append(asyncio.create_task(self._beat()))
        try:
            await self._stop.wait()
            await self._end_all()
            await asyncio.gather(*tasks)
            self._tell()
        finally:
            os.close(writing)
            os.close(reading)
        assert self._outcome is not None
        return self._outcome

    async def _keep_or_stop(self, child: Child, reading: int) -> None:
        try:
            await self._keep(child, reading)
        finally:
            if not self._stop.is_set() and child.state not in (ChildState.ENDED, ChildState.GIVEN_UP):
                self._stop.set()  # it broke: end the others, then say so

    async def _keep(self, child: Child, reading: int) -> None:
        while not self._stop.is_set():
            needed = self.children.get(child.spec.needs)
            if needed is not None and not await self._unless_stopped(needed.ready.wait()):
                return
            began_s = time.monotonic()
            code = await self._one_life(child, needed, reading)
            if self._stop.is_set():
                return
            if code is None:
                continue
            process = child.process
            assert process is not None
            if code == 0 and child.spec.ends_by_itself and child.spec.is_done(process.pid):
                self._set(child, ChildState.ENDED, "its work is done", logging.INFO)
                self._finish(Outcome(reason="ended", child=child.spec.name))
                return
            now_s = time.monotonic()
            wait_s = child.buried(code, now_s - began_s, now_s)
            child.ready.clear()
            if wait_s is None:
                self._give_up(child, code)
                return
            self._set(child, ChildState.WAITING, f"{child.why or _told(code)}; starts again in {wait_s:.1f} s", logging.ERROR)
            await self._unless_stopped(asyncio.sleep(wait_s))

    def _give_up(self, child: Child, code: int) -> None:
        why = f"{_told(code)} {self._policy.final_deaths_max} times: starting it again cannot mend that"
        self._set(child, ChildState.GIVEN_UP, why, logging.CRITICAL, last_words=child.last_words)
        if child.spec.needed:
            self._finish(Outcome(reason="given_up", child=child.spec.name, exit_code=code, last_words=child.last_words))

    async def _one_life(self, child: Child, needed: Child | None, reading: int) -> int | None:
        """From start to death; None when it was ended because what it needs died."""
        world = needed.starts if needed is not None else 0
        await child.start(reading)
        process = child.process
        assert process is not None
        if self._stop.is_set():
            await child.end(politely=True)
            return None
        self._set(child, ChildState.STARTING, "", logging.INFO)
        death = asyncio.create_task(process.wait())
        watch = asyncio.create_task(self._watch(child, needed, world))
        await asyncio.wait({death, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not death.done() and not self._stop.is_set():
            await child.end(politely=True)
        watch.cancel()
        answer = (await asyncio.gather(watch, return_exceptions=True))[0]
        code = await death
        child.clear()
        if answer is _World.LOST:
            self._set(child, ChildState.WAITING, f"{child.spec.needs} died; starts again with it", logging.WARNING)
            child.ready.clear()
            return None
        return code

    async def _watch(self, child: Child, needed: Child | None, world: int) -> object:
        """Probe until the child must be ended: it fell silent, or its world is gone: the needed one's start of that number."""
        good_s = time.monotonic()
        while not self._stop.is_set():
            if needed is not None and (not needed.ready.is_set() or needed.starts != world):
                return _World.LOST
            now_s = time.monotonic()
            if await child.well():
                good_s = time.monotonic()
                if child.state != ChildState.READY:
                    child.ready.set()
                    self._set(child, ChildState.READY, "", logging.INFO)
            elif now_s - good_s > (child.spec.silent_s if child.ready.is_set() else child.spec.start_s):
                self._set(child, ChildState.SILENT, f"no good answer for {now_s - good_s:.0f} s", logging.ERROR)
                return _World.SILENT
            await self._unless_stopped(asyncio.sleep(self._policy.probe_every_s))
        return None

    async def _end_all(self) -> None:
        for name in self._stop_order:
            child = self.children[name]
            if child.pid is not None:
                self._log.info("stopping", extra=fields(child=name, child_pid=child.pid))
            await child.end(politely=True)
            if child.process is not None:
                child.last_exit = child.process.returncode
            if child.state not in (ChildState.ENDED, ChildState.GIVEN_UP):
                self._set(child, ChildState.STOPPED, child.why, logging.INFO)

    async def _beat(self) -> None:
        while not self._stop.is_set():
            self._tell()
            await self._unless_stopped(asyncio.sleep(HEARTBEAT_S))

    def _tell(self) -> None:
        self._report([child.shown() for child in self.children.values()])

    def _set(self, child: Child, state: ChildState, why: str, level: int, **more: Any) -> None:
        child.state, child.why = state, why
        details = fields(child=child.spec.name, state=state.value, child_pid=child.pid, starts=child.starts, why=why, **more)
        self._log.log(level, "child is %s", state.value, extra=details)
        self._tell()

    async def _unless_stopped(self, work: Any) -> bool:
        """Wait for `work`; False when the stop came first."""
        stop, task = asyncio.create_task(self._stop.wait()), asyncio.ensure_future(work)
        done, left = await asyncio.wait({stop, task}, return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return task in done


class _World:
    """Why a living child is ended."""

    LOST = object()
    SILENT = object()


def _told(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
