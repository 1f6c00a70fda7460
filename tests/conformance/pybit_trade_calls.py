"""Calls of pybit's HTTP session that trade, each compared with the orders, fills and positions that the exchange then holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.conformance import truth
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import Desk
from tests.conformance.pybit_market_calls import PAIR, rows

from kedge.domain.orders import Side, TimeInForce
from kedge.simulation.venue_types import Status, TriggerBy

TRADE = Calls("pybit HTTP, trade")


def resting(client: Watched, **changes: Any) -> str:
    """A limit buy of 0.01 at 59,900; its id."""
    wish = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59900", **changes}
    return str(client.place_order(**PAIR, **wish)["result"]["orderId"])


@TRADE.check("place_order")
def what_was_asked_is_what_the_exchange_holds(desk: Desk, client: Watched) -> None:
    answer = client.place_order(
        **PAIR, side="Sell", orderType="Limit", qty=0.013, price=60100.5, timeInForce="PostOnly", orderLinkId="it-s_me-1",
        positionIdx="0", takeProfit=59000.0, stopLoss="60900", tpTriggerBy="MarkPrice", reduceOnly=False,
    )  # fmt: skip
    row = desk.order(answer["result"]["orderId"])
    assert answer["result"]["orderLinkId"] == row.link_id == "it-s_me-1"
    assert (row.side, row.qty_lots, row.price_ticks, row.time_in_force) == (Side.SELL, 13, 601_005, TimeInForce.POST_ONLY)
    assert (row.take_profit_ticks, row.stop_loss_ticks, row.tp_trigger_by, row.sl_trigger_by) == (
        590_000, 609_000, TriggerBy.MARK, TriggerBy.LAST,
    )  # fmt: skip
    waiting = desk.order(resting(client, side="Buy", price="60200", triggerPrice=60150.5, triggerDirection=1, triggerBy="IndexPrice"))
    assert (waiting.status, waiting.trigger_ticks, waiting.trigger_by) == (Status.UNTRIGGERED, 601_505, TriggerBy.INDEX)
    market = client.place_order(**PAIR, side="Buy", orderType="Market", qty="0.01")["result"]["orderId"]
    assert (desk.order(market).status, desk.position().lots) == (Status.FILLED, 10)


@TRADE.check("amend_order")
def an_amended_order_has_its_new_price_and_size(desk: Desk, client: Watched) -> None:
    order_id = resting(client, orderLinkId="amend-me")
    answer = client.amend_order(**PAIR, orderLinkId="amend-me", qty="0.025", price=59950.1)
    row = desk.order(order_id)
    assert answer["result"] == {"orderId": order_id, "orderLinkId": "amend-me"}
    assert (row.qty_lots, row.price_ticks, row.status) == (25, 599_501, Status.NEW)


@TRADE.check("cancel_order")
def a_cancelled_order_is_gone(desk: Desk, client: Watched) -> None:
    order_id = resting(client)
    assert client.cancel_order(**PAIR, orderId=order_id)["result"] == {"orderId": order_id, "orderLinkId": ""}
    assert desk.order(order_id).status is Status.CANCELLED


@TRADE.check("cancel_all_orders")
def cancelling_all_names_every_order(desk: Desk, client: Watched) -> None:
    ids = {resting(client), resting(client, price="59800"), resting(client, price="60300", triggerPrice="60200", triggerDirection=1)}
    answer = client.cancel_all_orders(category="linear", settleCoin="USDT")
    assert {row["orderId"] for row in rows(answer)} == ids
    assert answer["result"]["success"] == "1"
    assert desk.rows("open_orders") == []


@TRADE.check("place_batch_order")
def a_batch_is_answered_order_by_order(desk: Desk, client: Watched) -> None:
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59900", "orderLinkId": "b-1"}
    answer = client.place_batch_order(category="linear", request=[good, {**good, "orderLinkId": "b-2", "qty": "40"}])
    taken, refused = answer["result"]["list"]
    truth.assert_same(taken, {"orderId": desk.order(link_id="b-1").order_id, "orderLinkId": "b-1", "symbol": "BTCUSDT"})
    truth.assert_same(refused, {"orderId": "", "orderLinkId": "b-2", "createAt": ""})
    assert [entry["code"] for entry in answer["retExtInfo"]["list"]] == [0, 110007]


@TRADE.check("amend_batch_order")
def a_batch_of_changes_is_carried_out(desk: Desk, client: Watched) -> None:
    first, second = resting(client), resting(client)
    changes = [{"symbol": "BTCUSDT", "orderId": first, "qty": "0.02"}, {"symbol": "BTCUSDT", "orderId": second, "price": "59850"}]
    answer = client.amend_batch_order(category="linear", request=changes)
    assert [entry["orderId"] for entry in answer["result"]["list"]] == [first, second]
    assert (desk.order(first).qty_lots, desk.order(second).price_ticks) == (20, 598_500)


@TRADE.check("cancel_batch_order")
def a_batch_of_cancels_is_carried_out(desk: Desk, client: Watched) -> None:
    kept, gone = resting(client), resting(client)
    answer = client.cancel_batch_order(
        category="linear", request=[{"symbol": "BTCUSDT", "orderId": gone}, {"symbol": "BTCUSDT", "orderId": "no-such-order"}]
    )
    assert [entry["code"] for entry in answer["retExtInfo"]["list"]] == [0, 110001]
    assert (desk.order(gone).status, desk.order(kept).status) == (Status.CANCELLED, Status.NEW)


@TRADE.check("get_open_orders")
def open_orders_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    resting(client, orderLinkId="first", takeProfit="61000")
    resting(client, price="60200", triggerPrice="60150", triggerDirection=1)
    listed = rows(client.get_open_orders(**PAIR))
    held = desk.rows("open_orders")
    assert [row["orderId"] for row in listed] == [row.order_id for row in held]
    assert len(listed) == 2
    for row, order in zip(listed, held, strict=True):
        truth.assert_same(row, truth.order(order, spec))


@TRADE.check("get_order_history")
def closed_orders_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    client.cancel_order(**PAIR, orderId=resting(client))
    client.place_order(**PAIR, side="Sell", orderType="Market", qty="0.015")
    resting(client, price="60000.3", timeInForce="IOC", qty="20")
    listed = rows(client.get_order_history(category="linear", limit=50))
    held = {row.order_id: row for row in desk.rows("order_history")}
    assert {row["orderId"] for row in listed} == set(held)
    assert {row["orderStatus"] for row in listed} == {"Filled", "Cancelled"}
    for row in listed:
        truth.assert_same(row, truth.order(held[row["orderId"]], spec))


@TRADE.check("get_executions")
def fills_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    client.place_order(**PAIR, side="Buy", orderType="Market", qty="1.7", orderLinkId="sweep")
    client.place_order(**PAIR, side="Sell", orderType="Market", qty="0.4", reduceOnly=True)
    listed = rows(client.get_executions(category="linear"))
    held = {row.exec_id: row for row in desk.rows("executions")}
    assert {row["execId"] for row in listed} == set(held)
    assert len(listed) >= 3
    for row in listed:
        truth.assert_same(row, truth.execution(held[row["execId"]], spec))


@TRADE.check("get_positions")
def a_position_is_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    client.place_order(**PAIR, side="Sell", orderType="Market", qty="0.3", stopLoss="60500")
    (listed,) = rows(client.get_positions(category="linear", settleCoin="USDT"))
    truth.assert_same(listed, truth.position(desk.position(), spec))
    (flat,) = rows(client.get_positions(category="linear", symbol="ETHUSDT"))
    truth.assert_same(flat, {"symbol": "ETHUSDT", "side": "", "size": Decimal(0), "avgPrice": None})


@TRADE.check("get_closed_pnl")
def what_a_closing_order_earned_is_told(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    client.place_order(**PAIR, side="Buy", orderType="Market", qty="0.2")
    client.place_order(**PAIR, side="Sell", orderType="Market", qty="0.15")
    (row,) = rows(client.get_closed_pnl(category="linear"))
    (held,) = desk.rows("closed_pnl")
    truth.assert_same(row, truth.closed_pnl(held, spec))


@TRADE.check("set_leverage")
def leverage_is_set(desk: Desk, client: Watched) -> None:
    assert client.set_leverage(**PAIR, buyLeverage="12.5", sellLeverage="12.5")["result"] == {}
    assert desk.position().leverage_e2 == 1_250


@TRADE.check("set_trading_stop")
def stops_of_a_position_are_set_and_removed(desk: Desk, client: Watched) -> None:
    client.place_order(**PAIR, side="Buy", orderType="Market", qty="0.1")
    client.set_trading_stop(**PAIR, tpslMode="Full", positionIdx=0, takeProfit="60800", stopLoss=59200.5, slTriggerBy="MarkPrice")
    held = desk.position()
    assert (held.take_profit_ticks, held.stop_loss_ticks, held.sl_trigger_by) == (608_000, 592_005, TriggerBy.MARK)
    client.set_trading_stop(**PAIR, tpslMode="Full", positionIdx=0, takeProfit="0")
    assert (desk.position().take_profit_ticks, desk.position().stop_loss_ticks) == (0, 592_005)


@TRADE.check("switch_position_mode")
def one_way_mode_is_the_mode(desk: Desk, client: Watched) -> None:
    assert client.switch_position_mode(category="linear", coin="USDT", mode=0)["retCode"] == 0


@TRADE.check("pre_check_order")
def a_pre_check_places_nothing(desk: Desk, client: Watched) -> None:
    told = client.pre_check_order(**PAIR, side="Buy", orderType="Limit", qty="1", price="59900")["result"]
    assert desk.rows("open_orders") == []
    resting(client, qty="1")
    wallet = desk.wallet()
    rate = Decimal(wallet.order_initial_e8 + wallet.position_initial_e8) / wallet.equity_e8
    assert told["preImrE4"] == 0
    assert abs(Decimal(told["postImrE4"]) / 10_000 - rate) <= Decimal("0.0001")


@TRADE.check("set_dcp")
def protection_of_the_disconnected_is_armed(desk: Desk, client: Watched) -> None:
    client.set_dcp(product="DERIVATIVES", timeWindow=40)
    assert desk.exchange.hall.disconnect_windows_s[desk.account] == 40
    assert client.query_dcp_info()["result"]["dcpInfos"] == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "40"}]
