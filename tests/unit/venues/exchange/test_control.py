"""Lock-step at the exchange: who registered is waited for, a killed client meets the same bar, strangers are turned away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from tests.builders import AAA, BBB, MINUTE, T0, flat_bars, walk
from tests.unit.venues.exchange.played_market import Scene, listening, run

from kedge.venues.exchange.control import Control, is_loopback, refuse_stranger

WS = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def clients(scene: Scene) -> Any:
    """Yields a function that connects one more raw client to the scene's control endpoint."""
    async with listening(scene.control.handle) as url, aiohttp.ClientSession() as session:
        yield lambda **more: session.ws_connect(url, **more)
        await scene.control.close()


async def register(socket: WS, name: str = "trader") -> dict[str, Any]:
    await socket.send_json({"op": "register", "name": name})
    answer = await socket.receive_json()
    assert answer["op"] == "registered", answer
    return answer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def with_market(play: Callable[[Scene, Any, asyncio.Task[None]], Awaitable[None]], scene: Scene) -> None:
    """Play the scene's market in a task while `play(scene, connect, task)` acts on it."""

    async def main() -> None:
        async with clients(scene) as connect:
            await scene.player.prime()
            task = asyncio.create_task(scene.player.play())
            try:
                await play(scene, connect, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_market_waits_at_every_bar_for_every_registered_client() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        first, second = await connect(), await connect()
        told = await register(first, "one")
        assert (told["speed"], told["venue_ms"], told["seq"]) == (100_000, T0 // 1_000_000, 0)
        await register(second, "two")
        for seq in (1, 2, 3):
            closed_ns = T0 + seq * MINUTE
            for socket in (first, second):
                assert await socket.receive_json() == {"op": "bar", "seq": seq, "venue_ms": closed_ns // 1_000_000, "bars": 2}
            assert scene.clock.venue_ns() == closed_ns
            await first.send_json({"op": "ack", "seq": seq})
            await until(lambda seq=seq: scene.control.clients()[0]["acked"] == seq)
            assert scene.venue.now_ns == closed_ns
            await second.send_json({"op": "ack", "seq": seq})
        await task
        assert (await first.receive_json())["op"] == "ended"

    with_market(play, Scene(walk(2, 3, (AAA, BBB)), ids=(AAA, BBB), speed=100_000, wait_for=2))


def test_the_klines_of_a_bar_are_out_before_its_message() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await register(socket)
        await socket.receive_json()
        assert any(getattr(row, "confirm", False) for row in scene.changes)

    with_market(play, Scene(flat_bars(2), wait_for=1))


def test_a_client_that_answers_late_pauses_the_market_and_its_answer_lets_it_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await register(socket)
        await socket.receive_json()
        await until(lambda: "not acknowledged by trader" in scene.player.paused_why)
        await socket.send_json({"op": "ack", "seq": 1})
        assert (await socket.receive_json())["seq"] == 2
        assert scene.player.paused_why == ""
        await socket.send_json({"op": "ack", "seq": 2})
        await task

    with caplog.at_level(logging.INFO, logger="kedge.exchange"):
        with_market(play, Scene(flat_bars(2), patience_s=0.05, wait_for=1))
    assert "market paused" in caplog.text
    assert "market goes on" in caplog.text


def test_a_killed_client_gets_the_bar_it_had_not_acknowledged_again_under_its_name() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await register(socket)
        lost = await socket.receive_json()
        await socket.close()
        await until(lambda: not scene.control.clients()[0]["connected"])
        assert scene.venue.now_ns == T0 + MINUTE
        again = await connect()
        assert (await register(again))["seq"] == 1
        assert await again.receive_json() == lost
        await again.send_json({"op": "ack", "seq": 1})
        assert (await again.receive_json())["seq"] == 2

    with_market(play, Scene(flat_bars(3), wait_for=1))


def test_a_second_connection_of_a_name_takes_the_place_of_the_first() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        old, new = await connect(), await connect()
        await register(old)
        await old.receive_json()
        await register(new)
        assert (await new.receive_json())["seq"] == 1
        assert (await old.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
        assert scene.control.clients() == [{"name": "trader", "connected": True, "acked": 0}]

    with_market(play, Scene(flat_bars(3), wait_for=1))


def test_a_client_that_leaves_is_not_waited_for() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await register(socket)
        await socket.receive_json()
        await socket.send_json({"op": "leave"})
        await task
        assert scene.control.clients() == []

    with_market(play, Scene(flat_bars(3), wait_for=1))


def test_at_the_speed_of_the_wall_nobody_is_waited_for() -> None:
    scene = Scene(flat_bars(1), speed=1)
    assert not scene.control.is_waiting_needed
    scene = Scene(flat_bars(1), speed=2)
    assert not scene.control.is_waiting_needed


def test_who_comes_after_the_end_hears_of_it() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        await task
        socket = await connect()
        assert (await register(socket))["seq"] == 2
        assert await socket.receive_json() == {"op": "ended", "seq": 2, "venue_ms": (T0 + 2 * MINUTE) // 1_000_000}

    with_market(play, Scene(flat_bars(2)))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("{not json", "not understood"),
        ('{"op":"dance"}', "register, ack and leave"),
        ('{"op":"ack","seq":1}', "register first"),
        ('{"op":"register","name":""}', "1 to 64 characters"),
        ('{"op":"register","name":"' + "x" * 65 + '"}', "1 to 64 characters"),
    ],
)
def test_what_is_not_understood_is_said_and_changes_nothing(message: str, told: str) -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await socket.send_str(message)
        answer = await socket.receive_json()
        assert answer["op"] == "error"
        assert told in answer["text"]
        await socket.send_bytes(b"ignored")
        await register(socket)

    with_market(play, Scene(flat_bars(2), wait_for=2))


def test_a_connection_has_one_name_so_that_no_name_outlives_it_as_connected() -> None:
    async def main() -> None:
        scene = Scene(flat_bars(1))
        async with clients(scene) as connect:
            socket = await connect()
            await register(socket)
            await socket.send_json({"op": "register", "name": "another"})
            answer = await socket.receive_json()
            assert (answer["op"], "one name each" in answer["text"]) == ("error", True)
            assert [client["name"] for client in scene.control.clients()] == ["trader"]

    run(main())


def test_an_acknowledgement_of_a_bar_to_come_is_refused() -> None:
    async def play(scene: Scene, connect: Any, task: asyncio.Task[None]) -> None:
        socket = await connect()
        await register(socket)
        await socket.receive_json()
        await socket.send_json({"op": "ack", "seq": 2})
        assert "bar 2 was not sent; the last is 1" in (await socket.receive_json())["text"]
        assert scene.control.clients()[0]["acked"] == 0

    with_market(play, Scene(flat_bars(3), wait_for=1))


def test_a_client_that_reads_nothing_is_cut_and_stays_registered(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(flat_bars(1))
        control = scene.control
        async with clients(scene) as connect:
            socket = await connect()
            await register(socket)
            for _ in range(5_000):
                control.release(T0, 1)  # in one go, so that nothing can be written in between
            assert control.clients() == [{"name": "trader", "connected": False, "acked": 0}]
            await socket.close()

    run(main())
    assert "it reads nothing" in caplog.text


def test_web_pages_and_other_machines_are_refused() -> None:
    async def main() -> None:
        scene = Scene(flat_bars(1))
        async with clients(scene) as connect:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(headers={"Origin": "http://evil.example"})
            assert refused.value.status == 403

    run(main())
    stranger = make_mocked_request("GET", "/kedge/control").clone(remote="10.0.0.7")
    refusal = refuse_stranger(stranger)
    assert isinstance(refusal, web.Response)
    assert refusal.status == 403
    assert refuse_stranger(make_mocked_request("GET", "/kedge/control").clone(remote="127.0.0.1")) is None


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8100", True), ("localhost", True), ("LOCALHOST:1", True), ("[::1]:8100", True), ("", True),
        ("evil.example", False), ("127.0.0.1.evil.example:8100", False), ("localhost.evil.example", False), ("[", False),
    ],
)  # fmt: skip
def test_a_name_that_a_web_page_had_resolved_to_this_machine_is_a_stranger(host: str, ours: bool) -> None:
    request = make_mocked_request("GET", "/kedge/status", headers={"Host": host} if host else {}).clone(remote="127.0.0.1")
    assert (refuse_stranger(request) is None) is ours


@pytest.mark.parametrize(
    ("address", "ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("0.0.0.0", False)],
)
def test_only_loopback_addresses_are_this_machine(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


def test_no_address_is_not_this_machine() -> None:
    assert not is_loopback(None)
    assert not is_loopback("localhost")


def test_a_late_registration_joins_at_the_next_bar() -> None:
    async def main() -> None:
        control = Control(60, lambda: T0)
        control.release(T0, 1)
        async with listening(control.handle) as url, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(url)
            assert (await register(socket))["seq"] == 1
            await control.wait_acknowledged()
            control.release(T0 + MINUTE, 1)
            assert (await socket.receive_json())["seq"] == 2
            await control.close()

    run(main())
