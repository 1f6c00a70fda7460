"""A server with people in this process, for commands that speak to one: its desk is at hand, so that a test can be the browser's side."""

from __future__ import annotations

import asyncio
import getpass
import io
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.services.people.world import PASSWORD, Known, World

from kedge.api.server import ApiServer
from kedge.ops.health_file import SERVER, write_health_file
from kedge.services.people.desk import PeopleDesk

START_S = 20.0


class Served:
    """The server's folder, address, and people."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self.world: World
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def begin(self) -> None:
        self._thread.start()
        assert self._ready.wait(START_S)
        if self._failed is not None:
            raise self._failed
        write_health_file(self.folder, SERVER, {"url": self.url}, datetime.now(UTC))

    def end(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(START_S)

    async def _run(self) -> None:
        server = ApiServer(self.folder, people=self._desk)
        try:
            self.url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
            self._loop = asyncio.get_running_loop()
        except BaseException as error:
            self._failed = error
        self._ready.set()
        if self._failed is None:
            await self._over.wait()
        await server.close()

    def _desk(self, origin: str) -> PeopleDesk:
        self.world = World(self.folder, public_origin=origin)
        return self.world.desk


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    folder.mkdir(mode=0o700, exist_ok=True)
    made = Served(folder)
    made.begin()
    try:
        yield made
    finally:
        made.end()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def types(monkeypatch: pytest.MonkeyPatch, *lines: str, secrets: Sequence[str] = ()) -> None:
    """Somebody sits at the terminal and types these lines, and these where nothing is shown."""
    waiting = iter(secrets)
    monkeypatch.setattr(sys, "stdin", _Terminal("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr(getpass, "getpass", lambda prompt="", stream=None: next(waiting))


def signs_in(monkeypatch: pytest.MonkeyPatch, known: Known, name: str = "") -> None:
    """A person at the terminal proves who they are; each recovery code serves once."""
    code, *left = known.recovery_codes
    known.recovery_codes = tuple(left)
    types(monkeypatch, name, secrets=(PASSWORD, code))
