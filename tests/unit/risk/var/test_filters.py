"""Filters of variance against plain loops, fits that fail, and filtered simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.risk.var import fhs, filters, garch_fit, historical
from kedge.risk.var.garch_fit import FitFailed, GarchFit, fit_garch_t
from kedge.risk.var.laws.filters import garch_variances

RNG = np.random.default_rng(11)
RETURNS = RNG.standard_t(5, 300) * 0.02


def garch_returns(seed: int, n: int, omega: float, alpha: float, beta: float, nu: float) -> np.ndarray:
    """A GARCH(1,1)-t series by its definition."""
    rng, variance, out = np.random.default_rng(seed), omega / (1 - alpha - beta), []
    for _ in range(n):
        r = math.sqrt(variance) * rng.standard_t(nu) * math.sqrt((nu - 2) / nu)
        out.append(r)
        variance = omega + alpha * r * r + beta * variance
    return np.array(out)


def test_the_filter_is_the_plain_recursion_to_the_bit() -> None:
    expected = [4e-4]
    for r in RETURNS:
        expected.append(max(2e-5 + 0.1 * r * r + 0.86 * expected[-1], 1e-12))
    assert filters.garch_filter(RETURNS, 2e-5, 0.1, 0.86, first=4e-4).tolist() == pytest.approx(expected, rel=1e-14)
    out = np.empty(RETURNS.size + 1)
    garch_variances.py_func(RETURNS, 2e-5, 0.1, 0.86, 4e-4, 1e-12, out)  # type: ignore[attr-defined]
    assert out.tolist() == pytest.approx(filters.garch_filter(RETURNS, 2e-5, 0.1, 0.86, first=4e-4).tolist(), rel=1e-14)


def test_no_entry_sees_its_own_return_or_a_later_one() -> None:
    other = RETURNS.copy()
    other[150:] = 0.5
    for one, two in ((filters.ewma_sigma(RETURNS), filters.ewma_sigma(other)), (
        filters.garch_filter(RETURNS, 1e-5, 0.1, 0.8, first=4e-4),
        filters.garch_filter(other, 1e-5, 0.1, 0.8, first=4e-4),
    )):  # fmt: skip
        assert (one[:151] == two[:151]).all()
        assert one[151] != two[151]


def test_a_variance_never_falls_below_the_floor() -> None:
    assert filters.ewma_variance(np.zeros(50)).min() == 1e-12
    assert filters.garch_filter(np.zeros(50), 0.0, 0.1, 0.8).min() == 1e-12


def test_ewma_starts_from_the_mean_of_the_first_twenty_squares_or_where_told() -> None:
    assert filters.ewma_variance(RETURNS)[0] == pytest.approx(np.square(RETURNS[:20]).mean())
    assert filters.ewma_variance(RETURNS, first=1e-3)[0] == 1e-3
    assert filters.ewma_variance(RETURNS[:3])[0] == pytest.approx(np.square(RETURNS[:3]).mean())


@pytest.mark.parametrize("decay", [0.0, 1.0, math.nan])
def test_a_decay_outside_0_to_1_is_refused(decay: float) -> None:
    with pytest.raises(InvalidInput, match="decay"):
        filters.ewma_sigma(RETURNS, decay)


@pytest.mark.parametrize("given", [(-1e-6, 0.1, 0.8), (1e-6, math.nan, 0.8), (1e-6, 0.1, -0.8)])
def test_a_parameter_that_no_variance_has_is_refused(given: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInput):
        filters.garch_filter(RETURNS, *given)


def test_an_integrated_filter_runs_but_has_no_long_run() -> None:
    assert np.isfinite(filters.garch_filter(RETURNS, 1e-6, 0.2, 0.8)).all()
    for asked in (lambda: filters.long_run_variance(1e-6, 0.2, 0.8), lambda: filters.half_life_days(0.2, 0.9)):
        with pytest.raises(InvalidInput, match="alpha \\+ beta"):
            asked()


@pytest.mark.parametrize(("variance", "days"), [(4e-4, 0), (0.0, 5), (math.nan, 5)])
def test_a_forecast_of_nothing_is_refused(variance: float, days: int) -> None:
    with pytest.raises(InvalidInput):
        filters.garch_forecast(variance, 2e-5, 0.1, 0.86, days)


def test_a_break_of_the_level_is_seen_and_fat_tails_alone_are_not() -> None:
    rng = np.random.default_rng(12)
    broken = np.concatenate([rng.normal(0, 1, 500), rng.normal(0, 1.5, 500)])
    assert filters.variance_break(broken)
    assert not filters.variance_break(np.ones(100))
    alarms = sum(filters.variance_break(rng.standard_t(5, 500)) for _ in range(200))
    assert alarms <= 22  # 5 % of 200, and four standard errors


def test_a_fit_is_the_same_every_time_and_finds_what_made_the_series() -> None:
    made = garch_returns(3, 4_000, 2e-5, 0.1, 0.86, 5.0)
    fit = fit_garch_t(made)
    assert isinstance(fit, GarchFit)
    assert fit == fit_garch_t(made)
    assert fit.alpha == pytest.approx(0.1, abs=0.03)
    assert fit.beta == pytest.approx(0.86, abs=0.05)
    assert fit.nu == pytest.approx(5.0, abs=0.8)
    assert fit.variances(made)[0] == fit.first_variance
    assert fit.sigma(made)[-1] ** 2 == pytest.approx(fit.variances(made)[-1])


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        (RETURNS[:249], "249 rows"),
        (np.full(300, 0.01), "do not vary"),
        (np.concatenate([np.full(150, 1e-9), RNG.normal(0, 1, 150)]) * np.tile([1, -1], 150), ""),
    ],
)
def test_a_fit_that_cannot_be_is_a_value_that_says_why(returns: np.ndarray, why: str) -> None:
    failed = fit_garch_t(returns)
    assert isinstance(failed, FitFailed)
    assert why in failed.why
    assert failed.why


def test_a_random_walk_of_variance_has_no_long_run_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garch_fit, "PERSISTENCE_MAX", 0.9)
    failed = fit_garch_t(garch_returns(3, 1_000, 2e-5, 0.1, 0.86, 5.0))
    assert isinstance(failed, FitFailed)
    assert "no long run" in failed.why


def test_an_optimiser_that_does_not_converge_is_a_failure() -> None:
    failed = fit_garch_t(garch_returns(3, 1_000, 2e-5, 0.1, 0.86, 5.0), iterations=2)
    assert isinstance(failed, FitFailed)
    assert "did not converge" in failed.why


def test_unknown_returns_are_an_error_and_no_failed_fit() -> None:
    with pytest.raises(InvalidInput):
        fit_garch_t([0.01, math.nan] * 200)


@pytest.mark.parametrize("sigmas", [[0.02] * 298, [0.02] * 300 + [0.0], [0.02] * 300 + [math.nan]])
def test_sigmas_that_do_not_fit_are_refused(sigmas: list[float]) -> None:
    for measure in (fhs.residuals, fhs.var_es):
        with pytest.raises(InvalidInput):
            measure(RETURNS, sigmas)


def test_one_series_needs_its_forecast() -> None:
    with pytest.raises(InvalidInput, match="forecast"):
        fhs.var_es(RETURNS, [0.02] * 300)


def test_a_constant_sigma_filters_nothing() -> None:
    told = fhs.var_es(RETURNS, [0.02] * 301)
    assert told.var_frac == pytest.approx(historical.value_at_risk(RETURNS, 0.99))
    assert told.es_frac == pytest.approx(historical.expected_shortfall(RETURNS, 0.975))


def test_twice_the_sigma_to_come_is_twice_the_var() -> None:
    sigmas = filters.ewma_sigma(RETURNS)
    louder = np.append(sigmas[:-1], 2 * sigmas[-1])
    assert fhs.var_es(RETURNS, louder).var_frac == pytest.approx(2 * fhs.var_es(RETURNS, sigmas).var_frac)


def test_a_portfolio_keeps_whole_rows() -> None:
    two = np.column_stack([RETURNS, RETURNS])
    sigmas = np.column_stack([filters.ewma_sigma(RETURNS)] * 2)
    alone = fhs.var_es(RETURNS, sigmas[:, 0])
    together = fhs.portfolio_var_es(two, sigmas, [0.7, 0.3])
    assert together.var_frac == pytest.approx(alone.var_frac, rel=1e-12)
    assert fhs.portfolio_var_es(two, sigmas, [1.0, -1.0]).var_frac == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(InvalidInput, match="sigmas"):
        fhs.portfolio_var_es(two, sigmas[:-1], [1.0, -1.0])


def test_paths_of_one_day_are_the_one_day_measure_and_the_seed_decides() -> None:
    returns, sigmas = RETURNS[:, None], filters.ewma_sigma(RETURNS)[:, None]
    given = {"parameters": [(0.0, 0.06, 0.94)], "paths": 40_000}
    one = fhs.path_var_es(returns, sigmas, [1.0], 1, seed=5, **given)  # type: ignore[arg-type]
    exact = fhs.var_es(RETURNS, sigmas[:, 0])
    assert one.var_frac == pytest.approx(exact.var_frac, rel=0.12)
    assert one.es_frac == pytest.approx(exact.es_frac, rel=0.08)
    assert one == fhs.path_var_es(returns, sigmas, [1.0], 1, seed=5, **given)  # type: ignore[arg-type]
    assert one.flags[-3:] == ("horizon_days=1", "paths=40000", "seed=5")
    assert one.method == "fhs-ewma-paths"


def test_ten_days_of_paths_are_near_the_root_of_ten_where_variance_stands_still() -> None:
    returns = np.random.default_rng(13).normal(0, 0.01, (1_000, 1))
    sigmas = np.full((1_001, 1), 0.01)
    still = fhs.path_var_es(returns, sigmas, [1.0], 10, parameters=[(1e-4, 0.0, 0.0)], seed=1, paths=8_000)
    day = historical.value_at_risk(returns[:, 0], 0.99)
    assert still.var_frac == pytest.approx(day * math.sqrt(10), rel=0.12)


def test_a_path_that_has_lost_everything_ends_there() -> None:
    """Three times the equity over moves of a half: 1 loses 1.5 and ends there, or wins 1.5 and loses 3.75 of 2.5 on the second day."""
    returns = np.array([[-0.5], [0.5]] * 20)
    given = {"parameters": [(0.25, 0.0, 0.0)], "seed": 1, "paths": 2_000}
    ended = fhs.path_var_es(returns, np.full((41, 1), 0.5), [3.0], 2, c_var=0.6, c_es=0.9, **given)  # type: ignore[arg-type]
    assert ended.var_frac == pytest.approx(1.5)
    assert ended.es_frac == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("days", "paths", "parameters"),
    [(0, 100, [(0.0, 0.06, 0.94)]), (5, 1, [(0.0, 0.06, 0.94)]), (5, 100, []), (5, 100, [(0.0, -0.06, 0.94)])],
)
def test_paths_without_a_day_a_number_or_a_filter_are_refused(days: int, paths: int, parameters: list[tuple[float, float, float]]) -> None:
    with pytest.raises(InvalidInput):
        fhs.path_var_es(RETURNS[:, None], np.full((301, 1), 0.02), [1.0], days, parameters=parameters, seed=1, paths=paths)
