"""How orders are read: what is accepted in which form, what is refused with which code and text."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue_types import OrderRequest, TriggerBy
from kedge.venues.exchange.orders_in import Amendment, Scope, Target, parse_amend, parse_cancel, parse_cancel_all, parse_create
from kedge.venues.exchange.routes import ApiError

from ....builders import AAA, BBB
from .trading_desk import A, Desk

HALL = Desk().hall
LIMIT: dict[str, Any] = {"category": "linear", "symbol": A, "side": "Buy", "orderType": "Limit", "qty": "0.125", "price": "99.5"}


def request(**changes: Any) -> OrderRequest:
    found = parse_create({**LIMIT, **changes}, HALL)
    assert isinstance(found, OrderRequest), found
    return found


def error(found: object) -> tuple[int, str]:
    assert isinstance(found, ApiError), found
    return found.code, found.message


def test_a_plain_limit_order_is_read() -> None:
    found = request(orderLinkId="my-1", timeInForce="PostOnly", reduceOnly=False, positionIdx=0)
    assert found == OrderRequest(
        instrument=AAA, side=Side.BUY, kind=OrderKind.LIMIT, qty_lots=125, limit_ticks=995,
        time_in_force=TimeInForce.POST_ONLY, link_id="my-1",
    )  # fmt: skip


@pytest.mark.parametrize("qty", ["0.125", "0.12500", 0.125, "0.1259", "1.25e-1", " 0.125 "])
def test_quantities_are_texts_or_numbers_and_cut_to_the_step(qty: object) -> None:
    assert request(qty=qty).qty_lots == 125


@pytest.mark.parametrize("price", ["99.5", "99.50", 99.5, "9.95e1"])
def test_prices_are_texts_or_numbers(price: object) -> None:
    assert request(price=price).limit_ticks == 995


def test_whole_json_numbers_are_read() -> None:
    found = request(qty=2, price=100)
    assert (found.qty_lots, found.limit_ticks) == (2_000, 1_000)


@pytest.mark.parametrize("qty", ["", None, "x", "-1", "0", "0.0009", "nan", "inf", "1_0", True, [1], "1e30", float("inf")])
def test_a_quantity_that_is_none_is_refused(qty: object) -> None:
    assert error(parse_create({**LIMIT, "qty": qty}, HALL)) == (10001, "Qty invalid")


def test_a_reduce_only_quantity_below_the_step_says_so() -> None:
    assert error(parse_create({**LIMIT, "qty": "0.0009", "reduceOnly": True}, HALL))[0] == 110017


def test_zero_with_both_flags_closes_the_whole_position() -> None:
    assert request(qty="0", reduceOnly="true", closeOnTrigger=True).qty_lots == 0
    assert error(parse_create({**LIMIT, "qty": "0", "reduceOnly": True}, HALL)) == (10001, "Qty invalid")


@pytest.mark.parametrize("price", ["99.55", "1000000.1", "99.500000001"])
def test_a_price_off_the_grid_or_past_the_largest_is_refused(price: str) -> None:
    assert error(parse_create({**LIMIT, "price": price}, HALL))[0] in (110003, 10001)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"category": None}, "category"),
        ({"category": "shares"}, "category"),
        ({"category": ["linear"]}, "category"),
        ({"category": "spot"}, "Not supported symbols"),
        ({"symbol": "ZZZUSDT"}, "Not supported symbols"),
        ({"symbol": None}, "Not supported symbols"),
        ({"symbol": 7}, "Not supported symbols"),
        ({"side": "buy"}, "side"),
        ({"orderType": "Stop"}, "orderType"),
        ({"price": "x"}, "price"),
        ({"timeInForce": "RPI"}, "timeInForce"),
        ({"reduceOnly": "yes"}, "reduceOnly"),
        ({"reduceOnly": 1}, "reduceOnly"),
        ({"closeOnTrigger": "yes"}, "closeOnTrigger"),
        ({"positionIdx": 1}, "position idx not match position mode"),
        ({"positionIdx": "2"}, "position idx not match position mode"),
        ({"positionIdx": 3}, "positionIdx"),
        ({"positionIdx": True}, "positionIdx"),
        ({"smpType": "Cancel"}, "smpType"),
        ({"triggerPrice": "101", "triggerDirection": 3}, "triggerDirection"),
        ({"triggerPrice": "101", "triggerDirection": 1, "triggerBy": "Last"}, "triggerBy"),
        ({"tpslMode": "Partial"}, "tpslMode Full"),
        ({"tpOrderType": "Limit"}, "tpslMode Full"),
        ({"slLimitPrice": "90"}, "tpslMode Full"),
        ({"slippageToleranceType": "TickSize", "slippageTolerance": "5"}, "slippageTolerance"),
        ({"bboSideType": "Queue"}, "bboSideType"),
    ],
)
def test_what_cannot_be_read_or_done_is_refused_with_its_name(changes: dict[str, Any], text: str) -> None:
    code, message = error(parse_create({**LIMIT, **changes}, HALL))
    assert code == 10001
    assert text in message


def test_null_and_empty_members_are_absent() -> None:
    empty = dict.fromkeys(("orderLinkId", "timeInForce", "triggerPrice", "takeProfit", "stopLoss", "tpslMode", "smpType"), "")
    nothing = dict.fromkeys((*empty, "reduceOnly", "closeOnTrigger", "positionIdx", "slippageTolerance", "tpTriggerBy"))
    assert request(**empty) == request(**nothing) == request()


def test_a_market_order_has_no_price_and_is_immediate() -> None:
    found = request(orderType="Market", price="1", timeInForce="FOK")
    assert (found.kind, found.limit_ticks, found.time_in_force) == (OrderKind.MARKET, 0, TimeInForce.IOC)
    assert request(orderType="Market").time_in_force is TimeInForce.IOC
    assert request(orderType="Market", timeInForce="PostOnly").time_in_force is TimeInForce.POST_ONLY


def test_a_conditional_order_with_stops_is_read() -> None:
    found = request(
        triggerPrice="101", triggerDirection=1, triggerBy="MarkPrice", takeProfit="120", stopLoss="90.5", slTriggerBy="IndexPrice",
        tpslMode="Full", tpOrderType="Market", smpType="CancelMaker", closeOnTrigger="false", orderFilter="whatever",
    )  # fmt: skip
    assert (found.trigger_ticks, found.trigger_direction, found.trigger_by) == (1_010, 1, TriggerBy.MARK)
    assert (found.take_profit_ticks, found.stop_loss_ticks) == (1_200, 905)
    assert (found.tp_trigger_by, found.sl_trigger_by) == (TriggerBy.LAST, TriggerBy.INDEX)
    assert found.self_trade is SelfTrade.CANCEL_MAKER


def test_a_trigger_of_zero_is_none() -> None:
    found = request(triggerPrice="0", triggerDirection=1, takeProfit="0", stopLoss=0)
    assert (found.trigger_ticks, found.trigger_direction, found.take_profit_ticks, found.stop_loss_ticks) == (0, 0, 0, 0)


def test_an_amendment_leaves_out_what_is_not_sent() -> None:
    base = {"category": "linear", "symbol": A, "orderId": "x"}
    assert parse_amend(base, HALL) == Amendment(Target(AAA, "x", ""), None, None, None)
    full = {**base, "orderLinkId": "y", "qty": 1, "price": "99", "triggerPrice": "98.1"}
    assert parse_amend(full, HALL) == Amendment(Target(AAA, "x", "y"), 1_000, 990, 981)


def test_stops_of_an_order_cannot_be_amended() -> None:
    found = parse_amend({"category": "linear", "symbol": A, "orderId": "x", "stopLoss": "90"}, HALL)
    assert "trading-stop" in error(found)[1]


@pytest.mark.parametrize("parse", [parse_amend, parse_cancel])
def test_an_order_must_be_named(parse: Any) -> None:
    assert "orderId or orderLinkId" in error(parse({"category": "linear", "symbol": A, "orderId": None}, HALL))[1]


def test_a_cancel_names_its_order() -> None:
    assert parse_cancel({"category": "linear", "symbol": A, "orderLinkId": "y"}, HALL) == Target(AAA, "", "y")


@pytest.mark.parametrize(
    ("params", "scope"),
    [
        ({"symbol": A, "settleCoin": "USDT"}, Scope((AAA,), None, False)),
        ({"settleCoin": "USDT"}, Scope((AAA, BBB), None, False)),
        ({"baseCoin": "BBB", "settleCoin": "USDT"}, Scope((BBB,), None, False)),
        ({"settleCoin": "USDC"}, Scope((), None, False)),
        ({"symbol": A, "orderFilter": "Order"}, Scope((AAA,), False, False)),
        ({"symbol": A, "orderFilter": "StopOrder"}, Scope((AAA,), True, False)),
        ({"symbol": A, "orderFilter": "OpenOrder"}, Scope((AAA,), None, False)),
        ({"symbol": A, "stopOrderType": "Stop"}, Scope((AAA,), True, True)),
        ({"symbol": A, "category": "inverse"}, Scope((), None, False)),
    ],
)
def test_a_cancel_all_has_a_scope(params: dict[str, Any], scope: Scope) -> None:
    assert parse_cancel_all({"category": "linear", **params}, HALL) == scope


def test_a_cancel_all_of_nothing_in_particular_is_refused() -> None:
    assert "symbol or settleCoin or baseCoin" in error(parse_cancel_all({"category": "linear"}, HALL))[1]
    assert error(parse_cancel_all({"category": "linear", "symbol": "ZZZ"}, HALL))[1] == "Not supported symbols"
