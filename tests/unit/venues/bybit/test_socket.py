from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from tests import steady
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue

from kedge.domain.errors import AccessRefused, VenueUnavailable
from kedge.domain.venue import Stream, StreamDown, StreamUp
from kedge.venues.bybit import reconnect
from kedge.venues.bybit.codec import decode_frame
from kedge.venues.bybit.reconnect import SocketPace, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.socket import Connection, connect
from kedge.venues.bybit.socket_words import batches, key_refused, ping_words, read_answer, subscribe

QUICK = SocketPace(connect_s=1.0, greet_s=0.5, ping_every_s=0.05, pong_within_s=0.15, steady_after_s=0.1)
CALM = SocketPace(connect_s=1.0, greet_s=0.5, ping_every_s=20.0, pong_within_s=5.0)


class Dialect:
    """Subscribes one topic and keeps what comes."""

    def __init__(self, topics: tuple[str, ...] = ("a.b",)) -> None:
        self.topics = topics
        self.frames: list[Any] = []
        self.refuse: Exception | None = None

    def read(self, connection: Connection, text: bytes) -> None:
        frame = decode_frame(text)
        if frame.topic:
            if frame.topic == "poison":
                raise ValueError("cannot read this")
            self.frames.append(frame.topic)
        else:
            read_answer(connection, frame)

    async def greet(self, connection: Connection) -> None:
        if self.refuse is not None:
            raise self.refuse
        await subscribe(connection, self.topics)

    def ping_text(self, request_id: str) -> bytes:
        return ping_words(request_id)


class Bench:
    """A steady socket against a scripted venue, with what it told."""

    def __init__(self, venue: ScriptedVenue, pace: SocketPace = CALM, path: str = "/v5/public/linear", budget: ConnectBudget | None = None):
        self.told: list[Any] = []
        self.dialect = Dialect()
        self._news = asyncio.Event()
        self.socket = SteadySocket(
            Stream.PUBLIC, venue.base + path, self.dialect, self._tell,
            backoff=Backoff(Random(1), first_s=0.01, most_s=0.05), budget=budget or ConnectBudget(), pace=pace,
        )  # fmt: skip

    def _tell(self, news: StreamUp | StreamDown) -> None:
        self.told.append(news)
        self._news.set()

    async def until_told(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()


def run(test: Callable[[], Any]) -> None:
    steady.run(test(), within_s=60)


def test_a_stream_comes_up_and_is_told_once() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            assert bench.told == [StreamUp(Stream.PUBLIC, again=False)]
            assert venue.heard("subscribe")[0]["args"] == ["a.b"]
            await bench.socket.close()
            await bench.socket.close()
            assert bench.socket.connection is None

    run(test)
    asyncio.run(test())  # the standard loop as well


def test_a_cut_connection_comes_back_and_says_again() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            (await venue.peer(0)).cut()
            await bench.until_told(lambda: len(bench.told) == 3)
            up, down, again = bench.told
            assert isinstance(down, StreamDown)
            assert (up.again, again) == (False, StreamUp(Stream.PUBLIC, again=True))
            assert bench.socket.interruptions == 1
            await bench.socket.close()

    run(test)


def test_a_close_frame_of_the_venue_is_told_with_its_words() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            await (await venue.peer(0)).leave()
            await bench.until_told(lambda: len(bench.told) == 3)
            assert "restarting" in bench.told[1].why
            await bench.socket.close()

    run(test)


def test_an_outage_is_told_once_however_many_attempts_fail() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            venue.open = False
            (await venue.peer(0)).cut()
            await venue.until(lambda: venue.turned_away >= 3)
            assert [type(news) for news in bench.told] == [StreamUp, StreamDown]
            assert bench.socket.connection is None
            with pytest.raises(VenueUnavailable, match="stream is down"):
                await bench.socket.ping(0.01)
            venue.open = True
            await bench.socket.wait_up(2)
            await bench.until_told(lambda: len(bench.told) == 3)
            await bench.socket.close()

    run(test)


def test_a_silent_server_is_noticed_and_left() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            venue.mute = {"ping"}
            bench = Bench(venue, QUICK)
            await bench.socket.start(2)
            await bench.until_told(lambda: len(bench.told) >= 3)
            assert "no pong within" in bench.told[1].why
            await bench.socket.close()

    run(test)


def test_an_answering_server_is_kept() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, QUICK)
            await bench.socket.start(2)
            await venue.until(lambda: len(venue.heard("ping")) >= 4)
            assert len(bench.told) == 1
            await bench.socket.close()

    run(test)


def test_nobody_listening_is_said_within_the_time_given() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            closed = venue.base
        bench = Bench(venue)
        bench.socket.url = closed + "/v5/public/linear"
        with pytest.raises(VenueUnavailable, match="not up after 0.2 s") as caught:
            await bench.socket.start(0.2)
        assert "cannot connect" in caught.value.why
        assert "public address" in caught.value.fix

    run(test)


