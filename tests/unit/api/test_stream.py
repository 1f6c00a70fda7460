"""The WebSocket: snapshot, then deltas without a gap, resume, heartbeats, strict listening, slow readers and another run."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kedge.api import schemas, stream
from kedge.services import replica_follow

from ...builders import AAA, BBB, bar, sent, walk
from ..services.replica_runs import Live, model_run
from .served import WAIT_S, Client, served


class Listener:
    """One connected client that checks the order of what it is told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.last: dict[str, int] = {}

    async def subscribe(self, *topics: str, **more: Any) -> None:
        await self.socket.send_str(json.dumps({"op": "subscribe", "topics": topics, **more}))

    async def message(self) -> schemas.Message:
        async with asyncio.timeout(WAIT_S):
            got = await self.socket.receive()
        assert got.type is aiohttp.WSMsgType.TEXT, got
        told = schemas.Message.model_validate_json(got.data)
        if told.type == "delta":
            assert told.after_seq == self.last[told.topic], "a gap"
        if told.seq is not None:
            self.last[told.topic] = told.seq
        return told

    async def until(self, topic: str, type_: str | None = None) -> schemas.Message:
        async with asyncio.timeout(WAIT_S):
            while True:
                told = await self.message()
                if told.topic == topic and type_ in (None, told.type):
                    return told


@asynccontextmanager
async def listening(client: Client, **headers: str) -> AsyncIterator[Listener]:
    async with client.session.ws_connect(f"{client.url}/ws/v1", headers=headers) as socket:
        yield Listener(socket)


def live_world(tmp_path: Path, then: Callable[[Client, Live], Awaitable[None]]) -> None:
    with Live(tmp_path / "runs" / "live" / "journal.sqlite") as live:
        live.step(bar(1), bar(1, instrument_id=BBB))

        async def inner(client: Client) -> None:
            await then(client, live)

        served(tmp_path, inner)


def ids(told: schemas.Message, name: str = "seq") -> list[Any]:
    return [row[name] for row in told.data["items"]]


def test_a_snapshot_then_deltas_without_a_gap_or_a_repeat(tmp_path: Path) -> None:
    async def then(client: Client, live: Live) -> None:
        async with listening(client) as one:
            await one.subscribe("candles")
            first = await one.until("candles")
            assert (first.type, first.run, first.seq, ids(first)) == ("snapshot", live.started.run_id, 2, [2, 1])
            schemas.Candle.model_validate(first.data["items"][0])
            seen: list[int] = []
            for n in range(2, 8):
                live.step(bar(n), bar(n, instrument_id=BBB))
                if n % 3 == 0:
                    await asyncio.sleep(stream.PACE_S)
            while len(seen) < 12:
                told = await one.until("candles", "delta")
                seen += ids(told)
            assert seen == list(range(3, 15))

    live_world(tmp_path, then)


def test_orders_fills_and_decisions_arrive_whole(tmp_path: Path) -> None:
    from ...builders import T0, filled

    async def then(client: Client, live: Live) -> None:
        async with listening(client) as one:
            await one.subscribe("orders", "fills", "decisions", "predictions")
            for topic in ("orders", "fills", "decisions", "predictions"):
                assert (await one.until(topic, "snapshot")).data == {"items": []}
            live.wish.say(0.1)
            (intent,) = sent(live.step(bar(2)))
            order = await one.until("orders", "delta")
            assert schemas.Order.model_validate(order.data["items"][0]).status == "pending_new"
            live.step(filled(intent, T0 + 121_000_000_000, 1_000))
            changed = await one.until("orders", "delta")
            assert [row["status"] for row in changed.data["items"]] == ["filled"]
            fill = await one.until("fills", "delta")
            assert schemas.Fill.model_validate(fill.data["items"][0]).client_order_id == intent.client_order_id

    live_world(tmp_path, then)


def test_resume_goes_on_after_the_last_heartbeat_and_a_foreign_place_begins_anew(tmp_path: Path) -> None:
    async def then(client: Client, live: Live) -> None:
        async with listening(client) as one:
            await one.subscribe("candles")
            beat = await one.until("heartbeat")
        live.step(bar(2), bar(3))
        await client.until(lambda: client.server.follower.seq == 4)
        async with listening(client) as two:
            two.last["candles"] = beat.seq or 0
            await two.subscribe("candles", run=beat.run, after_seq=beat.seq)
            told = await two.until("candles")
            assert (told.type, told.after_seq, told.seq, ids(told)) == ("delta", 2, 4, [3, 4])
        for more in ({"run": "another", "after_seq": 2}, {"run": beat.run, "after_seq": 10_000}, {"run": beat.run}, {"after_seq": 1}):
            async with listening(client) as three:
                await three.subscribe("candles", **more)
                assert (await three.until("candles")).type == "snapshot", more

    live_world(tmp_path, then)


