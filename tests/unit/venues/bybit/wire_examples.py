"""Rows as the venue writes them, with consistent values: 0.010 BTC bought at 61,020. Every default may be overridden."""

from __future__ import annotations

from typing import Any

ORDER: dict[str, Any] = {
    "orderId": "a94d3e08-2f6b-4c71-9e5a-0b8c7d6e5f41",
    "orderLinkId": "bot-000124",
    "symbol": "BTCUSDT",
    "price": "60000.10",
    "qty": "0.010",
    "side": "Buy",
    "positionIdx": 0,
    "orderStatus": "New",
    "createType": "CreateByUser",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "avgPrice": "",
    "leavesQty": "0.010",
    "cumExecQty": "0.000",
    "cumExecValue": "0",
    "cumFeeDetail": {},
    "timeInForce": "GTC",
    "orderType": "Limit",
    "stopOrderType": "",
    "triggerPrice": "",
    "triggerDirection": 0,
    "reduceOnly": False,
    "closeOnTrigger": False,
    "createdTime": "1767000080459",
    "updatedTime": "1767000080461",
    "rpiMatchedQty": "0",
}
EXECUTION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": "1e4f9a77-0c3b-42d8-b6a5-e2d7f8091c55",
    "orderLinkId": "b-1",
    "side": "Buy",
    "orderQty": "0.010",
    "leavesQty": "0.000",
    "orderType": "Market",
    "execFee": "0.33561",
    "execId": "b3a1f6c2-7d4e-5f80-9a1b-3c5d7e9f1021",
    "execPrice": "61020.00",
    "execQty": "0.010",
    "execType": "Trade",
    "execValue": "610.2",
    "execTime": "1767000081255",
    "feeCurrency": "USDT",
    "isMaker": False,
    "feeRate": "0.00055",
    "seq": 141700223344556,
}
POSITION: dict[str, Any] = {
    "positionIdx": 0,
    "symbol": "BTCUSDT",
    "side": "Buy",
    "size": "0.010",
    "avgPrice": "61020",
    "leverage": "10",
    "markPrice": "61021.70",
    "stopLoss": "",
    "updatedTime": "1767000081256",
}
INSTRUMENT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "launchTime": "1585526400000",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "maxMktOrderQty": "500.000",
        "minNotionalValue": "5",
    },
    "fundingInterval": 480,
    "settleCoin": "USDT",
    "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    "isPreListing": False,
}
TIERS: list[dict[str, Any]] = [
    {
        "id": 2,
        "symbol": "BTCUSDT",
        "riskLimitValue": "2600000",
        "maintenanceMargin": "0.0056",
        "initialMargin": "0.0112",
        "maxLeverage": "90.00",
        "mmDeduction": "1200",
    },
    {
        "id": 1,
        "symbol": "BTCUSDT",
        "riskLimitValue": "2000000",
        "maintenanceMargin": "0.005",
        "initialMargin": "0.01",
        "maxLeverage": "100.00",
        "mmDeduction": "",
    },
]
FEES: dict[str, Any] = {"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}
TICKER: dict[str, Any] = {"symbol": "BTCUSDT", "lastPrice": "61020.00", "markPrice": "61021.70", "nextFundingTime": "1767024000000"}
LOG: dict[str, Any] = {
    "id": "777001_BTCUSDT_161440249321",
    "symbol": "BTCUSDT",
    "category": "linear",
    "side": "Buy",
    "transactionTime": "1767024000000",
    "type": "SETTLEMENT",
    "currency": "USDT",
    "funding": "-0.0611",
    "fee": "0",
    "cashFlow": "0",
    "change": "-0.0611",
    "cashBalance": "9999.60329",
}
KEY_INFO: dict[str, Any] = {
    "id": "3310457",
    "apiKey": "TESTKEY0123456789a",
    "readOnly": 0,
    "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": [], "Derivatives": ["DerivativesTrade"]},
    "ips": ["203.0.113.7"],
    "deadlineDay": -2,
    "expiredAt": "1970-01-01T00:00:00Z",
    "userID": 777001,
    "uta": 1,
}
ACCOUNT: dict[str, Any] = {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6, "dcpStatus": "OFF", "timeWindow": 0}
WALLET: dict[str, Any] = {
    "accountType": "UNIFIED",
    "totalEquity": "9999.68",
    "coin": [{"coin": "USDT", "equity": "9999.68139", "walletBalance": "9999.66439", "unrealisedPnl": "0.017"}],
}
