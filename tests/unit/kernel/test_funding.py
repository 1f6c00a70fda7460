"""Funding payments and rates by example."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.funding import funding_paid_e8, funding_rate_e8


@pytest.mark.parametrize(
    ("lots", "mark", "rate", "tick", "value", "paid"),
    [
        (500, 61_000 * E8, 10_000, 10_000_000, 10_000, 305_000_000),  # 0.5 BTC long at 61,000 and 0.01 % pays 3.05
        (-500, 61_000 * E8, 10_000, 10_000_000, 10_000, -305_000_000),
        (500, 61_000 * E8, -10_000, 10_000_000, 10_000, -305_000_000),
        (100, 36_760_000, 10_000, 10_000, 10_000, 367_600),  # 100 x 0.3676 x 0.01 % = 0.003676
        (1, 1, 1, 1, 1, 1),
        (-1, 1, 1, 1, 1, 0),
        (1, 1, -1, 1, 1, 0),
        (-1, 1, -1, 1, 1, 1),
        (0, 5, 1_000, 1, 1, 0),
    ],
)
def test_longs_pay_a_positive_rate_and_the_last_unit_is_ours_to_pay(
    lots: int, mark: int, rate: int, tick: int, value: int, paid: int
) -> None:
    assert funding_paid_e8(lots, mark, rate, tick, value) == paid


@pytest.mark.parametrize(("mark", "rate"), [(0, 1), (-1, 1), (1, E8 + 1), (1, -E8 - 1)])
def test_an_unknown_mark_or_a_rate_above_100_percent_is_refused(mark: int, rate: int) -> None:
    with pytest.raises(InvalidInput):
        funding_paid_e8(1, mark, rate, 1, 1)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [(0, 10_000), (40_000, 10_000), (90_000, 40_000), (-120_000, -70_000), (-30_000, 10_000), (60_000, 10_000), (60_001, 10_001)],
)
def test_the_rate_is_the_interest_within_the_band_and_follows_the_premium_outside(premium: int, rate: int) -> None:
    assert funding_rate_e8(10_000, premium, 2_000_000) == rate


def test_the_cap_holds_on_both_sides_and_is_never_negative() -> None:
    assert funding_rate_e8(10_000, 10_000_000, 375_000) == 375_000
    assert funding_rate_e8(10_000, -10_000_000, 375_000) == -375_000
    with pytest.raises(InvalidInput, match="cap"):
        funding_rate_e8(0, 0, -1)
