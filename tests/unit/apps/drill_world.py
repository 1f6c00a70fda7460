"""A drill's exchange and guard in this process, behind the same command lines: real parts, real sockets, no interpreters to start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from kedge.apps.exchange_build import Options, build_server
from kedge.apps.exchange_market import chosen_market
from kedge.apps.guard_process import GuardProcess
from kedge.apps.system_loop import Stopping
from kedge.ops.config import load_config
from kedge.ops.paper_keys import GUARD, load_or_create_paper_keys, paper_key

LOG = logging.getLogger("kedge.guard")


class Part:
    """One part that runs as a task; a signal asks it to stop."""

    def __init__(self, task: asyncio.Task[int], stopping: Stopping) -> None:
        self.pid, self._task, self._stopping = os.getpid(), task, stopping
        self.ended: asyncio.Future[int] = task
        self.signals: list[int] = []

    @property
    def is_alive(self) -> bool:
        return not self._task.done()

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(2):  # the second one lets a guard leave its risk
                self._stopping.ask("asked")
        if number == signal.SIGKILL:
            self._task.cancel()


class InProcess:
    """Starts `exchange serve` and `guard` of a drill; any other command ends at once with code 3."""

    def __init__(self, *, breaks: Sequence[str] = ()) -> None:
        self.breaks = breaks

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Part:
        words, stopping = [str(one) for one in argv], Stopping()
        given = dict(zip(words, words[1:], strict=False))
        works = {"exchange": self._exchange, "guard": self._guard}
        work = self._nothing if words[0] in self.breaks else works.get(words[0], self._nothing)
        return Part(asyncio.create_task(work(given, out, stopping)), stopping)

    async def _nothing(self, given: dict[str, str], out: Path, stopping: Stopping) -> int:
        out.write_text("no such thing\n" if given.get("exchange") is None else "broken")
        return 3

    async def _exchange(self, given: dict[str, str], out: Path, stopping: Stopping) -> int:
        settings = load_config(Path(given["--config"]), flags={"state_dir": given["--state-dir"]})
        chosen = chosen_market(settings, given["--market"], bars=None, funding=(), symbols=())
        options = Options("127.0.0.1", 0, 1, int(given["--wait-for"]), "--faults" in given or True, True)
        server = build_server(settings, chosen, options, load_or_create_paper_keys(settings.state_folder), None, 0)
        port = await server.start("127.0.0.1", 0)
        out.write_text(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
        try:
            await stopping.asked.wait()
        finally:
            await server.close()
        return 0

    async def _guard(self, given: dict[str, str], out: Path, stopping: Stopping) -> int:
        settings = load_config(Path(given["--config"]), flags={"state_dir": given["--state-dir"]})
        key, port = paper_key(settings.state_folder, GUARD), settings.settings.guard.port
        symbols = tuple(settings.settings.demo.instruments)
        process = GuardProcess(settings, key, LOG, venue=given["--venue"], symbols=symbols, port=port, stays=False)
        await process.run(stopping)
        return 0
