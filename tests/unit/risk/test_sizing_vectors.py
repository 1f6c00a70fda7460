"""The published vectors of position sizing, each through the functions the product uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.risk.var.reference import differences, vector

from kedge.risk.sizing_es import Tail, best_weights, es_frac, largest_scale
from kedge.risk.sizing_hrp import Linked, hrp
from kedge.risk.sizing_kelly import continuous, continuous_growth, continuous_many, discrete, shrink
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_risk_parity import inverse_volatility, risk_parity, risk_shares
from kedge.risk.sizing_vol import VolTarget, vol_target


def agree(got: Any, told: dict[str, Any], name: str) -> None:
    found = vector(told, name)
    assert differences(got, found["expected"], found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_size_kelly_d(quant: dict[str, Any]) -> None:
    rows = []
    for p, win, loss in vector(quant, "SIZE-KELLY-D")["inputs"]["cases_p_win_loss"]:
        bet = discrete(p, win, loss)
        rows.append(
            {
                "p": p,
                "win": win,
                "loss": loss,
                "b": bet.odds,
                "fraction_at_risk": bet.raw_frac_at_risk,
                "notional_fraction": bet.raw_notional_frac,
                "growth_at_optimum": bet.growth,
                "wrong_b_equals_win": p - (1 - p) / win,
                "half_kelly_notional": bet.raw_notional_frac / 2,
                "tradeable": bet.tradeable,
            }
        )
        assert bet.equity_frac_at_risk == max(0.0, bet.raw_frac_at_risk)
        assert bet.notional_frac == max(0.0, bet.raw_notional_frac)
    agree({"rows": rows}, quant, "SIZE-KELLY-D")


def test_size_kelly_c(quant: dict[str, Any]) -> None:
    given = vector(quant, "SIZE-KELLY-C")["inputs"]
    mean, sigma, periods = given["mu"], given["sigma"], given["T_obs"]
    full, left = continuous(mean, sigma), shrink(mean / sigma, periods)
    got = {
        "f_star": full,
        "growth_full": continuous_growth(full, mean, sigma),
        "growth_half": continuous_growth(full / 2, mean, sigma),
        "half_over_full_growth": continuous_growth(full / 2, mean, sigma) / continuous_growth(full, mean, sigma),
        "shrink_factor": left,
        "f_shrunk": full * left,
        "f_vec": continuous_many(np.array(given["mu_vec"]), np.array(given["cov"])).tolist(),
    }
    agree(got, quant, "SIZE-KELLY-C")
    assert continuous_growth(2 * full, mean, sigma) == pytest.approx(0.0, abs=1e-15)


def test_size_voltgt(quant: dict[str, Any]) -> None:
    given = vector(quant, "SIZE-VOLTGT")["inputs"]
    found = vol_target(
        np.array(given["returns"]), window=given["window"], target_annual=given["target"], leverage_max=given["cap"],
        periods_per_year=given["periods_per_year"],
    )  # fmt: skip
    assert isinstance(found, VolTarget)
    got = {"realised_vol_annual": found.sigma_annual, "leverage_uncapped": found.leverage_uncapped, "leverage": found.leverage}
    agree(got, quant, "SIZE-VOLTGT")


def test_size_cvar_cap(quant: dict[str, Any]) -> None:
    given = vector(quant, "SIZE-CVAR-CAP")["inputs"]
    returns, weights = np.array(given["returns"]), np.array(given["weights"])
    scale = largest_scale(returns, weights, given["confidence"], given["es_budget_frac"], Tail.WORST_FLOOR)
    assert not isinstance(scale, SizingRefused)
    unit = es_frac(returns @ weights, given["confidence"], Tail.WORST_FLOOR)
    agree({"es_frac_unit": unit, "max_scale": scale, "max_gross_notional": scale * given["equity"]}, quant, "SIZE-CVAR-CAP")
    house = largest_scale(returns, weights, given["confidence"], given["es_budget_frac"])
    assert not isinstance(house, SizingRefused)
    assert house != scale
    assert house * es_frac(returns @ weights, given["confidence"]) == pytest.approx(given["es_budget_frac"], rel=1e-12)


def test_size_cvar_lp(quant: dict[str, Any]) -> None:
    given = vector(quant, "SIZE-CVAR-LP")["inputs"]
    found = best_weights(np.array(given["returns"]), given["confidence"], given["cvar_cap"])
    assert not isinstance(found, SizingRefused)
    agree({"weights": found.weights.tolist(), "mean": found.mean, "cvar": found.es}, quant, "SIZE-CVAR-LP")


def test_size_riskparity(quant: dict[str, Any]) -> None:
    cov = np.cov(np.array(vector(quant, "SIZE-RISKPARITY")["inputs"]["returns"]).T, ddof=1)
    weights = risk_parity(cov)
    assert not isinstance(weights, SizingRefused)
    got = {
        "cov": cov.tolist(),
        "weights": weights.tolist(),
        "risk_contributions": risk_shares(weights, cov).tolist(),
        "inverse_vol_weights": inverse_volatility(cov).tolist(),
    }
    agree(got, quant, "SIZE-RISKPARITY")


def test_size_hrp(quant: dict[str, Any]) -> None:
    cov = np.cov(np.array(vector(quant, "SIZE-HRP")["inputs"]["returns"]).T, ddof=1)
    variants = {"variant_direct_distance": Linked.DISTANCES, "variant_distance_of_distances": Linked.DISTANCES_OF_DISTANCES}
    got = {name: hrp(cov, linked) for name, linked in variants.items()}
    agree({name: {"leaf_order": list(one.leaf_order), "weights": one.weights.tolist()} for name, one in got.items()}, quant, "SIZE-HRP")
