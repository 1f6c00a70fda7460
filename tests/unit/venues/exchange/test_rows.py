"""Rows as clients read them: names, JSON types and spellings of the protocol's own examples, REST and socket shapes apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kedge.domain.units import E8
from kedge.simulation.venue_types import Change, Crowd, ExecutionRow, OrderRow, PositionRow, WalletRow
from kedge.venues.exchange.rows import execution_fast_ws, execution_rest, execution_ws, order_rest, order_ws
from kedge.venues.exchange.rows_account import position_rest, position_ws, wallet_rest, wallet_ws

from ....builders import AAA, HOUR
from .trading_desk import Desk

ORDER = """orderId orderLinkId parentOrderLinkId blockTradeId symbol price qty side isLeverage orderStatus createType cancelType
rejectReason avgPrice leavesQty leavesValue cumExecQty cumExecValue cumExecFee timeInForce orderType stopOrderType orderIv marketUnit
triggerPrice takeProfit stopLoss tpslMode ocoTriggerBy tpLimitPrice slLimitPrice tpTriggerBy slTriggerBy triggerBy lastPriceOnCreated
placeType smpType smpOrderId slippageToleranceType slippageTolerance createdTime updatedTime rpiMatchedQty"""
EXECUTION = """symbol orderId orderLinkId side orderPrice orderQty leavesQty createType orderType stopOrderType execFee execId execPrice
execQty execType execValue execTime feeCurrency feeRate tradeIv markIv markPrice indexPrice underlyingPrice blockTradeId closedSize
extraFees"""
POSITION = """riskLimitValue symbol side size positionValue positionStatus leverage breakEvenPrice markPrice liqPrice positionIM
positionIMByMp positionMM positionMMByMp takeProfit stopLoss trailingStop sessionAvgPrice unrealisedPnl curRealisedPnl cumRealisedPnl
createdTime updatedTime mmrSysUpdatedTime leverageSysUpdatedTime tpslMode bustPrice positionBalance"""
WALLET = """accountType accountIMRate accountIMRateByMp accountMMRate accountMMRateByMp totalEquity totalWalletBalance totalMarginBalance
totalAvailableBalance totalPerpUPL totalInitialMargin totalInitialMarginByMp totalMaintenanceMargin totalMaintenanceMarginByMp
accountLTV"""
COIN = """coin equity usdValue walletBalance availableToWithdraw availableToBorrow borrowAmount accruedInterest totalOrderIM
totalPositionIM totalPositionMM unrealisedPnl cumRealisedPnl bonus locked spotHedgingQty spotBorrow"""


def kinds(texts: str, **others: type) -> dict[str, type]:
    return {**dict.fromkeys(texts.split(), str), **others}


ORDER_KINDS = kinds(
    ORDER, positionIdx=int, triggerDirection=int, smpGroup=int, reduceOnly=bool, closeOnTrigger=bool, rpiTakerAccess=bool, cumFeeDetail=dict
)  # fmt: skip
EXECUTION_KINDS = kinds(EXECUTION, isMaker=bool, seq=int)
POSITION_KINDS = kinds(
    POSITION, positionIdx=int, tradeMode=int, riskId=int, autoAddMargin=int, adlRankIndicator=int, openTime=int, seq=int, isReduceOnly=bool
)
COIN_KINDS = kinds(COIN, collateralSwitch=bool, marginCollateral=bool)


def shape(encoded: bytes) -> dict[str, type]:
    return {name: type(value) for name, value in json.loads(encoded).items()}


def last(changes: list[Change], kind: type) -> Any:
    return next(row for row in reversed(changes) if isinstance(row, kind))


@pytest.fixture
def desk() -> Desk:
    """After 0.01 bought at market."""
    made = Desk()
    made.buy("0.1", orderLinkId="b-1")
    return made


def test_orders_have_the_members_and_types_of_the_examples(desk: Desk) -> None:
    row, grid = last(desk.changes, OrderRow), desk.hall.grids[AAA]
    assert shape(order_rest(row, grid)) == {**ORDER_KINDS, "extraFees": str}
    assert shape(order_ws(row, grid)) == {**ORDER_KINDS, "category": str, "closedPnl": str, "feeCurrency": str}


def test_executions_have_the_members_and_types_of_the_examples(desk: Desk) -> None:
    row, grid = last(desk.changes, ExecutionRow), desk.hall.grids[AAA]
    assert shape(execution_rest(row, grid)) == {**EXECUTION_KINDS, "execFeeV2": str}
    assert shape(execution_ws(row, grid)) == {**EXECUTION_KINDS, "category": str, "execPnl": str, "isLeverage": str, "marketUnit": str}
    fast = kinds("category symbol execId execPrice execQty orderId orderLinkId side execTime", isMaker=bool, seq=int)
    assert shape(execution_fast_ws(row, grid)) == fast


def test_positions_have_the_members_and_types_of_the_examples(desk: Desk) -> None:
    row, grid = last(desk.changes, PositionRow), desk.hall.grids[AAA]
    assert shape(position_rest(row, grid)) == {**POSITION_KINDS, "avgPrice": str}
    assert shape(position_ws(row, grid)) == {**POSITION_KINDS, "category": str, "entryPrice": str}


def test_wallets_have_the_members_and_types_of_the_examples(desk: Desk) -> None:
    row = last(desk.changes, WalletRow)
    for encoded, more in ((wallet_rest(row, "USDT"), {"colRes": str, "free": str}), (wallet_ws(row, "USDT"), {})):
        assert shape(encoded) == kinds(WALLET, coin=list)
        (coin,) = json.loads(encoded)["coin"]
        assert {name: type(value) for name, value in coin.items()} == {**COIN_KINDS, **more}
    assert json.loads(wallet_rest(row, "USDT", False))["coin"] == []


def test_a_filled_market_order_reads_as_the_protocol_says(desk: Desk) -> None:
    found = json.loads(order_ws(last(desk.changes, OrderRow), desk.hall.grids[AAA]))
    fee = "0.0055055"  # 10.01 USDT at 0.055 %
    wanted = {
        "orderStatus": "Filled", "orderType": "Market", "timeInForce": "IOC", "side": "Buy", "qty": "0.100", "cumExecQty": "0.100",
        "leavesQty": "0.000", "leavesValue": "0", "cumExecValue": "10.01", "avgPrice": "100.1", "cumExecFee": fee,
        "cumFeeDetail": {"USDT": fee},
        "orderLinkId": "b-1", "cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "createType": "CreateByUser", "stopOrderType": "",
        "lastPriceOnCreated": "100.0", "triggerBy": "", "smpType": "None", "closedPnl": "0", "category": "linear",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_a_resting_order_has_no_average_and_no_fees() -> None:
    desk = Desk()
    desk.order(timeInForce="PostOnly", smpType="CancelBoth")
    found = json.loads(order_rest(last(desk.changes, OrderRow), desk.hall.grids[AAA]))
    assert (found["avgPrice"], found["cumFeeDetail"], found["leavesValue"]) == ("", {}, "9.9")
    assert (found["timeInForce"], found["smpType"], found["price"]) == ("PostOnly", "CancelBoth", "99.0")


def test_a_waiting_stop_and_a_take_profit_read_as_the_protocol_says(desk: Desk) -> None:
    grid = desk.hall.grids[AAA]
    desk.order(orderType="Market", side="Sell", triggerPrice="90", triggerDirection=2, triggerBy="MarkPrice", stopLoss="120")
    stop = json.loads(order_ws(last(desk.changes, OrderRow), grid))
    assert (stop["orderStatus"], stop["stopOrderType"], stop["price"], stop["triggerPrice"]) == ("Untriggered", "Stop", "0", "90.0")
    assert (stop["triggerBy"], stop["triggerDirection"], stop["stopLoss"], stop["tpslMode"]) == ("MarkPrice", 2, "120.0", "Full")
    desk.post("/v5/position/trading-stop", category="linear", symbol="AAAUSDT", takeProfit="110")
    profit = json.loads(order_ws(last(desk.changes, OrderRow), grid))
    assert (profit["stopOrderType"], profit["tpslMode"], profit["reduceOnly"]) == ("TakeProfit", "Full", True)
    position = last(desk.changes, PositionRow)
    assert json.loads(position_ws(position, grid))["takeProfit"] == "110.0"
    assert (json.loads(position_ws(position, grid))["stopLoss"], json.loads(position_rest(position, grid))["stopLoss"]) == ("0", "")


def test_a_fill_reads_as_the_protocol_says(desk: Desk) -> None:
    found = json.loads(execution_ws(last(desk.changes, ExecutionRow), desk.hall.grids[AAA]))
    wanted = {
        "execPrice": "100.1", "execQty": "0.100", "execValue": "10.01", "execFee": "0.0055055", "feeRate": "0.00055", "execType": "Trade",
        "isMaker": False, "stopOrderType": "UNKNOWN", "orderType": "Market", "feeCurrency": "USDT", "closedSize": "0.000", "execPnl": "0",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_a_makers_fast_fill_carries_no_client_id() -> None:
    desk = Desk(Crowd(levels=0, flow_notional_e8=0))
    desk.order(orderLinkId="mine", price="99.5", qty="0.2")
    desk.order("b", side="Sell", price="99.5", qty="60", orderLinkId="theirs")
    fills = [row for row in desk.changes if isinstance(row, ExecutionRow)]
    read = {json.loads(execution_fast_ws(row, desk.hall.grids[AAA]))["orderLinkId"] for row in fills}
    assert {(row.is_maker, row.link_id) for row in fills} == {(True, "mine"), (False, "theirs")}
    assert read == {"", "theirs"}


def test_funding_is_an_execution_of_no_order_type(desk: Desk) -> None:
    desk.venue.set_funding_rate(AAA, -10_000)
    desk.wait(8 * HOUR)
    desk.hall.publish()
    found = json.loads(execution_rest(last(desk.changes, ExecutionRow), desk.hall.grids[AAA]))
    assert (found["execType"], found["orderType"], found["orderPrice"], found["execFee"]) == ("Funding", "UNKNOWN", "0", "-0.001")
    assert (found["execQty"], found["execPrice"], found["feeRate"]) == ("0.100", "100.0", "-0.0001")


def test_a_flat_position_has_no_side(desk: Desk) -> None:
    desk.order(orderType="Market", side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)
    found = json.loads(position_rest(last(desk.changes, PositionRow), desk.hall.grids[AAA]))
    assert (found["side"], found["size"], found["avgPrice"], found["liqPrice"], found["openTime"]) == ("", "0.000", "0", "", 0)
    assert found["leverage"] == "10"


def test_a_short_is_written_with_a_size_above_zero() -> None:
    desk = Desk()
    desk.order(orderType="Market", side="Sell", qty="15", price=None)
    found = json.loads(position_ws(last(desk.changes, PositionRow), desk.hall.grids[AAA]))
    assert (found["side"], found["size"], found["positionValue"]) == ("Sell", "15.000", "1500")
    assert float(found["liqPrice"]) > 100


def test_a_wallet_without_equity_has_no_margin_rate() -> None:
    row = WalletRow("a", -E8, -E8, 0, E8, 0, E8, -2 * E8, 0, 0)
    found = json.loads(wallet_ws(row, "USDT"))
    assert (found["accountIMRate"], found["totalEquity"], found["totalAvailableBalance"]) == ("", "-1", "-2")
