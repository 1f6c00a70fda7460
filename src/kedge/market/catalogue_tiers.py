"""Maintenance margin ladders, in whole units of the quote currency: one venue fact and three cautious assumptions.

Rules: a ladder is written as (limit, largest leverage, rate) and its deductions are computed, never typed. Each
ladder asks at least as much as the one before it at every notional, so `STRICTEST` is the dearest that ships.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.instrument import RiskTier
from kedge.domain.units import E8

Rung = tuple[int, int, int]
"""Upper notional in quote units, largest leverage in 1e-2, maintenance rate in 1e-8."""


def risk_tiers(rungs: tuple[Rung, ...]) -> tuple[RiskTier, ...]:
    """Tiers with their deductions: D_n = D_(n-1) + limit_(n-1) * (rate_n - rate_(n-1)), whole 1e-8 all along."""
    tiers: list[RiskTier] = []
    for limit, leverage_max_e2, rate_e8 in rungs:
        below = tiers[-1] if tiers else None
        deduction_e8 = below.deduction_e8 + below.notional_max_e8 * (rate_e8 - below.maintenance_rate_e8) // E8 if below else 0
        tiers.append(
            RiskTier(notional_max_e8=limit * E8, maintenance_rate_e8=rate_e8, deduction_e8=deduction_e8, leverage_max_e2=leverage_max_e2)
        )
    return tuple(tiers)


BTC_TIERS: Final = risk_tiers(
    (
        (2_000_000, 10_000, 500_000),
        (2_600_000, 9_000, 560_000),
        (3_200_000, 8_000, 630_000),
        (3_800_000, 7_500, 670_000),
        (4_400_000, 7_000, 710_000),
        (5_000_000, 6_500, 770_000),
        (5_600_000, 5_500, 910_000),
        (8_500_000, 5_000, 1_000_000),
        (10_000_000, 4_500, 1_300_000),
        (14_000_000, 4_000, 1_500_000),
        (20_000_000, 3_500, 1_600_000),
        (28_000_000, 3_000, 2_000_000),
        (38_000_000, 2_500, 2_500_000),
        (50_000_000, 2_000, 2_900_000),
        # The venue has brackets between 50 and 80 million that no source here lists: the last one's rate stands for
        # all of them, which asks more than the venue does.
        (80_000_000, 1_400, 4_500_000),
    )
)
"""BTCUSDT as published by the venue, up to 50 million; above it, cautious."""

MAJOR_TIERS: Final = risk_tiers(
    (
        (1_000_000, 5_000, 1_000_000),
        (2_500_000, 4_000, 1_250_000),
        (5_000_000, 2_500, 2_000_000),
        (10_000_000, 2_000, 2_500_000),
        (20_000_000, 1_000, 5_000_000),
        (40_000_000, 500, 10_000_000),
    )
)
"""A cautious assumption for the second largest instrument."""

LARGE_TIERS: Final = risk_tiers(
    (
        (200_000, 2_500, 2_000_000),
        (500_000, 2_000, 2_500_000),
        (1_000_000, 1_500, 3_300_000),
        (2_000_000, 1_000, 5_000_000),
        (5_000_000, 500, 10_000_000),
        (10_000_000, 250, 20_000_000),
    )
)
"""A cautious assumption for the other instruments of the catalogue."""

STRICTEST_TIERS: Final = risk_tiers(
    (
        (25_000, 2_000, 2_500_000),
        (100_000, 1_000, 5_000_000),
        (250_000, 500, 10_000_000),
        (1_000_000, 250, 20_000_000),
        (5_000_000, 100, 50_000_000),
    )
)
"""For an instrument of which nothing is known but its prices."""
