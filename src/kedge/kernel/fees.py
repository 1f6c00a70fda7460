"""What the venue takes for a fill. Rule: our own figure errs towards paying more."""

from __future__ import annotations

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.arithmetic import mul_div_ceil, mul_div_floor
from kedge.kernel.compiling import law


@law("int64(int64, int64)")
def fee_e8(notional_e8: int, rate_e8: int) -> int:
    """Fee on a notional, in 1e-8, positive when paid; a negative rate is a rebate and rounds towards less of it.

    A negative notional or a rate above 100 % raises `InvalidInput`.
    """
    if notional_e8 < 0 or abs(rate_e8) > E8:
        raise InvalidInput("fee_e8: notional is negative, or rate is above 100 %")
    if rate_e8 < 0:
        return -mul_div_floor(notional_e8, -rate_e8, E8)
    return mul_div_ceil(notional_e8, rate_e8, E8)
