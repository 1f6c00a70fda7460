"""Looking up an order whose fate is unknown, until the venue's own records show it or prove that it never came.

Rules: it is never sent again. ABSENT needs the venue's wall clock past the latest time at which the request could still be taken
(signing + receive window + a margin) and two looks after that, each at open orders, history and executions, that show nothing. When the
order was signed is not known after a crash; the venue's time when the search begins is later than any signing, so it is the bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from kedge.domain.events import OrderFilled
from kedge.domain.orders import OrderIntent
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import TradingVenue, VenueOrder

LOOKS = 2


class LookupPace(msgspec.Struct, frozen=True, kw_only=True):
    """Wall times of a search.

    Attributes
    ----------
    recv_window_ns : int
        How long after signing the venue still takes an order.
    margin_ns : int
        Added for what the venue needs to show an order in its lists.
    gap_s : float
        Between two looks.
    """

    recv_window_ns: int = NS_PER_S
    margin_ns: int = NS_PER_S
    gap_s: float = 0.25


class Shown(msgspec.Struct, frozen=True):
    """The venue shows the order, or trades of it; `order` is None where only its trades are seen.

    `wall_ns` is the venue's wall clock before the look.
    """

    order: VenueOrder | None
    fills: list[OrderFilled]
    wall_ns: int = 0


class Absent(msgspec.Struct, frozen=True):
    """The venue's records prove that the order never came."""


async def look_once(venue: TradingVenue, order: OrderIntent, since_ts_ns: int) -> Shown | None:
    """One look everywhere; None where nothing shows the order."""
    name = order.client_order_id
    found = await venue.find_order(order.instrument, name)
    fills = [e for e in await venue.executions(since_ts_ns) if isinstance(e, OrderFilled) and e.client_order_id == name]
    if found is None:
        found = next((open_order for open_order in await venue.open_orders() if open_order.client_order_id == name), None)
    return Shown(found, fills) if found is not None or fills else None


async def look_up(
    venue: TradingVenue,
    order: OrderIntent,
    since_ts_ns: int,
    pace: LookupPace,
    *,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Shown | Absent:
    """Search until it is shown or proven absent.

    Raises
    ------
    VenueUnavailable
        The venue could not be asked; nothing is known, search again.
    """
    last_taken_ns = await venue.wall_time_ns() + pace.recv_window_ns + pace.margin_ns
    looks = 0
    while True:
        wall_ns = await venue.wall_time_ns()
        found = await look_once(venue, order, since_ts_ns)
        if found is not None:
            return msgspec.structs.replace(found, wall_ns=wall_ns)
        looks += int(wall_ns > last_taken_ns)
        if looks >= LOOKS:
            return Absent()
        await wait(pace.gap_s)
