"""What closing a position costs: the visible book walked, times a multiplier, and the taker fee. Exact, rounded up."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from kedge.kernel.fees import fee_e8
from kedge.risk.stress.types import BPS, Assumptions, Level, Position

_ONE_E2 = 100


class Slippage(NamedTuple):
    """Share of the notional that closing loses against mid, multiplier included, and what the visible book does not take.

    `known` is false where no book was given: then the instrument's price collar stands in for it.
    """

    share: Fraction
    unfilled_lots: int
    known: bool


def slippage(position: Position, assumptions: Assumptions) -> Slippage:
    """Walk the side of the book that closes the position; what is left over goes at the collar, as far as we would ever sell.

    A long cannot lose more than its whole value.
    """
    lots, collar = abs(position.lots), Fraction(position.instrument.price_collar_bps, BPS)
    multiplier = Fraction(assumptions.slip_multiplier_e2, _ONE_E2)
    depth = position.depth
    if not depth.bids or not depth.asks:
        return Slippage(_bounded(collar * multiplier, position), 0, False)
    if not lots:
        return Slippage(Fraction(0), 0, True)
    mid = Fraction(depth.bids[0].price_ticks + depth.asks[0].price_ticks, 2)
    side = 1 if position.lots > 0 else -1
    paid, left = _walk(depth.bids if side > 0 else depth.asks, lots, assumptions.depth_divisor)
    paid += left * mid * (1 - side * collar)
    return Slippage(_bounded(side * (mid * lots - paid) / (mid * lots) * multiplier, position), left, True)


def exit_cost_e8(value_e8: int, share: Fraction, taker_fee_e8: int) -> int:
    """Slippage and taker fee on a notional of this size, each rounded up."""
    size_e8 = abs(value_e8)
    return -(-size_e8 * share.numerator // share.denominator) + fee_e8(size_e8, taker_fee_e8)


def _walk(levels: tuple[Level, ...], lots: int, divisor: int) -> tuple[Fraction, int]:
    """Ticks x lots taken from the levels, and the lots that were left over."""
    paid = 0
    for level in levels:
        taken = min(lots, level.lots // divisor)
        paid, lots = paid + taken * level.price_ticks, lots - taken
    return Fraction(paid), lots


def _bounded(share: Fraction, position: Position) -> Fraction:
    return min(share, Fraction(1)) if position.lots > 0 else share
