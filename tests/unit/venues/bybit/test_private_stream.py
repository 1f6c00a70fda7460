from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import uvloop
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue
from tests.unit.venues.bybit.test_mapping import RECORDS
from tests.unit.venues.bybit.wire_examples import EXECUTION, ORDER, POSITION, WALLET

from kedge.domain.errors import AccessRefused
from kedge.domain.events import OrderAccepted, OrderFilled
from kedge.domain.venue import Stream, StreamDown, StreamUp, VenueNews, VenuePosition, VenueWallet
from kedge.venues.bybit.codec import Frame, UnreadablePayload, decode_frame
from kedge.venues.bybit.private_stream import DCP_TOPIC, TOPICS, PrivateDialect, PrivateReader
from kedge.venues.bybit.reconnect import SocketPace, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.signing import HmacSigner
from kedge.venues.bybit.venue_news import NewsQueue


def frame(topic: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"topic": topic, "id": "x", "creationTime": 1_767_000_081_258, "data": list(rows)}


class Bench:
    def __init__(self, venue: ScriptedVenue) -> None:
        self.queue = NewsQueue()
        self.unknown: list[str] = []
        self.reader = PrivateReader(RECORDS, "USDT", self.queue.put, self.unknown.append)
        self.dialect = PrivateDialect(self.reader, HmacSigner("KEY-A", "SECRET-A"), lambda: 1_767_000_000_000)
        self.socket = SteadySocket(
            Stream.PRIVATE, venue.base + "/v5/private", self.dialect, self.queue.put,
            backoff=Backoff(Random(1), first_s=0.01, most_s=0.05), budget=ConnectBudget(), pace=SocketPace(greet_s=0.5),
        )  # fmt: skip


def run(test: Callable[[], Any]) -> None:
    uvloop.run(test())


def test_it_authenticates_subscribes_and_tells_in_the_order_of_the_frames() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            (auth,) = venue.heard("auth")
            expires = 1_767_000_010_000
            assert auth["args"] == ["KEY-A", expires, HmacSigner("KEY-A", "SECRET-A").sign(f"GET/realtime{expires}".encode())]
            assert venue.heard("subscribe")[0]["args"] == list(TOPICS)
            await venue.peers[0].send(
                frame("execution.linear", EXECUTION, EXECUTION | {"execId": "second", "execTime": "1767000081999"}),
                frame("order.linear", ORDER | {"orderStatus": "Filled"}, ORDER),
                frame("position.linear", POSITION, POSITION | {"category": "inverse"}),
                frame("wallet", WALLET),
            )
            await bench.socket.ping(1)
            kinds = [type(news) for news in bench.queue.take_all()]
            assert kinds == [StreamUp, OrderFilled, OrderFilled, OrderAccepted, VenuePosition, VenueWallet]
            assert bench.reader.seen_ts_ns == 1_767_000_081_999 * 10**6
            await bench.socket.close()

    run(test)


def test_a_wrong_key_says_what_to_do() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            venue.refuse_auth = "Params Error"
            with pytest.raises(AccessRefused, match="private socket") as caught:
                await Bench(venue).socket.start(2)
            assert "Params Error" in caught.value.why
            assert "key and secret belong together" in caught.value.fix
            assert "SECRET-A" not in str(caught.value)

    run(test)


def test_a_row_that_is_not_understood_ends_the_connection_so_that_the_loop_reconciles() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            await venue.peers[0].send(frame("execution.linear", EXECUTION, EXECUTION | {"side": "Mystery"}))
            news = [await bench.queue.get() for _ in range(4)]
            assert [type(one) for one in news] == [StreamUp, OrderFilled, StreamDown, StreamUp]
            assert "Mystery" in news[2].why
            assert news[3].again
            await bench.socket.close()

    run(test)


def test_rows_of_an_unknown_symbol_are_reported_and_the_others_told() -> None:
    unknown: list[str] = []
    told: list[VenueNews] = []
    reader = PrivateReader(RECORDS, "USDT", told.append, unknown.append)
    reader.read(decode_frame(text(frame("execution", EXECUTION | {"symbol": "NEWUSDT"}, EXECUTION))))
    assert unknown == ["NEWUSDT"]
    assert [type(news) for news in told] == [OrderFilled]


def test_topics_nobody_asked_for_are_let_go_and_broken_ones_refused() -> None:
    told: list[VenueNews] = []
    reader = PrivateReader(RECORDS, "USDT", told.append, lambda _: None)
    reader.read(Frame(topic="greeks"))
    with pytest.raises(UnreadablePayload, match="execId"):
        reader.read(decode_frame(text(frame("execution.linear", {k: v for k, v in EXECUTION.items() if k != "execId"}))))
    assert told == []


def text(value: dict[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


def test_news_keep_their_order_and_only_positions_and_wallets_are_replaced() -> None:
    async def test() -> None:
        queue = NewsQueue()
        reader = PrivateReader(RECORDS, "USDT", queue.put, lambda _: None)
        for size in ("0.010", "0.011", "0.012"):
            reader.read(decode_frame(text(frame("position", POSITION | {"size": size}))))
        reader.read(decode_frame(text(frame("wallet", WALLET))))
        reader.read(decode_frame(text(frame("wallet", WALLET))))
        reader.read(decode_frame(text(frame("execution", EXECUTION, EXECUTION))))
        assert len(queue) == 4
        first = await queue.get()
        assert isinstance(first, VenuePosition)
        assert first.lots == 12
        assert [type(one) for one in queue.take_all()] == [VenueWallet, OrderFilled, OrderFilled]
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.put(StreamUp(Stream.PRIVATE, again=False))
        queue.put(StreamUp(Stream.TRADE, again=False))
        assert await waiting == StreamUp(Stream.PRIVATE, again=False)
        assert await queue.get() == StreamUp(Stream.TRADE, again=False)
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(Exception, match="no more news"):
            await waiting

    run(test)


def test_the_topic_of_disconnect_protection_brings_nothing() -> None:
    told: list[VenueNews] = []
    PrivateReader(RECORDS, "USDT", told.append, lambda _: None).read(Frame(topic="dcp.future"))
    assert told == []


def test_a_stream_that_breaks_while_its_protection_is_asked_for_is_made_again() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            bench.dialect.protected = True
            venue.cut_on = DCP_TOPIC
            await bench.socket.start(2)
            assert len(venue.peers) == 2
            assert bench.dialect.protected
            await bench.socket.close()

    run(test)


def test_a_wallet_that_does_not_list_our_coin_or_is_another_accounts_tells_nothing() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            bitcoin = WALLET["coin"][0] | {"coin": "BTC"}
            await venue.peers[0].send(
                frame("wallet", WALLET | {"coin": [bitcoin]}, WALLET | {"accountType": "SPOT"}, WALLET | {"coin": []}),
                frame("wallet", WALLET),
            )
            await bench.socket.ping(1)
            assert [type(news) for news in bench.queue.take_all()] == [StreamUp, VenueWallet]
            await bench.socket.close()

    run(test)
