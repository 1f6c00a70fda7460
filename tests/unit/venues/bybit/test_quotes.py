"""The port's quote: a whole book's best prices while its stream is up and talking, nothing otherwise."""

from __future__ import annotations

import asyncio

from tests.unit.venues.bybit.test_public_feed import book_frame
from tests.unit.venues.bybit.test_venue import run, scene

from kedge.domain.units import NS_PER_S
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed

BTC = "bybit-linear:BTCUSDT"


def test_a_quote_is_there_while_the_stream_is_up_and_gone_with_it() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            assert s.venue.quote(BTC) is None
            await s.venue.start()
            assert s.venue.quote(BTC) is None
            (public,) = [peer for peer in s.sockets.peers if "public" in peer.path]
            await public.send(book_frame("snapshot", 10, [["1.0", "2"]], [["1.1", "3"]]))
            await s.venue.barrier()
            quote = s.venue.quote(BTC)
            assert quote is not None
            assert (quote.instrument, quote.bid_ticks, quote.ask_ticks) == (BTC, 10, 11)
            assert s.venue.quote("bybit-linear:ETHUSDT") is None
            public.cut()
            async with asyncio.timeout(30):
                while s.venue.quote(BTC) is not None:
                    await asyncio.sleep(0.001)
                while not s.venue.interruptions:
                    await asyncio.sleep(0.005)
            assert s.venue.quote(BTC) is None  # it is up again, and its snapshot has not come

    run(test)


def test_pongs_do_not_make_an_old_quote_young() -> None:
    async def test() -> None:
        async with scene(feed=FeedSettings(quote_silence_s=0.1)) as s:
            (public,) = [peer for peer in s.sockets.peers if "public" in peer.path]
            await public.send(book_frame("snapshot", 10, [["1.0", "2"]], [["1.1", "3"]]))
            await s.venue.barrier()
            assert s.venue.quote(BTC) is not None
            async with asyncio.timeout(30):
                while s.venue.quote(BTC) is not None:
                    await asyncio.sleep(0.01)
            await s.venue.barrier()  # answered, and nothing of the market came
            assert s.venue.quote(BTC) is None

    run(test)


def test_trades_may_be_ahead_of_a_book_by_the_steps_of_a_market_that_runs_faster_than_the_wall() -> None:
    def lag_ns(speed: int, interval: str) -> int:
        settings = FeedSettings(interval=interval, quote_lag_s=2.0)
        return PublicFeed([], settings, None, lambda _: None, speed)._quote_lag_ns  # type: ignore[arg-type]

    assert lag_ns(1, "60") == 2 * NS_PER_S
    assert lag_ns(60, "1") == 120 * NS_PER_S
    assert lag_ns(60, "60") == 7_200 * NS_PER_S
