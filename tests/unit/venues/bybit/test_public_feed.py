from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue
from tests.unit.venues.bybit.test_mapping import BTC

from kedge.domain.errors import InvalidConfig, VenueUnavailable
from kedge.domain.events import BarClosed, FeedGap
from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Stream
from kedge.venues.bybit.book import Book
from kedge.venues.bybit.codec import BookData, TickerData
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed
from kedge.venues.bybit.public_feed_bars import BarLine
from kedge.venues.bybit.reconnect import SocketPace, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget

MINUTE = 60 * NS_PER_S
T0 = 1_767_000_000 * NS_PER_S
IMPATIENT = (0.0, 0.005)


def bar(number: int) -> BarClosed:
    """The `number`th minute after T0."""
    return BarClosed(T0 + (number + 1) * MINUTE, BTC.instrument_id, T0 + number * MINUTE, 10, 12, 9, 11, 5)


def numbers(told: Sequence[BarClosed | FeedGap]) -> list[Any]:
    """Bars as their number, gaps as the numbers they reach from and to."""
    found: list[Any] = []
    for event in told:
        if isinstance(event, BarClosed):
            found.append((event.open_ts_ns - T0) // MINUTE)
        else:
            found.append(((event.from_ts_ns - T0) // MINUTE, (event.ts_ns - T0) // MINUTE))
    return found


class History:
    """What REST would give: the minutes in `known`, up to `closed`."""

    def __init__(self, known: set[int], closed: int = 10**6) -> None:
        self.known, self.closed = known, closed
        self.asked: list[tuple[int, int | None]] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, from_ts_ns: int, to_ts_ns: int | None) -> Sequence[BarClosed]:
        self.asked.append((from_ts_ns, to_ts_ns))
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise VenueUnavailable("no history now")
        bars = [bar(number) for number in sorted(self.known) if number < self.closed]
        return [one for one in bars if from_ts_ns < one.ts_ns and (to_ts_ns is None or one.ts_ns <= to_ts_ns)]


class Line:
    def __init__(self, history: History) -> None:
        self.told: list[BarClosed | FeedGap] = []
        self.line = BarLine(BTC.instrument_id, MINUTE, history, self.told.append, IMPATIENT)

    def on(self, *bars: int) -> None:
        for number in bars:
            self.line.on_bar(bar(number))


def run(test: Callable[[], Any]) -> None:
    uvloop.run(test())


def test_bars_in_order_go_straight_through_and_repeats_are_dropped() -> None:
    async def test() -> None:
        history = History(set())
        line = Line(history)
        line.on(3, 3, 4, 3, 5)
        assert numbers(line.told) == [3, 4, 5]
        assert (line.line.repeats, history.asked) == (2, [])

    run(test)


def test_a_hole_is_filled_from_history_before_the_later_bar() -> None:
    async def test() -> None:
        history = History({1, 2, 3})
        line = Line(history)
        line.on(0, 4, 4, 5)
        assert numbers(line.told) == [0]
        assert line.line.is_filling
        await line.line.settled()
        assert numbers(line.told) == [0, 1, 2, 3, 4, 5]
        assert (line.line.filled, line.line.gaps, line.line.repeats) == (3, 0, 1)

    run(test)


def test_what_history_does_not_have_becomes_one_gap() -> None:
    async def test() -> None:
        line = Line(History({1, 3}))
        line.on(0, 5)
        await line.line.settled()
        assert numbers(line.told) == [0, 1, (2, 3), 3, (4, 5), 5]
        assert line.line.gaps == 2

    run(test)


def test_history_is_asked_again_when_it_lags_or_fails() -> None:
    async def test() -> None:
        history = History({1, 2}, closed=2)
        line = Line(history)
        history.failures = 1
        line.on(0, 3)
        await line.line.settled()
        assert numbers(line.told) == [0, 1, (2, 3), 3]
        assert len(history.asked) == len(IMPATIENT)

    run(test)


def test_a_hole_that_appears_while_asking_is_asked_for_too() -> None:
    async def test() -> None:
        history = History({1, 2, 3}, closed=2)
        history.gate.clear()
        line = Line(history)
        line.on(0)
        line.line.fill()
        line.line.fill()
        await asyncio.sleep(0.002)
        line.on(4, 1)
        history.gate.set()
        history.closed = 4
        await line.line.settled()
        assert numbers(line.told) == [0, 1, 2, 3, 4]
        assert line.line.gaps == 0

    run(test)


def test_before_the_first_bar_nothing_is_missing_and_a_close_ends_a_fill() -> None:
    async def test() -> None:
        history = History({1})
        line = Line(history)
        line.line.fill()
        assert not line.line.is_filling
        history.gate.clear()
        line.on(0, 2)
        await asyncio.sleep(0)
        await line.line.close()
        await line.line.close()
        assert numbers(line.told) == [0]

    run(test)


@given(
    arrivals=st.lists(st.integers(0, 12), max_size=14),
    known=st.sets(st.integers(0, 12)),
    fills=st.sets(st.integers(0, 13)),
)
def test_whatever_comes_bars_are_handed_out_once_in_order_and_holes_are_named(
    arrivals: list[int], known: set[int], fills: set[int]
) -> None:
    async def test() -> None:
        told: list[BarClosed | FeedGap] = []
        line = BarLine(BTC.instrument_id, MINUTE, History(known), told.append, (0.0,))
        for step, number in enumerate(arrivals):
            line.on_bar(bar(number))
            if step in fills:
                line.fill()
            if number % 3 == 0:
                await line.settled()
        await line.settled()
        position = None
        for event in told:
            begin = event.open_ts_ns if isinstance(event, BarClosed) else event.from_ts_ns
            assert position is None or begin == position
            position = event.ts_ns
        seen = [event.ts_ns for event in told if isinstance(event, BarClosed)]
        assert len(set(seen)) == len(seen)
        assert not arrivals or told[-1].ts_ns >= bar(max(arrivals)).ts_ns

    asyncio.run(test())


def kline(number: int, *, confirm: bool = True, symbol: str = "BTCUSDT", **changed: Any) -> dict[str, Any]:
    start = (T0 + number * MINUTE) // 10**6
    row = {
        "start": start, "end": start + 59_999, "interval": "1", "open": "1.0", "high": "1.2", "low": "0.9", "close": "1.1",
        "volume": "0.005", "turnover": "5", "confirm": confirm, "timestamp": start + 1,
    }  # fmt: skip
    return {"topic": f"kline.1.{symbol}", "type": "snapshot", "ts": start, "data": [row | changed]}


class Bench:
    def __init__(self, venue: ScriptedVenue, history: History, **settings: Any) -> None:
        self.told: list[BarClosed | FeedGap] = []
        self.history = history
        self.feed = PublicFeed([BTC], FeedSettings(**settings), self._ask, self.told.append)
        self.ups = 0
        self.socket = SteadySocket(
            Stream.PUBLIC, venue.base + "/v5/public/linear", self.feed, lambda _: None,
            backoff=Backoff(Random(1), first_s=0.01, most_s=0.05), budget=ConnectBudget(), pace=SocketPace(greet_s=0.5),
        )  # fmt: skip

    async def _ask(self, record: Instrument, from_ts_ns: int, to_ts_ns: int | None) -> Sequence[BarClosed]:
        assert record is BTC
        return await self.history(from_ts_ns, to_ts_ns)

    async def close(self) -> None:
        await self.feed.close()
        await self.socket.close()


def test_confirmed_bars_are_told_and_open_ones_are_not() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            assert venue.heard("subscribe")[0]["args"] == [
                "kline.1.BTCUSDT",
                "tickers.BTCUSDT",
                "orderbook.50.BTCUSDT",
                "publicTrade.BTCUSDT",
            ]
            await venue.peers[0].send(
                kline(0, confirm=False), kline(0), kline(0), kline(1, confirm=False), kline(0, symbol="XUSDT"), kline(1)
            )
            await bench.socket.ping(1)
            assert bench.told == [bar(0), bar(1)]
            assert bench.feed.data_ts_ns == T0 + 2 * MINUTE
            assert bench.feed.age_ns(T0 + 3 * MINUTE) == MINUTE
            await bench.close()

    run(test)


def test_bars_missed_while_away_come_from_history_at_once() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History({1, 2}))
            await bench.socket.start(2)
            await venue.peers[0].send(kline(0))
            await bench.socket.ping(1)
            venue.peers[0].cut()
            await venue.peer(1)
            await bench.socket.ping(1)
            await bench.feed.settled()
            assert numbers(bench.told) == [0, 1, 2]
            await venue.peers[1].send(kline(2), kline(3))
            await bench.socket.ping(1)
            assert numbers(bench.told) == [0, 1, 2, 3]
            await bench.close()

    run(test)


def test_a_bar_that_cannot_be_read_becomes_a_gap_and_others_go_on() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            bench.feed.lines["BTCUSDT"]._pauses_s = (0.0,)
            await venue.peers[0].send(kline(0), kline(1, close="1.05"), kline(2))
            await bench.socket.ping(1)
            await bench.feed.settled()
            assert numbers(bench.told) == [0, (1, 2), 2]
            assert bench.feed.unreadable == 1
            await bench.close()

    run(test)


def test_silence_past_a_bars_end_asks_history_and_a_late_bar_is_a_repeat() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            history = History({1}, closed=1)
            bench = Bench(venue, history, watch_every_s=0.01)
            await bench.socket.start(2)
            late = (T0 + 2 * MINUTE + 6 * NS_PER_S) // 10**6
            await venue.peers[0].send(kline(0), ticker_frame({"symbol": "BTCUSDT", "lastPrice": "1"}, ts=late))
            async with asyncio.timeout(30):
                while len(history.asked) < 3:  # asked again and again, ever more rarely
                    await asyncio.sleep(0.005)
                history.closed = 2
                while numbers(bench.told) != [0, 1]:
                    await asyncio.sleep(0.005)
            await venue.peers[0].send(kline(1))
            await bench.socket.ping(1)
            assert bench.feed.lines["BTCUSDT"].repeats == 1
            await bench.close()

    run(test)


def ticker_frame(row: dict[str, Any], *, kind: str = "snapshot", ts: int | None = None) -> dict[str, Any]:
    return {"topic": "tickers.BTCUSDT", "type": kind, "data": row, "cs": 1, **({"ts": ts} if ts is not None else {})}


def book_frame(kind: str, u: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    return {
        "topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1, "cts": T0 // 10**6,
        "data": {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u},
    }  # fmt: skip


def test_readers_see_quotes_marks_and_funding_and_unknown_is_none() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            quotes = bench.feed.quotes["BTCUSDT"]
            assert (quotes.best(), quotes.mark_e8, quotes.next_funding_ts_ns, quotes.age_ns(T0), bench.feed.age_ns(T0)) == (None,) * 5
            await bench.socket.start(2)
            await venue.peers[0].send(
                ticker_frame({"symbol": "BTCUSDT", "markPrice": "1"}, kind="delta"),
                ticker_frame({"symbol": "BTCUSDT", "markPrice": "61021.7", "bid1Price": "61019.9", "ask1Price": ""}),
                {"topic": "unheard.BTCUSDT", "data": []},
                {"topic": "tickers.X", "type": "snapshot", "data": {"symbol": "X"}},
            )
            await bench.socket.ping(1)
            assert (quotes.mark_e8, quotes.index_e8, quotes.best()) == (6_102_170_000_000, None, None)
            await venue.peers[0].send(
                ticker_frame(
                    {"symbol": "BTCUSDT", "ask1Price": "61020.0", "fundingRate": "-0.0001", "nextFundingTime": "1767024000000"},
                    kind="delta", ts=T0 // 10**6,
                ),
                {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1, "data": [
                    trade("61020.1", "Buy"), trade("61020.2", "Sell"), trade("61020.3", "?"), trade("1", "Buy", symbol="X")]},
            )  # fmt: skip
            await bench.socket.ping(1)
            assert (quotes.mark_e8, quotes.best()) == (6_102_170_000_000, (610_199, 610_200))
            assert (quotes.funding_rate_e8, quotes.next_funding_ts_ns) == (-10_000, 1_767_024_000 * NS_PER_S)
            assert (quotes.last_ticks, quotes.trades, quotes.age_ns(T0 + 5)) == (610_202, 2, 5)
            await bench.close()

    run(test)


def trade(price: str, side: str, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"T": T0 // 10**6, "s": symbol, "S": side, "v": "0.001", "p": price, "L": "", "i": "x", "BT": False}


def test_a_book_that_misses_an_update_is_subscribed_anew() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            book = bench.feed.quotes["BTCUSDT"].book
            await venue.peers[0].send(
                book_frame("snapshot", 10, [["1.0", "2"], ["0.9", "1"]], [["1.1", "3"]]),
                book_frame("delta", 11, [["0.9", "0"]], [["1.2", "4"]]),
                {"topic": "orderbook.50.X", "type": "delta", "data": {"s": "X", "b": [], "a": [], "u": 1}},
            )
            await bench.socket.ping(1)
            assert (book.best(), book.levels(Side.BUY, 5), book.levels(Side.SELL, 1)) == ((10, 11), [(10, 2000)], [(11, 3000)])
            assert bench.feed.quotes["BTCUSDT"].best() == (10, 11)
            await venue.peers[0].send(book_frame("delta", 13, [["0.8", "1"]], []), book_frame("delta", 14, [], []))
            await venue.until(lambda: len(venue.heard("subscribe")) == 2)
            assert (book.best(), book.breaks) == (None, 1)
            assert venue.heard("unsubscribe")[0]["args"] == venue.heard("subscribe")[1]["args"] == ["orderbook.50.BTCUSDT"]
            await venue.peers[0].send(
                book_frame("snapshot", 20, [["1.0", "2"]], [["1.1", "3"]]), book_frame("delta", 19, [["1.0", "0"]], [])
            )
            await bench.socket.ping(1)
            assert book.best() == (10, 11)
            await bench.close()

    run(test)


def test_a_snapshot_that_is_refused_ends_the_connection() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue:
            bench = Bench(venue, History(set()))
            await bench.socket.start(2)
            venue.refuse_topic = "error:handler not found"
            await venue.peers[0].send(book_frame("snapshot", 10, [["1.0", "2"]], []), book_frame("delta", 12, [], []))
            await venue.until(lambda: len(venue.peers) > 1)
            venue.refuse_topic = ""
            await bench.socket.ping(2)
            assert "no new snapshot" in bench.socket.last_why or "subscribe" in bench.socket.last_why
            await bench.close()

    run(test)


level = st.tuples(st.integers(1, 20), st.integers(0, 5))


@given(changes=st.lists(st.lists(level, max_size=4), max_size=12), lost=st.integers(0, 20))
def test_a_book_equals_a_plain_dictionary_or_admits_that_it_is_broken(changes: list[list[tuple[int, int]]], lost: int) -> None:
    book, plain, update = Book(BTC), {5: 1}, 7
    book.apply(row(7, [(5, 1)]), is_snapshot=True)
    for number, change in enumerate(changes):
        update += 1
        for ticks, lots in change:
            plain[ticks] = lots
        if number == lost:
            continue
        assert book.apply(row(update, change), is_snapshot=False) is not (number == lost + 1)
    assert book.is_whole is not (0 <= lost < len(changes) - 1)
    if lost >= len(changes):
        assert book.bids == {ticks: lots for ticks, lots in plain.items() if lots}


def row(u: int, bids: list[tuple[int, int]]) -> BookData:
    pairs = [[f"{ticks / 10:.1f}", f"{lots / 1000:.3f}"] for ticks, lots in bids]
    return msgspec.convert({"s": "BTCUSDT", "b": pairs, "a": [], "u": u}, BookData)


def test_a_restarted_service_replaces_the_book_and_a_best_price_needs_both_sides() -> None:
    book = Book(BTC)
    assert book.apply(row(9, [(5, 1)]), is_snapshot=False)
    assert not book.is_whole
    assert book.apply(row(1, [(4, 1)]), is_snapshot=False)
    assert (book.is_whole, book.best()) == (True, None)


def test_intervals_and_topics_are_checked_before_connecting() -> None:
    with pytest.raises(InvalidConfig, match="interval is '7'"):
        PublicFeed([BTC], FeedSettings(interval="7"), None, lambda _: None)  # type: ignore[arg-type]
    bare = PublicFeed([BTC], FeedSettings(interval="60", book_depth=0, tickers=False, trades=False), None, lambda _: None)  # type: ignore[arg-type]
    assert bare.topics() == ["kline.60.BTCUSDT"]
    many = [msgspec.structs.replace(BTC, instrument_id=f"bybit-linear:{'A' * 10}{number}USDT") for number in range(400)]
    with pytest.raises(InvalidConfig, match="1600 topics"):
        PublicFeed(many, FeedSettings(), None, lambda _: None).topics()  # type: ignore[arg-type]


def test_a_ticker_merges_only_what_the_change_names() -> None:
    merged = TickerData(symbol="X", mark_price="1", last_price="2").merged(TickerData(symbol="X", mark_price="3"))
    assert (merged.mark_price, merged.last_price) == ("3", "2")
