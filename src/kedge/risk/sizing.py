"""Sizing: from a wanted exposure to whole lots, always towards zero."""

from __future__ import annotations

from kedge.domain.units import E8


def target_lots(exposure_e8: int, equity_e8: int, mark_ticks: int, tick_value_e8: int) -> int:
    """Signed lots whose notional at the mark is `exposure_e8` of equity, rounded towards zero.

    No equity, no position: with equity at or below zero the target is 0.
    """
    if equity_e8 <= 0 or exposure_e8 == 0:
        return 0
    lots = abs(exposure_e8) * equity_e8 // (E8 * mark_ticks * tick_value_e8)
    return lots if exposure_e8 > 0 else -lots


def lots_within(notional_e8: int, mark_ticks: int, tick_value_e8: int) -> int:
    """Largest whole number of lots whose notional at the mark stays within `notional_e8`; at least 0."""
    return max(0, notional_e8 // (mark_ticks * tick_value_e8))