def test_a_heartbeat_names_no_record_that_was_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int | None, int]] = []
    send = stream.Stream._send

    async def watched(self: stream.Stream, topic: str, type_: str, data: dict[str, Any], **more: Any) -> None:
        if topic == "overview":  # while the last topic is sent, the market goes on
            live.step(bar(self._follower.seq))
            while self._follower.seq < live.journal.count - 1:
                await asyncio.sleep(0.01)
        if topic == "heartbeat":
            told.append((more["seq"], self._told["candles"] or 0))
        await send(self, topic, type_, data, **more)

    async def then(client: Client, world: Live) -> None:
        nonlocal live
        live = world
        monkeypatch.setattr(stream.Stream, "_send", watched)
        async with listening(client) as one:
            await one.subscribe("candles", "overview")
            await one.until("heartbeat")
            await one.until("heartbeat")
        assert all(seq == known for seq, known in told)

    live: Live
    live_world(tmp_path, then)


def test_other_topics_may_be_chosen_while_news_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send = stream.Stream._send
    held = asyncio.Event()

    async def slow(self: stream.Stream, topic: str, *rest: Any, **more: Any) -> None:
        if topic == "fills":
            held.set()
            while "fills" in self._told:
                await asyncio.sleep(0.01)
        await send(self, topic, *rest, **more)

    async def then(client: Client, live: Live) -> None:
        monkeypatch.setattr(stream.Stream, "_send", slow)
        async with listening(client) as one:
            await one.subscribe("fills", "candles")
            await held.wait()
            await one.subscribe("orders")
            assert (await one.until("orders")).type == "snapshot"
            assert (await one.until("heartbeat")).type == "heartbeat"

    live_world(tmp_path, then)


def test_another_address_has_no_stream(tmp_path: Path) -> None:
    async def then(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(f"{client.url}/ws/v2")
        assert refused.value.status == 404
        assert refused.value.headers is not None
        assert refused.value.headers["Content-Type"] == "application/problem+json"

    served(tmp_path, then, follow=False)


def test_who_was_away_too_long_gets_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DELTA_ROWS", 5)

    async def then(client: Client, live: Live) -> None:
        live.step(*walk(3, 4, (AAA, BBB))[2:])
        await client.until(lambda: client.server.follower.seq == 8)
        async with listening(client) as one:
            await one.subscribe("candles", run=live.started.run_id, after_seq=2)
            assert (await one.until("candles")).type == "snapshot"

    live_world(tmp_path, then)


def test_the_overview_comes_whole_and_heartbeats_tell_the_age(tmp_path: Path) -> None:
    async def then(client: Client, live: Live) -> None:
        async with listening(client) as one:
            await one.subscribe("overview")
            first = await one.until("overview")
            overview = schemas.Overview.model_validate_json(json.dumps(first.data))
            assert overview.run is not None
            assert overview.run.run_id == live.started.run_id
            beat = await one.until("heartbeat")
            assert schemas.Freshness.model_validate_json(json.dumps(beat.data["freshness"])).state == "fresh"
            assert schemas.Following.model_validate_json(json.dumps(beat.data["following"])).state == "following"
            next_beat = await one.until("heartbeat")
            apart = datetime.fromisoformat(next_beat.ts) - datetime.fromisoformat(beat.ts)
            assert apart > timedelta(seconds=0.5), "heartbeats are a second apart"
            live.step(bar(2))
            again = await one.until("overview")
            assert again.seq == 3
            assert again.type == "snapshot"

    live_world(tmp_path, then)


def test_news_are_coalesced(tmp_path: Path) -> None:
    async def then(client: Client, live: Live) -> None:
        async with listening(client) as one:
            await one.subscribe("candles")
            await one.until("candles", "snapshot")
            messages, seen, begun = 0, 0, time.monotonic()
            for n in range(2, 42):
                live.step(bar(n))
                await asyncio.sleep(0.01)
            while seen < 40:
                seen += len((await one.until("candles", "delta")).data["items"])
                messages += 1
            assert messages <= 2 + (time.monotonic() - begun) / stream.PACE_S

    live_world(tmp_path, then)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("{", ""),
        ("[]", ""),
        ('{"op":"subscribe","topics":[]}', "/topics"),
        ('{"op":"subscribe","topics":["weather"]}', "/topics/0"),
        ('{"op":"subscribe","topics":["fills"],"loud":true}', "/loud"),
        ('{"op":"shout","topics":["fills"]}', "/op"),
        ('{"op":"subscribe","topics":["fills"],"after_seq":"7"}', "/after_seq"),
        ('{"op":"subscribe","topics":["fills"],"after_seq":-1}', "/after_seq"),
        ('{"topics":["fills"]}', "/op"),
    ],
)
def test_what_is_not_understood_is_answered_with_a_problem_and_the_line_stays(tmp_path: Path, said: str, where: str) -> None:
    async def then(client: Client) -> None:
        async with listening(client) as one:
            await one.socket.send_str(said)
            told = await one.until("problem")
            problem = schemas.Problem.model_validate(told.data)
            assert (problem.code, problem.status) == ("INVALID_INPUT", 422)
            assert where in [error.where for error in problem.errors] + [""]
            await one.subscribe("overview")
            assert (await one.until("overview")).run is None

    served(tmp_path, then, follow=False)