def test_a_subscription_that_is_refused_names_the_topic() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            venue.refuse_topic = "error:handler not found,topic:a.b"
            bench = Bench(venue)
            with pytest.raises(VenueUnavailable) as caught:
                await bench.socket.start(0.3)
            assert "cannot subscribe a.b" in caught.value.why
            assert "handler not found" in caught.value.why

    run(test)


def test_a_subscription_without_an_answer_is_not_up() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            venue.mute = {"subscribe"}
            bench = Bench(venue, SocketPace(greet_s=0.05))
            with pytest.raises(VenueUnavailable) as caught:
                await bench.socket.start(0.3)
            assert "did not confirm within 0.05 s" in caught.value.why

    run(test)


def test_a_refused_key_is_raised_at_the_start_and_tried_again_later() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            bench.dialect.refuse = AccessRefused("no")
            with pytest.raises(AccessRefused):
                await bench.socket.start(2)
            await bench.socket.close()
            again = Bench(venue)
            await again.socket.start(2)
            again.dialect.refuse = AccessRefused("no")
            venue.peers[-1].cut()
            await venue.until(lambda: len(venue.peers) >= 4)
            again.dialect.refuse = None
            await again.socket.wait_up(2)
            await again.socket.close()

    run(test)


def test_a_frame_that_cannot_be_read_ends_the_connection() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            peer = await venue.peer(0)
            with suppress(ConnectionError):  # the client may hang up before the last one is sent
                await peer.send({"topic": "good"}, {"topic": "poison"}, {"topic": "late"})
            await bench.until_told(lambda: len(bench.told) == 3)
            assert bench.dialect.frames == ["good"]
            assert "cannot read this" in bench.told[1].why
            await bench.socket.close()

    run(test)


def test_half_a_frame_before_the_cut_is_no_frame() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            peer = await venue.peer(0)
            text = b'{"topic":"half"}'
            peer.request.transport.write(bytes((0x81, len(text))) + text[:7])
            peer.request.transport.close()
            await bench.until_told(lambda: len(bench.told) == 3)
            assert bench.dialect.frames == []
            await bench.socket.close()

    run(test)


def test_a_message_in_parts_is_read_whole() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            transport = (await venue.peer(0)).request.transport
            text = b'{"topic":"in parts"}'
            transport.write(bytes((0x01, 5)) + text[:5])
            transport.write(bytes((0x89, 2)) + b"hi")  # a protocol ping between the parts
            transport.write(bytes((0x80, len(text) - 5)) + text[5:])
            await bench.socket.ping(1)
            assert bench.dialect.frames == ["in parts"]
            await bench.socket.close()

    run(test)


def test_a_breach_of_the_protocol_is_told_as_one() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            (await venue.peer(0)).request.transport.write(bytes((0x83, 0)))  # an opcode that does not exist
            await bench.until_told(lambda: len(bench.told) == 3)
            assert "broke the WebSocket protocol" in bench.told[1].why
            await bench.socket.close()

    run(test)


def test_a_line_that_takes_nothing_is_left_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CLOSE_WITHIN_S", 0.05)

    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            (await venue.peer(0)).request.transport.pause_reading()
            connection = bench.socket.connection
            assert connection is not None
            connection.send(b" " * 32_000_000)
            await bench.socket.close()
            assert await connection.gone == "left by us"

    run(test)


def test_an_answer_that_comes_twice_or_too_late_is_let_go() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            connection = await connect(venue.base, lambda *_: None, timeout_s=1)
            first, given_up = connection.expect_ack("a"), connection.expect_ack("b")
            given_up.cancel()
            assert connection.acknowledge("a", 1)
            assert not connection.acknowledge("a", 2)
            assert not connection.acknowledge("b", 3)
            assert await first == 1
            pings = [connection.ping(b"{}", name) for name in ("p", "q", "r")]
            pings[0].cancel()
            connection.ponged("q")
            assert [ping.done() for ping in pings] == [True, True, False]
            connection.ponged("")
            connection.ponged("nobody's")
            assert pings[2].done()
            left = [connection.expect_ack("c"), connection.expect_ack("d")]
            left[0].cancel()
            connection.abort("enough")
            assert await connection.ended() == "enough"
            with pytest.raises(VenueUnavailable, match="no answer came"):
                await left[1]

    run(test)


def test_a_ping_answers_after_everything_sent_before() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)

            async def first_news(peer: Any) -> None:
                await peer.send(*({"topic": f"t{n}"} for n in range(50)))

            venue.on_ping = first_news
            await asyncio.gather(bench.socket.ping(1), bench.socket.ping(1))
            assert len(bench.dialect.frames) == 100
            await bench.socket.close()

    run(test)


