"""The private socket: who may listen, what one operation tells, barriers, and what happens when everybody is gone."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

import aiohttp
import pytest
from tests.builders import AAA, BBB, HOUR, T0
from tests.unit.venues.exchange.socket_room import OTHER, OTHER_KEY, OWNER, PRIVATE, WALL_MS, WALL_NS, Room, auth, in_room

from kedge.domain.orders import Side
from kedge.domain.units import E8, NS_PER_MS
from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.socket_settings import SocketSettings

ALL = ("order", "execution", "position", "wallet")


def topics_of(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["topic"] for frame in frames]


# --- who may listen --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expires", [WALL_MS + 1, str(WALL_MS + 10_000)])
def test_a_signature_over_an_expiry_ahead_opens_the_socket(expires: int | str) -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PRIVATE)
        ack = await client.ask({"req_id": "10001", **auth(expires=expires)})
        assert uuid.UUID(ack.pop("conn_id"))
        assert ack == {"success": True, "ret_msg": "", "op": "auth", "req_id": "10001"}

    in_room(body)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (auth(expires=WALL_MS), "expired"),
        (auth(sign="00"), "error sign!"),
        (auth(ApiKey(key="STRANGER", secret="S", account="x")), "API key is invalid"),
        ({"op": "auth", "args": ["KEY-OWNER", "soon", "s"]}, "Params Error"),
        ({"op": "auth", "args": ["KEY-OWNER"]}, "Params Error"),
        ({"op": "auth"}, "Params Error"),
    ],
)
def test_a_wrong_auth_says_why_and_opens_nothing(message: dict[str, Any], words: str) -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PRIVATE)
        ack = await client.ask(message)
        assert (ack["success"], ack["op"]) == (False, "auth")
        assert words in ack["ret_msg"]
        assert "SECRET" not in ack["ret_msg"]
        refused = await client.ask({"op": "subscribe", "args": ["order"]})
        assert (refused["success"], refused["ret_msg"]) == (False, "Request not authorized")
        room.place(Side.BUY, 1_000, 990)
        assert await client.until_pong() == []

    in_room(body)


def test_a_second_auth_on_one_connection_is_refused_and_changes_nothing() -> None:
    async def body(room: Room) -> None:
        client = await room.private("order")
        assert (await client.ask(auth(OTHER_KEY)))["ret_msg"] == "Repeat auth"
        room.place(Side.BUY, 1_000, 990, account=OTHER)
        assert await client.until_pong() == []

    in_room(body)


@pytest.mark.parametrize(
    ("args", "refusal"),
    [
        (["order", "order.linear"], "Params Error"),
        ([], "Params Error"),
        (["orders"], "error:handler not found,topic:orders"),
        (["order.AAAUSDT"], "error:handler not found,topic:order.AAAUSDT"),
        (["wallet"], "error:already subscribed,topic:wallet"),
        (["order", "order"], "error:already subscribed,topic:order"),
    ],
)
def test_a_wrong_private_topic_is_refused_whole(args: list[str], refusal: str) -> None:
    async def body(room: Room) -> None:
        client = await room.private("wallet")
        ack = await client.ask({"op": "subscribe", "args": args})
        assert (ack["success"], ack["ret_msg"]) == (False, refusal)
        room.place(Side.BUY, 1_000, 990)
        assert topics_of(await client.until_pong()) == ["wallet"]

    in_room(body)


@pytest.mark.parametrize("message", ["not json", '{"op":7}', '{"op":"order.create"}'])
def test_unknown_requests_are_params_errors(message: str) -> None:
    async def body(room: Room) -> None:
        client = await room.private()
        ack = await client.ask(message)
        assert (ack["success"], ack["ret_msg"]) == (False, "Params Error")

    in_room(body)


def test_an_unsubscribed_topic_is_silent_and_can_be_had_again() -> None:
    async def body(room: Room) -> None:
        client = await room.private("order", "wallet")
        assert (await client.ask({"op": "unsubscribe", "args": ["order", "position"]}))["op"] == "unsubscribe"
        room.place(Side.BUY, 1_000, 990)
        assert topics_of(await client.until_pong()) == ["wallet"]
        assert (await client.ask({"op": "subscribe", "args": ["order"]}))["success"]
        room.place(Side.BUY, 1_000, 989)
        assert topics_of(await client.until_pong()) == ["order", "wallet"]

    in_room(body)


def test_ping_is_answered_with_pong_and_the_walls_time() -> None:
    async def body(room: Room) -> None:
        client = await room.connect(PRIVATE)
        answer = await client.ask({"req_id": "1", "op": "ping"})
        answer.pop("conn_id")
        assert answer == {"req_id": "1", "op": "pong", "args": [str(WALL_MS)]}

    in_room(body)


# --- what one operation tells ------------------------------------------------------------------------------------------------


def test_one_operation_is_one_frame_per_kind_in_a_fixed_order() -> None:
    async def body(room: Room) -> None:
        client = await room.private("wallet", "position", "order", "execution", "execution.fast")
        room.place(Side.SELL, 1_000, 1_001, account=OTHER)
        row = room.place(Side.BUY, 40_000, link_id="mine")
        frames = await client.until_pong()
        assert topics_of(frames) == ["execution", "execution.fast", "order", "position", "wallet"]
        execution, fast, order, position, wallet = frames
        assert len(execution["data"]) > 1
        assert execution["id"] == order["id"] == f"{OWNER}_AAAUSDT_{row.seq}"
        assert re.fullmatch(OWNER + r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{16}", position["id"])
        assert wallet["id"] not in (position["id"], order["id"])
        assert {frame["creationTime"] for frame in frames} == {WALL_MS}
        assert "id" not in fast
        assert [item["execId"] for item in fast["data"]] == [item["execId"] for item in execution["data"]]
        assert [item["orderId"] for item in order["data"]] == [row.order_id]
        assert (order["data"][0]["orderStatus"], order["data"][0]["orderLinkId"]) == ("Filled", "mine")
        assert order["data"][0]["updatedTime"] == str(T0 // NS_PER_MS)
        assert (position["data"][0]["size"], "entryPrice" in position["data"][0]) == ("40.000", True)
        assert wallet["data"][0]["accountType"] == "UNIFIED"

    in_room(body)


def test_plain_and_linear_topics_bring_the_same_rows_under_their_own_names() -> None:
    async def body(room: Room) -> None:
        plain = await room.private(*ALL, "execution.fast")
        linear = await room.private("order.linear", "execution.linear", "execution.fast.linear", "position.linear")
        elsewhere = await room.private("order.inverse", "execution.spot", "greeks", "dcp.option")
        room.place(Side.BUY, 1_000)
        by_topic = {frame["topic"]: frame["data"] for frame in await plain.until_pong()}
        frames = await linear.until_pong()
        assert topics_of(frames) == ["execution.linear", "execution.fast.linear", "order.linear", "position.linear"]
        for frame in frames:
            assert frame["data"] == by_topic[frame["topic"].removesuffix(".linear")]
        assert await elsewhere.until_pong() == []

    in_room(body)


def test_an_account_hears_of_itself_alone_and_all_its_connections_hear_the_same() -> None:
    async def body(room: Room) -> None:
        first, second, stranger = await room.private(*ALL), await room.private(*ALL), await room.private(*ALL, key=OTHER_KEY)
        room.place(Side.BUY, 1_000, 990)
        heard = await first.until_pong()
        assert topics_of(heard) == ["order", "position", "wallet"]
        assert await second.until_pong() == heard
        assert await stranger.until_pong() == []

    in_room(body)


def test_a_batch_of_two_operations_is_told_as_two() -> None:
    async def body(room: Room) -> None:
        client = await room.private(*ALL)
        room.place(Side.BUY, 1_000)
        await client.until_pong()
        room.clock.venue_at_ns = T0 + 8 * HOUR
        room.venue.advance(T0 + 8 * HOUR)
        room.venue.cancel_all(OWNER, None, T0 + 8 * HOUR)
        room.venue.set_leverage(OWNER, AAA, 500, T0 + 8 * HOUR)
        room.hall.publish()
        frames = await client.until_pong()
        assert topics_of(frames) == ["execution", "position", "wallet", "position", "wallet"]
        assert frames[0]["data"][0]["execType"] == "Funding"

    in_room(body)


def test_fundings_are_no_fast_executions() -> None:
    async def body(room: Room) -> None:
        fast, full = await room.private("execution.fast"), await room.private("execution")
        room.place(Side.BUY, 1_000)
        room.clock.venue_at_ns = T0 + 8 * HOUR
        room.venue.advance(T0 + 8 * HOUR)
        room.hall.publish()
        assert len(await fast.until_pong()) == 1
        assert len(await full.until_pong()) == 2

    in_room(body)


def test_the_mark_alone_tells_nothing() -> None:
    async def body(room: Room) -> None:
        client = await room.private(*ALL)
        room.place(Side.BUY, 1_000)
        await client.until_pong()
        room.price(1_001, after_ms=500)
        assert await client.until_pong() == []

    in_room(body)


def test_two_symbols_of_one_operation_share_a_frame() -> None:
    async def body(room: Room) -> None:
        room.place(Side.BUY, 1_000, 990)
        room.place(Side.BUY, 1_000, 980, name=BBB)
        client = await room.private("order")
        room.venue.cancel_all(OWNER, None, room.clock.venue_ns())
        room.hall.publish()
        (frame,) = await client.until_pong()
        assert [row["symbol"] for row in frame["data"]] == ["AAAUSDT", "BBBUSDT"]
        assert frame["id"].startswith(f"{OWNER}_AAAUSDT_")

    in_room(body)


def test_a_pong_comes_after_everything_published_before_it() -> None:
    async def body(room: Room) -> None:
        client = await room.private("order")
        for n in range(200):
            room.place(Side.BUY, 1_000, 990 - n % 5)
            await client.send({"op": "ping", "req_id": str(n)})
        orders, seen = 0, []
        while len(seen) < 200:
            frame = await client.next()
            if frame["op"] == "pong" if "op" in frame else False:
                assert orders >= int(frame["req_id"]) + 1
                seen.append(int(frame["req_id"]))
            else:
                orders += len(frame["data"])
        assert seen == list(range(200))

    in_room(body)


def test_a_subscription_begins_with_its_acknowledgement() -> None:
    async def body(room: Room) -> None:
        client = await room.private()
        await client.send({"op": "subscribe", "args": ["order"]})
        ack = await client.next()
        row = room.place(Side.BUY, 1_000, 990)
        (frame,) = await client.until_pong()
        assert ack["success"]
        assert frame["data"][0]["orderId"] == row.order_id

    in_room(body, settings=SocketSettings(ack_delay_s=0.005))


# --- connections -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "cut_after_s"), [("30s", 30), ("1m", 60), ("600s", 600)])
def test_a_client_chooses_how_long_it_may_be_silent(asked: str, cut_after_s: int, caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]

    async def body(room: Room) -> None:
        client = await room.connect(f"{PRIVATE}?max_active_time={asked}")
        assert (await client.ask(auth()))["success"]
        now_s[0] = float(cut_after_s)
        room.sockets.beat(now_s[0])
        assert (await client.ask({"op": "ping"}))["op"] == "pong"
        now_s[0] += cut_after_s + 0.1
        room.sockets.beat(now_s[0])
        await client.ended()

    in_room(body, now_s=lambda: now_s[0])
    assert f"idle for more than {cut_after_s} s" in caplog.text


@pytest.mark.parametrize("asked", ["29s", "11m", "60", "-30s", "1h", "s"])
def test_a_silence_out_of_bounds_is_refused_with_the_bounds(asked: str) -> None:
    async def body(room: Room) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await room.connect(f"{PRIVATE}?max_active_time={asked}")
        assert refused.value.status == 400

    in_room(body)


def test_dropped_connections_are_gone_at_once_and_the_account_may_come_back() -> None:
    async def body(room: Room) -> None:
        mine, theirs = await room.private(*ALL), await room.private(*ALL, key=OTHER_KEY)
        public = await room.public()
        assert await room.sockets.drop("private", OWNER) == 1
        assert await mine.ended() == 1006
        assert room.sockets.connections == {"public": 1, "private": 1, "trade": 0}
        room.place(Side.BUY, 1_000, 990)
        again = await room.private(*ALL)
        room.place(Side.BUY, 1_000, 989)
        assert topics_of(await again.until_pong()) == ["order", "position", "wallet"]
        assert await theirs.until_pong() == []
        assert await room.sockets.drop("private") == 2
        assert await room.sockets.drop("trade") == 0
        assert (await public.ask({"op": "ping"}))["ret_msg"] == "pong"
        with pytest.raises(ValueError, match="telegraph"):
            await room.sockets.drop("telegraph")

    in_room(body)


def test_a_client_that_vanishes_while_news_is_on_its_way_harms_nobody() -> None:
    async def body(room: Room) -> None:
        doomed, well = await room.private(*ALL), await room.private(*ALL)
        for n in range(50):
            room.place(Side.BUY, 1_000, 990 - n % 7)
            if n == 10:
                doomed.socket._response.connection.transport.abort()  # noqa: SLF001 - a client that dies
        assert len(await well.until_pong()) == 150
        while room.sockets.connections["private"] > 1:
            await asyncio.sleep(0)

    in_room(body)


def test_the_walls_time_stands_in_the_envelope_and_the_venues_in_the_rows() -> None:
    async def body(room: Room) -> None:
        client = await room.private("order")
        room.clock.venue_at_ns = T0 + 5_000 * NS_PER_MS
        room.clock.wall_at_ns = WALL_NS + 7 * NS_PER_MS
        room.place(Side.BUY, 1_000, 990)
        (frame,) = await client.until_pong()
        assert frame["creationTime"] == WALL_MS + 7
        assert frame["data"][0]["createdTime"] == str(T0 // NS_PER_MS + 5_000)
        assert room.venue.wallet(OWNER).wallet_e8 == 10_000 * E8

    in_room(body)
