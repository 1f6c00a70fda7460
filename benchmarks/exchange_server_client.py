"""The client of `exchange_server.py`: connections that write prepared bytes and count answers, and the requests themselves."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import time
from collections.abc import Sequence

from exchange_server_process import KEY, PRICE_TICKS

WINDOW_MS = "60000"
"""Requests are signed up to a round before they leave."""
SECRET = KEY.secret.encode()
PRIVATE_TOPICS = ["order", "execution", "position", "wallet"]


class Pipe(asyncio.Protocol):
    """One connection of a client that writes what it was given and counts the answers by a mark that each holds once."""

    transport: asyncio.Transport

    def __init__(self, mark: bytes) -> None:
        self._left: Sequence[bytes] = ()
        self._sent = self._wanted = self._seen = 0
        self._done: asyncio.Future[None] | None = None
        self.look_for(mark)

    def look_for(self, mark: bytes) -> None:
        """From now on count this mark."""
        self._mark, self._tail, self.all_seen = mark, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        whole = self._tail + data
        count = whole.count(self._mark)
        self._tail = whole[1 - len(self._mark) :]
        self._seen += count
        self.all_seen += count
        if count and self._sent < len(self._left):
            self.transport.write(b"".join(self._left[self._sent : self._sent + count]))
            self._sent += count
        if self._done is not None and self._seen >= self._wanted and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error or ConnectionResetError("the exchange closed the connection"))

    async def play(self, requests: Sequence[bytes], depth: int) -> None:
        """Send all, `depth` of them unanswered at a time, and wait for the last answer."""
        self._left, self._sent, self._seen, self._wanted = requests, min(depth, len(requests)), 0, len(requests)
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(b"".join(requests[:depth]))
        async with asyncio.timeout(60):
            await self._done


async def connect(port: int, mark: bytes) -> Pipe:
    _, pipe = await asyncio.get_running_loop().create_connection(lambda: Pipe(mark), "127.0.0.1", port)
    return pipe


async def spread(pipes: Sequence[Pipe], requests: Sequence[bytes], depth: int) -> None:
    """Send all over several connections at once."""
    await asyncio.gather(*(pipe.play(requests[n :: len(pipes)], depth) for n, pipe in enumerate(pipes)))


def http_request(op: str, body: bytes) -> bytes:
    """A signed request to `/v5/order/OP`."""
    stamp = str(time.time_ns() // 1_000_000)
    sign = hmac.digest(SECRET, (stamp + KEY.key + WINDOW_MS).encode() + body, "sha256").hex()
    head = (
        f"POST /v5/order/{op} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nContent-Type: application/json"
        f"\r\nX-BAPI-API-KEY: {KEY.key}\r\nX-BAPI-TIMESTAMP: {stamp}\r\nX-BAPI-RECV-WINDOW: {WINDOW_MS}\r\nX-BAPI-SIGN: {sign}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def masked(text: bytes) -> bytes:
    """A client's text frame; a mask of zeros costs the server as much as any other."""
    size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


async def open_socket(port: int, path: str, mark: bytes) -> Pipe:
    pipe = await connect(port, b"\r\n\r\n")
    hello = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    await pipe.play([f"{hello}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()], 1)
    pipe.look_for(mark)
    return pipe


async def authenticated(port: int, path: str, mark: bytes) -> Pipe:
    expires = time.time_ns() // 1_000_000 + 10_000
    sign = hmac.digest(SECRET, f"GET/realtime{expires}".encode(), "sha256").hex()
    pipe = await open_socket(port, path, b'"op":"auth"')
    await pipe.play([masked(json.dumps({"op": "auth", "args": [KEY.key, expires, sign]}).encode())], 1)
    pipe.look_for(mark)
    return pipe


async def listening(port: int) -> Pipe:
    pipe = await authenticated(port, "/v5/private", b'"op":"subscribe"')
    await pipe.play([masked(json.dumps({"op": "subscribe", "args": PRIVATE_TOPICS}).encode())], 1)
    pipe.look_for(b'"topic"')
    return pipe


class Orders:
    """Bodies of creates and of the cancels that belong to them."""

    def __init__(self, seed: int) -> None:
        self._rng, self._count, self._requests = random.Random(seed), 0, 0

    def limits(self, count: int) -> tuple[list[bytes], list[bytes]]:
        """Orders that rest within 200 ticks of the price, and their cancels."""
        creates, cancels = [], []
        for _ in range(count):
            side = self._rng.choice(("Buy", "Sell"))
            ticks = PRICE_TICKS + self._rng.randint(20, 220) * (-1 if side == "Buy" else 1)
            link = self._link()
            creates.append(self._body(side, "Limit", link, price=f"{ticks // 10}.{ticks % 10}", timeInForce="GTC"))
            cancels.append(json.dumps({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link}, separators=(",", ":")).encode())
        self._rng.shuffle(cancels)
        return creates, cancels

    def markets(self, count: int) -> list[bytes]:
        """Orders that trade at once, to and fro."""
        return [self._body(("Buy", "Sell")[n % 2], "Market", self._link()) for n in range(count)]

    def frame(self, op: str, body: bytes) -> bytes:
        """The same on the trade socket."""
        self._requests += 1
        stamp = time.time_ns() // 1_000_000
        header = f'{{"X-BAPI-TIMESTAMP":"{stamp}","X-BAPI-RECV-WINDOW":"{WINDOW_MS}"}}'
        return masked(f'{{"reqId":"b-{self._requests}","header":{header},"op":"order.{op}","args":['.encode() + body + b"]}")

    def _link(self) -> str:
        self._count += 1
        return f"bench-{self._count:010d}"

    def _body(self, side: str, kind: str, link: str, **more: str) -> bytes:
        wish = {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": kind, "qty": f"0.00{self._rng.randint(1, 9)}"}
        return json.dumps({**wish, "orderLinkId": link, "positionIdx": 0, "reduceOnly": False, **more}, separators=(",", ":")).encode()
