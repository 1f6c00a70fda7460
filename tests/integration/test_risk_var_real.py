"""Our measures against other people's, on real daily returns: arch for the filters and fits, skfolio for the tails.

Tolerances: where the convention is the same, 1e-10 relative. Fits start from other values and another first variance, so log-likelihoods
agree to 0.5, alpha and beta to 0.02, nu to 5 %, and what follows from them, the one-step sigma and VaR, to 1 %. Simulation meets the
exact t within four standard errors.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from kedge.risk.var import choice, fhs, filters, historical, monte_carlo, parametric
from kedge.risk.var.garch_fit import FitFailed, GarchFit, fit_garch_t
from kedge.risk.var.historical import Convention
from kedge.risk.var.measure import alpha_of

pytestmark = pytest.mark.slow

Returns = npt.NDArray[np.float64]
MS_PER_DAY = 86_400_000
CONFIDENCES = (0.9, 0.95, 0.975, 0.99)
SAME = 1e-10
FIT_SIGMA = 0.01
STATIONARY = {"BTC": slice(600, 1_601), "ETH": slice(0, 1_001), "SPY": slice(None)}


def crypto(folder: Path, symbol: str) -> dict[int, float]:
    """Close of each whole UTC day: that of its last hourly bar, where all 24 are there."""
    table = pq.read_table(folder / "ohlcv" / f"binance-spot-{symbol}-1h.parquet", columns=["ts", "close"])
    days = table["ts"].to_numpy() // MS_PER_DAY
    names, first, count = np.unique(days, return_index=True, return_counts=True)
    last = first + count - 1
    return {int(day): float(table["close"][int(at)].as_py()) for day, at, bars in zip(names, last, count, strict=True) if bars == 24}


def daily(folder: Path, since_day: int = 0) -> dict[str, Returns]:
    """Simple daily returns, those of BTC and ETH over the same days."""
    btc, eth = (crypto(folder, symbol) for symbol in ("BTCUSDT", "ETHUSDT"))
    days = [day for day in sorted(btc) if day >= since_day and {day, day - 1} <= btc.keys() & eth.keys()]
    spy = np.asarray(pq.read_table(folder / "equities" / "us-SPY-1d.parquet", columns=["close"])["close"].to_numpy(), dtype=np.float64)
    return {
        "BTC": np.array([btc[day] / btc[day - 1] - 1 for day in days]),
        "ETH": np.array([eth[day] / eth[day - 1] - 1 for day in days]),
        "SPY": (spy[1:] / spy[:-1] - 1)[-2_500:],
    }


@pytest.fixture(scope="module")
def series(data_folder: Path) -> dict[str, Returns]:
    found = daily(data_folder)
    assert min(one.size for one in found.values()) > 2_000
    return found


@pytest.fixture(scope="module", params=["BTC", "ETH", "SPY"])
def returns(request: pytest.FixtureRequest, series: dict[str, Returns]) -> Returns:
    """A stretch whose variance has a long run; see the test of those that have none."""
    return series[request.param][STATIONARY[request.param]]


@pytest.fixture(scope="module")
def theirs(returns: Returns) -> Any:
    """arch's own fit: its starting values, its first variance, its optimiser."""
    from arch import arch_model

    return arch_model(100 * returns, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False).fit(disp="off", show_warning=False)


@pytest.fixture(scope="module")
def ours(returns: Returns) -> GarchFit:
    fit = fit_garch_t(returns)
    assert isinstance(fit, GarchFit), fit
    return fit


def test_tails_are_skfolios(returns: Returns) -> None:
    from skfolio.measures import cvar, value_at_risk

    for confidence in CONFIDENCES:
        naive = historical.value_at_risk(returns, confidence, Convention.NAIVE_FLOOR)
        assert naive == pytest.approx(value_at_risk(returns, beta=confidence), rel=SAME)
        assert historical.expected_shortfall(returns, confidence) == pytest.approx(cvar(returns, beta=confidence), rel=SAME)
        if (alpha_of(confidence) * returns.size).denominator != 1:
            assert historical.value_at_risk(returns, confidence) == naive


def test_the_ewma_filter_is_archs(returns: Returns) -> None:
    from arch.univariate import EWMAVariance

    model, first = EWMAVariance(lam=0.94), float(np.square(returns[:20]).mean())
    sigma2 = np.empty_like(returns)
    model.compute_variance(np.array([]), returns, sigma2, first, np.tile([0.0, np.inf], (returns.size, 1)))
    assert np.allclose(filters.ewma_variance(returns, 0.94)[:-1], sigma2, rtol=SAME, atol=0)


def test_the_garch_filter_is_archs_at_the_same_parameters(returns: Returns, ours: GarchFit) -> None:
    from arch.univariate import GARCH, StudentsT, ZeroMean

    model = ZeroMean(100 * returns, volatility=GARCH(), distribution=StudentsT(), rescale=False)
    fixed = model.fix([ours.omega * 1e4, ours.alpha, ours.beta, ours.nu])
    theirs = np.asarray(fixed.conditional_volatility) / 100
    mine = ours.sigma(returns)[:-1]
    assert np.allclose(mine[250:], theirs[250:], rtol=1e-6)  # another first variance, forgotten by then
    assert ours.loglik == pytest.approx(fixed.loglikelihood, abs=0.5)


