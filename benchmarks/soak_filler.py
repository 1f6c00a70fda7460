"""Fills an exchange's histories for `soak.py`: market orders to and fro in batches on the trader's account, before the trader comes.

An exchange keeps the last 20,000 to 25,000 orders, executions, log rows and closed positions of an account. Until they are full its memory
rises, and with a trader alone that takes longer than the benchmark; afterwards whatever still rises is a leak.
"""

from __future__ import annotations

import time

import aiohttp
import msgspec

from kedge.ops.paper_keys import PaperKey
from kedge.simulation.venue_types import VenueLimits
from kedge.venues.bybit.signing import HmacSigner, rest_headers
from kedge.venues.lockstep import LockStep

PATH = "/v5/order/create-batch"
BATCH, BATCHES_A_BAR = 20, 20
FULL = VenueLimits().history_max * 5 // 4
"""Rows of a kind at most; every second order closes a position."""


def bodies(symbol: str) -> bytes:
    """Orders that end where they began."""
    sides = ("Buy", "Sell") * (BATCH // 2)
    orders = [{"symbol": symbol, "side": side, "orderType": "Market", "qty": "0.001"} for side in sides]
    return msgspec.json.encode({"category": "linear", "request": orders})


async def fill(url: str, key: PaperKey, orders: int, symbol: str = "BTCUSDT") -> None:
    """Place so many orders, while the market waits for us between its bars."""
    signer, body, placed = HmacSigner(key.api_key, key.api_secret), bodies(symbol), 0
    lockstep = LockStep(url, "filler")
    try:
        await lockstep.connect()
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
            while placed < orders:
                bar = await lockstep.next_bar()
                for _ in range(BATCHES_A_BAR):
                    headers = rest_headers(signer, body, time.time_ns() // 1_000_000, 5_000)
                    async with session.post(url + PATH, data=body, headers=headers) as answer:
                        placed += accepted(await answer.read())
                await lockstep.acknowledge(bar.seq)
        await lockstep.leave()
    finally:
        await lockstep.close()


def accepted(answer: bytes) -> int:
    """How many orders of a batch were taken; all must be."""
    said = msgspec.json.decode(answer)
    refused = [one for one in said["retExtInfo"].get("list", ()) if one["code"]]
    if said["retCode"] or refused:
        raise SystemExit(f"orders that fill the histories were refused: {said['retMsg']} {refused[:1]}")
    return BATCH
