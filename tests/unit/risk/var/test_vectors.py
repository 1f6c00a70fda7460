"""Every VaR and backtest vector of the quant reference, each computed by the general formulas from its inputs alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.unit.risk.var.reference import differences, vector

from kedge.risk.var import backtests, decompose, fhs, filters, garch_fit, historical, horizon, liquidity, monte_carlo, parametric, weighted
from kedge.risk.var.historical import Convention
from kedge.risk.var.measure import alpha_of

Inputs = dict[str, Any]


def hist(given: Inputs) -> Inputs:
    returns, confidence = given["returns"], given["confidence"]
    names = ("naive_floor", "inverse_cdf", "lower", "linear", "higher", "hazen", "weibull", "median_unbiased")
    var = {f"var_{name}": historical.value_at_risk(returns, confidence, Convention[name.upper()]) for name in names}
    es = historical.expected_shortfall(returns, confidence)
    return {
        **var,
        "alpha": float(alpha_of(confidence)),
        "n": len(returns),
        "sorted": sorted(returns),
        "naive_floor_index": historical.naive_floor_index(confidence, len(returns)),
        "var_inverted_cdf": var["var_inverse_cdf"],
        "es_mean_of_worst_floor_na": historical.mean_of_worst(returns, confidence),
        "es_mean_le_var_linear": historical.mean_beyond(returns, confidence, Convention.LINEAR),
        "es_acerbi_tasche": es,
        "var_skfolio": var["var_naive_floor"],
        "es_skfolio": es,
        "var_riskfolio": var["var_inverse_cdf"],
        "es_riskfolio": es,
    }


def trap(given: Inputs) -> Inputs:
    return {
        "rows": [
            {
                "confidence": confidence,
                "n": n,
                "binary_float_floor": math.floor((1 - float(confidence)) * n),
                "exact_floor": historical.naive_floor_index(float(confidence), n),
                "inverted_cdf_index0": historical.inverse_cdf_index(float(confidence), n),
            }
            for confidence, n in given["cases"]
        ]
    }


def over_days(given: Inputs) -> Inputs:
    day = parametric.normal(0.0, given["sigma_1"], 0.99).var_frac
    sqrt, ar1 = horizon.sqrt_factor(given["h"]), horizon.ar1_factor(given["h"], given["rho"])
    return {"sqrt_time_factor": sqrt, "ar1_factor": ar1, "var_sqrt": day * sqrt, "var_ar1": day * ar1}


def aged(given: Inputs) -> Inputs:
    returns, decay = given["returns"], given["lambda"]
    weights, answer = weighted.age_weights(len(returns), decay), {}
    for confidence in given["confidences"]:
        index, cumulative = weighted.weighted_index(returns, weights, confidence)
        answer[f"c{confidence}"] = {
            "index_in_sorted": index,
            "cum_weight_at_index": cumulative,
            "var_weighted_inverted_cdf": weighted.value_at_risk(returns, confidence, decay),
            "es_weighted": weighted.expected_shortfall(returns, confidence, decay),
        }
    return answer


def filtered_by_ewma(given: Inputs) -> Inputs:
    returns = given["returns"]
    variances = filters.ewma_variance(returns, given["lambda"])
    sigmas = filters.ewma_sigma(returns, given["lambda"])
    z = fhs.residuals(returns, sigmas)
    answer: Inputs = {
        "sigma2_0": variances[0],
        "sigma2_next": variances[-1],
        "sigma_next": sigmas[-1],
        "z_first": z[0],
        "z_last": z[-1],
    }
    for confidence in given["confidences"]:
        answer[f"c{confidence}"] = {
            "z_quantile_linear": historical.quantile(z, confidence, Convention.LINEAR),
            "var": historical.value_at_risk(z * sigmas[-1], confidence, Convention.LINEAR),
            "es_mean_le": historical.mean_beyond(z * sigmas[-1], confidence, Convention.LINEAR),
        }
    return answer


def filtered_by_garch(given: Inputs) -> Inputs:
    returns, (omega, alpha, beta) = given["returns"], (given[name] for name in ("omega", "alpha", "beta"))
    variances = filters.garch_filter(returns, omega, alpha, beta)
    ahead = filters.garch_forecast(float(variances[-1]), omega, alpha, beta, 10)
    scaled = fhs.residuals(returns, np.sqrt(variances)) * math.sqrt(variances[-1])
    return {
        "sigma2_first": variances[0],
        "sigma2_last_in_sample": variances[-2],
        "sigma2_next": variances[-1],
        "long_run_variance": filters.long_run_variance(omega, alpha, beta),
        "forecast_sigma2_h1_to_h10": ahead.tolist(),
        "cumulative_10d_sigma": math.sqrt(ahead.sum()),
        "persistence": alpha + beta,
        "half_life_steps": filters.half_life_days(alpha, beta),
        "fhs_var_99": historical.value_at_risk(scaled, 0.99, Convention.LINEAR),
        "fhs_es_99_mean_le": historical.mean_beyond(scaled, 0.99, Convention.LINEAR),
    }


def parametric_ways(given: Inputs) -> Inputs:
    mu, sigma, skew, kurtosis, nu = (given[name] for name in ("mu", "sigma", "skew", "excess_kurtosis", "nu"))
    answer = {}
    for c in (0.95, 0.975, 0.99):
        z = parametric.normal_quantile(c)
        normal, t = parametric.normal(mu, sigma, c, c), parametric.student_t(mu, sigma, nu, c, c)
        answer[f"c{c}"] = {
            "z": z,
            "var_normal": normal.var_frac,
            "es_normal": normal.es_frac,
            "z_cornish_fisher": parametric.cornish_fisher_quantile(z, skew, kurtosis),
            "var_cornish_fisher": parametric.cornish_fisher(mu, sigma, skew, kurtosis, c, c).var_frac,
            "t_quantile": parametric.student_t_quantile(nu, c),
            "t_scale": parametric.student_t_scale(sigma, nu),
            "var_student_t": t.var_frac,
            "es_student_t": t.es_frac,
        }
    return answer


def monotone(given: Inputs) -> Inputs:
    return {"monotone": [parametric.cornish_fisher_is_monotone(skew, kurtosis) for skew, kurtosis in given["cases"]]}


def monte_carlo_t(given: Inputs) -> Inputs:
    weights, vols, corr, nu, c = (given[name] for name in ("weights", "vols", "corr", "df", "confidence"))
    spread = monte_carlo.covariance(vols, np.array(corr))
    exact = monte_carlo.exact_t(weights, vols, np.array(corr), nu, c, c)
    sigma = math.sqrt(np.array(weights) @ spread @ np.array(weights))
    return {
        "portfolio_sigma": sigma,
        "cov": spread.tolist(),
        "cholesky_lower": monte_carlo.factor(spread).tolist(),
        "var_exact": exact.var_frac,
        "es_exact": exact.es_frac,
        "mc_standard_error_N400000": monte_carlo.standard_error(sigma, nu, c, 400_000),
    }


def euler_normal(given: Inputs) -> Inputs:
    parts = decompose.normal_parts(given["weights"], np.array(given["cov"]), given["confidence"])
    worth = given["portfolio_value"]
    return {
        "portfolio_var_frac": parts.var_frac,
        "portfolio_var_value": parts.var_frac * worth,
        "marginal_var": list(parts.marginal),
        "component_var_frac": list(parts.component_frac),
        "component_pct": list(parts.component_share),
        "component_var_value": [part * worth for part in parts.component_frac],
        "incremental_var_frac_drop_asset": list(parts.incremental_frac),
        "standalone_var_frac": list(parts.standalone_frac),
        "diversification_benefit": parts.diversification_frac,
    }


def euler_tail(given: Inputs) -> Inputs:
    parts = decompose.es_parts(np.array(given["returns"]), given["weights"], given["confidence"], whole_days=True)
    return {
        "tail_count": parts.rows,
        "portfolio_es": parts.total_frac,
        "contributions": list(parts.parts_frac),
        "sum": math.fsum(parts.parts_frac),
    }


def spread_cost(given: Inputs) -> Inputs:
    worth, spread = given["P"], (given["spread_mean"], given["spread_sd"], given["k"])
    return {
        "cost_of_liquidity": liquidity.exogenous_cost(worth, *spread),
        "lvar": liquidity.liquidity_var(worth, given["var_frac"], *spread),
    }


def selling(given: Inputs) -> Inputs:
    factor = liquidity.liquidation_variance_factor(given["T"])
    return {"variance_factor": factor, "sigma_factor": math.sqrt(factor), "compare_full_hold_sqrtT": horizon.sqrt_factor(given["T"])}


def kupiec(given: Inputs) -> Inputs:
    rows = []
    for days, exceptions, p in given["cases"]:
        told = backtests.kupiec(days, exceptions, p)
        rows.append(
            {
                "T": told.days,
                "x": told.exceptions,
                "p": told.expected / days,
                "LR_pof": told.lr,
                "p_value": told.p_value,
                "binom_two_sided_p": told.exact_p_value,
                "P_X_ge_x": told.p_at_least,
            }
        )
    return {"rows": rows, "critical_5pct": backtests.CHI2_1_5PCT}


def power(given: Inputs) -> Inputs:
    rows = []
    for days, p, true_p in given["cases_T_p_truep"]:
        told = backtests.kupiec_power(days, p, true_p)
        rows.append(
            {
                "T": days,
                "p": p,
                "true_p": true_p,
                "accept_from": told.accept_from,
                "accept_to": told.accept_to,
                "actual_size": told.actual_size,
                "power": told.power,
            }
        )
    return {"rows": rows}


def runs(given: Inputs) -> Inputs:
    hits = [int(hit) for hit in given["hits"]]
    told = backtests.christoffersen(hits, given.get("p", 0.01))
    return {
        "T": len(hits),
        "exceptions": sum(hits),
        "n00": told.n00,
        "n01": told.n01,
        "n10": told.n10,
        "n11": told.n11,
        "pi01": told.n01 / (told.n00 + told.n01),
        "pi11": told.n11 / (told.n10 + told.n11),
        "pi": (told.n01 + told.n11) / (len(hits) - 1),
        "LR_ind": told.lr_ind,
        "p_ind": told.p_ind,
        "LR_pof_full_T": told.lr_pof_all_days,
        "LR_cc_pof_on_T": told.lr_cc_all_days,
        "p_cc_pof_on_T": told.p_cc_all_days,
        "LR_pof_on_transitions": told.lr_pof,
        "LR_cc_exact": told.lr_cc,
        "p_cc_exact": told.p_cc,
    }


def traffic(given: Inputs) -> Inputs:
    lights = [(n, p, backtests.traffic_light(n, 0, p)) for n, p in given["cases"]]
    cumulative = [1 - backtests.kupiec(250, x + 1, 0.01).p_at_least for x in range(11)]
    names = ("0-4", "5", "6", "7", "8", "9", "10+")
    return {
        "rows": [{"n": n, "p": p, "yellow_from": light.yellow_from, "red_from": light.red_from} for n, p, light in lights],
        "cdf_250_1pct_x0_to_x10": cumulative,
        "multiplier_addon_1996": dict(zip(names, map(backtests.add_on_1996, range(4, 11)), strict=True)),
        "mar32_multiplier_base1.5": dict(zip(names, map(backtests.mar32_multiplier, range(4, 11)), strict=True)),
    }


def acerbi(given: Inputs) -> Inputs:
    told = [(var, es, backtests.acerbi_szekely(given["returns"], var, es, given["alpha"])) for var, es in given["cases_var_es"]]
    return {
        "T": told[0][2].days,
        "rows": [{"var": var, "es": es, "exceptions": one.exceptions, "Z1": one.z1, "Z2": one.z2} for var, es, one in told],
    }


CHECKS: dict[str, Callable[[Inputs], Inputs]] = {
    "VAR-HIST-01": hist,
    "VAR-HIST-02": hist,
    "VAR-HIST-03": hist,
    "VAR-HIST-SMALL": hist,
    "VAR-HIST-TRAP": trap,
    "VAR-HORIZON": over_days,
    "VAR-BRW-01": aged,
    "VAR-FHS-EWMA": filtered_by_ewma,
    "VAR-GARCH-FILTER": filtered_by_garch,
    "VAR-PARAM-01": parametric_ways,
    "VAR-CF-DOMAIN": monotone,
    "VAR-MC-T": monte_carlo_t,
    "VAR-EULER-N": euler_normal,
    "VAR-EULER-ES": euler_tail,
    "VAR-LVAR-EXO": spread_cost,
    "VAR-LVAR-LH": selling,
    "BT-KUPIEC": kupiec,
    "BT-KUPIEC-POWER": power,
    "BT-CHRIST": runs,
    "BT-CHRIST-N11ZERO": runs,
    "BT-TRAFFIC": traffic,
    "BT-ACERBI": acerbi,
}
OWN_TOLERANCE = {"VAR-GARCH-MLE", "BT-ACERBI-CRIT"}
"""Of an optimiser and of a simulation: tests of their own, below."""


def test_every_vector_of_var_and_its_backtests_is_checked(quant: dict[str, Any]) -> None:
    assert {one["id"] for one in quant["vectors"] if one["id"].startswith(("VAR-", "BT-"))} == set(CHECKS) | OWN_TOLERANCE


@pytest.mark.parametrize("name", CHECKS)
def test_a_vector_is_met_within_its_own_tolerance(quant: dict[str, Any], name: str) -> None:
    told = vector(quant, name)
    got = CHECKS[name](told["inputs"])
    assert differences(got, told["expected"], told["tolerance"]["abs"], told["tolerance"]["rel"]) == []


@pytest.mark.parametrize(("kind", "normal"), [("normal", True), ("student_t", False)])
def test_the_garch_fit_meets_the_references_likelihood(quant: dict[str, Any], kind: str, normal: bool) -> None:
    told = vector(quant, "VAR-GARCH-MLE")
    expected = told["expected"][kind]
    fit = garch_fit.fit_garch_t(told["inputs"]["returns"], normal=normal)
    assert isinstance(fit, garch_fit.GarchFit)
    assert fit.loglik == pytest.approx(expected["loglik"], abs=0.5)
    for name, got in (("omega", fit.omega * garch_fit.SCALE**2), ("alpha", fit.alpha), ("beta", fit.beta)):
        assert got == pytest.approx(expected[name], abs=0.02)
    if not normal:
        assert fit.nu == pytest.approx(expected["nu"], rel=0.15)
    assert (fit.nu is None) is normal


@pytest.mark.parametrize(("kind", "nu"), [("normal", None), ("t5", 5.0), ("t3", 3.0)])
def test_critical_values_of_z2_are_the_references(quant: dict[str, Any], kind: str, nu: float | None) -> None:
    told = vector(quant, "BT-ACERBI-CRIT")
    got = backtests.acerbi_critical(told["inputs"]["T"], told["inputs"]["alpha"], 0.05, paths=20_000, seed=7, nu=nu)
    assert got == pytest.approx(told["expected"][kind]["q05"], abs=told["tolerance"]["abs"])


def test_the_sign_of_every_number_is_looked_at(quant: dict[str, Any]) -> None:
    told = vector(quant, "VAR-HIST-01")
    got = {**hist(told["inputs"]), "var_linear": -told["expected"]["var_linear"]}
    assert len(differences(got, told["expected"], 1e-10, 1e-10)) == 1