def test_the_fit_is_archs_own_best(ours: GarchFit, theirs: Any) -> None:
    omega, alpha, beta, nu = np.asarray(theirs.params)
    assert ours.loglik == pytest.approx(theirs.loglikelihood, abs=0.5)
    assert (ours.alpha, ours.beta) == pytest.approx((alpha, beta), abs=0.02)
    assert ours.nu == pytest.approx(nu, rel=0.05)
    assert ours.omega * 1e4 == pytest.approx(omega, abs=0.05)


def test_one_step_sigma_and_the_ts_var_are_archs(returns: Returns, ours: GarchFit, theirs: Any) -> None:
    sigma = math.sqrt(float(np.asarray(theirs.forecast(horizon=1).variance)[-1, 0])) / 100
    assert ours.sigma(returns)[-1] == pytest.approx(sigma, rel=FIT_SIGMA)
    nu = float(theirs.params["nu"])
    quantile = float(theirs.model.distribution.ppf([0.01], [nu])[0])
    assert ours.nu is not None
    told = parametric.student_t(0.0, float(ours.sigma(returns)[-1]), ours.nu)
    assert told.var_frac == pytest.approx(-quantile * sigma, rel=FIT_SIGMA)


def test_filtered_simulation_is_that_of_archs_residuals_and_skfolios_tail(returns: Returns, ours: GarchFit, theirs: Any) -> None:
    from skfolio.measures import cvar, value_at_risk

    sigma = math.sqrt(float(np.asarray(theirs.forecast(horizon=1).variance)[-1, 0])) / 100
    scaled = np.asarray(theirs.std_resid) * sigma
    told = fhs.var_es(returns, ours.sigma(returns), method=fhs.METHOD_GARCH)
    if (alpha_of(0.99) * returns.size).denominator != 1:
        assert told.var_frac == pytest.approx(value_at_risk(scaled, beta=0.99), rel=FIT_SIGMA)
    assert told.es_frac == pytest.approx(cvar(scaled, beta=0.975), rel=FIT_SIGMA)


def test_simulation_meets_the_exact_t_of_real_volatilities(series: dict[str, Returns]) -> None:
    pair = np.column_stack([series["BTC"], series["ETH"]])
    vols, correlation = pair.std(axis=0, ddof=1).tolist(), np.corrcoef(pair.T)
    for weights in ([0.6, 0.4], [1.0, -0.8]):
        told = monte_carlo.multivariate_t(weights, vols, correlation, 5, seed=11, scenarios=400_000)
        exact = monte_carlo.exact_t(weights, vols, correlation, 5)
        assert told.standard_error_frac is not None
        assert abs(told.var_frac - exact.var_frac) <= 4 * told.standard_error_frac


@pytest.mark.parametrize("name", ["BTC", "ETH"])
def test_where_archs_variance_has_no_long_run_ours_falls_back_and_says_so(series: dict[str, Returns], name: str) -> None:
    """Over all their days, and over most windows of a thousand, the likelihood of both is highest at the border."""
    from arch import arch_model

    returns = series[name]
    theirs = arch_model(100 * returns, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False).fit(disp="off", show_warning=False)
    assert theirs.params["alpha[1]"] + theirs.params["beta[1]"] >= 0.9999
    failed = fit_garch_t(returns)
    assert isinstance(failed, FitFailed)
    assert "no long run" in failed.why
    told = choice.measure(returns[:, None], [1.0], fits=[failed])
    assert told.main.method == "fhs-ewma"
    assert f"fallback:fhs-garch-t: the fit of instrument 0 failed: {failed.why}" in told.main.flags


def test_bitcoin_alone_is_as_risky_as_the_table_says(data_folder: Path) -> None:
    """1-day VaR99 of 8.5 % over 2020 to 2025: why VaR binds before leverage."""
    since_2020 = daily(data_folder, since_day=18_262)["BTC"]
    assert historical.value_at_risk(since_2020, 0.99) == pytest.approx(0.085, abs=0.002)


def test_the_chain_and_its_book_agree_on_real_portfolios(series: dict[str, Returns]) -> None:
    pair = np.column_stack([series["BTC"], series["ETH"]])[600:1_601]
    fits = choice.fit_all(pair)
    for weights in ([0.5, 0.5], [0.8, -0.6], [0.0, -1.5]):
        told = choice.measure(pair, weights, fits=fits)
        book, chosen = choice.chosen_book(["BTC", "ETH"], pair, fits=fits)
        for index, weight in enumerate(weights):
            book.set_notional(index, weight)
        assert told.main.method == chosen.method == "fhs-garch-t"
        assert book.var_es() == pytest.approx((told.main.var_frac, told.main.es_frac), abs=2e-7)
