"""ccxt's REST client, unmodified, against the exchange: what most bots use, compared with what the exchange holds."""

from __future__ import annotations

import pytest
from tests.conformance.calls import Calls, Watched
from tests.conformance.ccxt_client import rest
from tests.conformance.ccxt_market_calls import MARKET
from tests.conformance.ccxt_trade_calls import TRADE
from tests.conformance.loopback import Desk


def _checked(calls: Calls, name: str, desk: Desk) -> None:
    with rest(desk.exchange.url, desk.key.key, desk.key.secret) as exchange:
        client = Watched(exchange)
        calls.checks[name](desk, client)
        assert name in client.passed


@pytest.mark.parametrize("name", MARKET.names)
def test_what_ccxt_reads_of_the_market_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    _checked(MARKET, name, desk)


@pytest.mark.parametrize("name", TRADE.names)
def test_what_ccxt_trades_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    _checked(TRADE, name, desk)