def test_bytes_are_not_understood_and_too_many_mistakes_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MISTAKES_MAX", 2)

    async def then(client: Client) -> None:
        async with listening(client) as one:
            await one.socket.send_bytes(b"x")
            assert "text" in (await one.until("problem")).data["title"]
            await one.socket.send_str("x")
            await one.until("problem")
            got = await one.socket.receive(WAIT_S)
            assert (got.type, got.data) == (aiohttp.WSMsgType.CLOSE, stream.POLICY_VIOLATION)
        async with listening(client) as two:
            await two.socket.send_str("x" * (stream.WORDS_MAX_BYTES + 1))
            got = await two.socket.receive(WAIT_S)
            assert (got.type, got.data) == (aiohttp.WSMsgType.CLOSE, 1009)

    served(tmp_path, then, follow=False)


def test_a_new_run_is_announced_by_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "CHOOSE_S", 0.02)
    old = model_run(tmp_path / "runs" / "old" / "journal.sqlite", bars=20, seed=3)
    past = time.time_ns() - 10**11
    os.utime(tmp_path / "runs" / "old" / "journal.sqlite", ns=(past, past))

    async def then(client: Client) -> None:
        async with listening(client) as one:
            await one.subscribe("fills", "candles")
            assert (await one.until("candles")).run == old.run_id
            new = model_run(tmp_path / "runs" / "new" / "journal.sqlite", bars=10, seed=4)
            while (
                (told := await one.until("candles")).run != new.run_id or told.seq != 20 + len(told.data["items"]) and told.type == "delta"
            ):
                pass
            assert told.run == new.run_id

    served(tmp_path, then)


def test_a_client_that_does_not_read_is_disconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SLOW_S", 0.05)

    async def then(client: Client) -> None:
        async def stuck(_: str) -> None:
            await asyncio.sleep(60)

        async with client.session.ws_connect(f"{client.url}/ws/v1") as socket:
            from starlette.websockets import WebSocket

            monkeypatch.setattr(WebSocket, "send_text", lambda _, text: stuck(text))
            await socket.send_str(json.dumps({"op": "subscribe", "topics": ["overview"]}))
            got = await socket.receive(WAIT_S)
            assert (got.type, got.data) == (aiohttp.WSMsgType.CLOSE, stream.TRY_AGAIN_LATER)
        await client.until(lambda: not client.server.follower.listeners)

    served(tmp_path, then, follow=False)


def test_more_clients_than_there_is_room_for_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CLIENTS_MAX", 1)

    async def then(client: Client) -> None:
        async with listening(client) as one:
            await one.subscribe("overview")
            await one.until("overview")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.session.ws_connect(f"{client.url}/ws/v1")
            assert refused.value.status == 503
        await client.until(lambda: not client.server.follower.listeners)
        async with listening(client) as two:
            await two.subscribe("overview")
            await two.until("overview")

    served(tmp_path, then, follow=False)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_sites_page_is_refused_in_the_handshake(tmp_path: Path, origin: str) -> None:
    async def then(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(f"{client.url}/ws/v1", headers={"Origin": origin})
        assert refused.value.status == 403
        async with listening(client, Origin=client.url) as one:
            await one.subscribe("overview")
            await one.until("overview")

    served(tmp_path, then, follow=False)


def test_the_server_stops_soon_while_somebody_listens(tmp_path: Path) -> None:
    async def then(client: Client) -> None:
        socket = await client.session.ws_connect(f"{client.url}/ws/v1")
        await socket.send_str(json.dumps({"op": "subscribe", "topics": ["overview"]}))
        await socket.receive(WAIT_S)
        async with asyncio.timeout(5.0):
            await client.server.close()
        await socket.close()

    served(tmp_path, then, follow=False)
