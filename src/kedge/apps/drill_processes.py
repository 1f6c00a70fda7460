"""Starting a drill's processes: each a `kedge` command in an interpreter of its own, which ends when this process does."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from kedge.apps.system_child import command

KEPT: Final = ("KEDGE_CACHE_DIR",)
"""Settings of the shell that a drill's processes see: where compiled laws are kept. Nothing else of `KEDGE_*` may move a drill."""


class Process:
    """A process of ours. `ended` becomes its exit code, the negative number of a signal that killed it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process
        self.ended: asyncio.Future[int] = asyncio.ensure_future(process.wait())

    @property
    def is_alive(self) -> bool:
        return not self.ended.done()

    def signal(self, number: int) -> None:
        """Send a signal, unless it is over already."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Processes:
    """Starts commands; each has a pipe that ends with this process, upon which it ends too."""

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Process:
        """Start `kedge ARGV`; what it prints is added to `out`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_") or name in KEPT}
        with out.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *command([str(one) for one in argv]), stdin=subprocess.PIPE, stdout=file, stderr=file, env={**kept, **env}
            )
        return Process(process)
