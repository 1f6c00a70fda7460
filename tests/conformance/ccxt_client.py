"""ccxt as it is, with nothing but its addresses changed. It is imported by whoever uses it first: it takes seconds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

PAIR = "BTC/USDT:USDT"
ETHER = "ETH/USDT:USDT"
_HOST = re.compile(r"^[a-z]+://[^/]+")


def redirected(found: Any, to: str) -> Any:
    """The same addresses, nested as they were, at another host."""
    if isinstance(found, dict):
        return {name: redirected(value, to) for name, value in found.items()}
    return _HOST.sub(to, found)


@cache
def _addresses() -> dict[str, Any]:
    import ccxt

    return dict(ccxt.bybit().urls["api"])


@contextmanager
def rest(url: str, key: str = "", secret: str = "", **config: Any) -> Iterator[Any]:
    """A client of linear markets; `config` goes to its constructor."""
    import ccxt

    given = {"apiKey": key, "secret": secret, "urls": {"api": redirected(_addresses(), url)}, "enableRateLimit": False, **config}
    given.setdefault("options", {"fetchMarkets": {"types": ["linear"]}})
    client = ccxt.bybit(given)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def pro(url: str, key: str = "", secret: str = "") -> AsyncIterator[Any]:
    """A client with WebSockets, its markets loaded."""
    import ccxt.pro

    client = ccxt.pro.bybit({"apiKey": key, "secret": secret, "enableRateLimit": False, "options": {"fetchMarkets": {"types": ["linear"]}}})
    sockets = redirected(client.urls["api"]["ws"], url.replace("http://", "ws://"))
    client.urls["api"] = {**redirected({name: at for name, at in client.urls["api"].items() if name != "ws"}, url), "ws": sockets}
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()
