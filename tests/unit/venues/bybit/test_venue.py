from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests import steady
from tests.unit.venues.bybit.fake_venue import KEY, SECRET, FakeVenue, Say, Seen, ok, rows
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue
from tests.unit.venues.bybit.test_mapping import intent
from tests.unit.venues.bybit.test_public_feed import MINUTE, T0, bar, kline, numbers
from tests.unit.venues.bybit.wire_examples import (
    ACCOUNT,
    EXECUTION,
    FEES,
    INSTRUMENT,
    KEY_INFO,
    LOG,
    ORDER,
    POSITION,
    TICKER,
    TIERS,
    WALLET,
)

from kedge.domain.errors import AccessRefused, InvalidConfig, InvalidInput, VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, FundingSettled, OrderFilled
from kedge.domain.orders import ApprovedOrder
from kedge.domain.venue import LedgerKind, Refused, Stream, StreamUp, Taken, TradingVenue
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.public_feed import FeedSettings
from kedge.venues.bybit.reconnect import SocketPace
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import Addresses, VenueSettings, addresses

ID = "bybit-linear:BTCUSDT"
CREDENTIALS = Credentials(Rung.PAPER, KEY, SECRET)


def book(ms: int = T0 // 10**6) -> Say:
    return ok({"s": "BTCUSDT", "b": [], "a": [], "ts": ms, "u": 1, "seq": 1, "cts": ms})


def obliging(fake: FakeVenue) -> None:
    """Everything a start asks for."""
    fake.on("/v5/user/query-api", ok(KEY_INFO))
    fake.on("/v5/account/info", ok(ACCOUNT))
    fake.on("/v5/position/list", rows(POSITION))
    fake.on("/v5/market/instruments-info", lambda seen: rows(INSTRUMENT | {"symbol": symbol_in(seen)}))
    fake.on("/v5/account/fee-rate", lambda seen: ok({"list": [FEES | {"symbol": symbol_in(seen)}]}))
    fake.on("/v5/market/risk-limit", lambda seen: rows(*(tier | {"symbol": symbol_in(seen)} for tier in TIERS)))
    fake.on("/v5/market/tickers", lambda seen: rows(TICKER | {"symbol": symbol_in(seen)}))
    fake.on("/v5/market/orderbook", book())


def symbol_in(seen: Seen) -> str:
    return parse_qs(seen.query)["symbol"][0]


class Scene:
    def __init__(self, fake: FakeVenue, sockets: ScriptedVenue, **changed: Any) -> None:
        self.fake, self.sockets = fake, sockets
        obliging(fake)
        where = Addresses(
            rest=fake.url,
            public=sockets.base + "/v5/public/linear",
            private=sockets.base + "/v5/private",
            trade=sockets.base + "/v5/trade" if changed.pop("trade", True) else "",
        )
        given: dict[str, Any] = {
            "addresses": where, "instruments": (ID,), "speed": 50, "start_within_s": 1.0, "barrier_within_s": 0.5,
            "pace": SocketPace(greet_s=0.4),
        }  # fmt: skip
        self.venue = BybitVenue(VenueSettings(**(given | changed)), CREDENTIALS)

    def peer(self, path: str) -> Any:
        return [peer for peer in self.sockets.peers if peer.path.endswith(path)][-1]


@asynccontextmanager
async def scene(*, start: bool = True, **changed: Any) -> Any:
    async with FakeVenue() as fake, ScriptedVenue() as sockets:
        made = Scene(fake, sockets, **changed)
        try:
            if start:
                await made.venue.start()
            yield made
        finally:
            await made.venue.close()


def run(test: Callable[[], Any]) -> None:
    steady.run(test(), within_s=60)


def test_a_start_brings_up_every_stream_and_says_so() -> None:
    async def test() -> None:
        async with scene() as s:
            port: TradingVenue = s.venue
            ups = {await port.news() for _ in range(3)}
            assert ups == {StreamUp(stream, again=False) for stream in Stream}
            assert s.venue.streams() == {Stream.PUBLIC: "", Stream.PRIVATE: "", Stream.TRADE: ""}
            assert s.venue.records["BTCUSDT"].taker_fee_e8 == 55_000
            assert s.venue.interruptions == 0
            assert s.venue.data_age_ns(T0) is None
            assert s.venue.warnings == []
            assert abs(await port.wall_time_ns() - time.time_ns()) < 5 * 10**9

    run(test)
    asyncio.run(test())


def test_a_venue_without_a_trade_socket_trades_over_rest() -> None:
    async def test() -> None:
        async with scene(trade=False) as s:
            s.fake.on("/v5/order/create", ok({"orderId": "r-1", "orderLinkId": "c-1"}))
            assert await s.venue.place(ApprovedOrder(order=intent(), limits_version="v")) == Taken("r-1")
            assert set(s.venue.streams()) == {Stream.PUBLIC, Stream.PRIVATE}

    run(test)


def test_a_key_that_may_withdraw_is_refused_before_anything_connects() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on(
                "/v5/user/query-api", ok(KEY_INFO | {"permissions": {"Wallet": ["Withdraw"], "ContractTrade": ["Order", "Position"]}})
            )
            with pytest.raises(AccessRefused, match="may withdraw"):
                await s.venue.start()
            assert s.sockets.peers == []

    run(test)


def test_a_weak_key_is_only_warned_about() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on("/v5/user/query-api", ok(KEY_INFO | {"deadlineDay": 3}))
            await s.venue.start()
            assert any("expires in 3 days" in line for line in s.venue.warnings)

    run(test)


def test_a_stream_that_is_refused_fails_the_start_and_leaves_nothing_open() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.sockets.refuse_auth = "Params Error"
            with pytest.raises(AccessRefused, match="refuses the key on the"):
                await s.venue.start()
            await s.sockets.until(lambda: all(peer.socket.closed for peer in s.sockets.peers))
            s.venue.news_at_hand()
            with pytest.raises(VenueUnavailable, match="client was closed"):
                await s.venue.news()

    run(test)


def test_a_stream_that_does_not_answer_fails_the_start_in_time_and_names_itself() -> None:
    async def test() -> None:
        async with scene(start=False, start_within_s=0.3) as s:
            s.sockets.mute = {"subscribe"}
            with pytest.raises(VenueUnavailable, match="stream is not up after 0.3 s"):
                await s.venue.start()

    run(test)


def test_a_barrier_waits_for_reports_bars_and_the_filling_of_holes() -> None:
    async def test() -> None:
        async with scene() as s:
            s.venue.news_at_hand()
            s.fake.on("/v5/market/kline", lambda seen: klines(1, 2))
            s.fake.on("/v5/market/orderbook", book((T0 + 3 * MINUTE) // 10**6))
            await s.peer("linear").send(kline(0), kline(3))
            await s.peer("private").send({"topic": "execution.linear", "creationTime": 1, "data": [EXECUTION]})
            await s.venue.barrier()
            news = s.venue.news_at_hand()
            assert numbers([one for one in news if isinstance(one, BarClosed)]) == [0, 1, 2, 3]
            assert sum(isinstance(one, OrderFilled) for one in news) == 1

    run(test)


def klines(*wanted: int) -> Say:
    """REST bars of these minutes, newest first."""
    starts = [(T0 + number * MINUTE) // 10**6 for number in sorted(wanted, reverse=True)]
    rows_of = [[str(start), "1.0", "1.2", "0.9", "1.1", "0.005", "5"] for start in starts]
    return ok({"category": "linear", "symbol": "BTCUSDT", "list": rows_of})


def test_a_barrier_on_a_stream_that_does_not_answer_raises() -> None:
    async def test() -> None:
        async with scene(barrier_within_s=0.05) as s:
            s.sockets.mute = {"ping"}
            with pytest.raises(VenueUnavailable):
                await s.venue.barrier()

    run(test)


def test_a_barrier_does_not_wait_for_ever_for_history() -> None:
    async def test() -> None:
        async with scene(barrier_within_s=0.1) as s:
            s.fake.on("/v5/market/kline", Say(klines(1).body, delay_s=0.4), klines(1, 2))
            s.fake.on("/v5/market/orderbook", book((T0 + 4 * MINUTE) // 10**6))
            await s.peer("linear").send(kline(0), kline(3))
            with pytest.raises(VenueUnavailable, match="missing bars are not filled"):
                await s.venue.barrier()
            async with asyncio.timeout(30):
                told: list[Any] = []
                while len(told) < 4:
                    told += [one for one in [await s.venue.news()] if isinstance(one, BarClosed)]
            assert numbers(told) == [0, 1, 2, 3]

    run(test)


def test_before_the_start_a_barrier_says_that_the_stream_is_down() -> None:
    async def test() -> None:
        async with scene(start=False, barrier_within_s=0.01) as s:
            with pytest.raises(VenueUnavailable, match="private stream is down"):
                await s.venue.barrier()

    run(test)


def test_an_order_its_cancel_and_its_stop() -> None:
    async def test() -> None:
        async with scene() as s:
            s.fake.on("/v5/position/trading-stop", ok({}))
            assert await s.venue.place(ApprovedOrder(order=intent(), limits_version="v")) == Taken("venue-1")
            assert await s.venue.cancel(ID, "c-1") == Taken("venue-1")
            assert await s.venue.set_stop_loss(ID, 500_005) == Taken()
            sent = s.fake.asked("/v5/position/trading-stop")[0].data
            assert (sent["stopLoss"], sent["slTriggerBy"], sent["tpslMode"], sent["positionIdx"]) == ("50000.5", "MarkPrice", "Full", 0)
            assert await s.venue.set_stop_loss(ID, 0) == Taken()
            assert s.fake.asked("/v5/position/trading-stop")[1].data["stopLoss"] == "0"
            assert isinstance(await s.venue.set_stop_loss("bybit-linear:XUSDT", 1), Refused)

    run(test)


def test_an_order_is_found_among_open_ones_else_in_history_else_not_at_all() -> None:
    async def test() -> None:
        async with scene() as s:
            s.fake.on("/v5/order/realtime", rows(ORDER))
            s.fake.on("/v5/order/history", rows())
            found = await s.venue.find_order(ID, "bot-000124")
            assert found is not None
            assert found.venue_order_id == ORDER["orderId"]
            assert s.fake.asked("/v5/order/history") == []
            assert await s.venue.find_order(ID, "another") is None
            s.fake.on("/v5/order/history", rows(ORDER | {"orderLinkId": "another", "orderStatus": "Cancelled"}))
            gone = await s.venue.find_order(ID, "another")
            assert gone is not None
            assert gone.state == "canceled"

    run(test)


def test_lists_are_whole_and_records_of_foreign_symbols_are_fetched() -> None:
    async def test() -> None:
        async with scene() as s:
            s.fake.on("/v5/order/realtime", rows(ORDER, cursor="next"), rows(ORDER | {"symbol": "ETHUSDT", "orderLinkId": ""}))
            s.fake.on("/v5/position/list", rows(POSITION, POSITION | {"symbol": "XRPUSDT", "side": "", "size": "0"}))
            found = await s.venue.open_orders()
            assert [(order.instrument, order.client_order_id) for order in found] == [(ID, "bot-000124"), ("bybit-linear:ETHUSDT", "")]
            assert "ETHUSDT" in s.venue.records
            (position,) = await s.venue.positions()
            assert (position.instrument, position.lots, position.cost_e8) == (ID, 10, 61_020_000_000)

    run(test)


def test_executions_come_oldest_first_with_funding_and_liquidation() -> None:
    async def test() -> None:
        async with scene() as s:
            funding = EXECUTION | {"execType": "Funding", "execId": "f", "execTime": "1767000090000", "leavesQty": "", "side": "Sell"}
            bust = EXECUTION | {"execType": "BustTrade", "execId": "b", "execTime": "1767000095000", "orderLinkId": ""}
            later_part = EXECUTION | {"execId": "p2", "leavesQty": "0.004", "seq": 5}
            early_part = EXECUTION | {"execId": "p1", "leavesQty": "0.008", "seq": 5}
            s.fake.on("/v5/execution/list", rows(bust, funding, later_part, early_part))
            found = await s.venue.executions(T0)
            names = [fact.fill_id if isinstance(fact, OrderFilled) else fact.funding_id for fact in found]
            assert names == ["p1", "p2", "f", "b"]
            assert isinstance(found[2], FundingSettled)
            asked = parse_qs(s.fake.asked("/v5/execution/list")[0].query)
            assert asked["startTime"] == [str(T0 // 10**6)]
            assert int(asked["endTime"][0]) == (T0 + 86_400 * 10**9) // 10**6  # a day past the venue's present, not the wall's

    run(test)


def test_money_and_its_changes_are_the_venues_figures() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on("/v5/account/wallet-balance", rows(WALLET))
            s.fake.on("/v5/account/transaction-log", rows(LOG, LOG | {"id": "2", "currency": "MNT"}))
            assert (await s.venue.wallet()).wallet_e8 == 999_966_439_000
            (entry,) = await s.venue.ledger(T0)
            assert (entry.kind, entry.change_e8) == (LedgerKind.FUNDING, -6_110_000)

    run(test)


def test_bars_end_within_the_span_and_the_open_one_is_left_out() -> None:
    async def test() -> None:
        async with scene() as s:
            s.fake.on("/v5/market/kline", lambda seen: klines(1, 2, 3))
            s.fake.on("/v5/market/orderbook", book((T0 + 3 * MINUTE + 10**9) // 10**6))
            assert await s.venue.bars(ID, T0 + MINUTE, T0 + 4 * MINUTE) == [bar(1), bar(2)]
            asked = parse_qs(s.fake.asked("/v5/market/kline")[0].query)
            assert (asked["start"], asked["end"]) == ([str((T0 + MINUTE) // 10**6 - 60_000 + 1)], [str((T0 + 3 * MINUTE) // 10**6)])
            assert await s.venue.bars(ID, T0, T0 - 2 * MINUTE) == []

    run(test)


def test_settled_rates_come_from_history_oldest_first() -> None:
    async def test() -> None:
        async with scene() as s:
            at = T0 // 10**6
            told = [
                {"symbol": "BTCUSDT", "fundingRate": "-0.0002", "fundingRateTimestamp": str(at + 9)},
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(at + 5)},
            ]
            s.fake.on("/v5/market/funding/history", rows(*told))
            assert await s.venue.funding_rates(ID, T0, T0 + MINUTE) == [
                FundingKnown(T0 + 5 * 10**6, ID, 10_000),
                FundingKnown(T0 + 9 * 10**6, ID, -20_000),
            ]
            asked = parse_qs(s.fake.asked("/v5/market/funding/history")[0].query)
            assert (asked["startTime"], asked["endTime"]) == ([str(T0 // 10**6 + 1)], [str((T0 + MINUTE) // 10**6)])

    run(test)


def test_a_private_row_of_an_unknown_symbol_fetches_its_record_and_asks_for_reconciliation() -> None:
    async def test() -> None:
        async with scene() as s:
            for _ in range(3):
                await s.venue.news()
            strange = {"topic": "execution.linear", "creationTime": 1, "data": [EXECUTION | {"symbol": "ETHUSDT"}] * 2}
            await s.peer("private").send(strange)
            assert await s.venue.news() == StreamUp(Stream.PRIVATE, again=True)
            await s.peer("private").send(strange)
            fill = await s.venue.news()
            assert isinstance(fill, OrderFilled)
            assert fill.instrument == "bybit-linear:ETHUSDT"

    run(test)


def test_a_symbol_that_cannot_be_traded_is_reported_and_the_loop_told_all_the_same() -> None:
    async def test() -> None:
        async with scene() as s:
            for _ in range(3):
                await s.venue.news()
            s.fake.on("/v5/market/instruments-info", rows(INSTRUMENT | {"symbol": "ETHPERP", "settleCoin": "USDC"}))
            await s.peer("private").send({"topic": "execution.linear", "creationTime": 1, "data": [EXECUTION | {"symbol": "ETHPERP"}]})
            assert await s.venue.news() == StreamUp(Stream.PRIVATE, again=True)
            assert "ETHPERP" not in s.venue.records

    run(test)


def test_a_new_grid_is_not_mixed_with_the_old_one() -> None:
    async def test() -> None:
        async with scene() as s:
            finer = INSTRUMENT | {"priceFilter": INSTRUMENT["priceFilter"] | {"tickSize": "0.01"}}
            s.fake.on("/v5/market/instruments-info", rows(finer))
            (fresh,) = await s.venue.instruments([ID])
            assert fresh.tick_e8 == 1_000_000
            assert s.venue.records["BTCUSDT"].tick_e8 == 10_000_000
            assert "restart to trade on it" in s.venue.warnings[-1]

    run(test)


def delisted(seen: Seen) -> Say:
    """ETHUSDT trades; BTCUSDT is over."""
    symbol = symbol_in(seen)
    return rows(INSTRUMENT | {"symbol": symbol, "status": "Trading" if symbol == "ETHUSDT" else "Closed"})


def test_an_instrument_that_is_not_traded_any_more_is_left_out_and_read_by_the_record_we_hold() -> None:
    async def test() -> None:
        async with scene() as s:
            (old,) = await s.venue.instruments([ID])
        async with scene(start=False, instruments=(ID, "bybit-linear:ETHUSDT")) as s:
            s.fake.on("/v5/market/instruments-info", delisted)
            await s.venue.start()
            assert s.venue.feed is not None
            assert list(s.venue.feed.lines) == ["ETHUSDT"]
            found = await s.venue.instruments([ID, "bybit-linear:ETHUSDT"])
            assert [one.instrument_id for one in found] == ["bybit-linear:ETHUSDT"]
            assert [line for line in s.venue.warnings if "BTCUSDT is not traded here" in line] == s.venue.warnings[:1]
            s.fake.on("/v5/position/list", rows(POSITION))
            with pytest.raises(VenueUnavailable, match="rows of BTCUSDT, which cannot be read"):
                await s.venue.positions()
            s.venue.remember([old])
            (position,) = await s.venue.positions()
            assert (position.instrument, position.lots) == (ID, 10)
            assert await s.venue.bars(ID, T0, T0 + MINUTE) == []
            assert s.fake.asked("/v5/market/kline") == []

    run(test)


def test_a_venue_where_nothing_of_ours_trades_any_more_is_still_asked_for_the_account() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on("/v5/market/instruments-info", delisted)
            s.fake.on("/v5/execution/list", rows())
            await s.venue.start()
            assert set(s.venue.streams()) == {Stream.PRIVATE, Stream.TRADE}
            await s.venue.barrier()
            assert await s.venue.executions(T0) == []

    run(test)


def test_rows_are_read_on_the_grid_that_is_remembered_until_the_orders_of_it_are_over() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            finer = INSTRUMENT | {"lotSizeFilter": INSTRUMENT["lotSizeFilter"] | {"qtyStep": "0.0001"}}
            (old,) = await s.venue.instruments([ID])
            s.venue.records.clear()
            s.fake.on("/v5/market/instruments-info", rows(finer))
            await s.venue.instruments([ID])
            s.fake.on("/v5/order/realtime", rows(ORDER))
            (fine,) = await s.venue.open_orders()
            s.venue.remember([old])
            (coarse,) = await s.venue.open_orders()
            assert fine.qty_lots == 10 * coarse.qty_lots
            await s.venue.instruments([ID])
            assert s.venue.records["BTCUSDT"] is old

    run(test)


def test_parts_of_an_order_are_sorted_by_exact_quantities_and_one_that_is_no_number_is_told() -> None:
    async def test() -> None:
        async with scene() as s:
            near = EXECUTION | {"execId": "p2", "leavesQty": "90071992547.409", "execQty": "0.001", "seq": 5}
            first = EXECUTION | {"execId": "p1", "leavesQty": "90071992547.410", "execQty": "0.001", "seq": 5}
            s.fake.on("/v5/execution/list", rows(near, first))
            assert [fact.fill_id for fact in await s.venue.executions(T0) if isinstance(fact, OrderFilled)] == ["p1", "p2"]
            s.fake.on("/v5/execution/list", rows(near | {"leavesQty": "some"}))
            with pytest.raises(VenueUnavailable, match="leavesQty"):
                await s.venue.executions(T0)

    run(test)


def test_when_one_stream_does_not_answer_the_barrier_leaves_no_ping_behind() -> None:
    async def test() -> None:
        async with scene(barrier_within_s=30.0) as s:
            ended: list[str] = []

            async def slow(within_s: float) -> None:
                try:
                    await asyncio.sleep(within_s)
                finally:
                    ended.append("public")

            async def down(within_s: float) -> None:
                raise VenueUnavailable("the private stream is down", why="drill", fix="wait")

            s.venue._public.ping, s.venue._private.ping = slow, down
            with pytest.raises(VenueUnavailable, match="private stream is down"):
                await s.venue.barrier()
            assert ended == ["public"]

    run(test)


def test_addresses_are_known_names_or_one_url() -> None:
    assert addresses("testnet").private == "wss://stream-testnet.bybit.com/v5/private"
    assert addresses("demo").trade == ""
    local = addresses("http://127.0.0.1:9000/")
    assert (local.rest, local.public, local.trade) == (
        "http://127.0.0.1:9000", "ws://127.0.0.1:9000/v5/public/linear", "ws://127.0.0.1:9000/v5/trade"
    )  # fmt: skip
    assert addresses("https://x.example").private == "wss://x.example/v5/private"
    for wrong in ("nowhere", "ftp://x", "http://"):
        with pytest.raises(InvalidConfig):
            addresses(wrong)


def test_intervals_of_the_wrong_length_and_foreign_instruments_are_refused() -> None:
    async def test() -> None:
        async with scene(start=False, feed=FeedSettings(interval="7")) as s:
            with pytest.raises(InvalidConfig):
                await s.venue.start()
        async with scene(start=False, instruments=("other:BTCUSDT",)) as s:
            with pytest.raises(InvalidInput):
                await s.venue.start()

    run(test)


def test_a_record_that_arrives_while_the_private_stream_is_down_does_not_say_that_it_is_up() -> None:
    async def test() -> None:
        async with scene() as s:
            for _ in range(3):
                await s.venue.news()
            know, cut = s.venue._know, asyncio.Event()

            async def slow(symbols: set[str]) -> None:
                await cut.wait()
                await know(symbols)

            s.venue._know = slow
            await s.peer("private").send({"topic": "execution.linear", "creationTime": 1, "data": [EXECUTION | {"symbol": "ETHUSDT"}]})
            async with asyncio.timeout(30):
                while not s.venue._loading:
                    await asyncio.sleep(0.01)
            (loading,) = s.venue._loading.values()
            await s.venue._private.close()
            cut.set()
            await asyncio.wait([loading])
            assert "ETHUSDT" in s.venue.records
            assert not [news for news in s.venue.news_at_hand() if isinstance(news, StreamUp)]

    run(test)


def test_rows_of_a_symbol_that_cannot_be_read_leave_the_books_unknown_and_end_nothing() -> None:
    async def test() -> None:
        async with scene() as s:
            s.fake.on("/v5/market/instruments-info", rows(INSTRUMENT | {"symbol": "ETHPERP", "settleCoin": "USDC"}))
            s.fake.on("/v5/execution/list", rows(EXECUTION | {"symbol": "ETHPERP"}))
            with pytest.raises(VenueUnavailable, match="rows of ETHPERP, which cannot be read"):
                await s.venue.executions(T0)

    run(test)
