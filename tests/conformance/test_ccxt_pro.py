"""ccxt.pro, unmodified, against the exchange: streams as the client merges them, and orders over the trade socket."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.calls import Watched
from tests.conformance.ccxt_client import pro
from tests.conformance.ccxt_pro_calls import PRO
from tests.conformance.loopback import PATIENCE_S, Desk


@pytest.mark.parametrize("name", PRO.names)
def test_what_ccxt_pro_hears_and_does_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), pro(desk.exchange.url, desk.key.key, desk.key.secret) as exchange:
            client = Watched(exchange)
            await PRO.checks[name](desk, client)
            assert name in client.passed

    import ccxt.pro  # noqa: F401 - it takes seconds, which are not the client's

    asyncio.run(body())
