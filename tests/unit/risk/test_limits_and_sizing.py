"""The limits as a document, and sizes towards zero."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidConfig
from kedge.domain.units import E8
from kedge.risk.limits import Limits
from kedge.risk.sizing import lots_within, target_lots


@pytest.mark.parametrize(
    "change",
    [
        {"order_notional_frac_soft_e8": 15_000_001},
        {"order_notional_frac_max_e8": 25_000_001},
        {"position_notional_frac_max_e8": 90_000_000, "gross_leverage_max_e8": 80_000_000, "net_leverage_max_e8": 80_000_000},
        {"net_leverage_max_e8": 150_000_001},
        {"daily_loss_reduce_e8": 2_000_001},
        {"drawdown_soft_e8": 6_500_001},
        {"drawdown_halt_e8": 6_499_999},
        {"open_orders_instrument_max": 101},
        {"orders_per_second_max": 51},
    ],
)
def test_a_row_that_does_not_rise_is_refused_by_name(change: dict[str, int]) -> None:
    with pytest.raises(InvalidConfig, match="limits: ") as refused:
        Limits(**change)
    assert next(iter(change)) in str(refused.value)


def test_the_version_is_the_content() -> None:
    assert Limits().version == Limits().version
    assert len({Limits().version, Limits(drawdown_halt_e8=9_000_000).version, Limits(stale_bars_e2=200).version}) == 3


@pytest.mark.parametrize(
    ("exposure", "equity", "lots"),
    [
        (10_000_000, 10_000 * E8, 10_000),
        (-10_000_000, 10_000 * E8, -10_000),
        (10_000_000, 10_000 * E8 - 1, 9_999),
        (-10_000_000, 10_000 * E8 - 1, -9_999),
        (1, 10_000 * E8, 0),
        (0, 10_000 * E8, 0),
        (10_000_000, 0, 0),
        (10_000_000, -5, 0),
    ],
)
def test_target_lots_round_towards_zero(exposure: int, equity: int, lots: int) -> None:
    assert target_lots(exposure, equity, 1_000, 10_000) == lots


def test_lots_within_a_notional() -> None:
    assert lots_within(100 * E8, 1_000, 10_000) == 1_000
    assert lots_within(100 * E8 - 1, 1_000, 10_000) == 999
    assert lots_within(-1, 1_000, 10_000) == 0
