"""Margin of a book that does not exist yet: what it would need, and how far its marks would be from liquidation.

Rules: whole numbers; every term rounds against us. Closing is taken at twice the taker fee, which is never below what the venue takes at
any leverage. An account is liquidated where equity meets maintenance margin; one mark moves, the others stand still. Marginal brackets make
the margin the largest of its lines, so a long is liquidated at the highest of the brackets' answers and a short at the lowest: no bracket
to guess. Source: Bybit, rules of 2 September 2025.
"""

from __future__ import annotations

from typing import NamedTuple

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8

CLOSING_FEES = 2


class End(NamedTuple):
    """One instrument's share of the book: the lowest and the highest position that can come of it, at this mark.

    `largest_e8` and `maintenance_e8` are notional and margin of whichever of the two is larger.
    """

    spec: Instrument
    low_lots: int
    high_lots: int
    mark_ticks: int
    largest_e8: int
    maintenance_e8: int


def maintenance_e8(spec: Instrument, notional_e8: int) -> int:
    """Maintenance margin of a notional of at least 0, closing fee included, in 1e-8, rounded up; beyond the last bracket that one holds."""
    for tier in spec.tiers:
        if notional_e8 <= tier.notional_max_e8:
            break
    closing_e8 = -(-notional_e8 * CLOSING_FEES * max(0, spec.taker_fee_e8) // E8)
    return -(-notional_e8 * tier.maintenance_rate_e8 // E8) - tier.deduction_e8 + closing_e8


def nearest(end: End, equity_e8: int, total_e8: int) -> int:
    """How far the mark is from liquidation at either end, as a fraction of it in 1e-8, rounded down.

    `equity_e8` and `total_e8` are equity and maintenance margin of the whole book.
    """
    others = total_e8 - end.maintenance_e8
    return min((distance_to_liquidation(end, lots, equity_e8, others) for lots in {end.low_lots, end.high_lots} if lots), default=E8)


def distance_to_liquidation(end: End, lots: int, equity_e8: int, others_e8: int) -> int:
    """How far the mark may move against this position, as a fraction of it in 1e-8, rounded down; 1e8 of a long that no price liquidates.

    `others_e8` is the margin of everything else.
    """
    value = abs(lots) * end.mark_ticks * end.spec.tick_value_e8
    fees_e8 = CLOSING_FEES * max(0, end.spec.taker_fee_e8)
    distances = []
    for tier in end.spec.tiers:
        rate_e8 = tier.maintenance_rate_e8 + fees_e8
        if lots > 0:
            owed = others_e8 + value - equity_e8 - tier.deduction_e8
            at = 0 if owed <= 0 else -(-owed * E8 // (E8 - rate_e8)) if rate_e8 < E8 else value
            distances.append((value - at) * E8 // value)
        else:
            free = equity_e8 + value - others_e8 + tier.deduction_e8
            distances.append((free * E8 // (E8 + rate_e8) - value) * E8 // value)
    return max(0, min(distances))
