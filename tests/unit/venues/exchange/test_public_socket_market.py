"""What the public socket tells of a market: books that a strict client can build, trades, klines, tickers, limits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.builders import AAA, BBB, MINUTE, T0
from tests.unit.venues.exchange.socket_room import OTHER, OWNER, Room, in_room

from kedge.domain.orders import Side
from kedge.domain.units import E8, NS_PER_MS
from kedge.venues.exchange.public_feed import KLINE_GAP_S
from kedge.venues.exchange.socket_settings import SocketSettings

T0_MS = T0 // NS_PER_MS


T0_MS = T0 // NS_PER_MS


class Book:
    """A book as a strict client builds it: no unknown level may be deleted, no update may be missed."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.update = 0
        self.deltas = 0

    def take(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        assert {"s", "b", "a", "u", "seq"} == set(data)
        if frame["type"] == "snapshot":
            self.sides = {side: dict(data[side]) for side in "ba"}
        else:
            assert data["u"] == self.update + 1
            self.deltas += 1
            for side in "ba":
                for price, size in data[side]:
                    if size == "0":
                        del self.sides[side][price]
                    else:
                        self.sides[side][price] = size
        self.update = data["u"]

    def ranked(self, side: str) -> list[tuple[str, str]]:
        return sorted(self.sides[side].items(), key=lambda level: float(level[0]), reverse=side == "b")


def levels_of(room: Room, depth: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    grid, book = room.hall.grids[AAA], room.venue.depth(AAA, depth)
    bids, asks = ([(grid.price(ticks), grid.qty(lots)) for ticks, lots in side] for side in (book.bids, book.asks))
    return bids, asks


def of(frames: list[dict[str, Any]], topic: str) -> list[dict[str, Any]]:
    return [frame for frame in frames if frame.get("topic") == topic]


# --- books ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_a_client_that_applies_deltas_holds_the_venues_book(depth: int) -> None:
    async def body(room: Room) -> None:
        book = Book()
        client = await room.public(f"orderbook.{depth}.AAAUSDT")
        for n in range(12):
            room.price(1_000 + (n * 7) % 5 - 2, flow=n, after_ms=300)
            room.place(Side.BUY, 1_000 + n, 900 - n)
            room.place(Side.SELL, 1_000 + n, 1_100 + n)
            for frame in await client.until_pong():
                book.take(frame)
        assert (book.ranked("b"), book.ranked("a")) == levels_of(room, depth)
        assert book.deltas >= 12

    in_room(body, speed=1_000_000)


def test_levels_pushed_out_of_the_window_are_deleted_and_come_back() -> None:
    async def body(room: Room) -> None:
        book = Book()
        client = await room.public("orderbook.50.AAAUSDT")
        orders = [room.place(Side.BUY, 1_000, 995 - n) for n in range(60)]
        for order in orders[:30]:
            room.venue.cancel(OWNER, AAA, room.clock.venue_ns(), order_id=order.order_id)
            room.hall.publish()
        for frame in await client.until_pong():
            book.take(frame)
        assert len(book.sides["b"]) == 30 + 5
        assert (book.ranked("b"), book.ranked("a")) == levels_of(room, 50)

    in_room(body, speed=1_000_000)


def test_who_joins_late_and_who_was_there_stand_at_the_same_update() -> None:
    async def body(room: Room) -> None:
        first, second = Book(), Book()
        early = await room.public("orderbook.50.AAAUSDT")
        for n in range(5):
            room.place(Side.BUY, 1_000, 990 - n)
        late = await room.public("orderbook.50.AAAUSDT")
        room.place(Side.BUY, 2_000, 990)
        for client, book in ((early, first), (late, second)):
            for frame in await client.until_pong():
                book.take(frame)
        assert first.update == second.update > 1
        assert first.sides == second.sides

    in_room(body, speed=1_000_000)


def test_changes_within_the_pace_are_told_together_and_never_kept_back() -> None:
    now_s = [100.0]

    async def body(room: Room) -> None:
        client = await room.public("orderbook.200.AAAUSDT")
        await client.next()
        now_s[0] += 1.0
        for n in range(4):
            room.place(Side.BUY, 1_000, 980 - n)
        first, rest = await client.next(), await client.next()
        assert [len(frame["data"]["b"]) for frame in (first, rest)] == [1, 3]
        assert rest["data"]["u"] == first["data"]["u"] + 1
        assert await client.until_pong() == []

    in_room(body, now_s=lambda: now_s[0])


def test_depth_one_sends_snapshots_only_and_repeats_itself_after_three_silent_seconds() -> None:
    now_s = [100.0]

    async def body(room: Room) -> None:
        client = await room.public("orderbook.1.AAAUSDT")
        first = await client.next()
        now_s[0] += 2.9
        room.sockets.beat(now_s[0])
        assert await client.until_pong() == []
        room.price(1_005)
        second = await client.next()
        assert [frame["type"] for frame in (first, second)] == ["snapshot", "snapshot"]
        assert len(second["data"]["b"]) == len(second["data"]["a"]) == 1
        assert second["data"]["u"] > first["data"]["u"]
        now_s[0] += 3.0
        room.sockets.beat(now_s[0])
        room.sockets.beat(now_s[0] + 2.9)
        assert await client.until_pong() == [second]

    in_room(body, now_s=lambda: now_s[0])


def test_a_book_frame_has_the_venues_shape() -> None:
    async def body(room: Room) -> None:
        room.price(1_000, after_ms=100)
        client = await room.public("orderbook.50.AAAUSDT")
        frame = await client.next()
        assert set(frame) == {"topic", "type", "ts", "data", "cts"}
        assert (frame["topic"], frame["ts"], frame["cts"], frame["data"]["s"]) == (
            "orderbook.50.AAAUSDT",
            T0_MS + 100,
            T0_MS + 100,
            "AAAUSDT",
        )
        assert frame["data"]["b"][0] == list(levels_of(room, 1)[0][0])
        assert isinstance(frame["data"]["seq"], int)

    in_room(body)


def test_a_pending_frame_dies_with_its_last_listener() -> None:
    async def body(room: Room) -> None:
        client = await room.public("orderbook.1000.AAAUSDT")
        room.place(Side.BUY, 1_000, 980)
        room.place(Side.BUY, 1_000, 979)
        await client.socket.close()
        while room.sockets.connections["public"]:
            await asyncio.sleep(0)
        room.place(Side.BUY, 1_000, 978)
        again = await room.public("orderbook.1000.AAAUSDT")
        book = Book()
        book.take(await again.next())
        assert (book.ranked("b"), book.ranked("a")) == levels_of(room, 1000)

    in_room(body)


# --- trades, klines, tickers, liquidations, limits ---------------------------------------------------------------------------


def test_trades_of_one_operation_come_in_one_frame_ascending() -> None:
    async def body(room: Room) -> None:
        client = await room.public("publicTrade.AAAUSDT")
        for limit in (995, 994):
            room.place(Side.BUY, 1_000, limit, account=OTHER)
        room.price(994, flow=3_000, after_ms=250)
        (frame,) = await client.until_pong()
        assert (frame["topic"], frame["type"], frame["ts"]) == ("publicTrade.AAAUSDT", "snapshot", T0_MS + 250)
        rows = frame["data"]
        assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
        assert rows[-1]["p"] == "99.4"
        assert all(set(row) == {"T", "s", "S", "v", "p", "L", "i", "BT", "RPI", "seq"} for row in rows)
        assert rows[0]["S"] == "Sell"
        assert len({row["i"] for row in rows}) == len(rows) >= 2
        trades = room.venue.recent_trades(AAA, len(rows))
        assert [row["i"] for row in rows] == [trade.trade_id for trade in reversed(trades)]

    in_room(body)


def test_a_kline_moves_while_open_and_is_confirmed_once() -> None:
    async def body(room: Room) -> None:
        client = await room.public("kline.1.AAAUSDT", "kline.5.AAAUSDT")
        await client.until_pong()
        room.price(1_003, flow=10, after_ms=1_000)
        (opened,) = of(await client.until_pong(), "kline.1.AAAUSDT")
        (row,) = opened["data"]
        assert (row["confirm"], row["high"], row["close"], row["interval"]) == (False, "100.3", "100.3", "1")
        assert (row["start"], row["end"], row["timestamp"]) == (T0_MS, T0_MS + 59_999, T0_MS + 1_000)
        room.clock.venue_at_ns = T0 + MINUTE
        room.venue.advance(T0 + MINUTE)
        room.hall.publish()
        room.price(1_005, flow=10, after_ms=500)
        frames = of(await client.until_pong(), "kline.1.AAAUSDT")
        rows = [row for frame in frames for row in frame["data"]]
        assert [(row["start"], row["confirm"], row["close"]) for row in rows] == [
            (T0_MS, True, "100.3"),
            (T0_MS + 60_000, False, "100.5"),
        ]
        assert all(frame["type"] == "snapshot" for frame in frames)

    in_room(body)


def test_a_fast_market_tells_an_open_bar_now_and_then_and_a_closed_one_always() -> None:
    now_s = [time.monotonic()]

    async def body(room: Room) -> None:
        client = await room.public("kline.1.AAAUSDT")
        await client.until_pong()
        for n in range(5):
            room.price(1_001 + n, flow=10, after_ms=1_000)
        (opened,) = of(await client.until_pong(), "kline.1.AAAUSDT")
        assert (opened["data"][0]["close"], opened["data"][0]["confirm"]) == ("100.1", False)
        room.clock.venue_at_ns = T0 + MINUTE
        room.venue.advance(T0 + MINUTE)
        room.hall.publish()
        (closed,) = of(await client.until_pong(), "kline.1.AAAUSDT")
        assert [(row["close"], row["confirm"]) for row in closed["data"]] == [("100.5", True)]
        now_s[0] += KLINE_GAP_S
        room.price(1_007, flow=10, after_ms=1_000)
        (later,) = of(await client.until_pong(), "kline.1.AAAUSDT")
        assert [(row["close"], row["confirm"]) for row in later["data"]] == [("100.7", False)]

    in_room(body, speed=600, now_s=lambda: now_s[0])


def test_the_last_change_of_an_open_bar_is_told_when_the_market_falls_silent() -> None:
    now_s = [time.monotonic()]

    async def body(room: Room) -> None:
        client = await room.public("kline.1.AAAUSDT")
        await client.until_pong()
        for n in range(5):
            room.price(1_001 + n, flow=10, after_ms=1_000)
        await client.until_pong()
        room.sockets.beat(now_s[0])
        assert of(await client.until_pong(), "kline.1.AAAUSDT") == []
        now_s[0] += KLINE_GAP_S
        room.sockets.beat(now_s[0])
        (last,) = of(await client.until_pong(), "kline.1.AAAUSDT")
        assert [(row["close"], row["confirm"]) for row in last["data"]] == [("100.5", False)]
        now_s[0] += KLINE_GAP_S
        room.sockets.beat(now_s[0])
        assert of(await client.until_pong(), "kline.1.AAAUSDT") == []

    in_room(body, speed=600, now_s=lambda: now_s[0])


def test_who_joins_a_kline_gets_the_open_one_at_once() -> None:
    async def body(room: Room) -> None:
        room.price(1_002, flow=4, after_ms=10)
        client = await room.public("kline.1.AAAUSDT")
        (row,) = (await client.next())["data"]
        assert (row["close"], row["confirm"]) == ("100.2", False)
        other = await room.public("kline.1.BBBUSDT")
        assert await other.until_pong() == []

    in_room(body)


def test_a_ticker_begins_whole_and_then_names_only_what_changed() -> None:
    async def body(room: Room) -> None:
        client = await room.public("tickers.AAAUSDT")
        first = await client.next()
        assert (first["type"], first["data"]["symbol"], first["data"]["lastPrice"]) == ("snapshot", "AAAUSDT", "100.0")
        assert {"markPrice", "fundingRate", "nextFundingTime", "bid1Price", "openInterest", "tickDirection"} <= set(first["data"])
        assert first["data"]["nextFundingTime"] == str(T0_MS + 8 * 3_600_000)
        held = dict(first["data"])
        room.price(1_004, flow=5, after_ms=500)
        second = await client.next()
        assert second["type"] == "delta"
        assert second["data"]["lastPrice"] == second["data"]["markPrice"] == "100.4"
        assert not {"fundingRate", "nextFundingTime", "fundingCap", "openInterest"} & set(second["data"])
        assert second["ts"] == T0_MS + 500
        assert isinstance(second["cs"], int)
        late = await room.public("tickers.AAAUSDT")
        assert (await late.next())["data"] == held | second["data"]
        assert await client.until_pong() == []

    in_room(body)


def test_a_market_without_prices_is_not_called_zero() -> None:
    async def body(room: Room) -> None:
        fresh = room.venue._markets[BBB]  # noqa: SLF001 - an instrument that has never had a price
        fresh.mark_e8 = fresh.index_e8 = fresh.last_ticks = 0
        client = await room.public("tickers.BBBUSDT", "priceLimit.BBBUSDT")
        data = (await client.next())["data"]
        assert (data["lastPrice"], data["markPrice"], data["indexPrice"], data["tickDirection"]) == ("", "", "", "")
        assert await client.until_pong() == []

    in_room(body)


def test_a_liquidation_is_told_with_the_side_that_died() -> None:
    async def body(room: Room) -> None:
        client = await room.public("allLiquidation.AAAUSDT")
        room.venue.transfer(OWNER, -9_900 * E8, room.clock.venue_ns())
        room.place(Side.BUY, 9_000)
        room.price(890, after_ms=500)
        (frame,) = await client.until_pong()
        assert (frame["topic"], frame["type"]) == ("allLiquidation.AAAUSDT", "snapshot")
        (row,) = frame["data"]
        assert (row["s"], row["S"], row["v"], row["T"]) == ("AAAUSDT", "Buy", "9.000", T0_MS + 500)
        assert float(row["p"]) > 0

    in_room(body)


def test_price_limits_come_at_first_and_when_they_move() -> None:
    async def body(room: Room) -> None:
        client = await room.public("priceLimit.AAAUSDT")
        assert (await client.next()) == {
            "topic": "priceLimit.AAAUSDT", "ts": T0_MS, "data": {"symbol": "AAAUSDT", "buyLmt": "101.0", "sellLmt": "99.0"},
        }  # fmt: skip
        room.price(1_000, after_ms=200)
        room.price(1_100, after_ms=200)
        (frame,) = await client.until_pong()
        assert (frame["data"]["buyLmt"], frame["data"]["sellLmt"]) == ("111.1", "108.9")

    in_room(body)


def test_instruments_and_topics_nobody_asked_for_stay_silent() -> None:
    async def body(room: Room) -> None:
        client = await room.public("publicTrade.BBBUSDT")
        room.price(1_010, flow=10, after_ms=500)
        assert await client.until_pong() == []

    in_room(body)


def test_a_stale_book_stands_still_while_trades_go_on() -> None:
    async def body(room: Room) -> None:
        feed = room.sockets.public_feed
        client = await room.public("orderbook.1.AAAUSDT", "publicTrade.AAAUSDT")
        await client.next()
        feed.is_stale = True
        room.price(1_020, flow=10, after_ms=500)
        room.sockets.beat(time.monotonic() + 60)
        assert [frame["topic"] for frame in await client.until_pong()] == ["publicTrade.AAAUSDT"]
        feed.is_stale = False
        room.price(1_021, flow=10, after_ms=500)
        topics = {frame["topic"] for frame in await client.until_pong()}
        assert topics == {"orderbook.1.AAAUSDT", "publicTrade.AAAUSDT"}

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, idle_s=10_000.0), speed=1_000_000)


def test_in_a_fast_market_a_ticker_waits_for_the_next_beat_and_news_of_funding_do_not() -> None:
    now_s = [time.monotonic()]

    async def body(room: Room) -> None:
        client = await room.public("tickers.AAAUSDT")
        await client.until_pong()
        room.price(1_004, flow=5, after_ms=500)
        assert await client.until_pong() == []
        room.venue.set_funding_rate(AAA, 12_345)
        room.hall.publish()
        (news,) = await client.until_pong()
        assert (news["data"]["fundingRate"], news["data"]["lastPrice"]) == ("0.00012345", "100.4")
        room.price(1_007, flow=5, after_ms=500)
        room.sockets.beat(now_s[0])
        assert await client.until_pong() == []
        now_s[0] += KLINE_GAP_S
        room.sockets.beat(now_s[0])
        (late,) = await client.until_pong()
        assert late["data"]["lastPrice"] == "100.7"
        assert "fundingRate" not in late["data"]

    in_room(body, speed=600, now_s=lambda: now_s[0])
