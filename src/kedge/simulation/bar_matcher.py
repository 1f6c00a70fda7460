"""The `bar` matcher: the kernel's rules for one bar at a time. For backtests and parity.

Orders arrive at the open of the first bar that closes after their arrival; what rests trades when a later price goes
through its limit. A conditional order is triggered by the open where that is past its trigger already, else where the bar reaches it, and
meets the market there, before what rests. All orders of a bar share one capacity: a share of the bar's volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from kedge.domain.events import BarClosed
from kedge.domain.orders import Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.kernel.matching import match_bar, taker_ticks
from kedge.simulation.matching import (
    FOK_UNFILLED,
    IOC_REMAINDER,
    POST_ONLY_WOULD_TAKE,
    Done,
    Match,
    Triggered,
    WorkingOrder,
    is_reached,
)


class BarCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What trading against a bar costs.

    Attributes
    ----------
    half_spread_ticks : int
        Added to the open for takers.
    impact_bps : int
        Further cost, in basis points of the open, of an order as large as the whole bar; linear below.
    participation_e8 : int
        Largest share of a bar's volume that all our orders together may take, in 1e-8.
    """

    half_spread_ticks: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    impact_bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    participation_e8: Annotated[int, msgspec.Meta(ge=1, le=E8)] = 10_000_000


class BarMatcher:
    """Matches orders against bars by the kernel's law."""

    name = "bar"

    def __init__(self, costs: BarCosts) -> None:
        self.costs = costs
        self._used_lots: dict[str, int] = {}
        self._used_at: dict[str, int] = {}

    def arrive(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """Orders that have reached the venue but not rested yet meet the open."""
        answers: list[Match | Done | Triggered] = []
        for order in working:
            if order.is_resting or bar.ts_ns <= order.arrival_ts_ns:
                continue
            if not order.is_waiting:
                answers += self._arrival(bar, order)
            elif is_reached(order.order, bar.open_ticks):
                answers += self._trigger(bar, order, bar.open_ticks, max(bar.open_ts_ns, order.arrival_ts_ns))
        return answers

    def match(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """What the bar triggers takes, then resting orders meet the rest of the bar; all at its close time."""
        answers: list[Match | Done | Triggered] = []
        resting = [order for order in working if order.is_resting and bar.ts_ns > order.arrival_ts_ns]
        for order in working:
            extreme = bar.high_ticks if order.order.trigger_rises else bar.low_ticks
            if order.is_waiting and bar.ts_ns > order.arrival_ts_ns and is_reached(order.order, extreme):
                at = bar.open_ticks if is_reached(order.order, bar.open_ticks) else order.order.trigger_ticks
                answers += self._trigger(bar, order, at, bar.ts_ns)
        for order in resting:  # not those that this bar triggered: it may have been at their limit before
            lots, ticks, _ = self._law(bar, order, is_resting=1)
            if lots:
                answers.append(self._take(bar, order, lots, ticks, Liquidity.MAKER, bar.ts_ns))
        return answers

    def taker_ticks(self, bar: BarClosed, side: Side, lots: int, at_ticks: int) -> int:
        """Half the spread and the impact of at most the bar's whole volume."""
        sign, taken = 1 if side is Side.BUY else -1, min(lots, bar.volume_lots)
        if not taken:
            return max(1, at_ticks + sign * self.costs.half_spread_ticks)
        return int(taker_ticks(sign, at_ticks, taken, bar.volume_lots, self.costs.half_spread_ticks, self.costs.impact_bps))

    def forget(self, client_order_id: str) -> None:
        """Nothing is remembered by order."""

    def _trigger(self, bar: BarClosed, order: WorkingOrder, at_ticks: int, ts_ns: int) -> list[Match | Done | Triggered]:
        order.is_waiting = False
        met = msgspec.structs.replace(bar, open_ticks=at_ticks)
        return [Triggered(order, ts_ns), *(answer._replace(ts_ns=ts_ns) for answer in self._arrival(met, order))]

    def _arrival(self, bar: BarClosed, order: WorkingOrder) -> list[Match | Done]:
        ts_ns = max(bar.open_ts_ns, order.arrival_ts_ns)
        lots, ticks, is_maker = self._law(bar, order, is_resting=0)
        if is_maker:  # not marketable at the open: what the bar did later belongs to a resting order
            lots = 0
        tif = order.order.time_in_force
        if tif is TimeInForce.POST_ONLY and lots:
            return [Done(order, POST_ONLY_WOULD_TAKE, ts_ns)]
        if tif is TimeInForce.FOK and lots < order.leaves_lots:
            return [Done(order, FOK_UNFILLED, ts_ns)]
        answers: list[Match | Done] = []
        if lots:
            answers.append(self._take(bar, order, lots, ticks, Liquidity.TAKER, ts_ns))
        if order.order.kind is OrderKind.MARKET or tif is TimeInForce.IOC:
            if lots < order.leaves_lots:
                answers.append(Done(order, IOC_REMAINDER, ts_ns))
        else:
            order.is_resting = True
        return answers

    def _law(self, bar: BarClosed, order: WorkingOrder, *, is_resting: int) -> tuple[int, int, int]:
        capacity = bar.volume_lots * self.costs.participation_e8 // E8 - self._used(bar)
        wanted = min(order.leaves_lots, capacity)
        if wanted <= 0:
            return 0, 0, 0
        lots, ticks, maker = match_bar(
            1 if order.order.side is Side.BUY else -1,
            int(order.order.kind is OrderKind.MARKET),
            order.order.limit_ticks,
            is_resting,
            wanted,
            bar.open_ticks,
            bar.high_ticks,
            bar.low_ticks,
            bar.close_ticks,
            bar.volume_lots,
            self.costs.participation_e8,
            self.costs.half_spread_ticks,
            self.costs.impact_bps,
        )
        return int(lots), int(ticks), int(maker)

    def _used(self, bar: BarClosed) -> int:
        return self._used_lots[bar.instrument] if self._used_at.get(bar.instrument) == bar.ts_ns else 0

    def _take(self, bar: BarClosed, order: WorkingOrder, lots: int, ticks: int, liquidity: Liquidity, ts_ns: int) -> Match:
        self._used_lots[bar.instrument] = self._used(bar) + lots
        self._used_at[bar.instrument] = bar.ts_ns
        return Match(order, lots, ticks, liquidity, ts_ns)
