"""Kelly: never negative, never full, never past a gap, and less the less is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import beta, norm

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_kelly import (
    continuous,
    continuous_many,
    continuous_sized,
    discrete,
    discrete_sized,
    sharpe_lower,
    shrink,
    survives_gap,
)
from kedge.risk.sizing_refused import SizingRefused


@pytest.mark.parametrize(("p", "win", "loss"), [(0.55, 0.04, 0.02), (0.7, 0.01, 0.02), (0.4, 0.05, 0.02)])
def test_the_notional_is_where_expected_log_growth_peaks(p: float, win: float, loss: float) -> None:
    bet = discrete(p, win, loss)

    def shrinkage(frac: float) -> float:
        return -p * math.log1p(frac * win) - (1 - p) * math.log1p(-frac * loss)

    best = minimize_scalar(shrinkage, bounds=(0, 0.999 / loss), method="bounded")
    assert bet.notional_frac == pytest.approx(best.x, rel=1e-3)
    assert bet.growth == pytest.approx(-best.fun, rel=1e-6)
    assert bet.notional_frac == pytest.approx(bet.equity_frac_at_risk / loss)


@pytest.mark.parametrize(("p", "win", "loss"), [(0.5, 0.02, 0.02), (0.45, 0.03, 0.03), (0.0, 1.0, 1.0)])
def test_without_an_edge_the_size_is_zero_and_never_negative(p: float, win: float, loss: float) -> None:
    bet = discrete(p, win, loss)
    assert (bet.equity_frac_at_risk, bet.notional_frac, bet.growth, bet.tradeable) == (0.0, 0.0, 0.0, False)


def test_a_sure_win_risks_all_and_grows_by_the_win() -> None:
    bet = discrete(1.0, 0.04, 0.02)
    assert bet.equity_frac_at_risk == 1.0
    assert bet.growth == pytest.approx(math.log(1 + 50 * 0.04))


@pytest.mark.parametrize(
    "bet", [(-0.1, 1, 1), (1.1, 1, 1), (float("nan"), 1, 1), (0.5, 0, 1), (0.5, 1, -1), (0.5, math.inf, 1), (0.5, 1, float("nan"))]
)
def test_a_bet_that_cannot_be_is_refused(bet: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInput, match="sizing"):
        discrete(*bet)


def test_an_estimated_chance_counts_by_its_lower_bound_and_at_a_quarter() -> None:
    sized = discrete_sized(60, 100, 0.03, 0.02, gap_loss_frac=0.05)
    bound = float(beta.ppf(0.05, 60, 41))
    assert sized == pytest.approx(0.25 * discrete(bound, 0.03, 0.02).notional_frac)
    assert discrete_sized(6_000, 10_000, 0.03, 0.02, gap_loss_frac=0.05) > sized  # type: ignore[operator]
    assert discrete_sized(6, 10, 0.02, 0.02, gap_loss_frac=0.05) == 0.0
    assert discrete_sized(0, 10, 0.02, 0.02, gap_loss_frac=0.05) == 0.0


def test_a_gap_that_would_take_everything_is_refused_with_its_numbers() -> None:
    assert survives_gap(4.0, 0.2) == 4.0
    refused = survives_gap(10.0, 0.15)
    assert refused == SizingRefused("KELLY_RUIN", 1.5, 1.0, "one gap would take all equity (fraction of equity)")
    assert isinstance(discrete_sized(99, 100, 0.05, 0.01, gap_loss_frac=0.10), SizingRefused)


@pytest.mark.parametrize(
    "change",
    [
        {"wins": 11},
        {"wins": -1},
        {"bets": 0},
        {"gap_loss_frac": -0.1},
        {"multiple_max": 0.0},
        {"multiple_max": 1.1},
        {"confidence": 1.0},
        {"confidence": 0.4},
    ],
)
def test_an_estimate_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    given = {"wins": 6, "bets": 10, "win_frac": 0.02, "loss_frac": 0.01, "gap_loss_frac": 0.02, **change}
    with pytest.raises(InvalidInput, match="sizing"):
        discrete_sized(**given)  # type: ignore[arg-type]


def test_shrinkage_uses_the_lower_bound_of_the_sharpe_ratio_and_never_passes_a_quarter() -> None:
    bound = 0.1 - norm.ppf(0.95) * math.sqrt((1 + 0.005) / 400)
    assert sharpe_lower(0.1, 400) == pytest.approx(bound)
    assert continuous_sized(0.003, 0.03, 400) == pytest.approx(0.003 / 0.0009 * shrink(bound, 400))
    assert continuous_sized(0.003, 0.03, 500_000) == pytest.approx(0.25 * 0.003 / 0.0009)
    assert continuous_sized(0.003, 0.03, 100) == 0.0
    assert continuous_sized(-0.003, 0.03, 500) == -continuous_sized(0.003, 0.03, 500)
    assert shrink(-0.1, 250) == 0.0


@pytest.mark.parametrize("given", [(0.001, 0.0), (0.001, -1.0), (math.nan, 1.0), (0.1, math.inf)])
def test_returns_without_deviation_are_refused(given: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="sigma"):
        continuous(*given)


@pytest.mark.parametrize("given", [(math.nan, 10), (0.1, 0)])
def test_a_sharpe_ratio_of_nothing_is_refused(given: tuple[float, int]) -> None:
    with pytest.raises(InvalidInput, match="periods"):
        shrink(*given)
    with pytest.raises(InvalidInput, match="periods"):
        sharpe_lower(*given)


@pytest.mark.parametrize("cov", [np.eye(3), np.ones((2, 2)), np.array([[1.0, np.nan], [np.nan, 1.0]])])
def test_several_assets_need_a_covariance_that_can_be_solved(cov: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="cov"):
        continuous_many(np.array([0.1, 0.2]), cov)
