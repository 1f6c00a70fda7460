"""Trade endpoints against a real venue: the life of orders as a REST client sees it, lists, filters, pages, batches."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.simulation.venue_types import OrderRow, WalletRow
from kedge.venues.exchange.order_ops import batch_size, create_batch
from kedge.venues.exchange.routes import Reply

from ....builders import AAA, BBB, HOUR, T0
from .trading_desk import A, B, Desk, refused, rows

LINEAR = {"category": "linear", "symbol": A}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def realtime(desk: Desk, **params: Any) -> list[dict[str, Any]]:
    return rows(desk.get("/v5/order/realtime", **{**LINEAR, **params}))


def history(desk: Desk, **params: Any) -> list[dict[str, Any]]:
    return rows(desk.get("/v5/order/history", category="linear", **params))


def executions(desk: Desk, **params: Any) -> list[dict[str, Any]]:
    return rows(desk.get("/v5/execution/list", category="linear", **params))


# --- create, amend, cancel -----------------------------------------------------------------------------------------------


def test_an_order_is_created_found_amended_and_cancelled(desk: Desk) -> None:
    made = desk.order(orderLinkId="bot-1")["result"]
    assert made["orderLinkId"] == "bot-1"
    assert [row["orderId"] for row in realtime(desk)] == [made["orderId"]]
    assert desk.post("/v5/order/amend", **LINEAR, orderLinkId="bot-1", price="98.5", qty="0.2")["result"] == made
    (row,) = realtime(desk, orderId=made["orderId"])
    assert (row["price"], row["qty"], row["orderStatus"]) == ("98.5", "0.200", "New")
    assert desk.post("/v5/order/cancel", **LINEAR, orderId=made["orderId"])["result"] == made
    assert realtime(desk) == []
    (gone,) = realtime(desk, orderLinkId="bot-1")
    assert (gone["orderStatus"], gone["cancelType"], gone["rejectReason"]) == ("Cancelled", "CancelByUser", "EC_PerCancelRequest")


def test_what_an_operation_changed_is_published_before_it_answers(desk: Desk) -> None:
    desk.order()
    assert [type(row) for row in desk.changes if isinstance(row, OrderRow | WalletRow)] == [OrderRow, WalletRow]


def test_an_order_of_another_symbol_or_account_is_not_found(desk: Desk) -> None:
    order_id = desk.order()["result"]["orderId"]
    assert refused(desk.post("/v5/order/cancel", category="linear", symbol=B, orderId=order_id))[0] == 110001
    assert refused(desk.post("/v5/order/cancel", "b", **LINEAR, orderId=order_id))[0] == 110001
    assert refused(desk.post("/v5/order/amend", "b", **LINEAR, orderId=order_id, qty="1"))[0] == 110001


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"orderLinkId": "taken"}, 110072, "OrderLinkedID is duplicate"),
        ({"orderLinkId": "x" * 37}, 10001, "order link id is longer than 45"),
        ({"orderLinkId": "a b"}, 10001, "character"),
        ({"qty": "1000"}, 110007, "ab not enough for new order"),
        ({"qty": "2000"}, 10001, "Qty invalid"),
        ({"qty": "0.01"}, 110094, "Order does not meet minimum order value 5USDT"),
        ({"price": None}, 110003, "price is invalid"),
        ({"reduceOnly": True}, 110017, "current position is zero, cannot fix reduce-only order qty"),
        ({"reduceOnly": True, "stopLoss": "90"}, 10001, "reduce-only orders may not set"),
        ({"takeProfit": "98"}, 10001, "TakeProfit"),
        ({"triggerPrice": "99", "triggerDirection": 1}, 110092, "expect Rising"),
        ({"triggerPrice": "101", "triggerDirection": 2}, 110093, "expect Falling"),
        ({"triggerPrice": "101"}, 10001, "triggerDirection"),
        ({"orderType": "Market", "timeInForce": "PostOnly"}, 10001, "post only"),
    ],
)
def test_a_refused_order_brings_the_venues_code_and_text(desk: Desk, body: dict[str, Any], code: int, text: str) -> None:
    desk.order(orderLinkId="taken")
    found = desk.order(**body)
    assert found["retCode"] == code
    assert text in found["retMsg"]
    assert found["result"] == {}
    assert len(realtime(desk)) == 1


def test_an_amendment_without_a_change_and_one_below_the_fill_are_refused(desk: Desk) -> None:
    order_id = desk.order(qty="0.1")["result"]["orderId"]
    assert refused(desk.post("/v5/order/amend", **LINEAR, orderId=order_id, qty="0.1"))[1].startswith("The order remains unchanged")
    assert refused(desk.post("/v5/order/amend", **LINEAR, orderId=order_id))[0] == 10001
    assert refused(desk.post("/v5/order/amend", **LINEAR, orderId="none", qty="0.1"))[0] == 110001


def test_a_waiting_order_takes_a_new_trigger(desk: Desk) -> None:
    order_id = desk.order(triggerPrice="102", triggerDirection=1, price="103")["result"]["orderId"]
    desk.post("/v5/order/amend", **LINEAR, orderId=order_id, triggerPrice="101.5")
    (row,) = realtime(desk, orderFilter="StopOrder")
    assert (row["triggerPrice"], row["orderStatus"], row["stopOrderType"]) == ("101.5", "Untriggered", "Stop")


def test_a_post_only_order_that_would_take_is_accepted_and_cancelled(desk: Desk) -> None:
    order_id = desk.order(price="100.5", timeInForce="PostOnly")["result"]["orderId"]
    (row,) = realtime(desk, orderId=order_id)
    assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")
    assert (row["cancelType"], row["leavesQty"], row["cumExecQty"]) == ("UNKNOWN", "0.000", "0.000")


@pytest.mark.parametrize("action", ["amend", "cancel"])
def test_an_operation_that_names_no_order_changes_nothing(desk: Desk, action: str) -> None:
    desk.order()
    assert "orderId or orderLinkId" in refused(desk.post(f"/v5/order/{action}", **LINEAR, qty="5"))[1]
    assert [row["qty"] for row in realtime(desk)] == ["0.100"]


def test_several_stops_of_several_symbols_can_be_cancelled_alone(desk: Desk) -> None:
    desk.order(symbol=B, triggerPrice="105", triggerDirection=1, orderLinkId="b")
    desk.order(triggerPrice="105", triggerDirection=1, orderLinkId="a")
    found = desk.post("/v5/order/cancel-all", category="linear", settleCoin="USDT", stopOrderType="Stop")
    assert [row["orderLinkId"] for row in found["result"]["list"]] == ["a", "b"]


# --- cancel-all ----------------------------------------------------------------------------------------------------------


def mixed(desk: Desk) -> dict[str, str]:
    """An active order, a stop and a position's stop loss in one symbol, an active order in the other."""
    desk.buy("0.5", stopLoss="90")
    return {
        "active": desk.order()["result"]["orderId"],
        "stop": desk.order(triggerPrice="105", triggerDirection=1)["result"]["orderId"],
        "other": desk.order(symbol=B)["result"]["orderId"],
        "loss": realtime(desk, orderFilter="StopOrder")[-1]["orderId"],
    }


