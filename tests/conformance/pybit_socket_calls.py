"""Streams and order calls of pybit's WebSockets, each compared with what the exchange holds."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.conformance import truth
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import BTC, MINUTE, Desk
from tests.conformance.pybit_client import Heard
from tests.conformance.pybit_market_calls import PAIR

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.simulation.venue_types import Status

PUBLIC, PRIVATE, ORDERS = Calls("pybit WebSocket, public"), Calls("pybit WebSocket, private"), Calls("pybit WebSocketTrading")


def subscribed(desk: Desk, stream: Callable[..., None], *given: Any) -> Heard:
    """What a stream tells from now on."""
    heard = Heard()
    with desk.exchange.standing_still():
        stream(*given, heard)
    return heard


def move(desk: Desk, ticks: int = 600_050) -> None:
    """A price, a second of venue time later."""
    desk.exchange.price("BTCUSDT", ticks, after_ns=NS_PER_S)


def merged(book: dict[str, Any], side: str) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(qty) for price, qty in book[side]}


@PUBLIC.check("orderbook_stream")
def every_book_stays_the_venues_as_it_moves(desk: Desk, client: Watched) -> None:
    """pybit merges the deltas itself, and breaks on the deletion of a level that it does not have."""
    spec = desk.exchange.specs["BTCUSDT"]
    heard = {depth: subscribed(desk, client.orderbook_stream, depth, "BTCUSDT") for depth in (1, 50, 200, 1_000)}
    for depth, callback in heard.items():
        assert callback.next()["topic"] == f"orderbook.{depth}.BTCUSDT"
    for ticks in (600_031, 599_960, 599_961, 600_300):
        move(desk, ticks)
        desk.place(Side.BUY, 900)
        held = desk.exchange.ask(lambda venue: venue.depth(BTC, 1_000))
        for depth, callback in heard.items():
            book = callback.until(lambda message, seq=held.seq: message["data"]["seq"] == seq)["data"]
            for side, levels in (("b", held.bids), ("a", held.asks)):
                expected = {truth.price(spec, price): truth.qty(spec, lots) for price, lots in levels[:depth]}
                assert merged(book, side) == expected


@PUBLIC.check("trade_stream")
def trades_come_as_they_happen(desk: Desk, client: Watched) -> None:
    heard = subscribed(desk, client.trade_stream, "BTCUSDT")
    desk.exchange.until_told("publicTrade.BTCUSDT")
    desk.place(Side.SELL, 1_900)
    told = heard.next()["data"]
    held = list(reversed(desk.exchange.ask(lambda venue: venue.recent_trades(BTC, len(told)))))
    assert len(told) > 1
    for row, trade in zip(told, held, strict=True):
        rest = truth.trade(trade, desk.exchange.specs["BTCUSDT"])
        expected = {"i": "execId", "s": "symbol", "p": "price", "v": "size", "S": "side"}
        truth.assert_same(row, {short: rest[name] for short, name in expected.items()})
        truth.assert_same(row, {"T": truth.ms(trade.ts_ns), "seq": trade.seq, "L": trade.tick_direction, "BT": False})


@PUBLIC.check("ticker_stream")
def tickers_stay_the_venues_as_they_move(desk: Desk, client: Watched) -> None:
    heard = subscribed(desk, client.ticker_stream, ["BTCUSDT", "ETHUSDT"])
    assert {heard.next()["topic"], heard.next()["topic"]} == {"tickers.BTCUSDT", "tickers.ETHUSDT"}
    for ticks in (600_050, 599_870):
        move(desk, ticks)
        last = str(truth.price(desk.exchange.specs["BTCUSDT"], ticks))
        told = heard.until(lambda message, last=last: Decimal(message["data"]["lastPrice"]) == Decimal(last))
        held = desk.exchange.ask(lambda venue: venue.ticker(BTC))
        truth.assert_same(told["data"], truth.ticker(held, desk.exchange.specs["BTCUSDT"]))


@PUBLIC.check("kline_stream")
def klines_come_open_and_once_confirmed(desk: Desk, client: Watched) -> None:
    spec, heard = desk.exchange.specs["BTCUSDT"], subscribed(desk, client.kline_stream, 1, "BTCUSDT")
    desk.exchange.until_told("kline.1.BTCUSDT")
    desk.place(Side.BUY, 50)
    desk.exchange.pass_time(MINUTE)
    confirmed = heard.until(lambda message: message["data"][0]["confirm"])["data"][0]
    (held,) = desk.exchange.ask(lambda venue: venue.klines(BTC, "1", 1, end_ns=confirmed["start"] * 1_000_000))
    names = ("start", "open", "high", "low", "close", "volume", "turnover")
    assert [Decimal(confirmed[name]) for name in names] == truth.kline(held, spec)
    truth.assert_same(confirmed, {"interval": "1", "end": confirmed["start"] + 59_999})
    desk.place(Side.SELL, 50)
    told = heard.until(lambda message: message["data"][0]["start"] > confirmed["start"])["data"][0]
    assert told["confirm"] is False


@PUBLIC.check("all_liquidation_stream")
def a_liquidation_names_the_position_that_died(desk: Desk, client: Watched) -> None:
    heard = subscribed(desk, client.all_liquidation_stream, "BTCUSDT")
    desk.exchange.until_told("allLiquidation.BTCUSDT")
    reckless = desk.exchange.desk(wallet=1_000)
    reckless.place(Side.BUY, 150)
    move(desk, 530_000)
    (told,) = heard.next()["data"]
    truth.assert_same(told, {"s": "BTCUSDT", "S": "Buy", "v": Decimal("0.150")})
    assert reckless.position().lots == 0


@PUBLIC.check("price_limit_stream")
def price_limits_follow_the_price(desk: Desk, client: Watched) -> None:
    heard = subscribed(desk, client.price_limit_stream, "BTCUSDT")
    first = heard.next()["data"]
    move(desk, 600_700)
    bounds = desk.exchange.ask(lambda venue: venue.price_limits(BTC))
    assert bounds is not None
    expected = truth.price(desk.exchange.specs["BTCUSDT"], bounds.buy_max_ticks)
    told = heard.until(lambda message: Decimal(message["data"]["buyLmt"]) == expected)
    assert told["data"] != first


@PUBLIC.check("unsubscribe")
def nothing_comes_after_leaving(desk: Desk, client: Watched) -> None:
    heard, other = subscribed(desk, client.ticker_stream, "BTCUSDT"), subscribed(desk, client.orderbook_stream, 1, "BTCUSDT")
    heard.next(), other.next()
    client.unsubscribe("tickers.BTCUSDT")
    while "tickers.BTCUSDT" in client.get_subscription_topics():
        move(desk)
        other.next()
    while not heard.is_empty():
        heard.next()
    move(desk, 600_100)
    other.next()
    assert heard.is_empty()


def private(desk: Desk, client: Watched, stream: str, topic: str) -> Heard:
    """What a private stream tells from now on."""
    heard = subscribed(desk, getattr(client, stream))
    desk.exchange.until_told(topic, account=desk.account)
    return heard


@PRIVATE.check("order_stream")
def orders_are_told_from_birth_to_end(desk: Desk, client: Watched) -> None:
    spec, heard = desk.exchange.specs["BTCUSDT"], private(desk, client, "order_stream", "order")
    resting = desk.place(Side.BUY, 10, 599_000, link_id="own", take_profit_ticks=610_000)
    (born,) = heard.next()["data"]
    truth.assert_same(born, {**truth.order(resting, spec), "category": "linear"})
    desk.exchange.price("BTCUSDT", 598_900)
    rows = {row["orderId"]: row for row in heard.next()["data"]}
    filled = rows.pop(resting.order_id)
    assert [row["stopOrderType"] for row in rows.values()] == ["TakeProfit"]
    truth.assert_same(filled, truth.order(desk.order(resting.order_id), spec))
    assert (filled["orderStatus"], filled["cumFeeDetail"]) == ("Filled", {"USDT": filled["cumExecFee"]})


@PRIVATE.check("execution_stream")
def fills_are_told_as_they_happen(desk: Desk, client: Watched) -> None:
    spec, heard = desk.exchange.specs["BTCUSDT"], private(desk, client, "execution_stream", "execution")
    desk.place(Side.BUY, 1_900)
    told = heard.next()["data"]
    held = {row.exec_id: row for row in desk.rows("executions")}
    assert {row["execId"] for row in told} == set(held)
    for row in told:
        truth.assert_same(row, {**truth.execution(held[row["execId"]], spec), "category": "linear"})


@PRIVATE.check("fast_execution_stream")
def fast_fills_are_the_same_fills(desk: Desk, client: Watched) -> None:
    heard = private(desk, client, "fast_execution_stream", "execution.fast")
    desk.place(Side.BUY, 20)
    (told,) = heard.next()["data"]
    (held,) = desk.rows("executions")
    names = ("symbol", "execId", "execPrice", "execQty", "orderId", "side", "isMaker", "execTime", "seq")
    expected = truth.execution(held, desk.exchange.specs["BTCUSDT"])
    truth.assert_same(told, {name: expected[name] for name in names})


@PRIVATE.check("position_stream")
def positions_are_told_when_they_move(desk: Desk, client: Watched) -> None:
    heard = private(desk, client, "position_stream", "position")
    desk.place(Side.SELL, 700, stop_loss_ticks=605_000)
    (told,) = heard.next()["data"]
    truth.assert_same(told, {**truth.position(desk.position(), desk.exchange.specs["BTCUSDT"], entry="entryPrice"), "category": "linear"})


@PRIVATE.check("wallet_stream")
def the_wallet_is_told_when_it_moves(desk: Desk, client: Watched) -> None:
    heard = private(desk, client, "wallet_stream", "wallet")
    desk.place(Side.SELL, 700)
    (told,) = heard.next()["data"]
    truth.assert_same(told, truth.wallet(desk.wallet()))
    truth.assert_same(told["coin"][0], truth.coin(desk.wallet()))


@PRIVATE.check("greek_stream")
def greeks_may_be_asked_for_and_never_come(desk: Desk, client: Watched) -> None:
    heard, orders = private(desk, client, "greek_stream", "greeks"), private(desk, client, "order_stream", "order")
    desk.place(Side.SELL, 10)
    orders.next()
    assert heard.is_empty()


def asked(desk: Desk, client: Watched, call: str, **request: Any) -> dict[str, Any]:
    """What the trade socket answers, whether it is a success or a refusal."""
    heard = Heard()
    with desk.exchange.standing_still():
        getattr(client, call)(heard, heard, **request)
    return heard.next()


LIMIT = {**PAIR, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59900"}


@ORDERS.check("place_order")
def an_order_sent_over_the_socket_stands_in_the_book(desk: Desk, client: Watched) -> None:
    answer = asked(desk, client, "place_order", **LIMIT, orderLinkId="by-socket")
    row = desk.order(link_id="by-socket")
    assert answer["data"] == {"orderId": row.order_id, "orderLinkId": "by-socket"}
    assert (row.status, row.price_ticks, row.qty_lots) == (Status.NEW, 599_000, 10)
    assert (answer["header"]["X-Bapi-Limit"], answer["header"]["X-Bapi-Limit-Status"]) == ("10", "9")
    refused = asked(desk, client, "place_order", **{**LIMIT, "qty": "90"})
    assert (refused["retCode"], refused["retMsg"], refused["data"]) == (110007, "ab not enough for new order", {})


@ORDERS.check("amend_order")
def an_order_is_amended_over_the_socket(desk: Desk, client: Watched) -> None:
    order_id = asked(desk, client, "place_order", **LIMIT)["data"]["orderId"]
    assert asked(desk, client, "amend_order", **PAIR, orderId=order_id, qty="0.02", price="59950")["data"]["orderId"] == order_id
    assert (desk.order(order_id).qty_lots, desk.order(order_id).price_ticks) == (20, 599_500)


@ORDERS.check("cancel_order")
def an_order_is_cancelled_over_the_socket(desk: Desk, client: Watched) -> None:
    order_id = asked(desk, client, "place_order", **LIMIT)["data"]["orderId"]
    assert asked(desk, client, "cancel_order", **PAIR, orderId=order_id)["retCode"] == 0
    assert desk.order(order_id).status is Status.CANCELLED
    assert asked(desk, client, "cancel_order", **PAIR, orderId=order_id)["retCode"] == 110001


def _batch(*items: dict[str, Any]) -> dict[str, Any]:
    return {"category": "linear", "request": [{name: value for name, value in item.items() if name != "category"} for item in items]}


@ORDERS.check("place_batch_order")
def a_batch_is_placed_over_the_socket(desk: Desk, client: Watched) -> None:
    answer = asked(
        desk, client, "place_batch_order", **_batch({**LIMIT, "orderLinkId": "s-1"}, {**LIMIT, "qty": "90", "orderLinkId": "s-2"})
    )
    assert [entry["code"] for entry in answer["retExtInfo"]["list"]] == [0, 110007]
    assert answer["data"]["list"][0]["orderId"] == desk.order(link_id="s-1").order_id


@ORDERS.check("amend_batch_order")
def a_batch_is_amended_over_the_socket(desk: Desk, client: Watched) -> None:
    ids = [entry["orderId"] for entry in asked(desk, client, "place_batch_order", **_batch(LIMIT, LIMIT))["data"]["list"]]
    asked(desk, client, "amend_batch_order", **_batch(*({"symbol": "BTCUSDT", "orderId": name, "qty": "0.05"} for name in ids)))
    assert [desk.order(name).qty_lots for name in ids] == [50, 50]


@ORDERS.check("cancel_batch_order")
def a_batch_is_cancelled_over_the_socket(desk: Desk, client: Watched) -> None:
    ids = [entry["orderId"] for entry in asked(desk, client, "place_batch_order", **_batch(LIMIT, LIMIT))["data"]["list"]]
    asked(desk, client, "cancel_batch_order", **_batch(*({"symbol": "BTCUSDT", "orderId": name} for name in ids)))
    assert desk.rows("open_orders") == []
