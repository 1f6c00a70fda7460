"""What known bots do when they start and trade, in their order and with their habits: freqtrade through ccxt, nautilus over raw sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import websocket
from tests.conformance.ccxt_client import PAIR, rest
from tests.conformance.loopback import PATIENCE_S, Desk

from kedge.simulation.venue_types import Status, StopType
from kedge.venues.exchange.auth import signature


def test_freqtrade_starts_trades_and_is_stopped_out(desk: Desk) -> None:
    """Refusals of what is so already are tolerated; bodies carry a key that the venue does not know; the stop waits at the venue."""
    import ccxt

    with rest(desk.exchange.url, desk.key.key, desk.key.secret) as client:
        client.set_position_mode(False)
        assert client.is_unified_enabled() == [False, True]
        client.load_markets()
        client.fetch_leverage_tiers([PAIR])
        client.set_margin_mode("cross", PAIR, {"leverage": 3})
        client.set_leverage(3, PAIR)
        with pytest.raises(ccxt.BadRequest, match="110043"):
            client.set_leverage(3, PAIR)
        entry = client.create_order(PAIR, "limit", "buy", 0.05, 60_010.0, {"timeInForce": "GTC", "position_idx": 0})
        assert client.fetch_order(entry["id"], PAIR, {"acknowledged": True})["status"] == "closed"
        stop = {"stopPrice": 59_500.0, "triggerDirection": "descending", "reduceOnly": True, "position_idx": 0}
        waiting = client.create_order(PAIR, "market", "sell", 0.05, None, stop)
        assert (desk.order(waiting["id"]).status, desk.order(waiting["id"]).stop_type) == (Status.UNTRIGGERED, StopType.STOP)
        desk.exchange.price("BTCUSDT", 594_990)
        stopped = client.fetch_order(waiting["id"], PAIR, {"acknowledged": True})
        assert (stopped["status"], stopped["filled"], desk.position().lots) == ("closed", 0.05, 0)
        assert {trade["side"] for trade in client.fetch_my_trades(PAIR)} == {"buy", "sell"}


class Raw:
    """An adapter's own protocol code in miniature: signed requests and the two private sockets."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.base = desk, desk.exchange.url

    def stamp(self) -> str:
        return str(self.desk.exchange.clock.wall_ns() // 1_000_000)

    def ask(self, method: str, path: str, payload: str) -> dict[str, Any]:
        """A signed request; a query for GET, a body for POST."""
        key, stamp = self.desk.key, self.stamp()
        sign = signature(key.secret_bytes, f"{stamp}{key.key}5000{payload}".encode())
        headers = {"X-BAPI-API-KEY": key.key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-SIGN": sign, "X-BAPI-RECV-WINDOW": "5000"}
        headers["Content-Type"] = "application/json"
        url = f"{self.base}{path}" + (f"?{payload}" if method == "GET" else "")
        body = payload if method == "POST" else None
        with requests.request(method, url, data=body, headers=headers, timeout=PATIENCE_S) as answer:
            found: dict[str, Any] = answer.json()
            return found

    def socket(self, path: str) -> Any:
        """An authenticated socket."""
        made = websocket.create_connection(self.base.replace("http://", "ws://") + path, timeout=PATIENCE_S)
        expires = int(self.stamp()) + 10_000
        sign = signature(self.desk.key.secret_bytes, f"GET/realtime{expires}".encode())
        made.send(json.dumps({"op": "auth", "args": [self.desk.key.key, expires, sign]}))
        return made


def test_nautilus_starts_and_trades_over_its_two_private_sockets(desk: Desk) -> None:
    raw = Raw(desk)
    assert len(raw.ask("GET", "/v5/market/instruments-info", "category=linear&limit=1000")["result"]["list"]) == 2
    assert raw.ask("GET", "/v5/account/fee-rate", "category=linear")["retCode"] == 0
    private, trade = raw.socket("/v5/private"), raw.socket("/v5/trade")
    try:
        assert json.loads(private.recv())["success"] is True
        assert json.loads(trade.recv())["retCode"] == 0
        private.send(json.dumps({"op": "subscribe", "args": ["order", "execution", "position", "wallet"]}))
        assert json.loads(private.recv())["success"] is True
        leverage = json.dumps({"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "10", "sellLeverage": "10"})
        assert raw.ask("POST", "/v5/position/set-leverage", leverage)["retCode"] == 110043
        mode = json.dumps({"category": "linear", "symbol": "BTCUSDT", "coin": None, "mode": 0})
        assert raw.ask("POST", "/v5/position/switch-mode", mode)["retCode"] == 110025
        assert raw.ask("GET", "/v5/account/wallet-balance", "accountType=UNIFIED")["retCode"] == 0
        order = {
            "category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Market", "qty": "0.020", "price": None,
            "timeInForce": "IOC", "orderLinkId": "O-20260101-081000-001-000-1", "reduceOnly": False, "positionIdx": None,
        }  # fmt: skip
        header = {"X-BAPI-TIMESTAMP": raw.stamp(), "X-BAPI-RECV-WINDOW": "5000", "Referer": "nautilus"}
        trade.send(json.dumps({"reqId": "n-1", "header": header, "op": "order.create", "args": [order]}))
        answer = json.loads(trade.recv())
        assert (answer["reqId"], answer["retCode"]) == ("n-1", 0)
        topics = [json.loads(private.recv())["topic"] for _ in range(4)]
        assert topics == ["execution", "order", "position", "wallet"]
        assert desk.order(answer["data"]["orderId"]).status is Status.FILLED
        private.send(json.dumps({"op": "ping", "req_id": "b"}))
        assert json.loads(private.recv())["op"] == "pong"
    finally:
        private.close()
        trade.close()
