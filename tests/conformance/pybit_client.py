"""pybit as it is, with nothing but its addresses changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any
from unittest.mock import patch

import pybit._websocket_trading
from pybit import unified_trading
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

from kedge.venues.exchange.api_keys import ApiKey

PATIENCE_S = 30.0
OPTIONS = {"ping_interval": 5, "ping_timeout": 1, "private_auth_expire": 30}
"""A reader that is closed from outside sometimes notices only when its ping is due: with the usual numbers after ten seconds. A busy
machine may need longer than the usual second between writing `auth` and sending it.
"""


@contextmanager
def http(url: str, key: str = "", secret: str = "", **options: Any) -> Iterator[HTTP]:
    """A session; its requests go to `url`."""
    session = HTTP(api_key=key or None, api_secret=secret or None, **options)
    session.endpoint = url
    try:
        yield session
    finally:
        session.client.close()


@contextmanager
def _redirected(url: str) -> Iterator[None]:
    base = url.replace("http://", "ws://")
    with (
        patch.object(unified_trading, "PUBLIC_WSS", base + "/v5/public/{CHANNEL_TYPE}"),
        patch.object(unified_trading, "PRIVATE_WSS", base + "/v5/private"),
        patch.object(pybit._websocket_trading, "TRADE_WSS", base + "/v5/trade"),
    ):
        yield


@contextmanager
def _ended(socket: Any) -> Iterator[Any]:
    """Close a socket at the end and wait for its reader."""
    try:
        yield socket
    finally:
        socket.exit()
        socket.wst.join(PATIENCE_S)


@contextmanager
def public_socket(url: str) -> Iterator[WebSocket]:
    """A public socket of linear contracts."""
    with _redirected(url), _ended(WebSocket("linear", testnet=False, **OPTIONS)) as socket:
        yield socket


@contextmanager
def private_socket(url: str, key: ApiKey) -> Iterator[WebSocket]:
    """A private socket; who subscribes before the answer to its `auth` is served too."""
    with _redirected(url), _ended(WebSocket("private", testnet=False, api_key=key.key, api_secret=key.secret, **OPTIONS)) as socket:
        yield socket


@contextmanager
def trade_socket(url: str, key: ApiKey) -> Iterator[WebSocketTrading]:
    """A socket for orders."""
    given = {"testnet": False, "api_key": key.key, "api_secret": key.secret, "recv_window": 5_000, **OPTIONS}
    with _redirected(url), _ended(WebSocketTrading(**given)) as socket:
        yield socket


class Heard:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def __call__(self, message: dict[str, Any]) -> None:
        self._messages.put(message)

    def next(self) -> dict[str, Any]:
        """The next message; a test fails after half a minute without one."""
        try:
            return self._messages.get(timeout=PATIENCE_S)
        except Empty:
            raise AssertionError("nothing came") from None

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is wanted; others are passed over."""
        while not wanted(found := self.next()):
            pass
        return found

    def is_empty(self) -> bool:
        return self._messages.empty()
