"""A book that broke is asked for until it is whole: at once, again when nothing comes, ever slower where it breaks again at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests import steady
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue
from tests.unit.venues.bybit.test_mapping import BTC
from tests.unit.venues.bybit.test_public_feed import Bench, History, book_frame

from kedge.venues.bybit.book import Book
from kedge.venues.bybit.book_mending import BookMender, MendingPace

CALM_S = 1.0
QUICK = MendingPace(snapshot_within_s=0.05, pause_least_s=0.01, pause_most_s=0.04, calm_s=0.2)


def run(test: Callable[[], Any]) -> None:
    steady.run(test())


def snapshot(u: int) -> dict[str, Any]:
    return book_frame("snapshot", u, [["1.0", "2"]], [["1.1", "3"]])


def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()), mending=QUICK)
            await bench.socket.start(2)
            quotes = bench.feed.quotes["BTCUSDT"]
            await venue.until(lambda: len(venue.heard("unsubscribe")) == 2)  # the first one was never sent, nor was the second
            assert bench.feed.quote("BTCUSDT") is None
            await venue.peers[0].send(snapshot(10))
            await bench.socket.ping(1)
            assert quotes.book.is_whole
            asked = bench.feed._menders["BTCUSDT"].asked
            await asyncio.sleep(0.15)
            assert bench.feed._menders["BTCUSDT"].asked <= asked + 1
            assert bench.feed.quote("BTCUSDT") is not None
            await bench.close()

    run(test)


def test_a_snapshot_that_is_broken_too_is_asked_for_again_at_a_growing_pause(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()), mending=QUICK)
            await bench.socket.start(2)
            mender = bench.feed._menders["BTCUSDT"]
            for n in range(4):
                crossed = book_frame("snapshot", 10 + n, [["1.2", "2"]], [["1.1", "3"]])
                await venue.peers[0].send(crossed)
                await venue.until(lambda n=n: len(venue.heard("unsubscribe")) > n)  # type: ignore[misc]
                assert bench.feed.quote("BTCUSDT") is None
            assert mender._pause_s == QUICK.pause_most_s
            await venue.peers[0].send(snapshot(20))
            await bench.socket.ping(1)
            assert bench.feed.quote("BTCUSDT") is not None
            await bench.close()

    run(test)
    assert "it is crossed: bid 12 ticks, ask 11 ticks" in caplog.text


def test_a_row_that_cannot_be_read_breaks_the_book_and_has_it_asked_for() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            await venue.peers[0].send(snapshot(10), book_frame("delta", 11, [["1.05", "1"]], []))
            await venue.until(lambda: venue.heard("unsubscribe"))
            assert (bench.feed.quote("BTCUSDT"), bench.feed.unreadable) == (None, 1)
            assert (bench.feed.quote("ETHUSDT"), bench.socket.interruptions) == (None, 0)
            await bench.close()

    run(test)


def test_breaks_far_apart_are_asked_about_at_once_and_others_wait() -> None:
    class Line:
        is_open = False

    async def test() -> None:
        book = Book(BTC)
        pace = msgspec.structs.replace(QUICK, calm_s=CALM_S)  # far longer than the pauses between the breaks, on a busy machine too
        mender = BookMender(book, "orderbook.50.BTCUSDT", pace)
        connection: Any = Line()
        mender.broke(connection)
        await asyncio.sleep(0)
        assert mender._pause_s == 0.0
        mender.is_whole_again()
        await asyncio.sleep(0.01)
        pauses = []
        for _ in range(4):
            mender.broke(connection)
            pauses.append(mender._pause_s)
            await asyncio.sleep(0.01)
        assert pauses == [0.01, 0.02, 0.04, 0.04]
        await asyncio.sleep(CALM_S)
        mender.broke(connection)
        assert mender._pause_s == 0.0
        await mender.close()
        await mender.close()
        assert mender.asked == 0

    run(test)


def test_a_frame_that_cannot_be_read_breaks_the_book_of_its_topic() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            await venue.peers[0].send(snapshot(10))
            await bench.socket.ping(1)
            assert bench.feed.quote("BTCUSDT") is not None
            garbage = book_frame("delta", 11, [], [])
            garbage["data"]["u"] = "soon"
            await venue.peers[0].send(garbage)
            await bench.socket.ping(1)
            assert (bench.feed.quote("BTCUSDT"), bench.feed.unreadable, bench.socket.interruptions) == (None, 1, 0)
            await venue.until(lambda: venue.heard("unsubscribe"))
            await bench.close()

    run(test)


def test_a_venue_that_does_not_confirm_a_subscription_loses_its_connection_and_the_book_is_mended_by_the_next() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()), mending=msgspec.structs.replace(QUICK, confirm_within_s=0.1))
            await bench.socket.start(2)
            await venue.peers[0].send(snapshot(10))
            await bench.socket.ping(1)
            venue.mute = {"unsubscribe"}
            await venue.peers[0].send(book_frame("delta", 12, [], []))
            await venue.until(lambda: len(venue.peers) == 2 and venue.peers[1].heard)
            assert bench.socket.last_why == "no new snapshot of orderbook.50.BTCUSDT: nothing confirmed within 0.1 s"
            await venue.peers[1].send(snapshot(20))
            async with asyncio.timeout(2):
                while bench.feed.quote("BTCUSDT") is None:
                    await asyncio.sleep(0.005)
            await bench.close()

    run(test)
