"""The book through every named scenario, and the smallest shocks that breach."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_S
from kedge.risk.limits_table import BY_MEASURE
from kedge.risk.stress import SCENARIOS, Scenario, StressResult, revalue_all, standard_shocks
from kedge.risk.stress.reverse_book import BookShock, Target, reverse
from kedge.services.replica_text import e8_text
from kedge.services.risk_inputs import Float64Array, Inputs, history

FLAT: Final = "no open position: nothing can be lost"
BROKE: Final = "equity is not positive: there is nothing left to stress"
PRIOR_SIGMA: Final = 0.05
LEAST_DAYS: Final = 60
LOSS_E8: Final = BY_MEASURE["drawdown"].brake[-1][0]


def stress_view(inputs: Inputs) -> dict[str, Any]:
    """Every scenario, the largest loss first, and the smallest shock to each target."""
    if not inputs.held or inputs.equity_e8 <= 0:
        return {"scenarios": [], "reverse": [], "why": BROKE if inputs.held else FLAT}
    book = inputs.book()
    rows = [stress_row(one, SCENARIOS[one.scenario_id]) for one in revalue_all(book, SCENARIOS)]
    assets, cov, is_stated = covariance_of(inputs)
    try:
        shocks, why = [shock_row(one, is_stated) for one in standard_shocks(book, assets, cov)], ""
    except InvalidInput as error:
        shocks, why = [], error.what
    return {"scenarios": [*rows, *shocks], "reverse": reverse_rows(inputs), "why": why}


def stress_row(found: StressResult, scenario: Scenario) -> dict[str, Any]:
    """One scenario's result."""
    return {
        **_result(found),
        "since": _day(scenario.start_ns),
        "until": _day(scenario.end_ns - 1),
        "source": "; ".join(dict.fromkeys(source.words for source in scenario.sources.values())),
    }


def shock_row(found: StressResult, is_stated: bool) -> dict[str, Any]:
    """One instant shock's result; a shock has no dates."""
    source = "instant shock, covariance stated for want of history" if is_stated else "instant shock, covariance of the daily returns"
    return {**_result(found), "since": None, "until": None, "source": source}


def _result(found: StressResult) -> dict[str, Any]:
    return {
        "scenario": found.scenario_id,
        "title": found.title,
        "loss": e8_text(found.loss_e8),
        "loss_frac": e8_text(found.loss_frac_e8),
        "equity_after": e8_text(found.equity_after_e8),
        "margin_ratio": None if found.margin_ratio_e8 is None else e8_text(found.margin_ratio_e8),
        "liquidated": found.liquidated,
        "funding": e8_text(found.funding_e8),
        "exit_cost": e8_text(found.exit_cost_e8),
        "flags": list(found.flags),
    }


def _day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).date().isoformat()


def covariance_of(inputs: Inputs) -> tuple[list[str], Float64Array, bool]:
    """Base coins of the book and the daily covariance of their returns; True where it is only stated: a sigma each, moving together."""
    held = {one.spec.base: one for one in inputs.held}
    assets = sorted(held)
    past = history(tuple(held[asset] for asset in assets))
    known = past[np.isfinite(past).all(axis=1)]
    if known.shape[0] >= LEAST_DAYS:
        return assets, np.atleast_2d(np.cov(known, rowvar=False)), False
    sigmas = np.full(len(assets), PRIOR_SIGMA)
    together = np.where(np.eye(len(assets), dtype=bool), 1.0, 0.9)
    return assets, np.outer(sigmas, sigmas) * together, True


def reverse_rows(inputs: Inputs) -> list[dict[str, Any]]:
    """The smallest shock that loses as much as flattens the book, and the smallest that liquidates it."""
    assets, cov, is_stated = covariance_of(inputs)
    book = inputs.book()
    rows = []
    for target, limit_e8, words in (
        (Target.LOSS, LOSS_E8, f"a loss of {LOSS_E8 * 100 / E8:g} % of equity"),
        (Target.LIQUIDATION, 0, "liquidation"),
    ):
        try:
            found = reverse(book, assets, cov, target, limit_e8)
            rows.append(_reverse_row(words, found[0] if found else None, is_stated))
        except InvalidInput as error:
            rows.append({"target": words, "shocks": {}, "distance": None, "why": error.what})
    return rows


def _reverse_row(words: str, found: BookShock | None, is_stated: bool) -> dict[str, Any]:
    if found is None:
        return {"target": words, "shocks": {}, "distance": None, "why": "no shock within a hundred standard deviations does it"}
    why = f"daily volatility of {PRIOR_SIGMA:.0%} and a correlation of 0.9 are assumed: too few days are known" if is_stated else ""
    shocks = {asset: e8_text(move) for asset, move in found.shocks_e8.items()}
    return {"target": words, "shocks": shocks, "distance": f"{found.distance:.4f}", "why": why}