@pytest.mark.parametrize(
    ("scope", "gone"),
    [
        ({"symbol": A}, {"active", "stop", "loss"}),
        ({"symbol": A, "orderFilter": "Order"}, {"active"}),
        ({"symbol": A, "orderFilter": "StopOrder"}, {"stop", "loss"}),
        ({"symbol": A, "orderFilter": "StopOrder", "stopOrderType": "Stop"}, {"stop"}),
        ({"settleCoin": "USDT"}, {"active", "stop", "loss", "other"}),
        ({"baseCoin": "BBB"}, {"other"}),
        ({"settleCoin": "USDC"}, set()),
    ],
)
def test_cancel_all_cancels_what_it_names(desk: Desk, scope: dict[str, str], gone: set[str]) -> None:
    made = mixed(desk)
    found = desk.post("/v5/order/cancel-all", category="linear", **scope)
    assert found["result"]["success"] == "1"
    assert {row["orderId"] for row in found["result"]["list"]} == {made[name] for name in gone}
    left = {row["orderId"] for row in realtime(desk, symbol="", settleCoin="USDT")}
    assert left == {order_id for name, order_id in made.items() if name not in gone}


def test_cancel_all_needs_a_scope(desk: Desk) -> None:
    assert "symbol or settleCoin or baseCoin" in refused(desk.post("/v5/order/cancel-all", category="linear"))[1]


# --- batches -------------------------------------------------------------------------------------------------------------

