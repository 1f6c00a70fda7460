"""A server over a real state folder, and one way to ask it. Used by the tests of routes, of the stream and of the dashboard's files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from kedge.api.pages import Dashboard
from kedge.api.server import ApiServer

WAIT_S = 20.0


class Answer(NamedTuple):
    """One answer; `body` is JSON where it is JSON."""

    status: int
    headers: Any
    text: str
    body: Any


class Client:
    """Asks one server.

    Attributes
    ----------
    url : str
        Such as `http://127.0.0.1:40123`.
    """

    def __init__(self, server: ApiServer, port: int, session: aiohttp.ClientSession) -> None:
        self.server, self.port, self.session = server, port, session
        self.url = f"http://127.0.0.1:{port}"

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        async with self.session.request(method, self.url + path, headers=headers) as answer:
            text = await answer.text()
            is_json = "json" in answer.headers.get("Content-Type", "") and text
            return Answer(answer.status, answer.headers, text, await answer.json(content_type=None) if is_json else None)

    async def get(self, path: str) -> Any:
        """The document of an answer that must be 200."""
        answer = await self.ask(path)
        assert answer.status == 200, (path, answer.text)
        return answer.body

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for the follower."""
        async with asyncio.timeout(WAIT_S):
            while not true():
                await asyncio.sleep(0.01)

    async def caught_up(self) -> None:
        await self.until(lambda: self.server.follower.caught_up)


def served(state: Path, then: Callable[[Client], Awaitable[None]], *, follow: bool = True, dashboard: Path | None = None) -> None:
    """Start a server, wait until it has read the run (if there is one to `follow`), and let the test ask it."""

    async def main() -> None:
        server = ApiServer(state, dashboard=Dashboard(dashboard if dashboard is not None else state / "no-dashboard"))
        port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession() as session:
                client = Client(server, port, session)
                if follow:
                    await client.caught_up()
                await then(client)
        finally:
            await server.close()

    asyncio.run(main())