def test_a_ping_that_breaks_or_is_not_answered_raises() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            venue.mute = {"ping"}
            with pytest.raises(VenueUnavailable, match="does not answer a ping"):
                await bench.socket.ping(0.02)
            waiting = asyncio.ensure_future(bench.socket.ping(1))
            await venue.until(lambda: len(venue.heard("ping")) == 2)
            venue.peers[0].cut()
            with pytest.raises(VenueUnavailable, match="no answer came"):
                await waiting
            await bench.socket.close()

    run(test)


def test_nothing_can_be_sent_on_a_connection_that_ended() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            connection = await connect(venue.base, lambda *_: None, timeout_s=1)
            connection.close("done")
            with pytest.raises(VenueUnavailable, match="cannot be sent"):
                connection.send(b"{}")
            assert await connection.gone == "done"
            never = Connection(lambda *_: None)
            never.abort("not even open")
            assert not never.is_open
            assert not connection.acknowledge("unknown", None)

    run(test)


def test_a_start_that_is_given_up_leaves_nothing_open() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            venue.mute = {"subscribe"}
            bench = Bench(venue)
            waiting = asyncio.ensure_future(bench.socket.start(5))
            await venue.peer(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await venue.until(lambda: venue.peers[0].socket.closed)
            assert bench.told == []

    run(test)


def test_connections_wait_when_the_budget_is_spent() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, budget=ConnectBudget(most=1, window_s=30.0))
            await bench.socket.start(2)
            (await venue.peer(0)).cut()
            await bench.until_told(lambda: len(bench.told) == 2)
            with pytest.raises(VenueUnavailable):
                await bench.socket.wait_up(0.15)
            assert "until the venue takes another connection" in bench.socket.last_why
            assert len(venue.peers) == 1
            await bench.socket.close()

    run(test)


def test_the_budget_never_exceeds_its_window() -> None:
    budget = ConnectBudget(most=3, window_s=10.0)
    assert [budget.take(0.0), budget.take(1.0), budget.take(2.0)] == [0.0, 0.0, 0.0]
    assert budget.take(4.0) == 6.0
    assert budget.take(10.0) == 0.0
    assert budget.take(10.5) == 0.5


def test_pauses_grow_to_a_bound_and_start_short_again() -> None:
    backoff = Backoff(Random(3), first_s=0.1, most_s=2.0)
    pauses = [backoff.next_s() for _ in range(200)]
    assert all(0.05 <= first <= 0.1 for first in pauses[:1])
    assert max(pauses) <= 2.0
    assert min(pauses[10:]) >= 1.0
    assert len(set(pauses)) == len(pauses)
    backoff.reset()
    assert backoff.next_s() <= 0.1
    assert [Backoff(Random(9)).next_s()] == [Backoff(Random(9)).next_s()]


def test_topics_go_out_in_batches() -> None:
    assert [len(batch) for batch in batches([str(n) for n in range(23)])] == [10, 10, 3]


def test_a_refused_key_says_what_to_check_and_shows_no_secret() -> None:
    error = key_refused("private", 10003, "API key is invalid.")
    assert "10003 API key is invalid." in error.why
    assert "this environment" in error.fix
    assert "nothing" in key_refused("trade", None, "").why


def test_a_defect_while_greeting_is_told_and_does_not_end_the_reconnecting() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            try:
                bench.dialect.refuse = ValueError("nobody thought of this")
                (await venue.peer(0)).cut()
                await venue.until(lambda: len(venue.peers) >= 3)
                assert "nobody thought of this" in bench.socket.last_why
                bench.dialect.refuse = None
                await bench.until_told(lambda: bench.told[-1] == StreamUp(Stream.PUBLIC, True))
                assert [type(news) for news in bench.told] == [StreamUp, StreamDown, StreamUp]
            finally:
                await bench.socket.close()

    run(test)


def test_a_defect_on_a_connection_that_was_up_is_told_as_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue)
            await bench.socket.start(2)
            try:
                ended = Connection.ended

                async def broken(connection: Connection) -> str:
                    await ended(connection)
                    monkeypatch.setattr(Connection, "ended", ended)
                    raise RuntimeError("nobody thought of this")

                monkeypatch.setattr(Connection, "ended", broken)
                (await venue.peer(0)).cut()
                await bench.until_told(lambda: len(bench.told) >= 3)
                (await venue.peer(1)).cut()
                await bench.until_told(lambda: len(bench.told) >= 5)
                assert [type(news) for news in bench.told[:5]] == [StreamUp, StreamDown, StreamUp, StreamDown, StreamUp]
            finally:
                await bench.socket.close()

    run(test)
