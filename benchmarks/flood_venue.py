"""A venue that talks without end, for `flood.py`: book changes, tickers and trades on its public socket, our own rows on its private one.

A process of its own, so that its memory and its time are not the client's. It prints its port, then keeps the pace it was told: what is
late is caught up, so a client that cannot read fast enough is seen in what it received.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle

import picows
import uvloop

TICK_S = 0.004
LEVELS = 50
MIX = ("book",) * 12 + ("ticker",) * 4 + ("trade",) * 2 + ("private",) * 2
"""Sixty, twenty, ten and ten per cent."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def snapshot() -> list[str]:
    """What a new public connection is told first."""
    bids = ",".join(f'["{59_999.9 - level / 10:.1f}","1.000"]' for level in range(LEVELS))
    asks = ",".join(f'["{60_000.1 + level / 10:.1f}","1.000"]' for level in range(LEVELS))
    ts = now_ms()
    book = f'{{"s":"BTCUSDT","b":[{bids}],"a":[{asks}],"u":100,"seq":100}}'
    ticker = '{"symbol":"BTCUSDT","lastPrice":"60000.00","markPrice":"60000.00","indexPrice":"60000.00","fundingRate":"0.0001"}'
    return [
        f'{{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":{ts},"data":{book},"cts":{ts}}}',
        f'{{"topic":"tickers.BTCUSDT","type":"snapshot","ts":{ts},"data":{ticker},"cs":1}}',
    ]


def books() -> Iterator[str]:
    """Changes that follow each other without a hole: five levels a side, other sizes."""
    for number in count(1):
        ts, size = now_ms(), number % 900 + 1
        bids = ",".join(f'["{59_999.9 - (number + level) % LEVELS / 10:.1f}","{size / 1000:.3f}"]' for level in range(5))
        asks = ",".join(f'["{60_000.1 + (number + level) % LEVELS / 10:.1f}","{size / 1000:.3f}"]' for level in range(5))
        data = f'{{"s":"BTCUSDT","b":[{bids}],"a":[{asks}],"u":{100 + number},"seq":{100 + number}}}'
        yield f'{{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":{ts},"data":{data},"cts":{ts}}}'


def tickers() -> Iterator[str]:
    for number in count():
        price = f"{60_000 + number % 9}.00"
        data = f'{{"symbol":"BTCUSDT","lastPrice":"{price}","markPrice":"{price}","indexPrice":"{price}"}}'
        yield f'{{"topic":"tickers.BTCUSDT","type":"delta","ts":{now_ms()},"data":{data},"cs":{number}}}'


def trades() -> Iterator[str]:
    for number in count():
        ts = now_ms()
        data = f'[{{"T":{ts},"s":"BTCUSDT","S":"Buy","v":"0.001","p":"60000.00","L":"PlusTick","i":"{number:036d}","BT":false}}]'
        yield f'{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{ts},"data":{data}}}'


def rows() -> Iterator[str]:
    """One order after the other, accepted, traded and filled, and the wallet after it."""
    for number in count():
        ts, name = now_ms(), f"flood-{number}"
        yield private("order", ts, order(number, name, ts, "New", "0.010"))
        yield private("execution", ts, execution(number, name, ts))
        yield private("order", ts, order(number, name, ts, "Filled", "0.000"))
        coin = f'{{"coin":"USDT","equity":"10000","walletBalance":"{10_000 + number % 100}","usdValue":"10000"}}'
        yield private("wallet", ts, f'{{"accountType":"UNIFIED","totalEquity":"10000","totalMarginBalance":"10000","coin":[{coin}]}}')


def private(topic: str, ts: int, row: str) -> str:
    name = topic if topic == "wallet" else f"{topic}.linear"
    return f'{{"id":"f","topic":"{name}","creationTime":{ts},"data":[{row}]}}'


def order(number: int, name: str, ts: int, status: str, leaves: str) -> str:
    done = "0.010" if status == "Filled" else "0.000"
    return (
        f'{{"category":"linear","symbol":"BTCUSDT","orderId":"{number:032d}","orderLinkId":"{name}","side":"Buy","orderType":"Limit",'
        f'"orderStatus":"{status}","price":"60000.00","qty":"0.010","leavesQty":"{leaves}","cumExecQty":"{done}","cumExecValue":"0",'
        f'"timeInForce":"GTC","reduceOnly":false,"createdTime":"{ts}","updatedTime":"{ts}","rejectReason":"EC_NoError","positionIdx":0,'
        '"cancelType":"UNKNOWN","avgPrice":"","stopOrderType":"","triggerPrice":"","createType":"CreateByUser"}'
    )


def execution(number: int, name: str, ts: int) -> str:
    return (
        f'{{"category":"linear","symbol":"BTCUSDT","execFee":"0.33","execId":"{number:036d}","execPrice":"60000.00","execQty":"0.010",'
        f'"execType":"Trade","execValue":"600","feeRate":"0.00055","leavesQty":"0.000","orderId":"{number:032d}","orderLinkId":"{name}",'
        f'"orderPrice":"60000.00","orderQty":"0.010","orderType":"Limit","side":"Buy","execTime":"{ts}","isMaker":false,"seq":{number},'
        '"feeCurrency":"USDT"}'
    )


class Talk(picows.WSListener):
    """One client's connection: confirms whatever it asks, and is then talked to."""

    def __init__(self, listeners: dict[str, set[picows.WSTransport]], kind: str) -> None:
        self._listeners, self._kind = listeners, kind

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        said = json.loads(frame.get_payload_as_bytes())
        op = "pong" if said["op"] == "ping" else said["op"]
        answer = {"success": True, "ret_msg": "", "conn_id": "c", "req_id": said.get("req_id", ""), "op": op}
        transport.send(picows.WSMsgType.TEXT, json.dumps(answer).encode())
        if op == "subscribe" and transport not in self._listeners[self._kind]:
            if self._kind == "public":
                for text in snapshot():
                    transport.send(picows.WSMsgType.TEXT, text.encode())
            self._listeners[self._kind].add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._listeners[self._kind].discard(transport)


async def talk(listeners: dict[str, set[picows.WSTransport]], rate: float) -> None:
    """Say everything at its time, once both sockets listen."""
    while not all(listeners.values()):
        await asyncio.sleep(TICK_S)
    sources: dict[str, Callable[[], str]] = {
        name: iterator.__next__ for name, iterator in (("book", books()), ("ticker", tickers()), ("trade", trades()), ("private", rows()))
    }
    mix, said, begun_s = cycle(MIX), 0, time.monotonic()
    while all(listeners.values()):
        for _ in range(int((time.monotonic() - begun_s) * rate) - said):
            name = next(mix)
            text = sources[name]().encode()
            for transport in listeners["private" if name == "private" else "public"]:
                transport.send(picows.WSMsgType.TEXT, text)
            said += 1
        await asyncio.sleep(TICK_S)


async def serve(rate: float) -> None:
    listeners: dict[str, set[picows.WSTransport]] = {"public": set(), "private": set()}

    def made(request: picows.WSUpgradeRequest) -> picows.WSListener:
        return Talk(listeners, "private" if b"private" in request.path else "public")

    server = await picows.ws_create_server(made, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await talk(listeners, rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=5_000.0)
    uvloop.run(serve(parser.parse_args().rate))


if __name__ == "__main__":
    main()
