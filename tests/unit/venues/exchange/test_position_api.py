"""Position endpoints: what is held, its leverage and stops, and the switches that a one-way cross account answers with no-ops."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.simulation.venue_types import PositionRow

from ....builders import T0
from .trading_desk import A, B, Desk, refused, rows

LINEAR = {"category": "linear", "symbol": A}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def position(desk: Desk, symbol: str = A) -> dict[str, Any]:
    (row,) = rows(desk.get("/v5/position/list", category="linear", symbol=symbol))
    return row


def test_a_symbols_position_is_listed_even_when_flat(desk: Desk) -> None:
    assert (position(desk)["side"], position(desk)["size"]) == ("", "0.000")
    desk.buy("0.5")
    found = position(desk)
    assert (found["side"], found["size"], found["avgPrice"], found["positionIdx"]) == ("Buy", "0.500", "100.1", 0)


def test_a_coins_positions_are_those_that_are_not_flat_over_pages(desk: Desk) -> None:
    assert rows(desk.get("/v5/position/list", category="linear", settleCoin="USDT")) == []
    desk.buy("0.5")
    desk.buy("0.5", symbol=B)
    first = desk.get("/v5/position/list", category="linear", settleCoin="USDT", limit="1")
    second = desk.get("/v5/position/list", category="linear", settleCoin="USDT", limit="1", cursor=first["result"]["nextPageCursor"])
    assert [row["symbol"] for found in (first, second) for row in rows(found)] == [A, B]
    assert second["result"]["nextPageCursor"] == ""
    assert rows(desk.get("/v5/position/list", category="inverse", settleCoin="USDT")) == []
    assert "settleCoin" in refused(desk.get("/v5/position/list", category="linear"))[1]


def test_leverage_is_set_once(desk: Desk) -> None:
    assert desk.post("/v5/position/set-leverage", **LINEAR, buyLeverage="5.5", sellLeverage="5.50")["result"] == {}
    assert position(desk)["leverage"] == "5.5"
    again = desk.post("/v5/position/set-leverage", **LINEAR, buyLeverage="5.5", sellLeverage="5.5")
    assert refused(again) == (110043, "leverage not modified")
    assert isinstance(desk.changes[0], PositionRow)
    (info,) = rows(desk.get("/v5/position/symbol-info", **LINEAR))
    assert info == {"symbol": A, "leverage": "5.5", "positionIdx": 0}
    assert rows(desk.get("/v5/position/symbol-info", category="option", symbol=A)) == []


@pytest.mark.parametrize(
    ("buy", "sell", "code"), [("5", "6", 10001), ("51", "51", 110013), ("0.5", "0.5", 110013), ("x", "5", 10001), ("5.555", "5.555", 10001)]
)
def test_a_leverage_out_of_bounds_is_refused(desk: Desk, buy: str, sell: str, code: int) -> None:
    assert refused(desk.post("/v5/position/set-leverage", **LINEAR, buyLeverage=buy, sellLeverage=sell))[0] == code


def test_stops_are_set_moved_and_removed(desk: Desk) -> None:
    desk.buy("0.5")
    stop = "/v5/position/trading-stop"
    assert desk.post(stop, **LINEAR, takeProfit="120", stopLoss="90", slTriggerBy="MarkPrice", positionIdx=0)["result"] == {}
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("120.0", "90.0")
    assert refused(desk.post(stop, **LINEAR, stopLoss="90", slTriggerBy="MarkPrice")) == (34040, "not modified")
    assert desk.post(stop, **LINEAR, stopLoss="91", tpslMode="Full", trailingStop="0")["result"] == {}
    assert desk.post(stop, **LINEAR, takeProfit="0")["result"] == {}
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("", "91.0")
    waiting = rows(desk.get("/v5/order/realtime", **LINEAR, orderFilter="StopOrder"))
    assert [(row["stopOrderType"], row["triggerPrice"], row["qty"]) for row in waiting] == [("StopLoss", "91.0", "0.500")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stopLoss": "110"},
        {"stopLoss": "90.05"},
        {"stopLoss": "90", "positionIdx": 1},
        {"stopLoss": "90", "tpslMode": "Partial"},
        {"stopLoss": "90", "slOrderType": "Limit"},
        {"stopLoss": "90", "slSize": "0.1"},
        {"trailingStop": "5"},
        {"stopLoss": "90", "slTriggerBy": "Mark"},
        {"stopLoss": "90", "symbol": B},
    ],
)
def test_stops_that_cannot_be_set_are_refused(desk: Desk, body: dict[str, Any]) -> None:
    desk.buy("0.5")
    assert refused(desk.post("/v5/position/trading-stop", **{**LINEAR, **body}))[0] in (10001, 110003)
    assert position(desk)["stopLoss"] == ""


def test_closed_profits_are_listed_over_pages(desk: Desk) -> None:
    desk.buy("0.5")
    for _ in range(3):
        desk.order(side="Sell", orderType="Market", qty="0.1", reduceOnly=True)
    first = desk.get("/v5/position/closed-pnl", **LINEAR, limit="2")
    rest = desk.get("/v5/position/closed-pnl", **LINEAR, limit="2", cursor=first["result"]["nextPageCursor"])
    found = rows(first) + rows(rest)
    assert [(row["side"], row["closedSize"], row["fillCount"], row["leverage"]) for row in found] == [("Sell", "0.100", "1", "10")] * 3
    gained = float(found[0]["cumExitValue"]) - float(found[0]["cumEntryValue"]) - float(found[0]["openFee"]) - float(found[0]["closeFee"])
    assert float(found[0]["closedPnl"]) == pytest.approx(gained, abs=1e-8)
    assert rows(desk.get("/v5/position/closed-pnl", category="linear", symbol=B)) == []
    assert rows(desk.get("/v5/position/closed-pnl", category="linear", startTime=T0 // 10**6 + 1)) == []


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"symbol": A, "mode": 0}, 110025),
        ({"symbol": A, "mode": 3}, 110029),
        ({"coin": "USDT", "mode": 0}, 0),
        ({"coin": "USDT", "mode": "3"}, 110029),
        ({"coin": "USDC", "mode": 0}, 10001),
        ({"symbol": A}, 10001),
        ({"symbol": "ZZZ", "mode": 0}, 10001),
        ({"mode": 0}, 10001),
    ],
)
def test_one_way_mode_stays(desk: Desk, body: dict[str, Any], outcome: int) -> None:
    assert desk.post("/v5/position/switch-mode", category="linear", **body)["retCode"] == outcome


@pytest.mark.parametrize(
    ("path", "code"),
    [("switch-isolated", 100028), ("set-auto-add-margin", 110015), ("add-margin", 110015), ("confirm-pending-mmr", 10001)],
)
def test_isolated_margin_is_refused(desk: Desk, path: str, code: int) -> None:
    assert refused(desk.post(f"/v5/position/{path}", **LINEAR))[0] == code
