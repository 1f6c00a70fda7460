"""OKX's public market data as its manual shows it, on a port of this machine: quantities in contracts of 0.01 BTC."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

MINUTE_MS = 60_000
RATES = 3


class Okx:
    """What is answered; `minutes` closed bars end at `now_ms`, a whole minute."""

    def __init__(self, minutes: int = 6) -> None:
        self.now_ms = int(time.time() * 1_000) // MINUTE_MS * MINUTE_MS
        self.minutes, self.asked, self.down = minutes, list[str](), False
        self.bids, self.asks = [["60000.0", "42", "0", "3"], ["59999.9", "7", "0", "1"]], [["60000.1", "5.5", "0", "2"]]
        self.rates = [(self.now_ms // (480 * MINUTE_MS) - n) * 480 * MINUTE_MS for n in range(RATES)]
        self.funding: dict[str, str] = {"fundingTime": str(self.rates[0]), "nextFundingTime": str(self.rates[0] + 480 * MINUTE_MS)}

    def instruments(self, _: web.Request) -> list[Any]:
        swap = {
            "instType": "SWAP", "ctType": "linear", "ctVal": "0.01", "ctMult": "1", "settleCcy": "USDT", "state": "live", "tickSz": "0.1",
            "lotSz": "0.1", "minSz": "0.1", "maxLmtSz": "1000000", "maxMktSz": "10000", "lever": "100", "listTime": "1573557408000",
        }  # fmt: skip
        return [
            {**swap, "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "ctValCcy": "BTC"},
            {
                **swap,
                "instId": "BTC-USD-SWAP",
                "uly": "BTC-USD",
                "ctType": "inverse",
                "settleCcy": "BTC",
                "ctVal": "100",
                "ctValCcy": "USD",
            },
        ]

    def candles(self, request: web.Request) -> list[Any]:
        after, before = int(request.query.get("after", self.now_ms + 1)), int(request.query.get("before", 0))
        starts = [self.now_ms - n * MINUTE_MS for n in range(self.minutes + 1)]
        rows = []
        for start in starts:
            n = start // MINUTE_MS % 5
            prices = [f"{60_000 + n}.0", f"{60_010 + n}.5", f"{59_990 + n}.0", f"{60_001 + n}.0"]
            confirm = "1" if start < self.now_ms else "0"
            if before < start < after:
                rows.append([str(start), *prices, "150", "1.5004", "90000", confirm])
        return rows[: int(request.query["limit"])]

    def history(self, request: web.Request) -> list[Any]:
        before = int(request.query.get("before", 0))
        return [
            {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "realizedRate": "0.000125", "fundingTime": str(ts)}
            for ts in self.rates
            if ts > before
        ][: int(request.query.get("limit", 100))]

    def answer(self, request: web.Request) -> Any:
        path = request.path.removeprefix("/api/v5/")
        ticker = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "last": "60000.1", "ts": str(self.now_ms)}
        known = {
            "public/instruments": self.instruments,
            "market/candles": self.candles,
            "market/history-candles": self.candles,
            "market/ticker": lambda _: [ticker],
            "market/books": lambda _: [{"asks": self.asks, "bids": self.bids, "ts": str(self.now_ms + 500)}],
            "public/funding-rate": lambda _: [{"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", **self.funding}],
            "public/funding-rate-history": self.history,
            "public/time": lambda _: [{"ts": str(self.now_ms + 777)}],
        }
        return known[path](request)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if self.down:
            return web.json_response({"code": "50001", "msg": "Service temporarily unavailable", "data": []}, status=503)
        return web.json_response({"code": "0", "msg": "", "data": self.answer(request)})


@asynccontextmanager
async def serving(okx: Okx) -> AsyncIterator[str]:
    """The address at which it answers."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", okx.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
