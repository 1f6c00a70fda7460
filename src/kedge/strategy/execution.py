"""Execution plan: from the position held to the position wanted, as child orders under a notional cap.

A position that must cross zero is first closed (reduce-only, so that it passes in every risk state) and then opened. How the opening leg
is worked is the policy's style; what a style does at one moment is in `execution_styles`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_S

DUST_DIVISOR = 10
"""A rest below a tenth of a slice joins the last child instead of becoming an order of its own."""

SLICES_MAX = 20
"""Children of one plan; what is left over is planned again at the next bar."""

_SpanNs = Annotated[int, msgspec.Meta(ge=1)]
_Frac = Annotated[int, msgspec.Meta(ge=1, le=E8)]


class Style(StrEnum):
    """How the opening leg of a plan is worked.

    MARKET takes at once; LIMIT rests at the last close; CHASE rests post-only at the touch and follows it; TWAP slices evenly over time;
    PARTICIPATION takes a share of the volume that trades; STOP_ENTRY waits until the mark has moved in the wanted direction.
    """

    MARKET = "market"
    LIMIT = "limit"
    CHASE = "chase"
    TWAP = "twap"
    PARTICIPATION = "participation"
    STOP_ENTRY = "stop_entry"


class ChaseThen(StrEnum):
    """What a chase that is over does with the rest: takes it at the market, or leaves it."""

    MARKET = "market"
    STOP = "stop"


class WithoutQuote(StrEnum):
    """Where a passive order rests while no whole book is known: at the last close, which comes from no book, or nowhere until one is."""

    LAST_CLOSE = "last_close"
    WAIT = "wait"


class SliceEntry(StrEnum):
    """A slice of TWAP or PARTICIPATION takes at once, or rests at the touch first and takes what is left after its life."""

    MARKET = "market"
    LIMIT = "limit"


class ExecutionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How targets become orders.

    Attributes
    ----------
    entry : OrderKind
        MARKET, or LIMIT to rest at the last close and pay the maker's fee; read where no style is given.
    limit_life_ns : int
        A resting entry of style LIMIT is cancelled after this long, then planned again.
    slice_notional_frac_e8 : int
        Usual child as a fraction of equity, in 1e-8; the last one may be a tenth larger.
    style : Style or None
        How opening legs are worked; None says it by `entry`. Reducing legs are market orders in every style.
    chase_ticks : int
        A chasing order follows when the touch is at least so far from it.
    chase_every_ns : int
        Between two moves of a chasing order.
    chase_life_ns : int
        From the decision on; then the chase is over.
    chase_tries_max : int
        Post-only orders that the venue cancelled because they would have taken, until the chase is over.
    chase_exits : bool
        Whether CHASE works reducing legs too, while trading runs; never when limits or people ask for less risk.
    quote_age_max_ns : int
        A quote sampled longer ago is as good as none.
    twap_ns, twap_slices : int
        TWAP sends so many even slices over this span.
    slice_entry : SliceEntry
        How slices of TWAP and PARTICIPATION enter.
    slice_life_ns : int
        How long a resting slice lives before it crosses.
    participation_e8 : int
        Largest share of the volume traded since the last slice, in 1e-8.
    trigger_bps : int
        STOP_ENTRY triggers when the mark has moved so far from the decision's mark, in the wanted direction.
    """

    entry: OrderKind = OrderKind.MARKET
    limit_life_ns: _SpanNs = 3_600_000_000_000
    slice_notional_frac_e8: _Frac = 10_000_000
    style: Style | None = None
    chase_ticks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    chase_every_ns: _SpanNs = NS_PER_S
    chase_life_ns: _SpanNs = 60 * NS_PER_S
    chase_then: ChaseThen = ChaseThen.MARKET
    chase_tries_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    chase_exits: bool = False
    quote_age_max_ns: _SpanNs = 5 * NS_PER_S
    without_quote: WithoutQuote = WithoutQuote.LAST_CLOSE
    twap_ns: _SpanNs = 600 * NS_PER_S
    twap_slices: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    slice_entry: SliceEntry = SliceEntry.MARKET
    slice_life_ns: _SpanNs = 10 * NS_PER_S
    participation_e8: _Frac = 5_000_000
    trigger_bps: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20

    @property
    def working_style(self) -> Style:
        """The style in force; old records name an `entry` instead."""
        if self.style is not None:
            return self.style
        return Style.LIMIT if self.entry is OrderKind.LIMIT else Style.MARKET


class Child(NamedTuple):
    """One order of a plan, not yet named. With `trigger_ticks` it waits at the venue until the mark has risen or fallen to it."""

    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    qty_lots: int
    limit_ticks: int
    reduce_only: bool
    trigger_ticks: int = 0
    trigger_rises: bool = False


def plan(position_lots: int, target_lots: int, mark_ticks: int, slice_lots: int, policy: ExecutionPolicy) -> tuple[Child, ...]:
    """Child orders that lead from `position_lots` to `target_lots` at once; empty when already there.

    `slice_lots` (at least 1) is the usual child; the last of a leg may be a tenth larger. Reducing orders are market and reduce-only,
    opening ones rest at `mark_ticks` in style LIMIT and are market orders else.
    """
    if position_lots == target_lots:
        return ()
    closing = closing_lots(position_lots, target_lots)
    opening = target_lots - (position_lots - closing)
    rests = policy.working_style is Style.LIMIT
    children = market_slices(-closing, slice_lots, reduce_only=True)
    if opening and rests:
        children += tuple(
            child._replace(kind=OrderKind.LIMIT, time_in_force=TimeInForce.GTC, limit_ticks=mark_ticks)
            for child in market_slices(opening, slice_lots)
        )
    else:
        children += market_slices(opening, slice_lots)
    return children[:SLICES_MAX]


def closing_lots(position_lots: int, target_lots: int) -> int:
    """Signed part of the position that has to go."""
    if position_lots > 0:
        return position_lots - max(target_lots, 0) if target_lots < position_lots else 0
    return position_lots - min(target_lots, 0) if target_lots > position_lots else 0


def market_slices(signed_lots: int, slice_lots: int, *, reduce_only: bool = False) -> tuple[Child, ...]:
    """Market children that trade `signed_lots` together, none larger than a slice and its dust; at most `SLICES_MAX` of them."""
    side = Side.BUY if signed_lots > 0 else Side.SELL
    left = abs(signed_lots)
    children: list[Child] = []
    while left > 0 and len(children) < SLICES_MAX:
        lots = within_slice(left, slice_lots)
        children.append(Child(side, OrderKind.MARKET, TimeInForce.IOC, lots, 0, reduce_only))
        left -= lots
    return tuple(children)


def within_slice(lots: int, slice_lots: int) -> int:
    """At most a slice of `lots`, dust taken along."""
    return lots if lots <= slice_lots + slice_lots // DUST_DIVISOR else slice_lots
