"""A hand and an eye at a simulated exchange: a small signed client of its own, which shares nothing with the client that is being drilled.

Rules: text and Decimal, as the exchange says them; whoever reads here judges the guard, so nothing of the guard's is used. For simulated
exchanges alone: it refuses any other address.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from kedge.domain.errors import AccessRefused, VenueUnavailable

RECV_WINDOW_MS: Final = "1000"
COIN: Final = "USDT"
POSITION_STOPS: Final = ("StopLoss", "TakeProfit")
Row = dict[str, Any]


class VenueHand:
    """Acts and reads with one key.

    Parameters
    ----------
    url : str
        Of a simulated exchange on this machine.

    Raises
    ------
    AccessRefused
        Any other address.
    """

    def __init__(self, url: str, key: str, secret: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise AccessRefused(
                f"a drill at {url}", why="drills run on a simulated exchange of this machine alone", fix="leave it to the drill"
            )
        self.url, self._key, self._secret = url.rstrip("/"), key, secret.encode()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def positions(self) -> dict[str, Row]:
        """Open positions by symbol, with `lots` signed as Decimal in `size_signed`."""
        rows = (await self.get("/v5/position/list", category="linear", settleCoin=COIN, limit="200"))["list"]
        found = {}
        for row in rows:
            size = Decimal(row["size"] or 0)
            if size:
                found[row["symbol"]] = {**row, "size_signed": -size if row["side"] == "Sell" else size}
        return found

    async def open_orders(self) -> list[Row]:
        """All open orders, the stops of positions among them."""
        found: list[Row] = []
        cursor = ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await self.get("/v5/order/realtime", category="linear", settleCoin=COIN, openOnly="0", limit="50", **more)
            found += [row for row in page["list"] if row["orderStatus"] in ("New", "PartiallyFilled", "Untriggered")]
            cursor = page.get("nextPageCursor", "")
            if not cursor:
                return found

    async def equity(self) -> tuple[Decimal, Decimal]:
        """Equity and wallet."""
        (account,) = (await self.get("/v5/account/wallet-balance", accountType="UNIFIED"))["list"]
        (coin,) = [one for one in account["coin"] if one["coin"] == COIN]
        return Decimal(coin["equity"]), Decimal(coin["walletBalance"])

    async def executions(self, since_ms: int, until_ms: int) -> list[Row]:
        """Trades between two moments of venue time, oldest first."""
        rows = await self._span("/v5/execution/list", 100, since_ms, until_ms)
        return sorted((row for row in rows if row["execType"] == "Trade"), key=lambda row: (int(row["execTime"]), int(row.get("seq", 0))))

    async def orders(self, since_ms: int, until_ms: int) -> list[Row]:
        """Orders that ended, and open ones, between two moments of venue time."""
        ended = await self._span("/v5/order/history", 50, since_ms, until_ms)
        return list({row["orderId"]: row for row in (*await self.open_orders(), *ended)}.values())

    async def _span(self, path: str, limit: int, since_ms: int, until_ms: int) -> list[Row]:
        found: list[Row] = []
        cursor = ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await self.get(path, category="linear", limit=str(limit), startTime=str(since_ms), endTime=str(until_ms), **more)
            found += page["list"]
            cursor = page.get("nextPageCursor", "")
            if not cursor:
                return found

    async def mark(self, symbol: str) -> Decimal:
        """The mark price now."""
        (row,) = (await self.get("/v5/market/tickers", category="linear", symbol=symbol))["list"]
        return Decimal(row["markPrice"])

    async def status(self) -> Row:
        """What the exchange says of itself."""
        async with self._session.get(f"{self.url}/kedge/status") as answer:
            told: Row = await answer.json()
            return told

    # --- acting ----------------------------------------------------------------------------------------------------------

    async def place(self, symbol: str, side: str, qty: str, *, price: str = "", link_id: str = "", reduce_only: bool = False) -> Row:
        """Send an order: at market without a price, else resting. The whole answer; a refusal is in its `retCode`."""
        body: Row = {"category": "linear", "symbol": symbol, "side": side, "qty": qty, "orderType": "Limit" if price else "Market"}
        body |= {"timeInForce": "GTC" if price else "IOC", "reduceOnly": reduce_only, "positionIdx": 0}
        body |= {"price": price} if price else {}
        body |= {"orderLinkId": link_id} if link_id else {}
        return await self.post("/v5/order/create", body)

    async def set_stop(self, symbol: str, price: str) -> Row:
        """Put a stop of the whole position at the exchange, triggered by the mark."""
        body = {"category": "linear", "symbol": symbol, "stopLoss": price, "slTriggerBy": "MarkPrice", "tpslMode": "Full", "positionIdx": 0}
        return await self.post("/v5/position/trading-stop", body)

    async def order_fault(self, **fault: Any) -> None:
        """Order a fault of the exchange."""
        async with self._session.post(f"{self.url}/kedge/faults", json=fault) as answer:
            if answer.status != 200:
                raise VenueUnavailable(f"fault {fault}", why=await answer.text(), fix="correct the fault")

    async def clear_faults(self) -> None:
        """Disarm all faults."""
        async with self._session.delete(f"{self.url}/kedge/faults") as answer:
            await answer.read()

    # --- calls -----------------------------------------------------------------------------------------------------------

    async def get(self, path: str, **params: str) -> Row:
        """One read.

        Raises
        ------
        VenueUnavailable
            The exchange refuses it or does not answer.
        """
        query = urlencode(params)
        told = await self._call("GET", f"{path}?{query}", query, b"")
        if told["retCode"]:
            raise VenueUnavailable(f"{path} answers {told['retCode']}", why=told["retMsg"], fix="look into the exchange's log")
        result: Row = told["result"]
        return result

    async def post(self, path: str, body: Row) -> Row:
        """One act; the whole answer, whatever its code."""
        text = json.dumps(body)
        return await self._call("POST", path, text, text.encode())

    async def _call(self, method: str, target: str, signed: str, body: bytes) -> Row:
        stamp = str(time.time_ns() // 1_000_000)
        seal = hmac.new(self._secret, f"{stamp}{self._key}{RECV_WINDOW_MS}{signed}".encode(), hashlib.sha256).hexdigest()
        headers = {"X-BAPI-API-KEY": self._key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": RECV_WINDOW_MS, "X-BAPI-SIGN": seal}
        try:
            async with self._session.request(
                method, URL(self.url + target, encoded=True), data=body or None, headers={**headers, "Content-Type": "application/json"}
            ) as answer:
                told: Row = await answer.json(content_type=None)
                return told
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise VenueUnavailable(
                f"{method} {target.partition('?')[0]}", why=str(error) or type(error).__name__, fix="see whether the exchange still runs"
            ) from None
