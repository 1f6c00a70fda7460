"""What the exchange says over its own REST, asked by a small signed client: text and Decimal, and nothing of `kedge` is imported."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

RECV_WINDOW_MS = "5000"
WEEK_MS = 7 * 86_400_000
"""Longest span that lists may be asked for."""
POSITION_STOPS = ("StopLoss", "TakeProfit")
Row = dict[str, Any]


@dataclass
class VenueSays:
    """All lists of one account. Orders are by venue id, so that one in two lists counts once."""

    trades: list[Row] = field(default_factory=list)
    fundings: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    orders: dict[str, Row] = field(default_factory=dict)
    stops: dict[str, Row] = field(default_factory=dict)
    """Orders that the exchange made for the stops of positions, by venue id."""
    positions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    """Symbol to signed size and signed value at the entry."""
    stop_prices: dict[str, Decimal] = field(default_factory=dict)
    """Symbol of an open position to its stop; 0 where it has none."""
    log: list[Row] = field(default_factory=list)
    wallet: Decimal = Decimal(0)


class VenueReader:
    """Asks as one key.

    Parameters
    ----------
    coin : str
        What the account is settled in.
    """

    def __init__(self, url: str, key: str, secret: str, coin: str = "USDT") -> None:
        self._url, self._key, self._secret, self._coin = url, key, secret.encode(), coin
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def close(self) -> None:
        await self._session.close()

    async def read(self, from_ms: int, to_ms: int) -> VenueSays:
        """Everything between two moments of venue time, page by page. The market must stand still meanwhile."""
        span = (from_ms, to_ms)
        says = VenueSays(log=await self._spans("/v5/account/transaction-log", 50, span, accountType="UNIFIED"))
        for row in await self._spans("/v5/execution/list", 100, span, category="linear"):
            {"Trade": says.trades, "Funding": says.fundings}.get(row["execType"], says.others).append(row)
        closed = await self._spans("/v5/order/history", 50, span, category="linear")
        still_open = await self._all("/v5/order/realtime", 50, category="linear", settleCoin=self._coin, openOnly="0")
        known = {row["orderId"]: row for row in (*still_open, *closed)}
        says.stops = {name: row for name, row in known.items() if row["stopOrderType"] in POSITION_STOPS and not row["orderLinkId"]}
        says.orders = {name: row for name, row in known.items() if name not in says.stops}
        for row in await self._all("/v5/position/list", 200, category="linear", settleCoin=self._coin):
            sign = -1 if row["side"] == "Sell" else 1
            if Decimal(row["size"]):
                says.stop_prices[row["symbol"]] = Decimal(row["stopLoss"] or 0)
                says.positions[row["symbol"]] = (sign * Decimal(row["size"]), sign * Decimal(row["positionValue"]))
        (account,) = (await self._get("/v5/account/wallet-balance", accountType="UNIFIED"))["list"]
        (coin,) = [one for one in account["coin"] if one["coin"] == self._coin]
        says.wallet = Decimal(coin["walletBalance"])
        return says

    async def _spans(self, path: str, limit: int, span: tuple[int, int], **params: str) -> list[Row]:
        found: list[Row] = []
        for start in range(span[0], span[1] + 1, WEEK_MS):
            end = min(start + WEEK_MS - 1, span[1])
            found += await self._all(path, limit, **params, startTime=str(start), endTime=str(end))
        return found

    async def _all(self, path: str, limit: int, **params: str) -> list[Row]:
        found: list[Row] = []
        cursor = ""
        while True:
            page = await self._get(path, limit=str(limit), **params, **({"cursor": cursor} if cursor else {}))
            found += page["list"]
            cursor = page.get("nextPageCursor", "")
            if not cursor:
                return found

    async def _get(self, path: str, **params: str) -> Row:
        query, stamp = urlencode(params), str(time.time_ns() // 1_000_000)
        signed = hmac.new(self._secret, f"{stamp}{self._key}{RECV_WINDOW_MS}{query}".encode(), hashlib.sha256).hexdigest()
        headers = {"X-BAPI-API-KEY": self._key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": RECV_WINDOW_MS, "X-BAPI-SIGN": signed}
        async with self._session.get(URL(f"{self._url}{path}?{query}", encoded=True), headers=headers) as answer:
            told: Row = await answer.json(content_type=None)
        if told["retCode"]:
            raise RuntimeError(f"{path} answers {told['retCode']} {told['retMsg']}")
        result: Row = told["result"]
        return result
