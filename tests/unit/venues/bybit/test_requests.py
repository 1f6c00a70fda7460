"""Requests as the venue documents them: their members, and what is refused before it is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.requests import Amend, Create, Direction, PositionIdx, StopMode, Stops, Trigger, TriggerBy
from kedge.venues.bybit.requests_position import TradingStop, leverage_text, margin_text

PLAIN = Create(symbol="BTCUSDT", side=Direction.BUY, qty="0.010", order_link_id="c-1")
SENT = {
    "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.010", "orderLinkId": "c-1", "positionIdx": 0,
    "reduceOnly": False, "smpType": "CancelMaker",
}  # fmt: skip


def create(**changed: Any) -> Create:
    return msgspec.structs.replace(PLAIN, **changed)


def stop(**changed: Any) -> TradingStop:
    return msgspec.structs.replace(TradingStop(symbol="BTCUSDT", stop_loss="59000"), **changed)


@pytest.mark.parametrize(
    ("changed", "members"),
    [
        ({}, {}),
        ({"price": "60000.1", "time_in_force": "PostOnly"}, {"orderType": "Limit", "price": "60000.1", "timeInForce": "PostOnly"}),
        ({"side": Direction.SELL, "self_trade": "CancelBoth"}, {"side": "Sell", "smpType": "CancelBoth"}),
        (
            {"trigger": Trigger(price="62000", rises=True)},
            {"triggerPrice": "62000", "triggerDirection": 1, "triggerBy": "MarkPrice"},
        ),
        (
            {"trigger": Trigger(price="58000", rises=False, by=TriggerBy.LAST), "reduce_only": True, "close_on_trigger": True, "qty": "0"},
            {
                "triggerPrice": "58000", "triggerDirection": 2, "triggerBy": "LastPrice", "reduceOnly": True, "closeOnTrigger": True,
                "qty": "0",
            },
        ),
        (
            {"stops": Stops(take_profit="65000", stop_loss="58000", by=TriggerBy.INDEX)},
            {
                "tpslMode": "Full", "takeProfit": "65000", "stopLoss": "58000", "tpTriggerBy": "IndexPrice", "slTriggerBy": "IndexPrice",
            },
        ),
        (
            {"stops": Stops(take_profit="65000", take_profit_limit="65010", mode=StopMode.PARTIAL)},
            {"tpslMode": "Partial", "takeProfit": "65000", "tpTriggerBy": "MarkPrice", "tpLimitPrice": "65010", "tpOrderType": "Limit"},
        ),
        ({"slippage_ticks": "20"}, {"slippageToleranceType": "TickSize", "slippageTolerance": "20"}),
        ({"slippage_percent": "0.25"}, {"slippageToleranceType": "Percent", "slippageTolerance": "0.25"}),
        ({"book_side": "Queue", "book_level": "1"}, {"orderType": "Limit", "bboSideType": "Queue", "bboLevel": "1"}),
        ({"position": PositionIdx.LONG}, {"positionIdx": 1}),
        ({"position": PositionIdx.SHORT, "reduce_only": True}, {"positionIdx": 2, "reduceOnly": True}),
        ({"position": PositionIdx.SHORT, "side": Direction.SELL}, {"positionIdx": 2, "side": "Sell"}),
        (
            {"position": PositionIdx.LONG, "side": Direction.SELL, "reduce_only": True},
            {"positionIdx": 1, "side": "Sell", "reduceOnly": True},
        ),
    ],
)  # fmt: skip
def test_a_create_says_what_the_venue_documents(changed: dict[str, Any], members: dict[str, Any]) -> None:
    assert create(**changed).fields() == SENT | members


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"qty": "0"}, "qty is '0'"),
        ({"qty": "1e3"}, "qty is '1e3'"),
        ({"qty": "-1"}, "qty is '-1'"),
        ({"price": "0.0"}, "price is '0.0'"),
        ({"order_link_id": ""}, "orderLinkId"),
        ({"order_link_id": "a b"}, "orderLinkId"),
        ({"order_link_id": "x" * 37}, "orderLinkId"),
        ({"self_trade": "Sometimes"}, "smpType"),
        ({"price": "1", "time_in_force": "Later"}, "timeInForce"),
        ({"time_in_force": "PostOnly"}, "market order PostOnly"),
        ({"price": "1", "book_side": "Queue", "book_level": "1"}, "price and bboLevel"),
        ({"book_side": "Queue", "book_level": "6"}, "bboLevel"),
        ({"book_side": "Front", "book_level": "1"}, "bboSideType"),
        ({"reduce_only": True, "stops": Stops(stop_loss="1")}, "reduceOnly with stops"),
        ({"close_on_trigger": True}, "closeOnTrigger"),
        ({"stops": Stops()}, "stops are empty"),
        ({"stops": Stops(stop_loss="1", stop_loss_limit="1")}, "Full with a limit"),
        ({"stops": Stops(stop_loss="1", take_profit_limit="1", mode=StopMode.PARTIAL)}, "tpLimitPrice without"),
        ({"position": PositionIdx.LONG, "reduce_only": True}, "long side"),
        ({"position": PositionIdx.LONG, "side": Direction.SELL}, "long side"),
        ({"position": PositionIdx.SHORT}, "short side"),
        ({"price": "1", "slippage_ticks": "5"}, "slippageTolerance"),
        ({"slippage_ticks": "5", "trigger": Trigger(price="1", rises=True)}, "slippageTolerance"),
        ({"slippage_ticks": "5", "stops": Stops(stop_loss="1")}, "slippageTolerance"),
        ({"slippage_ticks": "5", "slippage_percent": "1"}, "two slippage"),
        ({"slippage_ticks": "10001"}, "ticks"),
        ({"slippage_ticks": "1.5"}, "ticks"),
        ({"slippage_percent": "11"}, "%"),
        ({"slippage_percent": "0.125"}, "%"),
        ({"trigger": Trigger(price="", rises=True)}, "triggerPrice"),
    ],
)
def test_an_impossible_create_is_refused_before_it_is_sent(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was sent") as caught:
        create(**changed).fields()
    assert words in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_an_amend_names_one_order_and_changes_something() -> None:
    assert Amend(symbol="BTCUSDT", order_id="v-1", qty="0.02", price="1.5", trigger_price="2", take_profit="0").fields() == {
        "symbol": "BTCUSDT", "orderId": "v-1", "qty": "0.02", "price": "1.5", "triggerPrice": "2", "takeProfit": "0",
    }  # fmt: skip
    for wrong in (
        Amend(symbol="BTCUSDT", order_link_id="a", order_id="b", qty="1"),
        Amend(symbol="BTCUSDT", qty="1"),
        Amend(symbol="BTCUSDT", order_link_id="a"),
        Amend(symbol="BTCUSDT", order_link_id="a", qty="0"),
        Amend(symbol="BTCUSDT", order_link_id="a", stop_loss="x"),
    ):
        with pytest.raises(InvalidInput):
            wrong.fields()


@pytest.mark.parametrize(
    ("changed", "members"),
    [
        ({}, {"tpslMode": "Full", "stopLoss": "59000", "slTriggerBy": "MarkPrice"}),
        ({"stop_loss": "0"}, {"tpslMode": "Full", "stopLoss": "0", "slTriggerBy": "MarkPrice"}),
        (
            {"stop_loss": "", "trailing_stop": "150", "active_price": "62000", "position": PositionIdx.LONG},
            {"tpslMode": "Full", "trailingStop": "150", "activePrice": "62000", "positionIdx": 1},
        ),
        (
            {"mode": StopMode.PARTIAL, "size": "0.004", "take_profit": "65000", "take_profit_limit": "65010"},
            {
                "tpslMode": "Partial", "stopLoss": "59000", "slTriggerBy": "MarkPrice", "slSize": "0.004", "slOrderType": "Market",
                "takeProfit": "65000", "tpTriggerBy": "MarkPrice", "tpSize": "0.004", "tpLimitPrice": "65010", "tpOrderType": "Limit",
            },
        ),
    ],
)  # fmt: skip
def test_a_trading_stop_says_what_the_venue_documents(changed: dict[str, Any], members: dict[str, Any]) -> None:
    assert stop(**changed).fields() == {"symbol": "BTCUSDT", "positionIdx": 0} | members


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stop_loss": ""}, "changes nothing"),
        ({"active_price": "1"}, "activePrice without"),
        ({"size": "1"}, "Full with a size"),
        ({"stop_loss_limit": "1"}, "Full with a size or a limit"),
        ({"mode": StopMode.PARTIAL}, "without a size"),
        ({"mode": StopMode.PARTIAL, "size": "1", "take_profit_limit": "1"}, "without its trigger"),
        ({"mode": StopMode.PARTIAL, "size": "1", "take_profit": "2", "stop_loss": "", "stop_loss_limit": "1"}, "without its trigger"),
        ({"stop_loss": "-1"}, "stopLoss is '-1'"),
    ],
)
def test_an_impossible_trading_stop_is_refused_before_it_is_sent(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was sent") as caught:
        stop(**changed).fields()
    assert words in caught.value.what


def test_leverage_and_margin_are_plain_text() -> None:
    assert [leverage_text(e2) for e2 in (100, 1_250, 1_005, 10_000)] == ["1", "12.5", "10.05", "100"]
    assert [margin_text(text) for text in ("10", "-0.5")] == ["10", "-0.5"]
    for wrong in (99, 100_001):
        with pytest.raises(InvalidInput, match="leverage"):
            leverage_text(wrong)
    with pytest.raises(InvalidInput, match="margin"):
        margin_text("--1")
