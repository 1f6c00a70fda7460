"""A position and what it cost: fills in, realised and unrealised profit out.

Rules: `lots` is signed. `cost_e8` is the signed sum of price x lots x tick value of the open part, never an average,
so nothing is lost to rounding: after every fill `cost = cost before + price * fill_lots * tick_value + realised`, exactly.
"""

from __future__ import annotations

from kedge.domain.errors import InvalidInput
from kedge.kernel.arithmetic import mul_div_half_even
from kedge.kernel.compiling import law


@law("UniTuple(int64, 3)(int64, int64, int64, int64, int64)")
def apply_fill(lots: int, cost_e8: int, fill_lots: int, price_ticks: int, tick_value_e8: int) -> tuple[int, int, int]:
    """Book one fill; returns the new `lots` and `cost_e8`, and the realised profit before fees (1e-8, negative is a loss).

    `fill_lots` is signed (a sale is negative). Adding costs the fill's notional. Reducing releases the share of the cost,
    rounded half-even, so longs and shorts round alike. Crossing zero closes first and opens the rest at the fill's price.
    A fill of 0 lots, a price or tick value below 1 raises `InvalidInput`.
    """
    if fill_lots == 0 or price_ticks < 1 or tick_value_e8 < 1:
        raise InvalidInput("apply_fill: a fill of 0 lots, or a price or tick value below 1")
    after = lots + fill_lots
    paid_e8 = price_ticks * fill_lots * tick_value_e8
    if lots == 0 or (lots > 0) == (fill_lots > 0):
        return after, cost_e8 + paid_e8, 0
    if after == 0 or (after > 0) == (lots > 0):
        released_e8 = mul_div_half_even(cost_e8, abs(fill_lots), abs(lots))
        return after, cost_e8 - released_e8, -paid_e8 - released_e8
    opened_e8 = price_ticks * after * tick_value_e8
    return after, opened_e8, opened_e8 - paid_e8 - cost_e8


@law("int64(int64, int64, int64, int64)")
def unrealised_e8(lots: int, cost_e8: int, mark_ticks: int, tick_value_e8: int) -> int:
    """Profit of closing the position at the mark, before fees, in 1e-8. Exact."""
    return lots * mark_ticks * tick_value_e8 - cost_e8


@law("int64(int64, int64, int64, int64)")
def value_at_e8(price_e8: int, lots: int, tick_e8: int, tick_value_e8: int) -> int:
    """Signed value of `lots` at a price off the grid (a mark or index in 1e-8); the magnitude rounds half-even.

    A price or tick that is not positive raises `InvalidInput`: unknown is not zero.
    """
    if price_e8 <= 0 or tick_e8 <= 0:
        raise InvalidInput("value_at_e8: price or tick is not positive")
    magnitude_e8 = mul_div_half_even(price_e8, abs(lots) * tick_value_e8, tick_e8)
    return magnitude_e8 if lots >= 0 else -magnitude_e8
