"""Fees: always rounded towards paying more."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.fees import fee_e8


@pytest.mark.parametrize(
    ("notional", "rate", "fee"),
    [
        (4_795_005_000_000, 55_000, 2_637_252_750),  # 47,950.05 x 0.055 % = 26.3725275
        (1, 1, 1),
        (1, -1, 0),
        (3 * E8, -5_000, -15_000),
        (3 * E8 + 1, -5_000, -15_000),
        (INT64_MAX, E8, INT64_MAX),
        (0, 55_000, 0),
        (7, 0, 0),
    ],
)
def test_a_fee_is_paid_up_and_a_rebate_received_down(notional: int, rate: int, fee: int) -> None:
    assert fee_e8(notional, rate) == fee


@pytest.mark.parametrize(("notional", "rate"), [(-1, 1), (1, E8 + 1), (1, -E8 - 1)])
def test_a_negative_notional_or_a_rate_above_100_percent_is_refused(notional: int, rate: int) -> None:
    with pytest.raises(InvalidInput, match="fee_e8"):
        fee_e8(notional, rate)
