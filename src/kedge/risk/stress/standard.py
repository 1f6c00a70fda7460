"""The shocks every book is asked beside its scenarios: the factor down and up, funding alone, and a book of orders gone thin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from kedge.domain.units import E8, to_float
from kedge.risk.stress.factors import Floats, correlation_one, covariance, propagated, shocks_e8
from kedge.risk.stress.revalue import shock
from kedge.risk.stress.types import Assumptions, Book, StressResult

FACTOR: Final = "BTC"
FACTOR_MOVE_E8: Final = 20_000_000
"""A fifth, which bitcoin did within a day in March 2020 and May 2021."""

THIN_DIVISOR: Final = 10


def standard_shocks(book: Book, assets: Sequence[str], cov: Floats, assumptions: Assumptions | None = None) -> tuple[StressResult, ...]:
    """Six instant shocks, ids `factor-down`, `factor-down-as-one`, `factor-up`, `factor-up-as-one`, `funding`, `liquidity`.

    The factor is BTC where it is among the assets and moves, else the asset of which most is held. Every one of them also pays the funding
    shock, which is all that `funding` does; `liquidity` divides the visible books by ten on top.

    Parameters
    ----------
    assets : Sequence[str]
        Base coins in the order of `cov`; every asset of the book is among them.
    cov : Floats
        Of simple returns, shape (n_assets, n_assets).

    Raises
    ------
    InvalidInput
        Not a covariance, or the factor does not move in it.
    """
    assumed, checked = assumptions or Assumptions(), covariance(cov)
    index = _factor(book, assets, checked)
    results = []
    for words, sign in (("down", -1), ("up", 1)):
        move = to_float(sign * FACTOR_MOVE_E8, 1 / E8)
        for suffix, told, moves in (
            ("", "the others by covariance", propagated(checked, index, move)),
            ("-as-one", "all as one", correlation_one(checked, index, move)),
        ):
            title = f"{assets[index]} {move:+.0%}, {told}"
            results.append(shock(book, shocks_e8(assets, moves), assumed, scenario_id=f"factor-{words}{suffix}", title=title))
    still = dict.fromkeys(assets, 0)
    rate = to_float(assumed.funding_shock_e8, 1 / E8)
    title = f"Funding of {rate:.2%} against every position, {assumed.funding_intervals} times"
    results.append(shock(book, still, assumed, scenario_id="funding", title=title))
    thin = replace(assumed, depth_divisor=assumed.depth_divisor * THIN_DIVISOR)
    results.append(shock(book, still, thin, scenario_id="liquidity", title=f"Visible depth divided by {THIN_DIVISOR}"))
    return tuple(results)


def _factor(book: Book, assets: Sequence[str], cov: Floats) -> int:
    if FACTOR in assets and cov[list(assets).index(FACTOR), list(assets).index(FACTOR)] > 0.0:
        return list(assets).index(FACTOR)
    held = [sum(abs(position.value_e8) for position in book.positions if position.asset == asset) for asset in assets]
    return int(np.argmax(np.array(held, np.float64)))
