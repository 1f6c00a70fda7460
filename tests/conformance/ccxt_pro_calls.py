"""Streams and order calls of ccxt.pro, each compared with what the exchange holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from tests.conformance import truth, truth_ccxt
from tests.conformance.calls import Calls, Watched
from tests.conformance.ccxt_client import ETHER, PAIR
from tests.conformance.loopback import BTC, ETH, Desk

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.simulation.venue_types import Status

PRO = Calls("ccxt.pro")


def move(desk: Desk, ticks: int = 600_050) -> None:
    """A price, a second of venue time later."""
    desk.exchange.price("BTCUSDT", ticks, after_ns=NS_PER_S)


async def told(desk: Desk, watch: Coroutine[Any, Any, Any], topic: str, then: Callable[[], Any], *, own: bool = False) -> Any:
    """What a stream tells first once it is subscribed and something happens."""
    watching = asyncio.ensure_future(watch)
    await asyncio.to_thread(desk.exchange.until_told, topic, account=desk.account if own else "")
    then()
    return await watching


@PRO.check("watch_order_book")
async def a_book_stays_the_venues_as_it_moves(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    await client.watch_order_book(PAIR, 50)
    for ticks in (600_031, 599_960, 600_300):
        move(desk, ticks)
        held = desk.exchange.ask(lambda venue: venue.depth(BTC, 50))
        bids, asks = truth_ccxt.levels(held.bids, spec), truth_ccxt.levels(held.asks, spec)
        while (book := await client.watch_order_book(PAIR, 50))["bids"] != bids:
            pass
        assert book["asks"] == asks
        assert len(book["asks"]) == 50


@PRO.check("watch_order_book_for_symbols")
async def books_of_several_symbols_come_together(desk: Desk, client: Watched) -> None:
    seen: dict[str, Any] = {}
    while len(seen) < 2:
        book = await client.watch_order_book_for_symbols([PAIR, ETHER], 50)
        seen[book["symbol"]] = book["bids"][0][0]
    ether = desk.exchange.ask(lambda venue: venue.depth(ETH, 1)).bids[0][0]
    assert seen[ETHER] == float(truth.price(desk.exchange.specs["ETHUSDT"], ether))


@PRO.check("watch_ticker")
async def a_ticker_stays_the_venues_as_it_moves(desk: Desk, client: Watched) -> None:
    await client.watch_ticker(PAIR)
    move(desk)
    while (found := await client.watch_ticker(PAIR))["last"] != 60_005.0:
        pass
    held = desk.exchange.ask(lambda venue: venue.ticker(BTC))
    truth_ccxt.assert_same(found, truth_ccxt.ticker(held, desk.exchange.specs["BTCUSDT"]))


@PRO.check("watch_tickers")
async def tickers_of_several_symbols_come_together(desk: Desk, client: Watched) -> None:
    seen: set[str] = set()
    while seen != {PAIR, ETHER}:
        seen |= set(await client.watch_tickers([PAIR, ETHER]))


@PRO.check("watch_bids_asks")
async def the_best_prices_come(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    found = (await client.watch_bids_asks([PAIR]))[PAIR]
    held = desk.exchange.ask(lambda venue: venue.depth(BTC, 1))
    best = {"bid": truth.price(spec, held.bids[0][0]), "bidVolume": truth.qty(spec, held.bids[0][1])}
    truth_ccxt.assert_same(found, {**best, "ask": truth.price(spec, held.asks[0][0])})


@PRO.check("watch_trades")
async def trades_come_as_they_happen(desk: Desk, client: Watched) -> None:
    found = await told(desk, client.watch_trades(PAIR), "publicTrade.BTCUSDT", lambda: desk.place(Side.SELL, 20))
    (held,) = desk.exchange.ask(lambda venue: venue.recent_trades(BTC, 1))
    price = truth.price(desk.exchange.specs["BTCUSDT"], held.price_ticks)
    truth_ccxt.assert_same(found[-1], {"id": held.trade_id, "side": "sell", "amount": truth.money(2_000_000), "price": price})


@PRO.check("watch_ohlcv")
async def candles_come_as_they_move(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    await client.watch_ohlcv(PAIR, "1m")
    desk.place(Side.BUY, 4_000)
    (held,) = desk.exchange.ask(lambda venue: venue.klines(BTC, "1", 1))
    while (candle := (await client.watch_ohlcv(PAIR, "1m"))[-1])[5] != float(truth.qty(spec, held.volume_lots)):
        pass
    assert candle == [float(number) for number in truth.kline(held, spec)[:6]]


@PRO.check("watch_ohlcv_for_symbols")
async def candles_of_several_symbols_come_together(desk: Desk, client: Watched) -> None:
    seen: set[str] = set()
    while seen != {PAIR, ETHER}:
        seen |= set(await client.watch_ohlcv_for_symbols([[PAIR, "1m"], [ETHER, "5m"]]))


@PRO.check("watch_liquidations")
async def liquidations_come(desk: Desk, client: Watched) -> None:
    def ruin() -> None:
        desk.exchange.desk(wallet=1_000).place(Side.BUY, 150)
        move(desk, 530_000)

    found = await told(desk, client.watch_liquidations(PAIR), "allLiquidation.BTCUSDT", ruin)
    truth_ccxt.assert_same(found[-1], {"symbol": PAIR, "contracts": truth.money(15_000_000)})


@PRO.check("watch_orders")
async def orders_come_from_birth_to_end(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    born = await told(desk, client.watch_orders(PAIR), "order", lambda: desk.place(Side.BUY, 10, 599_000, link_id="own"), own=True)
    truth_ccxt.assert_same(born[-1], truth_ccxt.order(desk.order(link_id="own"), spec))
    desk.exchange.price("BTCUSDT", 598_900)
    filled = await client.watch_orders(PAIR)
    truth_ccxt.assert_same(filled[-1], truth_ccxt.order(desk.order(link_id="own"), spec))
    assert filled[-1]["status"] == "closed"


@PRO.check("watch_my_trades")
async def fills_come_as_they_happen(desk: Desk, client: Watched) -> None:
    found = await told(desk, client.watch_my_trades(PAIR), "execution", lambda: desk.place(Side.BUY, 30), own=True)
    (held,) = desk.rows("executions")
    truth_ccxt.assert_same(found[-1], truth_ccxt.trade(held, desk.exchange.specs["BTCUSDT"]))
    truth_ccxt.assert_same(found[-1]["fee"], truth_ccxt.fee(held))


@PRO.check("watch_positions")
async def positions_come_when_they_move(desk: Desk, client: Watched) -> None:
    """It first fetches what there is, and then waits for news."""
    desk.place(Side.SELL, 50)
    assert [row["contracts"] for row in await client.watch_positions([PAIR])] == [0.05]
    more = partial(desk.place, Side.SELL, 700, stop_loss_ticks=605_000)
    (found,) = await told(desk, client.watch_positions([PAIR]), "position", more, own=True)
    truth_ccxt.assert_same(found, truth_ccxt.position(desk.position(), desk.exchange.specs["BTCUSDT"]))


@PRO.check("watch_balance")
async def the_balance_comes_when_it_moves(desk: Desk, client: Watched) -> None:
    found = await told(desk, client.watch_balance(), "wallet", lambda: desk.place(Side.BUY, 400), own=True)
    truth_ccxt.assert_same(found["USDT"], {"total": truth.money(desk.wallet().wallet_e8)})


@PRO.check("un_watch_ticker")
async def a_stream_can_be_left(desk: Desk, client: Watched) -> None:
    await client.watch_ticker(PAIR)
    await client.un_watch_ticker(PAIR)
    move(desk)
    await client.watch_ticker(PAIR)


@PRO.check("create_order_ws")
async def an_order_sent_over_the_socket_stands_in_the_book(desk: Desk, client: Watched) -> None:
    answer = await client.create_order_ws(PAIR, "limit", "buy", 0.01, 59_900, {"clientOrderId": "pro-1"})
    row = desk.order(link_id="pro-1")
    assert (answer["id"], answer["clientOrderId"]) == (row.order_id, "pro-1")
    assert (row.status, row.price_ticks, row.qty_lots) == (Status.NEW, 599_000, 10)


@PRO.check("edit_order_ws")
async def an_order_is_edited_over_the_socket(desk: Desk, client: Watched) -> None:
    order_id = (await client.create_order_ws(PAIR, "limit", "buy", 0.01, 59_900))["id"]
    await client.edit_order_ws(order_id, PAIR, "limit", "buy", 0.03, 59_910)
    assert (desk.order(order_id).qty_lots, desk.order(order_id).price_ticks) == (30, 599_100)


@PRO.check("cancel_order_ws")
async def an_order_is_cancelled_over_the_socket(desk: Desk, client: Watched) -> None:
    order_id = (await client.create_order_ws(PAIR, "limit", "buy", 0.01, 59_900))["id"]
    await client.cancel_order_ws(order_id, PAIR)
    assert desk.order(order_id).status is Status.CANCELLED


@PRO.check("create_order")
async def an_order_over_http_is_told_on_the_socket(desk: Desk, client: Watched) -> None:
    async def create() -> Any:
        await asyncio.to_thread(desk.exchange.until_told, "order", account=desk.account)
        return await client.create_order(PAIR, "market", "buy", 0.01)

    heard, answer = await asyncio.gather(client.watch_orders(PAIR), create())
    assert (heard[-1]["id"], heard[-1]["status"]) == (answer["id"], "closed")
