"""Starting `kedge` commands as processes and learning how they end: forked from a warm one, or each from a fresh interpreter."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import kedge as kedge_package

SOURCES = Path(kedge_package.__file__).resolve().parents[1]
OURS = ("KEDGE_CACHE_DIR",)


class Child:
    """A process of ours. `ended` becomes its exit code, the negative number of a signal that killed it."""

    def __init__(self, pid: int, ended: asyncio.Future[int]) -> None:
        self.pid, self.ended = pid, ended

    @property
    def is_alive(self) -> bool:
        return not self.ended.done()

    def signal(self, number: int) -> None:
        """Send a signal, unless it is over already."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Starter(Protocol):
    """Whoever can start a `kedge` command."""

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Child: ...
    async def close(self) -> None: ...


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_") or name in OURS}
    return {**kept, "PYTHONPATH": str(SOURCES)}


class Fresh:
    """Each command in an interpreter of its own, as a person starts it."""

    def __init__(self) -> None:
        self._children: list[asyncio.subprocess.Process] = []

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Child:
        with out.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "kedge.apps.cli", *map(str, argv),
                stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, env={**_environment(), **env},
            )  # fmt: skip
        self._children.append(process)
        return Child(process.pid, asyncio.ensure_future(process.wait()))

    async def close(self) -> None:
        for process in self._children:
            if process.returncode is None:
                process.kill()
                await process.wait()


class Nursery:
    """Commands forked from one warm process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._births: dict[int, asyncio.Future[int]] = {}
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._token = 0
        self._listening = asyncio.ensure_future(self._listen())

    @classmethod
    async def open(cls) -> Nursery:
        """Start the warm process."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("nursery.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
            )  # fmt: skip
        )

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Child:
        self._token += 1
        born: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._births[self._token] = born
        assert self._process.stdin is not None
        wanted = {"token": self._token, "argv": [str(one) for one in argv], "out": str(out), "env": env}
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        pid = await born
        return Child(pid, self._ends[pid])

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "token" in told:
                self._ends[told["pid"]] = asyncio.get_running_loop().create_future()
                self._births.pop(told["token"]).set_result(told["pid"])
            else:
                self._ends.pop(told["pid"]).set_result(told["status"])
        for lost in (*self._births.values(), *self._ends.values()):
            lost.set_result(-signal.SIGABRT)
