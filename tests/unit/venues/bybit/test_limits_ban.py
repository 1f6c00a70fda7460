"""A ban met on a socket: the stream says so, everything rests, and nobody connects before it ends."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from aiohttp import web

from kedge.domain.errors import VenueUnavailable
from kedge.domain.venue import Stream
from kedge.venues.bybit.reconnect import SocketPace, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.socket import Connection, TurnedAway, connect


class Door:
    """A server that turns every upgrade away with one status."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.knocks = 0
        self.base = ""

    async def __aenter__(self) -> Door:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, _: web.BaseRequest) -> web.StreamResponse:
        self.knocks += 1
        return web.Response(status=self._status, text="access too frequent")


class Mute:
    """A dialect that is never spoken."""

    def read(self, connection: Connection, text: bytes) -> None:
        raise AssertionError("nothing is read before a connection")

    async def greet(self, connection: Connection) -> None:
        raise AssertionError("nobody is greeted before a connection")

    def ping_text(self, request_id: str) -> bytes:
        return b"{}"


@pytest.mark.parametrize(("status", "kind"), [(403, TurnedAway), (404, VenueUnavailable), (503, VenueUnavailable)])
def test_only_403_is_being_turned_away(status: int, kind: type) -> None:
    async def test() -> None:
        async with Door(status) as door:
            with pytest.raises(VenueUnavailable, match=f"HTTP {status}") as caught:
                await connect(door.base, lambda *_: None, timeout_s=2)
            assert type(caught.value) is kind

    asyncio.run(test())


def test_a_stream_that_is_turned_away_tells_the_ban_once_and_waits_for_its_end() -> None:
    async def test() -> None:
        bans: list[str] = []
        async with Door(403) as door:
            budget = ConnectBudget(banned_for_s=lambda: 60.0 if bans else 0.0)
            socket = SteadySocket(
                Stream.PUBLIC, door.base, Mute(), lambda _: None,
                backoff=Backoff(Random(1), first_s=0.001, most_s=0.001), budget=budget, pace=SocketPace(), on_ban=bans.append,
            )  # fmt: skip
            with pytest.raises(VenueUnavailable, match="until the venue takes another connection"):
                await socket.start(0.3)
            assert door.knocks == 1
            assert bans == ["public stream: no WebSocket there: HTTP 403"]

    asyncio.run(test())


def test_a_budget_without_a_ban_counts_connections_alone() -> None:
    budget = ConnectBudget(most=1, window_s=10.0, banned_for_s=lambda: 0.0)
    assert budget.take(0.0) == 0.0
    assert budget.take(4.0) == 6.0
