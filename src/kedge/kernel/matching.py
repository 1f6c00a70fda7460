"""What one order gets from one bar. The pessimistic matcher of backtests, the same in both lanes.

Rules: a share of the bar's volume can be had, no more. Whoever takes pays half the spread and an impact linear in the
share of the volume. A resting limit fills at its own price when the bar trades through it; a touch does not
fill, because the queue before us is unknown, and a gap past it gives no better price.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.arithmetic import mul_div_ceil, mul_div_floor
from kedge.kernel.compiling import law

BUY: Final = 1
SELL: Final = -1
ONE_IN_BPS: Final = 10_000


@law("int64(int64, int64, int64, int64, int64, int64)")
def taker_ticks(side: int, open_ticks: int, fill_lots: int, volume_lots: int, half_spread_ticks: int, impact_bps: int) -> int:
    """Price of taking `fill_lots` at the open: half the spread and the impact against us, the impact rounded up; at least 1.

    `fill_lots <= volume_lots`. A product past 2^63 raises `InvalidInput`.
    """
    impact_ticks = 0
    if impact_bps > 0:
        whole = ONE_IN_BPS * volume_lots
        if volume_lots > INT64_MAX // ONE_IN_BPS or open_ticks > INT64_MAX // impact_bps // fill_lots:
            raise InvalidInput("match_bar: price x impact x lots passes 2^63")
        impact_ticks = mul_div_ceil(open_ticks * impact_bps, fill_lots, whole)
    return max(1, open_ticks + side * (half_spread_ticks + impact_ticks))


@law("void(int64, int64, int64, int64)")
def _check_order(side: int, is_market: int, limit_ticks: int, leaves_lots: int) -> None:
    if side != BUY and side != SELL:
        raise InvalidInput("match_bar: side is neither +1 nor -1")
    if leaves_lots < 1 or (not is_market and limit_ticks < 1):
        raise InvalidInput("match_bar: nothing left to fill, or a limit below 1 tick")


@law("void(int64, int64, int64, int64, int64)")
def _check_bar(open_ticks: int, high_ticks: int, low_ticks: int, close_ticks: int, volume_lots: int) -> None:
    if low_ticks < 1 or low_ticks > min(open_ticks, close_ticks) or high_ticks < max(open_ticks, close_ticks) or volume_lots < 0:
        raise InvalidInput("match_bar: low, open, close, high are not 1 <= low <= open, close <= high, or volume is negative")


@law(
    "UniTuple(int64, 3)(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)",
)
def match_bar(
    side: int,
    is_market: int,
    limit_ticks: int,
    is_resting: int,
    leaves_lots: int,
    open_ticks: int,
    high_ticks: int,
    low_ticks: int,
    close_ticks: int,
    volume_lots: int,
    participation_e8: int,
    half_spread_ticks: int,
    impact_bps: int,
) -> tuple[int, int, int]:
    """Match one order against one bar; returns `(fill_lots, price_ticks, is_maker)`, or `(0, 0, 0)`.

    `side` is +1 or -1; `is_resting` is 0 on the order's first bar, where a limit may take at the open; `limit_ticks` is
    not read for a market order. A limit whose price does not cover the taker's price rests from the open on.
    `impact_bps` is the impact of taking the bar's whole volume. A broken bar, side, limit or setting raises `InvalidInput`.
    """
    _check_order(side, is_market, limit_ticks, leaves_lots)
    _check_bar(open_ticks, high_ticks, low_ticks, close_ticks, volume_lots)
    if participation_e8 < 0 or participation_e8 > E8 or half_spread_ticks < 0 or impact_bps < 0:
        raise InvalidInput("match_bar: participation outside 0 .. 100 %, or a negative spread or impact")
    fill_lots = min(leaves_lots, mul_div_floor(volume_lots, participation_e8, E8))
    if fill_lots == 0:
        return 0, 0, 0
    if is_market or not is_resting:
        price_ticks = taker_ticks(side, open_ticks, fill_lots, volume_lots, half_spread_ticks, impact_bps)
        if is_market or side * price_ticks <= side * limit_ticks:
            return fill_lots, price_ticks, 0
    traded_through = low_ticks < limit_ticks if side == BUY else high_ticks > limit_ticks
    if traded_through:
        return fill_lots, limit_ticks, 1
    return 0, 0, 0
