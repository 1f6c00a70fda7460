"""What an endpoint is: the call it gets, what it may answer, and the table that paths are looked up in.

A handler is a plain function: it runs to its end without anybody else acting on the venue, so it may read the clock, change the
venue and publish in one piece. Parameters come as sent: texts from a query, JSON values from a body, unknown keys kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any, Final

import msgspec

from kedge.simulation.venue_types import Reject
from kedge.venues.exchange.codes import Code, text_of
from kedge.venues.exchange.hall import Hall


class Permission(StrEnum):
    """What a key may do, as `Group.Name` of the venue's permission map."""

    ORDER = "ContractTrade.Order"
    POSITION = "ContractTrade.Position"
    DERIVATIVES = "Derivatives.DerivativesTrade"
    WALLET = "Wallet.AccountTransfer"
    WITHDRAW = "Wallet.Withdraw"


ORDERS: Final = frozenset({Permission.ORDER, Permission.DERIVATIVES})
"""Any of these opens order endpoints."""
POSITIONS: Final = frozenset({Permission.POSITION, Permission.DERIVATIVES})
"""Any of these opens endpoints that change positions."""
CONTRACTS: Final = ORDERS | POSITIONS
"""Any of these opens endpoints that read orders, executions and positions."""
ANY_KEY: Final[frozenset[Permission]] = frozenset()
"""Every valid key will do."""


class ApiError(msgspec.Struct, frozen=True):
    """A refusal for the envelope: `code` and the venue's text; empty text means the code's usual one."""

    code: int
    text: str = ""
    result: Any = None
    status: int = 200

    @property
    def message(self) -> str:
        return self.text or text_of(self.code)

    @classmethod
    def of(cls, reject: Reject) -> ApiError:
        """The venue's refusal, as it is."""
        return cls(reject.code, reject.message)

    @classmethod
    def parameter(cls, text: str) -> ApiError:
        """A wrong parameter: 10001."""
        return cls(Code.PARAMETER, text)


class Reply(msgspec.Struct, frozen=True):
    """A success that says more than its result: `ext` is `retExtInfo` (batches), `message` another text than the route's."""

    result: Any
    ext: Any = None
    message: str | None = None


class Call(msgspec.Struct):
    """One request as a handler sees it.

    Attributes
    ----------
    account : str
        Whose key signed it; empty on public endpoints.
    params : dict
        Query texts (percent-decoded, the first of repeated keys) or the JSON body's members.
    now_ns, wall_ns : int
        Venue time and wall time at its arrival.
    api_key : str
        The key that signed it; empty on public endpoints.
    """

    hall: Hall
    account: str
    params: dict[str, Any]
    now_ns: int
    wall_ns: int = 0
    api_key: str = ""
    ip: str = ""


Result = dict[str, Any] | bytes | Reply | ApiError
"""What a handler answers; bytes are the JSON text of `result`, already encoded."""
Handler = Callable[[Call], Result]


class Route(msgspec.Struct, frozen=True):
    """One endpoint.

    Attributes
    ----------
    group : str
        Name of its request budget (`rate_limits.BUDGETS`); empty for none.
    permissions : frozenset of Permission
        Any one of them is enough; empty admits every valid key.
    public : bool
        Answered without a key; a signature is tolerated and not looked at.
    cost : callable or None
        How much of the budget a call takes (orders in a batch); 1 without.
    message : str
        `retMsg` of a success.
    """

    method: str
    path: str
    handler: Handler
    group: str = ""
    permissions: frozenset[Permission] = ANY_KEY
    public: bool = False
    cost: Callable[[dict[str, Any]], int] | None = None
    message: str = "OK"


class Routes:
    """A table of endpoints, filled by decorating handlers and joined into one by the server."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        for route in routes:
            self.add(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def add(self, route: Route) -> None:
        """Add one endpoint.

        Raises
        ------
        ValueError
            The method and path are taken.
        """
        if (route.method, route.path) in self._routes:
            raise ValueError(f"{route.method} {route.path} is registered twice")
        self._routes[route.method, route.path] = route

    def get(
        self, path: str, *, group: str = "", permissions: frozenset[Permission] = ANY_KEY, public: bool = False, message: str = "OK"
    ) -> Callable[[Handler], Handler]:
        """Register the decorated handler for GET `path`."""

        def register(handler: Handler) -> Handler:
            self.add(Route("GET", path, handler, group, permissions, public, message=message))
            return handler

        return register

    def post(
        self,
        path: str,
        *,
        group: str,
        permissions: frozenset[Permission] = ANY_KEY,
        cost: Callable[[dict[str, Any]], int] | None = None,
        message: str = "OK",
    ) -> Callable[[Handler], Handler]:
        """Register the decorated handler for POST `path`."""

        def register(handler: Handler) -> Handler:
            self.add(Route("POST", path, handler, group, permissions, cost=cost, message=message))
            return handler

        return register

    def table(self) -> dict[tuple[str, str], Route]:
        """`(method, path)` to endpoint."""
        return dict(self._routes)


def joined(*tables: Iterable[Route]) -> Routes:
    """All endpoints of several tables in one."""
    return Routes(route for table in tables for route in table)
