"""Strict readers, as adapters in typed languages are: every field that the venue lists is there, with its type and its words.

The types are written from the venue's documentation, apart from the server. An unknown field is allowed, a missing one or one of
another type is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
import pytest
import websocket
from tests.conformance.loopback import MINUTE, PATIENCE_S, Desk
from tests.conformance.pybit_client import http
from tests.conformance.pybit_market_calls import PAIR

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.venues.exchange.auth import signature

Digits = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Maybe = Annotated[str, msgspec.Meta(pattern=r"^(-?[0-9]+(\.[0-9]+)?)?$")]
UUID = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
TRIGGERS = Literal["", "LastPrice", "IndexPrice", "MarkPrice"]
STOPS = Literal["", "UNKNOWN", "Stop", "TakeProfit", "StopLoss", "TrailingStop", "PartialTakeProfit", "PartialStopLoss"]
STATUSES = Literal["New", "PartiallyFilled", "Untriggered", "Triggered", "Filled", "Cancelled", "Rejected", "Deactivated"]
"""The words that the strictest known adapter accepts."""


def shape(name: str, *, number: str = "", maybe: str = "", text: str = "", whole: str = "", flag: str = "", **more: Any) -> Any:
    """A record: members that are numbers as text, the same or empty, any text, JSON integers, JSON booleans, and others by type."""
    kinds = ((number, Digits), (maybe, Maybe), (text, str), (whole, int), (flag, bool))
    fields = [(member, kind) for members, kind in kinds for member in members.split()]
    return msgspec.defstruct(name, [*fields, *more.items()])


INSTRUMENT = shape(
    "Instrument",
    text="symbol baseCoin quoteCoin settleCoin symbolType deliveryFeeRate copyTrading displayName",
    number="launchTime deliveryTime priceScale upperFundingRate lowerFundingRate",
    whole="symbolId fundingInterval",
    flag="unifiedMarginTrade isPreListing forbidUplWithdrawal",
    contractType=Literal["LinearPerpetual"],
    status=Literal["Trading"],
    leverageFilter=shape("Leverage", number="minLeverage maxLeverage leverageStep"),
    priceFilter=shape("Price", number="minPrice maxPrice tickSize"),
    lotSizeFilter=shape("Lot", number="maxOrderQty minOrderQty qtyStep postOnlyMaxOrderQty maxMktOrderQty minNotionalValue"),
    riskParameters=shape("Risk", number="priceLimitRatioX priceLimitRatioY"),
    preListingInfo=None,
)
TICKER_NUMBERS = (
    "lastPrice indexPrice markPrice prevPrice24h price24hPcnt highPrice24h lowPrice24h prevPrice1h openInterest openInterestValue "
    "turnover24h volume24h fundingRate nextFundingTime bid1Price bid1Size ask1Price ask1Size fundingIntervalHour fundingCap"
)
TICKER = shape(
    "Ticker",
    number=TICKER_NUMBERS + " singleOpenInterest singleOpenInterestValue deliveryTime",
    text="symbol predictedDeliveryPrice basis basisRate basisRateYear deliveryFeeRate preOpenPrice preQty curPreListingPhase",
)
ORDER = {
    "number": "qty leavesQty leavesValue cumExecQty cumExecValue cumExecFee price lastPriceOnCreated createdTime updatedTime",
    "maybe": "avgPrice triggerPrice takeProfit stopLoss tpLimitPrice slLimitPrice",
    "text": "orderLinkId blockTradeId symbol isLeverage cancelType rejectReason createType orderIv marketUnit placeType smpType smpOrderId "
    "ocoTriggerBy tpslMode slippageToleranceType slippageTolerance rpiMatchedQty",
    "whole": "positionIdx triggerDirection smpGroup",
    "flag": "reduceOnly closeOnTrigger",
    "orderId": UUID,
    "side": Literal["Buy", "Sell"],
    "orderStatus": STATUSES,
    "orderType": Literal["Market", "Limit"],
    "timeInForce": Literal["GTC", "IOC", "FOK", "PostOnly"],
    "stopOrderType": STOPS,
    "triggerBy": TRIGGERS,
    "tpTriggerBy": TRIGGERS,
    "slTriggerBy": TRIGGERS,
    "cumFeeDetail": dict[str, str],
}
EXECUTION = {
    "number": "orderPrice orderQty leavesQty execFee execPrice execQty execValue execTime feeRate markPrice closedSize",
    "text": "symbol orderLinkId createType tradeIv markIv indexPrice underlyingPrice blockTradeId extraFees feeCurrency",
    "whole": "seq",
    "flag": "isMaker",
    "orderId": UUID,
    "execId": UUID,
    "side": Literal["Buy", "Sell"],
    "orderType": Literal["Market", "Limit"],
    "execType": Literal["Trade", "AdlTrade", "Funding", "BustTrade"],
    "stopOrderType": STOPS,
}
POSITION = {
    "number": "riskLimitValue size positionValue leverage positionIM positionIMByMp positionMM positionMMByMp trailingStop unrealisedPnl "
    "curRealisedPnl cumRealisedPnl createdTime updatedTime positionBalance",
    "maybe": "breakEvenPrice markPrice liqPrice bustPrice takeProfit stopLoss sessionAvgPrice",
    "text": "symbol mmrSysUpdatedTime leverageSysUpdatedTime",
    "whole": "positionIdx riskId autoAddMargin adlRankIndicator openTime seq tradeMode",
    "flag": "isReduceOnly",
    "side": Literal["Buy", "Sell", ""],
    "positionStatus": Literal["Normal", "Liq", "Adl"],
    "tpslMode": Literal["Full"],
}
COIN = {
    "number": "equity usdValue walletBalance locked spotHedgingQty borrowAmount accruedInterest totalOrderIM totalPositionIM "
    "totalPositionMM unrealisedPnl cumRealisedPnl bonus spotBorrow",
    "text": "coin availableToWithdraw availableToBorrow",
    "flag": "marginCollateral collateralSwitch",
}
WALLET = {
    "number": "accountIMRate accountIMRateByMp accountMMRate accountMMRateByMp totalEquity totalWalletBalance totalMarginBalance "
    "totalAvailableBalance totalPerpUPL totalInitialMargin totalInitialMarginByMp totalMaintenanceMargin "
    "totalMaintenanceMarginByMp accountLTV",
    "accountType": Literal["UNIFIED"],
}
LOG = {
    "number": "transactionTime qty size tradePrice fee cashFlow change cashBalance feeRate",
    "maybe": "funding",
    "text": "id symbol category currency type transSubType bonusChange tradeId orderId orderLinkId extraFees",
    "side": Literal["Buy", "Sell", "None"],
}
CLOSED = {
    "number": "qty orderPrice closedSize cumEntryValue avgEntryPrice cumExitValue avgExitPrice closedPnl fillCount leverage openFee "
    "closeFee createdTime updatedTime",
    "text": "symbol",
    "side": Literal["Buy", "Sell"],
    "orderId": UUID,
}
KEY = shape(
    "Key",
    text="id note apiKey secret expiredAt createdAt vipLevel mktMakerLevel rsaPublicKey parentUid kycLevel kycRegion",
    whole="readOnly type deadlineDay unified uta userID inviterID affiliateID",
    flag="isMaster",
    permissions=dict[str, list[str]],
    ips=list[str],
)


def read(answer: dict[str, Any], item: Any) -> list[Any]:
    """The rows of an answer, read strictly; there must be some."""
    wanted = msgspec.defstruct("Listed", [("list", list[item])])
    envelope = [("retCode", Literal[0]), ("retMsg", str), ("result", wanted), ("retExtInfo", dict[str, Any]), ("time", int)]
    found = msgspec.convert(answer, msgspec.defstruct("Envelope", envelope), strict=True).result.list
    assert found
    return list(found)


REST = {
    "get_instruments_info": (INSTRUMENT, {"category": "linear"}),
    "get_tickers": (TICKER, {"category": "linear"}),
    "get_open_orders": (shape("Order", **ORDER, parentOrderLinkId=str, extraFees=str, rpiTakerAccess=bool), PAIR),
    "get_order_history": (shape("Order", **ORDER, parentOrderLinkId=str, extraFees=str, rpiTakerAccess=bool), {"category": "linear"}),
    "get_executions": (shape("Execution", **EXECUTION, execFeeV2=str), {"category": "linear", "execType": "Trade"}),
    "get_positions": (shape("Position", **POSITION, avgPrice=str), {"category": "linear", "settleCoin": "USDT"}),
    "get_closed_pnl": (shape("Closed", **CLOSED, orderType=str, execType=str), {"category": "linear"}),
    "get_transaction_log": (shape("Log", **LOG), {"category": "linear"}),
    "get_wallet_balance": (shape("Wallet", **WALLET, coin=list[shape("Coin", **COIN, colRes=str, free=str)]), {"accountType": "UNIFIED"}),
    "get_fee_rates": (shape("Fee", text="symbol", number="takerFeeRate makerFeeRate"), {"category": "linear"}),
    "get_public_trade_history": (
        shape("Trade", number="price size time seq", text="symbol side", flag="isBlockTrade isRPITrade", execId=UUID),
        PAIR,
    ),
    "get_risk_limit": (
        shape(
            "Tier", number="riskLimitValue maintenanceMargin initialMargin maxLeverage mmDeduction", whole="id isLowestRisk", text="symbol"
        ),
        PAIR,
    ),
    "get_funding_rate_history": (shape("Funding", text="symbol", number="fundingRate fundingRateTimestamp"), PAIR),
}


def busy(desk: Desk) -> None:
    """Rows of every kind: filled, resting, waiting and cancelled orders, an open position with stops, a closed part."""
    desk.place(Side.BUY, 1_900, link_id="strict", take_profit_ticks=610_000, stop_loss_ticks=590_000)
    desk.place(Side.SELL, 300, reduce_only=True)
    desk.place(Side.BUY, 10, 599_000)
    desk.place(Side.BUY, 10, 602_000, trigger_ticks=601_500, trigger_direction=1)
    gone = desk.place(Side.BUY, 10, 598_000)
    name = desk.exchange.specs["BTCUSDT"].instrument_id
    desk.exchange.ask(lambda venue: venue.cancel(desk.account, name, venue.now_ns, order_id=gone.order_id))


@pytest.mark.parametrize("call", REST)
def test_a_strict_reader_understands_every_list(call: str, desk: Desk) -> None:
    item, wish = REST[call]
    busy(desk)
    with http(desk.exchange.url, desk.key.key, desk.key.secret) as session:
        read(getattr(session, call)(**wish), item)


def test_a_strict_reader_understands_what_a_key_says_of_itself(desk: Desk) -> None:
    with http(desk.exchange.url, desk.key.key, desk.key.secret) as session:
        msgspec.convert(session.get_api_key_information()["result"], KEY, strict=True)


@contextmanager
def raw_socket(desk: Desk, path: str) -> Iterator[Any]:
    """A socket without any library's ideas; private paths are opened with the desk's key."""
    socket = websocket.create_connection(desk.exchange.url.replace("http://", "ws://") + path, timeout=PATIENCE_S)
    try:
        if path == "/v5/private":
            expires = desk.exchange.clock.wall_ns() // 1_000_000 + 5_000
            sign = signature(desk.key.secret_bytes, f"GET/realtime{expires}".encode())
            socket.send(json.dumps({"op": "auth", "args": [desk.key.key, expires, sign]}))
            ack = [("success", Literal[True]), ("ret_msg", str), ("op", Literal["auth"]), ("conn_id", str)]
            msgspec.json.decode(socket.recv(), type=msgspec.defstruct("Ack", ack))
        yield socket
    finally:
        socket.close()


def subscribe(socket: Any, *topics: str) -> None:
    socket.send(json.dumps({"op": "subscribe", "req_id": "strict", "args": topics}))
    ack = [("success", Literal[True]), ("ret_msg", str), ("op", Literal["subscribe"]), ("conn_id", str), ("req_id", Literal["strict"])]
    msgspec.json.decode(socket.recv(), type=msgspec.defstruct("Ack", ack))


PRIVATE = {
    "order": (shape("Order", **ORDER, category=str, closedPnl=str, feeCurrency=str), True),
    "execution": (shape("Execution", **EXECUTION, category=str, execPnl=str, isLeverage=str, marketUnit=str), True),
    "execution.fast": (
        shape(
            "Fast",
            number="execPrice execQty execTime",
            text="category symbol orderLinkId side",
            flag="isMaker",
            whole="seq",
            execId=UUID,
        ),
        False,
    ),
    "position": (shape("Position", **POSITION, category=str, entryPrice=str), True),
    "wallet": (shape("Wallet", **WALLET, coin=list[shape("Coin", **COIN)]), True),
}


@pytest.mark.parametrize("topic", PRIVATE)
def test_a_strict_reader_understands_every_private_frame(topic: str, desk: Desk) -> None:
    item, has_id = PRIVATE[topic]
    fields: list[Any] = [("topic", Literal[topic]), ("creationTime", int), ("data", list[item])]
    frame = msgspec.defstruct("Frame", [*fields, *([("id", str)] if has_id else [])])
    with raw_socket(desk, "/v5/private") as socket:
        subscribe(socket, topic)
        busy(desk)
        socket.send('{"op":"ping","req_id":"end"}')
        frames = []
        while '"pong"' not in (text := socket.recv()):
            frames.append(msgspec.json.decode(text, type=frame))
    assert sum(len(each.data) for each in frames) >= 2


TRADE = shape("Trade", number="v p", text="s L", whole="T seq", flag="BT RPI", S=Literal["Buy", "Sell"], i=UUID)
KLINE = shape("Kline", number="open close high low volume turnover", text="interval", whole="start end timestamp", flag="confirm")
BOOK = msgspec.defstruct("Book", [("s", str), ("b", list[tuple[str, str]]), ("a", list[tuple[str, str]]), ("u", int), ("seq", int)])
PUBLIC = {
    "orderbook.50.BTCUSDT": (BOOK, {"cts": int}),
    "orderbook.1.BTCUSDT": (BOOK, {"cts": int}),
    "publicTrade.BTCUSDT": (list[TRADE], {}),
    "kline.1.BTCUSDT": (list[KLINE], {}),
    "allLiquidation.BTCUSDT": (list[shape("Dead", number="v p", text="s", whole="T", S=Literal["Buy", "Sell"])], {}),
}


@pytest.mark.parametrize("topic", PUBLIC)
def test_a_strict_reader_understands_every_public_frame(topic: str, desk: Desk) -> None:
    data, more = PUBLIC[topic]
    fields = [("topic", Literal[topic]), ("type", Literal["snapshot", "delta"]), ("ts", int), ("data", data)]
    with raw_socket(desk, "/v5/public/linear") as socket:
        subscribe(socket, topic)
        desk.exchange.until_told(topic)
        desk.exchange.desk(wallet=1_000).place(Side.BUY, 150)
        desk.place(Side.SELL, 30)
        desk.exchange.price("BTCUSDT", 530_000, after_ns=NS_PER_S)
        desk.exchange.pass_time(MINUTE)
        msgspec.json.decode(socket.recv(), type=msgspec.defstruct("Frame", [*fields, *more.items()]))


def test_a_strict_reader_understands_a_ticker_whole_and_in_parts(desk: Desk) -> None:
    whole = shape("Ticker", number=TICKER_NUMBERS, text="symbol tickDirection")
    part = msgspec.defstruct("Part", [("symbol", str), *((name, str, "") for name in TICKER_NUMBERS.split())], forbid_unknown_fields=False)
    fields = [("topic", Literal["tickers.BTCUSDT"]), ("ts", int), ("cs", int)]
    with raw_socket(desk, "/v5/public/linear") as socket:
        subscribe(socket, "tickers.BTCUSDT")
        msgspec.json.decode(socket.recv(), type=msgspec.defstruct("First", [*fields, ("type", Literal["snapshot"]), ("data", whole)]))
        desk.exchange.price("BTCUSDT", 600_070, after_ns=NS_PER_S)
        delta = msgspec.json.decode(socket.recv(), type=msgspec.defstruct("Next", [*fields, ("type", Literal["delta"]), ("data", part)]))
    assert delta.data.lastPrice == "60007.0"
