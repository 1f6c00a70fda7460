"""Funding of perpetuals: the rate, and what a position pays at the settlement. Positive is paid."""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.arithmetic import mul_div_ceil
from kedge.kernel.compiling import law
from kedge.kernel.positions import value_at_e8

PREMIUM_BAND_E8: Final = 50_000
"""Within 0.05 % of the premium the rate is the interest rate (Bybit)."""


@law("int64(int64, int64, int64, int64, int64)")
def funding_paid_e8(lots: int, mark_e8: int, rate_e8: int, tick_e8: int, tick_value_e8: int) -> int:
    """What `lots` pay (> 0) or receive (< 0) at a settlement, in 1e-8: longs pay a positive rate.

    The value at the mark rounds half-even, the payment up: we pay more and receive less. A mark that is not positive or
    a rate above 100 % raises `InvalidInput`.
    """
    if abs(rate_e8) > E8:
        raise InvalidInput("funding_paid_e8: rate is above 100 %")
    value_e8 = value_at_e8(mark_e8, lots, tick_e8, tick_value_e8)
    if rate_e8 < 0:
        return mul_div_ceil(-value_e8, -rate_e8, E8)
    return mul_div_ceil(value_e8, rate_e8, E8)


@law("int64(int64, int64, int64)")
def funding_rate_e8(interest_e8: int, premium_e8: int, cap_e8: int) -> int:
    """The venue's rate: premium + clamp(interest - premium, -0.05 %, +0.05 %), then within +-cap. A negative cap raises."""
    if cap_e8 < 0:
        raise InvalidInput("funding_rate_e8: cap is negative")
    pull_e8 = max(-PREMIUM_BAND_E8, min(PREMIUM_BAND_E8, interest_e8 - premium_e8))
    return max(-cap_e8, min(cap_e8, premium_e8 + pull_e8))
