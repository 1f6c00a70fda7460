"""What the exchange core asks of a matcher, and what a matcher answers.

Two matchers keep this contract: `bar` (the kernel's laws: backtests, parity) and `book` (an order book played along the
bar's path: paper, simulation). The core owns the orders and books what happened; a matcher only says what trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from kedge.domain.events import BarClosed
from kedge.domain.orders import Liquidity, OrderIntent, Side

IOC_REMAINDER: Final = "IOC_REMAINDER"
"""What a market or IOC order could not take at once is cancelled."""

POST_ONLY_WOULD_TAKE: Final = "POST_ONLY_WOULD_TAKE"
"""A post-only order met a price at which it would have been the taker."""

FOK_UNFILLED: Final = "FOK_UNFILLED"
"""A fill-or-kill order could not be filled whole, so nothing of it was."""

SELF_TRADE_PREVENTED: Final = "SELF_TRADE_PREVENTED"
"""The order would have traded with another order of the same owner."""

BOOK_FULL: Final = "BOOK_FULL"
"""The book holds as many orders as it may; what would have rested is cancelled."""


@dataclass(slots=True, eq=False)
class WorkingOrder:
    """A live order at the venue; owned and changed by the exchange core, compared by identity.

    Attributes
    ----------
    arrival_ts_ns : int
        When the order reaches the venue, latency included; it is eligible in a bar that closes later than this.
    leaves_lots : int
        Not yet traded; the core lowers it when it books a `Match`.
    is_resting : bool
        The order has entered the market and stayed, so that it trades as maker from now on. A matcher sets it.
    is_waiting : bool
        The order is conditional and its trigger was not reached yet. A matcher clears it, with a `Triggered`.
    """

    order: OrderIntent
    venue_order_id: str
    arrival_ts_ns: int
    leaves_lots: int
    is_resting: bool = False
    is_waiting: bool = False


class Match(NamedTuple):
    """`qty_lots` of `working` trade at `price_ticks`, at `ts_ns` inside the bar."""

    working: WorkingOrder
    qty_lots: int
    price_ticks: int
    liquidity: Liquidity
    ts_ns: int


class Done(NamedTuple):
    """`working` will not trade any more; `reason` is one of this module's codes."""

    working: WorkingOrder
    reason: str
    ts_ns: int


class Triggered(NamedTuple):
    """The mark has reached the trigger of `working`: it enters the market at `ts_ns`."""

    working: WorkingOrder
    ts_ns: int


def is_reached(order: OrderIntent, mark_ticks: int) -> bool:
    """Whether a mark has reached the trigger of a conditional order."""
    return mark_ticks >= order.trigger_ticks if order.trigger_rises else mark_ticks <= order.trigger_ticks


class Matcher(Protocol):
    """Decides which working orders trade inside a bar."""

    @property
    def name(self) -> str:
        """'bar' or 'book'."""

    def arrive(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """Let orders that have reached the venue enter the bar, as often as new ones come, before `match` plays the rest.

        Same arguments and answers as `match`. What is answered here is not answered again; an order not dealt with waits.
        """

    def match(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """Play what is left of a bar against the instrument's live orders, given in arrival order.

        Returns
        -------
        list
            In time order. An order is eligible when `bar.ts_ns > working.arrival_ts_ns`. `leaves_lots` is left alone (the
            core books), so the matcher keeps count of what it matched inside the call; it sets `is_resting` where an order stays.
        """

    def taker_ticks(self, bar: BarClosed, side: Side, lots: int, at_ticks: int) -> int:
        """What taking `lots` costs when the market stands at `at_ticks` inside the bar, whatever its capacity: for stops of positions."""

    def forget(self, client_order_id: str) -> None:
        """The core cancelled this order; drop whatever is remembered of it. An unknown id is no error."""
