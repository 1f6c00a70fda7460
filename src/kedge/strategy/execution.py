"""Execution plan: from the position held to the position wanted, as child orders under a notional cap.

A position that must cross zero is first closed (reduce-only, so that it passes in every risk state) and then opened.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from kedge.domain.orders import OrderKind, Side, TimeInForce

DUST_DIVISOR = 10
"""A rest below a tenth of a slice joins the last child instead of becoming an order of its own."""

SLICES_MAX = 20
"""Children of one plan; what is left over is planned again at the next bar."""


class ExecutionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How targets become orders.

    Attributes
    ----------
    entry : OrderKind
        MARKET, or LIMIT to rest at the last close and pay the maker's fee.
    limit_life_ns : int
        A resting entry is cancelled after this long, then planned again.
    slice_notional_frac_e8 : int
        Usual child as a fraction of equity, in 1e-8; the last one may be a tenth larger.
    """

    entry: OrderKind = OrderKind.MARKET
    limit_life_ns: Annotated[int, msgspec.Meta(ge=1)] = 3_600_000_000_000
    slice_notional_frac_e8: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 10_000_000


class Child(NamedTuple):
    """One order of a plan, not yet named."""

    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    qty_lots: int
    limit_ticks: int
    reduce_only: bool


def plan(position_lots: int, target_lots: int, mark_ticks: int, slice_lots: int, policy: ExecutionPolicy) -> tuple[Child, ...]:
    """Child orders that lead from `position_lots` to `target_lots`; empty when already there.

    `slice_lots` (at least 1) is the usual child; the last of a leg may be a tenth larger. Reducing orders are market and reduce-only.
    """
    if position_lots == target_lots:
        return ()
    closing = _closing_lots(position_lots, target_lots)
    opening = target_lots - (position_lots - closing)
    legs = [(-closing, True)] if closing else []
    legs += [(opening, False)] if opening else []
    children: list[Child] = []
    for signed_lots, reduce_only in legs:
        children += _slices(signed_lots, reduce_only, mark_ticks, slice_lots, policy)
    return tuple(children[:SLICES_MAX])


def _closing_lots(position_lots: int, target_lots: int) -> int:
    """Signed part of the position that has to go."""
    if position_lots > 0:
        return position_lots - max(target_lots, 0) if target_lots < position_lots else 0
    return position_lots - min(target_lots, 0) if target_lots > position_lots else 0


def _slices(signed_lots: int, reduce_only: bool, mark_ticks: int, slice_lots: int, policy: ExecutionPolicy) -> list[Child]:
    side = Side.BUY if signed_lots > 0 else Side.SELL
    rests = policy.entry is OrderKind.LIMIT and not reduce_only
    kind, tif, limit = (OrderKind.LIMIT, TimeInForce.GTC, mark_ticks) if rests else (OrderKind.MARKET, TimeInForce.IOC, 0)
    left = abs(signed_lots)
    children: list[Child] = []
    while left > 0 and len(children) < SLICES_MAX:
        lots = left if left <= slice_lots + slice_lots // DUST_DIVISOR else slice_lots
        children.append(Child(side, kind, tif, lots, limit, reduce_only))
        left -= lots
    return children
