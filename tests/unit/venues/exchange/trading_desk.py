"""A desk at the simulated exchange: a real venue in a hall with a hand-set clock, asked through its endpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from kedge.domain.instrument import InstrumentId
from kedge.domain.units import E8
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Change, Crowd, VenueSettings
from kedge.venues.exchange.account_api import ACCOUNT_ROUTES
from kedge.venues.exchange.envelope import answer
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import query_params
from kedge.venues.exchange.position_api import POSITION_ROUTES
from kedge.venues.exchange.routes import Call, Result, joined
from kedge.venues.exchange.routes_params import RefusedCall
from kedge.venues.exchange.trade_api import TRADE_ROUTES

from ....builders import AAA, BBB, T0, instrument

QUIET = Crowd(levels=5, notional_e8=2_000 * E8, flow_notional_e8=0)
TICK_E8 = 10_000_000
A, B = "AAAUSDT", "BBBUSDT"
ROUTES = joined(TRADE_ROUTES, POSITION_ROUTES, ACCOUNT_ROUTES).table()


class HandClock:
    """Both clocks, moved by hand."""

    def __init__(self, now_ns: int = T0) -> None:
        self.now_ns = now_ns

    def venue_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns + 12_345_000_000


class Desk:
    """Two instruments at 100.0 (1,000 ticks of 0.1, lots of 0.001), accounts `777001` and `b` with 10,000 USDT each.

    `changes` holds everything published.
    """

    def __init__(self, crowd: Crowd = QUIET, **settings: Any) -> None:
        self.clock = HandClock()
        specs = [instrument(AAA), instrument(BBB, base="BBB")]
        self.venue = Venue(specs, VenueSettings(crowd=crowd, **settings), T0)
        self.hall = Hall(self.venue, self.clock, specs)
        for name in ("777001", "b"):
            self.venue.open_account(name, 10_000 * E8, T0)
        self.price(1_000)
        self.price(1_000, BBB)
        self.changes: list[Change] = []
        self.venue.drain()
        self.hall.listen(self._heard)

    def _heard(self, changes: Sequence[Change]) -> None:
        self.changes += changes

    def price(self, last: int, name: InstrumentId = AAA, flow: int = 0) -> None:
        self.venue.set_prices(name, last, last * TICK_E8, last * TICK_E8, self.clock.now_ns, flow_lots=flow)

    def wait(self, ns: int) -> None:
        self.clock.now_ns += ns
        self.venue.advance(self.clock.now_ns)

    def get(self, path: str, account: str = "777001", cursor: str = "", **params: Any) -> dict[str, Any]:
        """A GET as it comes off the wire; the cursor is pasted as it was got."""
        query = urlencode(params) + (f"&cursor={cursor}" if cursor else "")
        return self.call("GET", path, query_params(query), account)

    def post(self, path: str, account: str = "777001", **body: Any) -> dict[str, Any]:
        return self.call("POST", path, json.loads(json.dumps(body)), account)

    def call(self, method: str, path: str, params: dict[str, Any], account: str) -> dict[str, Any]:
        route = ROUTES[method, path]
        call = Call(self.hall, account, params, self.clock.venue_ns(), self.clock.wall_ns())
        outcome: Result
        try:
            outcome = route.handler(call)
        except RefusedCall as refusal:
            outcome = refusal.error
        code, body = answer(outcome, 1, route.message)
        found: dict[str, Any] = json.loads(body)
        assert found["retCode"] == code
        return found

    def order(self, account: str = "777001", **body: Any) -> dict[str, Any]:
        """Create an order; a limit buy of 0.1 at 99.0 unless told otherwise."""
        given = {"category": "linear", "symbol": A, "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "99"}
        return self.post("/v5/order/create", account, **{**given, **body})

    def buy(self, qty: str = "0.5", **body: Any) -> dict[str, Any]:
        """A market order that trades with the crowd."""
        return self.order(orderType="Market", qty=qty, price=None, **body)


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The list of a successful answer."""
    assert found["retCode"] == 0, found
    listed: list[dict[str, Any]] = found["result"]["list"]
    return listed


def refused(found: dict[str, Any]) -> tuple[int, str]:
    """Code and text of a refusal, which carries no result."""
    assert found["retCode"] != 0, found
    return found["retCode"], found["retMsg"]
