"""pybit's WebSockets, unmodified, against the exchange: streams as they are merged by the client, orders and their refusals."""

from __future__ import annotations

import pytest
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import Desk
from tests.conformance.pybit_client import private_socket, public_socket, trade_socket
from tests.conformance.pybit_socket_calls import ORDERS, PRIVATE, PUBLIC


def _checked(calls: Calls, name: str, desk: Desk, socket: object) -> None:
    client = Watched(socket)
    calls.checks[name](desk, client)
    assert name in client.passed


@pytest.mark.parametrize("name", PUBLIC.names)
def test_public_streams_of_pybit_tell_what_the_exchange_holds(name: str, desk: Desk) -> None:
    with public_socket(desk.exchange.url) as socket:
        _checked(PUBLIC, name, desk, socket)


@pytest.mark.parametrize("name", PRIVATE.names)
def test_private_streams_of_pybit_tell_what_the_exchange_holds(name: str, desk: Desk) -> None:
    with private_socket(desk.exchange.url, desk.key) as socket:
        _checked(PRIVATE, name, desk, socket)


@pytest.mark.parametrize("name", ORDERS.names)
def test_orders_over_pybits_trade_socket_are_what_the_exchange_holds(name: str, desk: Desk) -> None:
    with trade_socket(desk.exchange.url, desk.key) as socket:
        _checked(ORDERS, name, desk, socket)