ITEM = {"symbol": A, "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "99"}


def test_a_batch_takes_and_refuses_each_order_by_itself(desk: Desk) -> None:
    request = [{**ITEM, "orderLinkId": "b-1"}, {**ITEM, "orderLinkId": "b-2", "qty": "1000"}, {**ITEM, "category": "linear"}]
    found = desk.post("/v5/order/create-batch", category="linear", request=request)
    first, second, third = found["result"]["list"]
    assert (first["orderLinkId"], first["createAt"], first["category"], first["symbol"]) == ("b-1", str(T0 // 10**6), "linear", A)
    assert second == {"category": "linear", "symbol": A, "orderId": "", "orderLinkId": "b-2", "createAt": ""}
    assert third["orderId"] not in ("", first["orderId"])
    assert found["retExtInfo"]["list"] == [
        {"code": 0, "msg": "OK"}, {"code": 110007, "msg": "ab not enough for new order"}, {"code": 0, "msg": "OK"},
    ]  # fmt: skip
    assert len(realtime(desk)) == 2


def test_batches_amend_and_cancel(desk: Desk) -> None:
    ids = [desk.order()["result"]["orderId"], desk.order(triggerPrice="105", triggerDirection=1)["result"]["orderId"]]
    amended = desk.post(
        "/v5/order/amend-batch", category="linear",
        request=[{"symbol": A, "orderId": ids[0], "qty": "0.2"}, {"symbol": A, "orderId": ids[1], "qty": "0.2"}, {"symbol": A}],
    )  # fmt: skip
    assert [note["code"] for note in amended["retExtInfo"]["list"]] == [0, 10001, 10001]
    assert [row["qty"] for row in realtime(desk)] == ["0.100", "0.200"]
    gone = desk.post(
        "/v5/order/cancel-batch", category="linear", request=[{"symbol": A, "orderId": order_id} for order_id in (*ids, "none")]
    )
    assert [note["code"] for note in gone["retExtInfo"]["list"]] == [0, 0, 110001]
    assert gone["result"]["list"][2] == {"category": "linear", "symbol": A, "orderId": "none", "orderLinkId": ""}
    assert realtime(desk) == []


@pytest.mark.parametrize("request_", [None, [], "x", [1], [ITEM] * 21])
def test_a_batch_has_one_to_twenty_orders(desk: Desk, request_: object) -> None:
    assert refused(desk.post("/v5/order/create-batch", category="linear", request=request_))[0] == 10001


def test_a_batch_needs_a_category(desk: Desk) -> None:
    assert "category" in refused(desk.post("/v5/order/create-batch", request=[ITEM]))[1]


def test_a_batch_counts_its_orders() -> None:
    assert [batch_size(params) for params in ({"request": [ITEM] * 3}, {"request": []}, {}, {"request": "x"})] == [3, 1, 1, 1]


def test_what_does_not_fit_the_rate_limit_is_refused_one_by_one(desk: Desk) -> None:
    found = create_batch(desk.hall, "777001", {"category": "linear", "request": [ITEM] * 3}, allowed=2)
    assert isinstance(found, Reply)
    assert b'"code":10006' in found.ext
    assert found.ext.count(b'"code":0') == 2
    assert len(realtime(desk)) == 2


# --- lists ---------------------------------------------------------------------------------------------------------------


def test_realtime_filters(desk: Desk) -> None:
    made = mixed(desk)
    assert {row["orderId"] for row in realtime(desk, orderFilter="Order")} == {made["active"]}
    assert {row["orderId"] for row in realtime(desk, orderFilter="StopOrder")} == {made["stop"], made["loss"]}
    assert {row["orderId"] for row in realtime(desk, symbol="", baseCoin="BBB")} == {made["other"]}
    assert realtime(desk, symbol=B, orderId=made["active"]) == []
    assert [row["orderId"] for row in realtime(desk, symbol="", settleCoin="USDT", orderId=made["other"])] == [made["other"]]
    assert [row["orderStatus"] for row in realtime(desk, openOnly="1")] == ["Filled"]


def test_open_orders_come_newest_first_over_pages(desk: Desk) -> None:
    made = [desk.order(orderLinkId=f"n-{n}")["result"]["orderLinkId"] for n in range(45)]
    seen: list[str] = []
    cursor, pages = "", 0
    while True:
        found = desk.get("/v5/order/realtime", **LINEAR, cursor=cursor, limit="20")
        seen += [row["orderLinkId"] for row in rows(found)]
        pages, cursor = pages + 1, found["result"]["nextPageCursor"]
        if pages == 1:
            desk.order(orderLinkId="late")  # what comes later does not shift the pages
        if not cursor:
            break
        assert "%" in cursor
    assert (pages, seen) == (3, made[::-1])


@pytest.mark.parametrize("recode", [lambda text: text, lambda text: text.replace("%", "%25"), lambda text: text.replace("%3D", "=")])
def test_a_cursor_is_understood_raw_decoded_and_encoded_again(desk: Desk, recode: Any) -> None:
    for _ in range(3):
        desk.order()
    first = desk.get("/v5/order/realtime", **LINEAR, limit="2")["result"]["nextPageCursor"]
    assert len(rows(desk.get("/v5/order/realtime", **LINEAR, cursor=recode(first)))) == 1


@pytest.mark.parametrize("params", [{"cursor": "xyz"}, {"limit": "0"}, {"limit": "x"}, {"orderFilter": "tpslOrder"}, {"openOnly": "2"}])
def test_wrong_members_of_a_list_are_named(desk: Desk, params: dict[str, str]) -> None:
    code, text = refused(desk.get("/v5/order/realtime", **LINEAR, **params))
    assert code == 10001
    assert next(iter(params)) in text


def test_realtime_needs_a_symbol_or_coin(desk: Desk) -> None:
    assert refused(desk.get("/v5/order/realtime", category="linear")) == (
        10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin",
    )  # fmt: skip
    assert refused(desk.get("/v5/order/realtime", category="linear", symbol="ZZZ"))[1] == "Not supported symbols"
    assert "category" in refused(desk.get("/v5/order/realtime", symbol=A))[1]


@pytest.mark.parametrize("path", ["/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/closed-pnl"])
def test_other_categories_are_empty(desk: Desk, path: str) -> None:
    assert desk.get(path, category="spot")["result"] == {"list": [], "nextPageCursor": ""}


def test_history_holds_closed_orders_by_status_symbol_and_id(desk: Desk) -> None:
    desk.buy("0.1", orderLinkId="bought")
    desk.order(orderLinkId="open")
    order_id = desk.order(symbol=B)["result"]["orderId"]
    desk.post("/v5/order/cancel", category="linear", symbol=B, orderId=order_id)
    assert [row["symbol"] for row in history(desk)] == [B, A]
    assert [row["orderLinkId"] for row in history(desk, orderStatus="Filled")] == ["bought"]
    assert [row["symbol"] for row in history(desk, symbol=B)] == [B]
    assert [row["orderId"] for row in history(desk, orderId=order_id)] == [order_id]
    assert history(desk, orderLinkId="open") == []
    assert refused(desk.get("/v5/order/history", category="linear", orderStatus="Gone"))[0] == 10001


def test_history_forgets_orders_without_a_fill_after_a_day(desk: Desk) -> None:
    desk.buy("0.1", orderLinkId="bought")
    order_id = desk.order()["result"]["orderId"]
    desk.post("/v5/order/cancel", **LINEAR, orderId=order_id)
    desk.wait(NS_PER_DAY + NS_PER_S)
    assert [row["orderLinkId"] for row in history(desk)] == ["bought"]
    assert history(desk, orderId=order_id) == []
    desk.wait(7 * NS_PER_DAY)
    assert history(desk) == []
    start = T0 // 10**6
    assert len(history(desk, startTime=start)) == len(history(desk, startTime=start, endTime=start)) == 1
    assert len(history(desk, endTime=start + 1)) == 1


def test_a_time_range_is_at_most_seven_days_and_forward(desk: Desk) -> None:
    start = T0 // 10**6
    assert refused(desk.get("/v5/order/history", category="linear", startTime=start, endTime=start + 7 * 86_400_000 + 1))[0] == 181010
    assert refused(desk.get("/v5/order/history", category="linear", startTime=start, endTime=start - 1))[0] == 10001


def test_executions_filter_and_page(desk: Desk) -> None:
    for n in range(7):
        desk.buy("0.1", orderLinkId=f"n-{n}")
        desk.clock.now_ns += NS_PER_S
    desk.buy("0.1", symbol=B)
    assert len(executions(desk)) == 8
    assert [row["orderLinkId"] for row in executions(desk, orderLinkId="n-3", symbol="ZZZ")] == ["n-3"]
    order_id = executions(desk, symbol=B)[0]["orderId"]
    assert [row["symbol"] for row in executions(desk, orderId=order_id)] == [B]
    since = (T0 + 5 * NS_PER_S) // 10**6
    assert [row["orderLinkId"] for row in executions(desk, startTime=since, symbol=A)] == ["n-6", "n-5"]
    seen, cursor = [], ""
    for size in (3, 3, 1):
        found = desk.get("/v5/execution/list", **LINEAR, limit="3", cursor=cursor)
        assert len(rows(found)) == size
        seen += [row["orderLinkId"] for row in rows(found)]
        cursor = found["result"]["nextPageCursor"]
    assert (cursor, seen) == ("", [f"n-{n}" for n in range(6, -1, -1)])


def test_fundings_are_executions_that_a_filter_keeps_apart(desk: Desk) -> None:
    desk.buy("0.1")
    desk.venue.set_funding_rate(AAA, 10_000)
    desk.wait(8 * HOUR)
    assert [row["execType"] for row in executions(desk)] == ["Funding", "Trade"]
    assert [row["execType"] for row in executions(desk, execType="Trade")] == ["Trade"]
    assert [row["execFee"] for row in executions(desk, execType="Funding")] == ["0.001"]
    assert refused(desk.get("/v5/execution/list", category="linear", execType="Gift"))[0] == 10001


# --- pre-check and disconnection -----------------------------------------------------------------------------------------


def test_a_pre_check_tells_the_rates_and_changes_nothing(desk: Desk) -> None:
    body = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "100", "price": "99", "orderLinkId": "maybe"}
    before = desk.venue.wallet("777001")
    found = desk.post("/v5/order/pre-check", **body)["result"]
    assert (found["orderLinkId"], found["preImrE4"], found["preMmrE4"]) == ("maybe", 0, 0)
    assert desk.venue.wallet("777001") == before
    assert realtime(desk) == []
    desk.order(qty="100")
    after = desk.venue.wallet("777001")
    assert found["postImrE4"] == round(after.order_initial_e8 / after.equity_e8 * 10_000)
    desk.buy("15", symbol=B)
    held = desk.venue.position("777001", BBB)
    predicted = Desk().post("/v5/order/pre-check", **{**LINEAR, "side": "Buy", "orderType": "Market", "qty": "15"})["result"]["postMmrE4"]
    assert predicted == round(held.maintenance_e8 / (10_000 * E8) * 10_000)


def test_a_pre_check_of_a_reducing_order_lowers_maintenance_alone(desk: Desk) -> None:
    desk.buy("15")
    found = desk.post("/v5/order/pre-check", **LINEAR, side="Sell", orderType="Market", qty="15", reduceOnly=True)["result"]
    assert (found["postMmrE4"], found["postImrE4"]) == (0, found["preImrE4"])
    assert found["preMmrE4"] > 0
    sold = desk.post("/v5/order/pre-check", **LINEAR, side="Sell", orderType="Market", qty="15")["result"]
    assert sold == found


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"qty": "1000"}, 110007),
        ({"qty": "x"}, 10001),
        ({"qty": "0.001"}, 110094),
        ({"triggerPrice": "105", "triggerDirection": 1}, 10001),
    ],
)
def test_a_pre_check_refuses_what_a_create_would(desk: Desk, changes: dict[str, Any], code: int) -> None:
    body = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "1", "price": "99", **changes}
    assert refused(desk.post("/v5/order/pre-check", **body))[0] == code


def test_disconnect_protection_is_kept_per_account(desk: Desk) -> None:
    assert desk.post("/v5/order/disconnected-cancel-all", product="DERIVATIVES", timeWindow=10)["result"] == {}
    assert desk.hall.disconnect_windows_s == {"777001": 10}
    info = desk.get("/v5/account/query-dcp-info")["result"]["dcpInfos"]
    assert info == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}]
    assert desk.get("/v5/account/query-dcp-info", "b")["result"]["dcpInfos"] == []
    assert desk.get("/v5/account/info")["result"]["dcpStatus"] == "ON"


@pytest.mark.parametrize("body", [{"timeWindow": 10}, {"product": "DERIVATIVES", "timeWindow": 2}, {"product": "DERIVATIVES"}])
def test_disconnect_protection_is_refused_where_it_would_not_protect(desk: Desk, body: dict[str, Any]) -> None:
    assert refused(desk.post("/v5/order/disconnected-cancel-all", **body))[0] == 10001
    assert desk.hall.disconnect_windows_s == {}
