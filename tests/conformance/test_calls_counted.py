"""How many different calls of foreign clients are checked: each stands in a table whose every entry is a test of its own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance import ccxt_market_calls, ccxt_trade_calls, pybit_account_calls, pybit_market_calls, pybit_trade_calls
from tests.conformance.calls import Calls
from tests.conformance.ccxt_pro_calls import PRO
from tests.conformance.pybit_socket_calls import ORDERS, PRIVATE, PUBLIC

AT_LEAST = 40
PYBIT_HTTP = (pybit_market_calls.MARKET, pybit_trade_calls.TRADE, pybit_account_calls.ACCOUNT)
CCXT_REST = (ccxt_market_calls.MARKET, ccxt_trade_calls.TRADE)


def test_at_least_forty_calls_of_each_big_client_are_checked_against_the_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    import ccxt.pro
    from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

    tables: dict[str, tuple[Any, tuple[Calls, ...]]] = {
        "pybit HTTP": (HTTP, PYBIT_HTTP),
        "pybit WebSocket": (WebSocket, (PUBLIC, PRIVATE)),
        "pybit WebSocketTrading": (WebSocketTrading, (ORDERS,)),
        "ccxt": (ccxt.bybit, CCXT_REST),
        "ccxt.pro": (ccxt.pro.bybit, (PRO,)),
    }
    counts = {}
    for name, (client, parts) in tables.items():
        calls = {call for part in parts for call in part.names}
        assert all(callable(getattr(client, call)) for call in calls)
        counts[name] = len(calls)
    with capsys.disabled():
        print(f"\nforeign calls checked: {sum(counts.values())} ({', '.join(f'{name} {count}' for name, count in counts.items())})")
    assert sum(counts.values()) >= AT_LEAST
    assert sum(len(part.names) for part in PYBIT_HTTP) >= AT_LEAST
    assert sum(len(part.names) for part in CCXT_REST) >= AT_LEAST
