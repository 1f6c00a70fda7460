"""The study's forecasts: equal to plain loops, blind to their own return and to all after it, and honest about a fit that failed."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from scripts.risk_study_series import Returns, Series
from scripts.risk_study_var import (
    CHOSEN,
    METHODS,
    age_step,
    by_age,
    by_ewma,
    by_garch,
    by_historical,
    by_parametric,
    chosen,
    filtered_step,
    order_step,
)
from scripts.risk_study_verdict import Forecasts

from kedge.risk.var import fhs, filters, historical, weighted

from .plain_var import age_weighted, ewma, filtered
from .plain_var import historical as plain_historical

FIRST = 60
ALPHA99, ALPHA975 = Fraction(1, 100), Fraction(25, 1_000)


def series(returns: list[float], first: int = FIRST) -> Series:
    """A day series of these returns."""
    found = Returns(np.arange(1, len(returns) + 1), np.array(returns), ())
    return Series("MADE", "day", found, first, "")


def made(count: int = 90, seed: int = 3) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0, 0.02) * (3 if draw.random() < 0.05 else 1) for _ in range(count)]


def test_historical_forecasts_equal_plain_loops() -> None:
    returns = made()
    found = by_historical(series(returns))
    for step, at in enumerate(range(FIRST, len(returns))):
        var99, _ = plain_historical(returns[:at], ALPHA99)
        var975, es975 = plain_historical(returns[:at], ALPHA975)
        assert (found.var99[step], found.var975[step]) == (var99, var975)
        assert found.es975[step] == pytest.approx(es975, rel=1e-12)


def test_age_weighted_forecasts_equal_plain_loops() -> None:
    returns = made()
    found = by_age(series(returns))
    for step, at in enumerate(range(FIRST, len(returns))):
        var99, _ = age_weighted(returns[:at], Fraction("0.98"), ALPHA99)
        var975, es975 = age_weighted(returns[:at], Fraction("0.98"), ALPHA975)
        assert (found.var99[step], found.var975[step]) == (var99, var975)
        assert found.es975[step] == pytest.approx(max(es975, var975), rel=1e-9)


def test_filtered_forecasts_equal_plain_loops() -> None:
    returns = made()
    found = by_ewma(series(returns))
    for step, at in enumerate(range(FIRST, len(returns))):
        sigmas = ewma(returns[:at], 0.94, 20)
        var99, _ = filtered(returns[:at], sigmas, ALPHA99)
        var975, es975 = filtered(returns[:at], sigmas, ALPHA975)
        told = (found.var99[step], found.var975[step], found.es975[step])
        assert told == pytest.approx((var99, var975, es975), rel=1e-9)


def test_the_parametric_forecast_is_a_multiple_of_sigma_that_a_simulation_confirms() -> None:
    returns = made()
    found = by_parametric(series(returns))
    sigma = ewma(returns[:FIRST], 0.94, 20)[-1]
    draw = np.random.default_rng(5).standard_t(5, 2_000_000) * np.sqrt(3 / 5)
    tail = np.sort(draw)[:50_000]
    assert found.var99[0] / sigma == pytest.approx(-np.quantile(draw, 0.01), rel=0.01)
    assert found.es975[0] / sigma == pytest.approx(-tail.mean(), rel=0.01)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "fhs-garch-t"])
def test_a_return_changes_no_forecast_before_it(method: str) -> None:
    returns = made()
    changed = [*returns[:75], -0.9, *returns[76:]]
    one, other = METHODS[method](series(returns)), METHODS[method](series(changed))
    upto = 75 - FIRST + 1
    assert one.var99[:upto].tolist() == other.var99[:upto].tolist()
    assert one.es975[upto:].tolist() != other.es975[upto:].tolist()


def test_a_fit_that_fails_leaves_the_forecast_to_ewma_and_is_counted() -> None:
    returns = made()
    found, plain = by_garch(series(returns)), by_ewma(series(returns))
    assert found.var99.tolist() == plain.var99.tolist()
    assert not found.own.any()
    assert found.notes == {"fits": 5, "failed": 5, "steps by EWMA": 30}


@pytest.mark.slow
def test_a_fit_that_holds_is_filtered_on_until_the_next_and_knows_nothing_after_it() -> None:
    draw = np.random.default_rng(11)
    variance, returns = 4e-4, []
    for _ in range(420):
        returns.append(float(draw.standard_t(5) * np.sqrt(3 / 5 * variance)))
        variance = 2e-5 + 0.1 * returns[-1] ** 2 + 0.85 * variance
    found = by_garch(series(returns, 400))
    assert found.own.all()
    again = by_garch(series([*returns[:-1], -0.5], 400))
    assert found.var99.tolist() == again.var99.tolist()


def test_the_short_answers_are_those_of_the_products_methods() -> None:
    window = np.array(made())
    sigmas = filters.ewma_sigma(window)
    for short, whole in (
        (order_step(window), historical.var_es(window)),
        (age_step(window, 0.98), weighted.var_es(window, 0.98)),
        (filtered_step(window, sigmas), fhs.var_es(window, sigmas)),
    ):
        assert short == pytest.approx((whole.var_frac, whole.var_at_es_frac, whole.es_frac), rel=1e-15)


def forecasts(method: str, var: float, realised: list[float], own: list[bool] | None = None) -> Forecasts:
    n = len(realised)
    return Forecasts(method, np.full(n, var), np.full(n, var), np.full(n, var), np.array(realised), np.array(own or [True] * n), {})


def test_the_chain_picks_the_first_method_whose_fit_holds_and_whose_light_is_not_red() -> None:
    realised = [-0.05] * 30 + [0.0] * 10
    found = chosen(
        [
            forecasts("historical", 0.08, realised),
            forecasts("fhs-ewma", 0.04, realised),
            forecasts("fhs-garch-t", 0.09, realised, [True] * 5 + [False] * 30 + [True] * 5),
            forecasts("parametric-t", 0.10, realised),
        ]
    )
    assert found.method == CHOSEN
    picked = found.var99.tolist()
    assert picked[:5] == [0.09] * 5
    assert picked[5:20] == [0.04] * 15  # red only from 20 judged days on
    assert picked[20:35] == [0.08] * 15
    assert picked[35:] == [0.09] * 5
    assert found.notes == {"fhs-garch-t": 10, "fhs-ewma": 15, "historical": 15, "parametric-t": 0}
