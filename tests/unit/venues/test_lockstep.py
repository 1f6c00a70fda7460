"""The client of lock-step: bars once each, through broken connections, with lost acknowledgements repeated."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.builders import MINUTE, T0
from tests.unit.venues.exchange.played_market import listening, run

from kedge.domain.errors import AccessRefused, Conflict, InvalidInput, VenueUnavailable
from kedge.venues.exchange.control import Control
from kedge.venues.lockstep import LockStep, Released


class Server:
    """A control endpoint whose connections a test can cut."""

    def __init__(self) -> None:
        self.control = Control(600, lambda: T0, patience_s=10.0)
        self.requests: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.control.handle(request)

    def cut(self) -> None:
        transport = self.requests[-1].transport
        assert transport is not None
        transport.abort()


@asynccontextmanager
async def joined(name: str = "trader") -> Any:
    """A server and a client that is registered with it."""
    server = Server()
    async with listening(server.handle) as url:
        step = LockStep(url, name)
        try:
            await step.connect()
            yield server, step
        finally:
            await step.close()
            await server.control.close()


def test_a_client_learns_speed_and_time_and_gets_each_bar() -> None:
    async def main() -> None:
        async with joined() as (server, step):
            assert (step.registration.speed, step.registration.venue_ms, step.registration.seq) == (600, T0 // 1_000_000, 0)
            for seq in (1, 2):
                server.control.release(T0 + seq * MINUTE, 3)
                assert await step.next_bar() == Released(seq, (T0 + seq * MINUTE) // 1_000_000, 3)
                await step.acknowledge(seq)
                await server.control.wait_acknowledged()
            server.control.end(T0 + 2 * MINUTE)
            assert (await step.next_bar()).ended

    run(main())


def test_a_broken_connection_is_mended_and_a_bar_is_not_handed_out_twice(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with joined() as (server, step):
            server.control.release(T0, 1)
            assert (await step.next_bar()).seq == 1
            server.cut()
            waiting = asyncio.create_task(step.next_bar())
            while len(server.requests) < 2 or not server.control.clients()[0]["connected"]:
                await asyncio.sleep(0.002)
            await step.acknowledge(1)
            await server.control.wait_acknowledged()
            server.control.release(T0 + MINUTE, 1)
            assert (await waiting).seq == 2

    with caplog.at_level(logging.WARNING, logger="kedge.lockstep"):
        run(main())
    assert "connection lost" in caplog.text


def test_an_acknowledgement_that_was_lost_is_repeated_after_the_reconnection() -> None:
    async def main() -> None:
        async with joined() as (server, step):
            server.control.release(T0, 1)
            assert (await step.next_bar()).seq == 1
            server.cut()
            await step.acknowledge(1)  # into the broken connection
            waiting = asyncio.create_task(step.next_bar())
            await server.control.wait_acknowledged()
            server.control.release(T0 + MINUTE, 1)
            assert (await waiting).seq == 2

    run(main())


def test_a_new_process_gets_the_bar_that_the_killed_one_had_not_acknowledged() -> None:
    async def main() -> None:
        server = Server()
        async with listening(server.handle) as url:
            killed = LockStep(url, "trader")
            await killed.connect()
            server.control.release(T0, 1)
            await killed.next_bar()
            await killed.close()
            reborn = LockStep(url, "trader")
            assert (await reborn.connect()).seq == 1
            assert (await reborn.next_bar()).seq == 1
            await reborn.leave()
            while server.control.clients():
                await asyncio.sleep(0.002)
            await reborn.close()
            await server.control.close()

    run(main())


def test_another_market_at_the_same_address_is_not_gone_on_with() -> None:
    async def main() -> None:
        async with joined() as (server, step):
            server.control.release(T0, 1)
            assert (await step.next_bar()).seq == 1
            server.control = Control(600, lambda: T0)
            server.cut()
            with pytest.raises(Conflict, match="another market"):
                await step.next_bar()

    run(main())


def test_a_client_waits_for_an_exchange_that_is_down_and_comes_back() -> None:
    async def main() -> None:
        server = Server()
        async with listening(server.handle) as url:
            step = LockStep(url, "trader")
            await step.connect()
            server.cut()
        port = int(url.rpartition(":")[2])
        waiting = asyncio.create_task(step.next_bar())
        await asyncio.sleep(0)
        back = web.Server(server.handle)
        listener = await asyncio.get_running_loop().create_server(back, "127.0.0.1", port)
        while not server.control.clients()[0]["connected"]:
            await asyncio.sleep(0.002)
        server.control.release(T0, 1)
        assert (await waiting).seq == 1
        await step.close()
        await server.control.close()
        listener.close()
        await back.shutdown(1.0)
        await listener.wait_closed()

    run(main())


def test_nobody_there_is_unavailable_and_says_where() -> None:
    async def main() -> None:
        async with listening(Server().handle) as url:
            pass
        step = LockStep(url, "trader")
        with pytest.raises(VenueUnavailable, match=r"no lock-step with http://127\.0\.0\.1"):
            await step.connect()
        await step.acknowledge(1)  # without a connection: repeated when there is one
        await step.close()

    run(main())


def test_asking_before_connecting_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not connected"):
        _ = LockStep("http://127.0.0.1:1", "trader").registration


@pytest.mark.parametrize(("status", "error"), [(403, AccessRefused), (404, VenueUnavailable)])
def test_an_address_that_refuses_says_why(status: int, error: type[Exception]) -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    async def main() -> None:
        async with listening(refuse) as url:
            step = LockStep(url, "trader")
            with pytest.raises(error):
                await step.connect()
            await step.close()

    run(main())


def test_a_name_that_the_exchange_refuses_is_access_refused() -> None:
    async def main() -> None:
        server = Server()
        async with listening(server.handle) as url:
            step = LockStep(url, "")
            with pytest.raises(AccessRefused):
                await step.connect()
            await step.close()
            await server.control.close()

    run(main())


def test_an_exchange_that_hangs_up_at_once_is_unavailable() -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    async def main() -> None:
        async with listening(hang_up) as url:
            step = LockStep(url, "trader")
            with pytest.raises(VenueUnavailable):
                await step.connect()
            await step.close()

    run(main())


def test_words_of_the_exchange_that_are_no_bar_are_logged_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        for message in (
            {"op": "registered", "speed": 2, "venue_ms": 1},
            {"op": "error", "text": "an oddity"},
            {"op": "news"},
            {"op": "bar", "seq": 1, "venue_ms": 5, "bars": 1},
        ):
            await socket.send_json(message)
        await socket.receive()
        return socket

    async def main() -> None:
        async with listening(talk) as url:
            step = LockStep(url, "trader")
            await step.connect()
            assert await step.next_bar() == Released(1, 5, 1)
            await step.close()

    run(main())
    assert "an oddity" in caplog.text
