"""A venue that says what a test tells it to: raw answers over real HTTP on loopback, and what it was asked. Knows none of our code."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "TESTKEY0123456789a"
SECRET = "TESTSECRET0123456789abcdefABCDEF0123"


@dataclass(frozen=True)
class Seen:
    """A request as it stood on the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    port: int
    """The client's; one port is one connection."""

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Say:
    """An answer: status, body, headers; after `delay_s`."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


def ok(result: Any, *, ext: Any = None, headers: dict[str, str] | None = None, time_ms: int = 1_767_000_071_000) -> Say:
    envelope = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": ext or {}, "time": time_ms}
    return Say(json.dumps(envelope).encode(), headers=headers or {})


def no(code: int, message: str = "no", headers: dict[str, str] | None = None) -> Say:
    envelope = {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 1_767_000_071_000}
    return Say(json.dumps(envelope).encode(), headers=headers or {})


def rows(*items: Any, cursor: str = "") -> Say:
    return ok({"category": "linear", "list": list(items), "nextPageCursor": cursor})


Answer = Say | Callable[[Seen], Say]


class FakeVenue:
    """Answers each path with what was scripted for it, in order; the last answer repeats."""

    def __init__(self, *, clock_ahead_ns: int = 0) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self.clock_ahead_ns = clock_ahead_ns
        self._script: dict[str, list[Answer]] = {}
        self.on("/v5/market/time", lambda _: self.time_now())

    def time_now(self) -> Say:
        now_ns = time.time_ns() + self.clock_ahead_ns
        return ok({"timeSecond": str(now_ns // 10**9), "timeNano": str(now_ns)}, time_ms=now_ns // 10**6)

    def on(self, path: str, *answers: Answer) -> None:
        self._script[path] = list(answers)

    def asked(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        seen = Seen(request.method, path, query, dict(request.headers), await request.read(), _port(request))
        self.seen.append(seen)
        script = self._script.get(path)
        if not script:
            return web.Response(status=404, text="no such path")
        answer = script.pop(0) if len(script) > 1 else script[0]
        say = answer if isinstance(answer, Say) else answer(seen)
        if say.delay_s:
            await asyncio.sleep(say.delay_s)
        return web.Response(status=say.status, body=say.body, headers=say.headers, content_type="application/json")

    async def __aenter__(self) -> FakeVenue:
        self._server = web.Server(self._handle)
        self._runner = web.ServerRunner(self._server)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def _port(request: web.BaseRequest) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


class RawVenue:
    """A server of bytes: `talk(reader, writer)` gets every connection, the head of its request read already."""

    def __init__(self, talk: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._talk = talk
        self.heads: list[bytes] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            await self._talk(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def __aenter__(self) -> RawVenue:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
