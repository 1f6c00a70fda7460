"""Questions that every order limit asks, answered in whole lots and ticks.

Rules: open orders and the order itself are assumed to fill completely, on the side that hurts; `open_buy` and
`open_sell` are the lots still open on each side, both at least 0. Sides are +1 (buy) and -1 (sell).
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.kernel.arithmetic import mul_div_floor
from kedge.kernel.compiling import law

ONE_IN_BPS: Final = 10_000


@law("int64(int64, int64, int64, int64)")
def worst_case_lots(position: int, open_buy: int, open_sell: int, order_lots_signed: int) -> int:
    """Largest |position| that can be reached if all open orders of one side, and this order, fill.

    Negative open lots raise `InvalidInput`.
    """
    if open_buy < 0 or open_sell < 0:
        raise InvalidInput("limits: open lots are negative")
    highest = position + open_buy + max(0, order_lots_signed)
    lowest = position - open_sell + min(0, order_lots_signed)
    return max(abs(highest), abs(lowest))


@law("int64(int64, int64, int64, int64)")
def reduces(position: int, open_buy: int, open_sell: int, order_lots_signed: int) -> int:
    """1 when the order can only make the position smaller, even if every open order of its side fills first; else 0.

    Negative open lots raise `InvalidInput`.
    """
    if open_buy < 0 or open_sell < 0:
        raise InvalidInput("limits: open lots are negative")
    if position > 0 and order_lots_signed < 0:
        return 1 if open_sell - order_lots_signed <= position else 0
    if position < 0 and order_lots_signed > 0:
        return 1 if open_buy + order_lots_signed <= -position else 0
    return 0


@law("int64(int64, int64, int64)")
def within_collar(price_ticks: int, mark_ticks: int, collar_bps: int) -> int:
    """1 when the price is at most `collar_bps` of the mark away from it, else 0. Exact: the distance is whole ticks.

    A price or mark below 1 or a collar outside 0 .. 10,000 raises `InvalidInput`: an unknown mark is never within.
    """
    if price_ticks < 1 or mark_ticks < 1 or collar_bps < 0 or collar_bps > ONE_IN_BPS:
        raise InvalidInput("within_collar: price or mark below 1, or a collar outside 0 .. 10,000 bps")
    return 1 if abs(price_ticks - mark_ticks) <= mul_div_floor(mark_ticks, collar_bps, ONE_IN_BPS) else 0


@law("int64(int64, int64, int64, int64)")
def reference_ticks(side: int, is_market: int, limit_ticks: int, mark_ticks: int) -> int:
    """Price at which limits value an order: the higher of limit and mark for buys, the mark for sells and market orders.

    A side that is neither +1 nor -1, a mark below 1, or a limit order without a limit raises `InvalidInput`.
    """
    if (side != 1 and side != -1) or mark_ticks < 1 or (not is_market and limit_ticks < 1):
        raise InvalidInput("reference_ticks: side is not +-1, mark below 1, or a limit order without a limit")
    if side == 1 and not is_market:
        return max(limit_ticks, mark_ticks)
    return mark_ticks
