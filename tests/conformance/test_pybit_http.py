"""pybit's HTTP session, unmodified, against the exchange: every call that a trader needs, compared with what the exchange holds."""

from __future__ import annotations

import pytest
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import Desk
from tests.conformance.pybit_account_calls import ACCOUNT
from tests.conformance.pybit_client import http
from tests.conformance.pybit_market_calls import MARKET
from tests.conformance.pybit_trade_calls import TRADE


def _checked(calls: Calls, name: str, desk: Desk) -> None:
    with http(desk.exchange.url, desk.key.key, desk.key.secret) as session:
        client = Watched(session)
        calls.checks[name](desk, client)
        assert name in client.passed


@pytest.mark.parametrize("name", MARKET.names)
def test_what_pybit_reads_of_the_market_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    _checked(MARKET, name, desk)


@pytest.mark.parametrize("name", TRADE.names)
def test_what_pybit_trades_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    _checked(TRADE, name, desk)


@pytest.mark.parametrize("name", ACCOUNT.names)
def test_what_pybit_reads_of_an_account_is_what_the_exchange_holds(name: str, desk: Desk) -> None:
    _checked(ACCOUNT, name, desk)
