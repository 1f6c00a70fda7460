"""The public socket: subscriptions in the venue's words, and connections that are silent, slow, too many or broken."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.builders import AAA
from tests.unit.venues.exchange.socket_room import OWNER, PROMPT, PUBLIC, Room, in_room

from kedge.simulation.venue_types import WalletRow
from kedge.venues.exchange.frames import text_frame
from kedge.venues.exchange.socket_settings import SocketSettings

# --- requests ------------------------------------------------------------------------------------------------------------


def test_a_subscription_is_acknowledged_with_the_callers_id_before_the_first_snapshot() -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PUBLIC)
        ack = await client.ask({"op": "subscribe", "req_id": 12, "args": ["orderbook.50.AAAUSDT"], "callerMethodName": "watch"})
        conn_id = ack.pop("conn_id")
        assert ack == {"success": True, "ret_msg": "", "req_id": 12, "op": "subscribe"}
        assert (await client.next())["type"] == "snapshot"
        assert (await client.ask({"op": "ping", "req_id": "p"})) == {
            "success": True, "ret_msg": "pong", "conn_id": conn_id, "req_id": "p", "op": "ping",
        }  # fmt: skip
        assert room.sockets.connections == {"public": 1, "private": 0, "trade": 0}

    in_room(body)


@pytest.mark.parametrize(
    ("topics", "refusal"),
    [
        (["orderbook.500.AAAUSDT"], "error:handler not found,topic:orderbook.500.AAAUSDT"),
        (["tickers.AAAUSDT", "dcp.future"], "error:handler not found,topic:dcp.future"),
        (["tickers.AAAUSDT", "tickers.AAAUSDT"], "error:already subscribed,topic:tickers.AAAUSDT"),
        (["publicTrade.BBBUSDT"], "error:already subscribed,topic:publicTrade.BBBUSDT"),
    ],
)
def test_a_wrong_topic_is_named_and_nothing_of_its_request_is_subscribed(topics: list[str], refusal: str) -> None:
    async def body(room: Room) -> None:
        client = await room.public("publicTrade.BBBUSDT")
        ack = await client.ask({"op": "subscribe", "req_id": "r", "args": topics})
        assert (ack["success"], ack["ret_msg"], ack["req_id"]) == (False, refusal, "r")
        room.price(1_001, after_ms=200)
        assert await client.until_pong() == []

    in_room(body)


@pytest.mark.parametrize(
    "message", ["no json", "[]", '{"op":"subscribe"}', '{"op":"subscribe","args":[]}', '{"op":"auth","args":["k"]}', '{"op":5}']
)
def test_what_cannot_be_read_is_a_params_error_and_the_connection_lives(message: str) -> None:
    async def body(room: Room) -> None:
        client = await room.public()
        answer = await client.ask(message)
        assert (answer["success"], answer["ret_msg"]) == (False, "Params Error")
        assert (await client.ask({"op": "ping"}))["ret_msg"] == "pong"

    in_room(body)


def test_topics_of_one_connection_are_bounded_in_characters() -> None:
    async def body(room: Room) -> None:
        client = await room.public("tickers.AAAUSDT")
        ack = (await client.until_pong(), await client.ask({"op": "subscribe", "args": ["kline.1.AAAUSDT"]}))[1]
        assert ack["ret_msg"] == "error:args exceed 20 characters on one connection"

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, topic_chars_max=20))


def test_an_unsubscription_ends_the_topic_and_lets_it_be_subscribed_again() -> None:
    async def body(room: Room) -> None:
        topics = ["publicTrade.AAAUSDT", "orderbook.50.AAAUSDT", "kline.1.AAAUSDT", "tickers.AAAUSDT"]
        client = await room.public(*topics)
        await client.until_pong()
        ack = await client.ask({"op": "unsubscribe", "req_id": "u", "args": [*topics, "tickers.BBBUSDT"]})
        assert (ack["success"], ack["op"], ack["req_id"]) == (True, "unsubscribe", "u")
        room.price(1_002, flow=5, after_ms=200)
        assert await client.until_pong() == []
        assert (await client.ask({"op": "subscribe", "args": ["orderbook.50.AAAUSDT"]}))["success"]
        assert (await client.next())["type"] == "snapshot"

    in_room(body)


def test_acknowledgement_and_first_snapshot_wait_for_clients_that_remember_late() -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PUBLIC)
        began = time.monotonic()
        await client.ask({"op": "subscribe", "args": ["orderbook.1.AAAUSDT"]})
        acked = time.monotonic()
        await client.next()
        assert acked - began >= 0.015
        assert time.monotonic() - began >= 0.035

    in_room(body, settings=SocketSettings(ack_delay_s=0.02))


# --- connections ---------------------------------------------------------------------------------------------------------


def test_a_reader_that_stops_reading_is_cut_and_the_others_hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    async def body(room: Room) -> None:
        await room.hanging("publicTrade.AAAUSDT", "orderbook.1000.AAAUSDT")
        (link,) = room.sockets._links  # noqa: SLF001 - to fill what the system keeps between the two
        while not link._transport.get_write_buffer_size():  # noqa: SLF001
            link.write(text_frame(b"x" * 40_000))
            for _ in range(5):
                await asyncio.sleep(0)
        well = await room.public("publicTrade.AAAUSDT")
        heard = steps = 0
        while room.sockets.connections["public"] == 2 and steps < 3_000:
            steps += 1
            room.price(1_000 + 500 * (steps % 2), flow=10)
            if steps % 20 == 0:
                heard += sum(len(frame["data"]) for frame in await well.until_pong())
        assert room.sockets.connections["public"] == 1
        heard += sum(len(frame["data"]) for frame in await well.until_pong())
        assert heard == len(room.venue.recent_trades(AAA, 10_000))

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, buffer_max=100_000), speed=1_000_000, levels=100)
    assert "slow reader" in caplog.text


def test_protocol_pings_are_answered_with_their_payload() -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PUBLIC, autoping=False)
        await client.socket.ping(b"are you there")
        answer = await client.socket.receive(5)
        assert bytes(answer.data) == b"are you there"
        await client.socket.pong(b"unasked")
        assert (await client.ask({"op": "ping"}))["ret_msg"] == "pong"

    in_room(body)


def test_a_silent_connection_is_cut_after_ten_minutes_and_a_pinging_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]

    async def body(room: Room) -> None:
        silent, alive = await room.public(), await room.public()
        now_s[0] = 500.0
        await alive.ask({"op": "ping"})
        now_s[0] = 600.5
        room.sockets.beat(now_s[0])
        await silent.ended()
        assert (await alive.ask({"op": "ping"}))["ret_msg"] == "pong"
        assert room.sockets.connections["public"] == 1

    in_room(body, now_s=lambda: now_s[0])
    assert "idle for more than 600 s" in caplog.text


def test_binary_messages_end_the_connection() -> None:
    async def body(room: Room) -> None:
        client = await room.public()
        await client.socket.send_bytes(b"{}")
        await client.ended()

    in_room(body)


def test_a_plain_request_for_a_socket_is_refused() -> None:
    async def body(room: Room) -> None:
        async with room.session.get(room.url + PUBLIC) as response:
            assert response.status == 400
            assert "WebSocket" in await response.text()

    in_room(body)


def test_an_address_that_connects_too_often_or_too_much_is_turned_away() -> None:
    async def body(room: Room) -> None:
        held = [await room.public() for _ in range(2)]
        for expected in (403, 403):
            async with room.session.get(room.url + PUBLIC, headers=upgrade()) as response:
                assert response.status == expected
        await held[0].socket.close()
        while room.sockets.connections["public"] > 1:
            await asyncio.sleep(0)
        async with room.session.get(room.url + PUBLIC, headers=upgrade()) as response:
            assert response.status == 403
        room.clock.wall_at_ns += 301 * 1_000_000_000
        again = await room.public()
        assert (await again.ask({"op": "ping"}))["ret_msg"] == "pong"

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, live_max=2, connects_max=4))


def upgrade() -> dict[str, str]:
    return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def test_news_that_cannot_be_told_cuts_its_listeners_and_never_breaks_the_venue(caplog: pytest.LogCaptureFixture) -> None:
    async def body(room: Room) -> None:
        client, private = await room.public("publicTrade.AAAUSDT"), await room.private("order")
        del room.hall.grids[AAA]
        room.venue.set_prices(AAA, 1_001, 1_001, 1_001, room.clock.venue_ns(), flow_lots=5)
        room.hall.publish()
        await client.ended()
        assert isinstance(room.venue.wallet(OWNER), WalletRow)
        assert await private.until_pong() == []

    in_room(body)
    assert "news was lost" in caplog.text


def test_clients_are_told_when_the_exchange_stops_and_new_ones_are_turned_away() -> None:
    async def body(room: Room) -> None:
        client = await room.public("tickers.AAAUSDT")
        farewell = asyncio.create_task(client.ended())
        await room.sockets.close()
        assert await farewell == 1001
        async with room.session.get(room.url + PUBLIC, headers=upgrade()) as response:
            assert response.status == 503
        await room.sockets.close()

    in_room(body, settings=PROMPT)


def test_a_client_that_hangs_does_not_keep_the_exchange_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(room: Room) -> None:
        await room.hanging("tickers.AAAUSDT")
        (link,) = room.sockets._links  # noqa: SLF001 - to fill what lies between the two
        for _ in range(300):
            link.write(text_frame(b"x" * 40_000))
        monkeypatch.setattr("kedge.venues.exchange.sockets.CLOSE_S", 0.02)
        await room.sockets.close()
        assert room.sockets.connections["public"] == 0

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, buffer_max=100_000_000))
    assert "did not go when the exchange stopped" in caplog.text
