"""Closed forms against quadrature, their domains, simulation against the exact t, and what decomposes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from kedge.domain.errors import InvalidInput
from kedge.risk.var import NotUsable, decompose, horizon, liquidity, monte_carlo, parametric

CORRELATION = np.array([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]])
VOLS, WEIGHTS = [0.03, 0.04, 0.055], [0.5, 0.3, 0.2]
NOT_PSD = np.array([[1.0, 0.9, 0.7], [0.9, 1.0, 0.3], [0.7, 0.3, 1.0]])
"""Three pairs estimated over different days: the smallest eigenvalue is slightly negative."""


@pytest.mark.parametrize("confidence", [0.9, 0.975, 0.99])
@pytest.mark.parametrize(("skew", "kurtosis"), [(0.0, 0.0), (-0.5, 1.0), (0.3, 2.5), (-0.6, 3.0)])
def test_cornish_fishers_es_integrates_its_own_quantile(confidence: float, skew: float, kurtosis: float) -> None:
    alpha = 1 - confidence
    whole, _ = integrate.quad(
        lambda z: parametric.cornish_fisher_quantile(z, skew, kurtosis) * stats.norm.pdf(z), -40, stats.norm.ppf(alpha), epsabs=1e-13
    )
    told = parametric.cornish_fisher(0.001, 0.02, skew, kurtosis, confidence, confidence)
    assert told.es_frac == pytest.approx(-(0.001 + 0.02 * whole / alpha), rel=1e-8)


@pytest.mark.parametrize("nu", [2.5, 4.0, 30.0])
def test_the_ts_es_integrates_its_own_quantile(nu: float) -> None:
    told = parametric.student_t(0.001, 0.02, nu, 0.975, 0.975)
    scale = 0.02 * math.sqrt((nu - 2) / nu)
    whole, _ = integrate.quad(lambda u: stats.t.ppf(u, nu), 0, 0.025, epsabs=1e-12)
    assert told.es_frac == pytest.approx(-(0.001 + scale * whole / 0.025), rel=1e-6)
    assert parametric.student_t_density(nu, 1.3) == pytest.approx(stats.t.pdf(1.3, nu), rel=1e-12)


def test_a_falling_expansion_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(NotUsable, match="student-t"):
        parametric.cornish_fisher(0.0, 0.02, -1.5, 2.0)


def test_the_domain_is_that_of_a_fine_grid() -> None:
    grid = np.linspace(-5, 5, 4_001)
    for skew in np.linspace(-3, 3, 25):
        for kurtosis in np.linspace(-1, 12, 27):
            steps = np.diff(parametric.cornish_fisher_quantile(grid, skew, kurtosis))  # type: ignore[arg-type]
            if abs(steps.min()) > 1e-7:  # at the very border a grid cannot tell
                assert parametric.cornish_fisher_is_monotone(float(skew), float(kurtosis)) == bool(steps.min() > 0), (skew, kurtosis)


def test_a_t_is_milder_than_the_normal_at_95_and_harsher_at_99() -> None:
    normal, t = parametric.normal(0, 0.02, 0.95, 0.99), parametric.student_t(0, 0.02, 5, 0.95, 0.99)
    assert t.var_frac < normal.var_frac
    assert parametric.student_t(0, 0.02, 5).var_frac > parametric.normal(0, 0.02).var_frac


@pytest.mark.parametrize("nu", [2.0, 1.0, math.nan, math.inf])
def test_a_t_without_a_variance_is_refused(nu: float) -> None:
    with pytest.raises(InvalidInput, match="nu"):
        parametric.student_t(0.0, 0.02, nu)


@pytest.mark.parametrize(("mu", "sigma"), [(math.nan, 0.02), (0.0, -0.01), (0.0, math.inf)])
def test_an_unknown_mean_or_sigma_is_refused(mu: float, sigma: float) -> None:
    with pytest.raises(InvalidInput):
        parametric.normal(mu, sigma)


def test_es_is_never_below_var_of_its_own_confidence() -> None:
    for sigma in (0.0, 0.02):
        for told in (
            parametric.normal(0.001, sigma),
            parametric.student_t(0.001, sigma, 3),
            parametric.cornish_fisher(0.0, sigma, -0.5, 1.0),
        ):
            assert told.es_frac >= told.var_at_es_frac
    with pytest.raises(InvalidInput, match="below VaR"):
        parametric._answer("x", "y", (0.99, 0.975), (0.1, 0.05, 0.06), 0, ())


def test_moments_are_scipys_and_nothing_has_none() -> None:
    told = np.random.default_rng(1).standard_t(6, 500)
    got = parametric.moments(told)
    assert (got.mu, got.sigma) == pytest.approx((told.mean(), told.std(ddof=1)))
    assert (got.skew, got.excess_kurtosis) == pytest.approx((stats.skew(told), stats.kurtosis(told)))
    with pytest.raises(NotUsable):
        parametric.moments([0.01] * 50)


def test_simulation_meets_the_exact_t_within_four_standard_errors() -> None:
    for seed in (1, 2):
        told = monte_carlo.multivariate_t(WEIGHTS, VOLS, CORRELATION, 5, seed=seed, scenarios=200_000)
        exact = monte_carlo.exact_t(WEIGHTS, VOLS, CORRELATION, 5)
        assert told.standard_error_frac is not None
        assert abs(told.var_frac - exact.var_frac) <= 4 * told.standard_error_frac
        assert told.es_frac == pytest.approx(exact.es_frac, rel=0.03)
        assert told.flags == (f"seed={seed}",)
    assert told == monte_carlo.multivariate_t(WEIGHTS, VOLS, CORRELATION, 5, seed=2, scenarios=200_000)


def test_one_chi_square_per_scenario_keeps_the_tails_together() -> None:
    """With independent ones, a spread of two equal halves would be milder than either alone."""
    uncorrelated = np.eye(2)
    told = monte_carlo.multivariate_t([0.5, 0.5], [0.02, 0.02], uncorrelated, 3, seed=4, scenarios=100_000)
    alone = monte_carlo.exact_t([math.sqrt(0.5)], [0.02], np.eye(1), 3)
    assert told.var_frac == pytest.approx(alone.var_frac, rel=0.05)


def test_a_correlation_that_is_nearly_one_is_repaired_and_says_so() -> None:
    repaired = monte_carlo.repaired_correlation(NOT_PSD)
    assert np.linalg.eigvalsh(NOT_PSD).min() < 0
    assert 0 < repaired.change <= 0.05
    assert np.linalg.eigvalsh(repaired.matrix).min() > -1e-12
    assert np.diag(repaired.matrix) == pytest.approx(1.0)
    told = monte_carlo.multivariate_t(WEIGHTS, VOLS, NOT_PSD, 5, seed=1, scenarios=1_000)
    assert told.flags[1].startswith("correlation_moved=0.0")


def test_a_correlation_far_from_one_is_refused() -> None:
    with pytest.raises(NotUsable, match="moved by"):
        monte_carlo.repaired_correlation(np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]))


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 3)), np.array([[1.0, 0.5], [0.4, 1.0]]), np.diag([1.0, 0.9]), np.array([[1.0, 1.2], [1.2, 1.0]])]
)
def test_what_is_no_correlation_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="correlation"):
        monte_carlo.repaired_correlation(wrong)


def test_a_singular_covariance_still_has_a_factor() -> None:
    whole = monte_carlo.covariance([0.02, 0.02], np.ones((2, 2)))
    root = monte_carlo.factor(whole)
    assert root @ root.T == pytest.approx(whole, abs=1e-15)
    perfect = monte_carlo.multivariate_t([1.0, -1.0], [0.02, 0.02], np.ones((2, 2)), 5, seed=1, scenarios=1_000)
    assert perfect.var_frac == pytest.approx(0.0, abs=1e-8)
    assert perfect.standard_error_frac == pytest.approx(0.0, abs=1e-8)


def test_impossible_simulations_are_refused() -> None:
    with pytest.raises(InvalidInput, match="scenarios"):
        monte_carlo.multivariate_t(WEIGHTS, VOLS, CORRELATION, 5, seed=1, scenarios=1)
    with pytest.raises(InvalidInput, match="nu"):
        monte_carlo.multivariate_t(WEIGHTS, VOLS, CORRELATION, 2, seed=1)
    with pytest.raises(InvalidInput, match="volatility"):
        monte_carlo.covariance([0.02, -0.02], np.eye(2))


def test_marginals_are_finite_differences_and_a_hedge_is_negative() -> None:
    spread = monte_carlo.covariance(VOLS, CORRELATION)
    weights = [0.5, -0.4, 0.2]
    parts = decompose.normal_parts(weights, spread, 0.99)
    for n in range(3):
        up, down = (np.array(weights) + step * np.eye(3)[n] for step in (1e-6, -1e-6))
        slope = (decompose.normal_parts(up, spread, 0.99).var_frac - decompose.normal_parts(down, spread, 0.99).var_frac) / 2e-6
        assert parts.marginal[n] == pytest.approx(slope, rel=1e-6)
    assert parts.component_frac[1] < 0
    assert math.fsum(parts.component_frac) == pytest.approx(parts.var_frac, rel=1e-12)


def test_a_portfolio_that_does_not_move_has_no_marginals() -> None:
    with pytest.raises(NotUsable, match="sigma is 0"):
        decompose.normal_parts([1.0, -1.0], np.full((2, 2), 4e-4), 0.99)
    with pytest.raises(InvalidInput, match="symmetric"):
        decompose.normal_parts([1.0, -1.0], np.array([[4e-4, 1e-4], [2e-4, 4e-4]]), 0.99)


def test_contributions_to_es_sum_to_the_houses_es() -> None:
    rows = np.random.default_rng(2).standard_t(4, (333, 3)) * 0.02
    parts = decompose.es_parts(rows, WEIGHTS, 0.975)
    from kedge.risk.var import historical

    assert parts.total_frac == pytest.approx(historical.expected_shortfall(rows @ np.array(WEIGHTS), 0.975), rel=1e-12)
    assert parts.rows == pytest.approx(0.025 * 333)
    with pytest.raises(NotUsable, match="no whole day"):
        decompose.es_parts(rows[:30], WEIGHTS, 0.99, whole_days=True)


def test_contributions_to_var_are_scaled_to_the_var_and_increments_are_differences() -> None:
    rows = np.random.default_rng(3).standard_t(4, (500, 3)) * 0.02
    from kedge.risk.var import historical

    var = historical.value_at_risk(rows @ np.array(WEIGHTS), 0.99)
    parts = decompose.var_parts(rows, WEIGHTS, 0.99)
    assert math.fsum(parts.parts_frac) == pytest.approx(var, rel=1e-12)
    assert parts.rows == 10  # the quantile is the fifth worst row: four before it, five after
    without = historical.value_at_risk(rows @ np.array([0.5, 0.0, 0.2]), 0.99)
    assert decompose.incremental_var(rows, WEIGHTS, 0.99)[1] == pytest.approx(var - without, rel=1e-9)
    with pytest.raises(NotUsable, match="do not lose"):
        decompose.var_parts(np.abs(rows), WEIGHTS, 0.99)


@pytest.mark.parametrize("wrong", [(-1.0, 0.1, 0.1, 3.0), (1.0, -0.1, 0.1, 3.0), (1.0, 0.1, math.nan, 3.0)])
def test_a_negative_or_unknown_cost_is_refused(wrong: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidInput):
        liquidity.exogenous_cost(*wrong)


def test_selling_at_once_is_the_whole_variance() -> None:
    assert liquidity.liquidation_variance_factor(1) == 1.0
    with pytest.raises(InvalidInput):
        liquidity.liquidation_variance_factor(0)


def test_horizons_without_a_day_or_a_correlation_are_refused() -> None:
    for asked in (
        lambda: horizon.sqrt_factor(0),
        lambda: horizon.ar1_factor(10, 1.0),
        lambda: horizon.ar1_factor(10, math.nan),
        lambda: horizon.autocorrelation([0.01] * 10),
        lambda: horizon.compounded([0.01] * 3, 4),
        lambda: horizon.block_bootstrap([0.01] * 30, 10, block=0, paths=5, seed=1),
    ):
        with pytest.raises(InvalidInput):
            asked()


def test_no_autocorrelation_is_the_root_of_time() -> None:
    assert horizon.ar1_factor(10, 0.0) == pytest.approx(horizon.sqrt_factor(10))
    rng = np.random.default_rng(5)
    told = rng.normal(0, 1, 4_000)
    for n in range(1, told.size):
        told[n] += 0.3 * told[n - 1]
    assert horizon.autocorrelation(told) == pytest.approx(0.3, abs=0.06)


def test_periods_do_not_overlap_and_the_newest_is_whole() -> None:
    assert horizon.compounded([9.0, 0.1, 0.1, 0.2, 0.0], 2).tolist() == pytest.approx([0.21, 0.2])


def test_blocks_keep_what_follows_what() -> None:
    told = [0.1, -0.1] * 50
    grown = horizon.block_bootstrap(told, 2, block=2, paths=100, seed=3)
    assert grown == pytest.approx(np.full(100, -0.01))
    loose = horizon.block_bootstrap(told, 2, block=1, paths=100, seed=3)
    assert len({round(value, 6) for value in loose}) == 3
    assert (horizon.block_bootstrap(told, 3, block=2, paths=5, seed=3) == horizon.block_bootstrap(told, 3, block=2, paths=5, seed=3)).all()
