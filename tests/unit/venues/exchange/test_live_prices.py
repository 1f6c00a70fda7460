"""Live prices: our exchange follows another one, through its public endpoints only, and says when it hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.builders import instrument, walk
from tests.unit.venues.exchange.played_market import eventually, listening, run
from tests.unit.venues.exchange.test_server import BTC, make_server

from kedge.domain.errors import InvalidInput, VenueUnavailable
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Change, Crowd, TradeRow, VenueSettings
from kedge.venues.exchange.clocks import WallVenueClock
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.live_prices import LivePrices

TICKER = {"symbol": "BTCUSDT", "lastPrice": "1000.0", "markPrice": "1000.21", "indexPrice": "999.87", "fundingRate": "0.0001"}


class Upstream:
    """A public venue of a test: one ticker over HTTP, then whatever the test says over the socket."""

    def __init__(self, frames: Sequence[dict[str, Any]] = (), *, ticker: dict[str, Any] | None = None, hang_up: bool = False) -> None:
        self.frames, self.ticker, self.hang_up = frames, TICKER if ticker is None else ticker, hang_up
        self.asked: list[Any] = []
        self.connections = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v5/market/tickers":
            return web.json_response({"retCode": 0, "result": {"list": [self.ticker] if self.ticker else []}})
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.asked.append(await socket.receive_json())
        for frame in self.frames:
            await socket.send_json(frame)
        if not self.hang_up:
            await socket.receive()
        return socket


class Follower:
    """Our venue, following."""

    def __init__(self, url: str, *, silence_s: float = 10.0, public_url: str = "") -> None:
        spec = instrument(BTC, base="BTC")
        self.clock = WallVenueClock()
        self.venue = Venue([spec], VenueSettings(crowd=Crowd(levels=3)), self.clock.venue_ns())
        self.hall = Hall(self.venue, self.clock, [spec])
        self.changes: list[Change] = []
        self.hall.listen(self.changes.extend)
        self.prices = LivePrices(self.hall, url, public_url or url.replace("http", "ws") + "/v5/public/linear", silence_s=silence_s)

    async def follow(self, until: Any) -> None:
        await self.prices.prime()
        playing = asyncio.create_task(self.prices.play())
        try:
            await eventually(until)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            await self.prices.close()


def trades(follower: Follower) -> list[tuple[int, int]]:
    return [(row.price_ticks, row.qty_lots) for row in follower.changes if isinstance(row, TradeRow)]


def test_the_first_ticker_makes_a_market() -> None:
    async def main() -> None:
        async with listening(Upstream().handle) as url:
            follower = Follower(url)
            await follower.prices.prime()
            ticker = follower.venue.ticker(BTC)
            assert (ticker.last_ticks, ticker.mark_e8, ticker.index_e8) == (10_000, 100_021_000_000, 99_987_000_000)
            assert ticker.funding_rate_e8 == 10_000
            await follower.prices.close()

    run(main())


def test_trades_and_ticker_deltas_move_the_market() -> None:
    frames = [
        {"success": True, "op": "subscribe"},
        {"topic": "tickers.ETHUSDT", "type": "delta", "data": {"markPrice": "5"}},
        {"topic": "tickers.BTCUSDT", "type": "delta", "data": {"markPrice": "1001.00", "fundingRate": "-0.0002"}},
        {
            "topic": "publicTrade.BTCUSDT",
            "data": [{"p": "1000.5", "v": "0.250"}, {"p": "1000.5", "v": "0.250"}, {"p": "1000.7", "v": "1.000"}],
        },
    ]

    async def main() -> None:
        upstream = Upstream(frames)
        async with listening(upstream.handle) as url:
            follower = Follower(url)
            await follower.follow(lambda: len(trades(follower)) >= 2)
            assert upstream.asked == [{"op": "subscribe", "args": ["tickers.BTCUSDT", "publicTrade.BTCUSDT"]}]
        assert trades(follower) == [(10_005, 500), (10_007, 1_000)]
        ticker = follower.venue.ticker(BTC)
        assert (ticker.mark_e8, ticker.index_e8, ticker.funding_rate_e8) == (100_100_000_000, 99_987_000_000, -20_000)
        assert follower.prices.playing
        assert follower.prices.paused_why == ""

    run(main())


def test_a_rate_beyond_our_cap_is_not_taken_and_the_price_is() -> None:
    async def main() -> None:
        upstream = Upstream(ticker={**TICKER, "fundingRate": "0.9"})
        async with listening(upstream.handle) as url:
            follower = Follower(url)
            await follower.prices.prime()
            assert follower.venue.ticker(BTC).last_ticks == 10_000
            assert follower.venue.ticker(BTC).funding_rate_e8 != 90_000_000
            await follower.prices.close()

    run(main())


def test_an_upstream_that_hangs_up_is_asked_again_and_the_interruption_is_counted() -> None:
    async def main() -> None:
        upstream = Upstream([{"topic": "tickers.BTCUSDT", "data": {"lastPrice": "1000.1"}}], hang_up=True)
        async with listening(upstream.handle) as url:
            follower = Follower(url)
            await follower.follow(lambda: upstream.connections >= 2 and follower.prices.gaps >= 2)
        assert "closed the connection" in follower.prices.paused_why
        assert not follower.prices.playing

    run(main())


def test_silence_counts_as_a_broken_connection_and_the_last_price_stands() -> None:
    async def main() -> None:
        upstream = Upstream()
        async with listening(upstream.handle) as url:
            follower = Follower(url, silence_s=0.05)
            await follower.follow(lambda: follower.prices.gaps >= 1)
        assert "TimeoutError" in follower.prices.paused_why
        assert follower.venue.ticker(BTC).last_ticks == 10_000

    run(main())


def test_a_message_that_makes_no_sense_is_said_and_the_next_one_counts(caplog: pytest.LogCaptureFixture) -> None:
    frames: list[Any] = [
        {"topic": "publicTrade.BTCUSDT", "data": [{"p": "nonsense", "v": "1"}]},
        {"topic": "publicTrade.BTCUSDT", "data": [{"v": "1"}]},
        {"topic": "tickers.BTCUSDT", "data": {"lastPrice": "-5"}},
        ["not", "an", "object"],
        {"topic": "tickers.BTCUSDT", "data": {"lastPrice": "1000.2"}},
        {"topic": "publicTrade.BTCUSDT", "data": [{"p": "1000.3", "v": "1"}]},
    ]

    async def main() -> None:
        async with listening(Upstream(frames).handle) as url:
            follower = Follower(url)
            await follower.follow(lambda: bool(trades(follower)))
        assert trades(follower) == [(10_003, 1_000)]

    run(main())
    assert caplog.text.count("not understood") == 4


def test_a_socket_that_nobody_serves_is_said_and_tried_again() -> None:
    async def main() -> None:
        async with listening(Upstream().handle) as gone:
            dead = gone
        async with listening(Upstream().handle) as url:
            follower = Follower(url, public_url=dead.replace("http", "ws"))
            await follower.follow(lambda: follower.prices.gaps >= 2)
        assert "no live prices" in follower.prices.paused_why

    run(main())


def test_an_upstream_that_does_not_list_an_instrument_is_unavailable() -> None:
    async def main() -> None:
        async with listening(Upstream(ticker={}).handle) as url:
            follower = Follower(url)
            with pytest.raises(VenueUnavailable, match="no live price of BTCUSDT"):
                await follower.prices.prime()
            await follower.prices.close()

    run(main())


def test_following_before_priming_is_refused() -> None:
    async def main() -> None:
        follower = Follower("http://127.0.0.1:1")
        with pytest.raises(BaseExceptionGroup) as raised:
            await follower.prices.play()
        assert raised.value.subgroup(InvalidInput) is not None
        await follower.prices.close()

    run(main())


def test_our_exchange_follows_another_exchange_of_ours() -> None:
    async def main() -> None:
        upstream = make_server(walk(4, 400, (BTC,)), speed=3_000)
        port = await upstream.start("127.0.0.1", 0)
        follower = Follower(f"http://127.0.0.1:{port}")
        try:
            await follower.follow(lambda: len(trades(follower)) >= 3)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/v5/market/recent-trade?category=linear&symbol=BTCUSDT&limit=1000") as answer,
            ):
                theirs = {(one["price"], one["size"]) for one in (await answer.json())["result"]["list"]}
        finally:
            await upstream.close()
        spec = follower.hall.by_id[BTC]
        assert {spec.price_text(price) for price, _ in trades(follower)} <= {price for price, _ in theirs}

    run(main())
