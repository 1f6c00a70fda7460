"""Sizes within a budget of expected shortfall: the largest scale, and the best weights by a linear program.

Positive losses. ES is Acerbi and Tasche's estimator (2002), which the program of Rockafellar and Uryasev (2000) bounds; the mean of the
worst `floor(a n)` returns is offered under its own name, because others print it.
"""

from __future__ import annotations

import math
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_refused import SizingRefused

Floats = npt.NDArray[np.float64]

BOOK_ES_975_FRAC: Final = 0.025
"""Default budget of the whole book: ES at 97.5 %, one day, as a fraction of equity."""


class Tail(StrEnum):
    """Which estimator of expected shortfall."""

    ACERBI_TASCHE = "acerbi-tasche"
    WORST_FLOOR = "worst-floor"


class EsWeights(NamedTuple):
    """Weights of shape (n_assets,), their mean return and their expected shortfall, per period."""

    weights: Floats
    mean: float
    es: float


def es_frac(returns: Floats, confidence: float, tail: Tail = Tail.ACERBI_TASCHE) -> float:
    """Expected shortfall of a series of returns, a positive loss.

    Raises
    ------
    InvalidInput
        Returns that are not one finite series, a confidence outside 0.5 .. 1, or a tail without a single whole return.
    """
    ordered = np.sort(_series(returns))
    share = _tail_share(confidence)
    depth = share * ordered.size
    whole = math.floor(depth)
    if tail is Tail.WORST_FLOOR:
        if whole < 1:
            raise InvalidInput(f"expected shortfall of {ordered.size} returns", why=f"{share} of them is less than one", fix="pass more")
        return -float(ordered[:whole].mean())
    rest = float(depth - whole) * float(ordered[whole]) if depth > whole else 0.0
    return -(float(ordered[:whole].sum()) + rest) / float(depth)


def es_scale(unit_es: float, budget_frac: float) -> float | SizingRefused:
    """By how much a portfolio may be scaled: `budget / ES of one unit`.

    Returns
    -------
    float or SizingRefused
        `ES_NOT_POSITIVE` where the sample shows no tail loss: no scale follows from a tail that nobody has seen.
    """
    if not math.isfinite(unit_es) or not (math.isfinite(budget_frac) and budget_frac > 0.0):
        raise InvalidInput(f"ES cap: ES {unit_es}, budget {budget_frac}", why="finite, a budget above 0", fix="correct them")
    if unit_es <= 0.0:
        return SizingRefused("ES_NOT_POSITIVE", unit_es, 0.0, "the sample shows no loss in the tail (fraction of equity)")
    return budget_frac / unit_es


def largest_scale(
    returns: Floats, weights: Floats, confidence: float, budget_frac: float, tail: Tail = Tail.ACERBI_TASCHE
) -> float | SizingRefused:
    """The largest multiple of these weights whose ES stays within the budget.

    Parameters
    ----------
    returns : Floats
        Shape (n_periods, n_assets), simple, oldest first.
    weights : Floats
        Signed notional as fractions of equity, shape (n_assets,).
    """
    table, held = _table(returns), np.asarray(weights, np.float64)
    if held.shape != (table.shape[1],):
        raise InvalidInput(f"ES cap: weights of shape {held.shape}", why=f"one per asset ({table.shape[1]})", fix="correct the weights")
    return es_scale(es_frac(table @ held, confidence, tail), budget_frac)


def best_weights(
    returns: Floats, confidence: float, es_max: float, *, gross: float = 1.0, weight_max: float = 1.0
) -> EsWeights | SizingRefused:
    """Long-only weights summing to `gross` with the highest mean whose ES is at most `es_max`.

    Rockafellar and Uryasev: `z + sum(u) / (a n) <= es_max`, `u_t >= -r_t' w - z`, `u_t >= 0`.

    Returns
    -------
    EsWeights or SizingRefused
        `ES_INFEASIBLE` with the least ES that these assets allow: the cap is never relaxed.
    """
    table = _table(returns)
    if not (es_max > 0.0 and gross > 0.0 and weight_max > 0.0):
        raise InvalidInput(f"ES program: cap {es_max}, gross {gross}, weight {weight_max}", why="each above 0", fix="correct them")
    share = float(_tail_share(confidence))
    mean = table.mean(axis=0)
    found = _program(table, share, gross, weight_max, np.concatenate([-mean, np.zeros(1 + table.shape[0])]), es_max)
    if found is None:
        tail = np.concatenate([np.zeros(table.shape[1]), [1.0], np.full(table.shape[0], 1.0 / (share * table.shape[0]))])
        least = _program(table, share, gross, weight_max, tail, None)
        if least is None:
            return SizingRefused("WEIGHTS_INFEASIBLE", gross, weight_max * table.shape[1], "weights cannot sum to this (gross)")
        return SizingRefused("ES_INFEASIBLE", es_frac(table @ least, confidence), es_max, "no weights have less (fraction of equity)")
    return EsWeights(found, float(mean @ found), es_frac(table @ found, confidence))


def _program(table: Floats, share: float, gross: float, weight_max: float, cost: Floats, es_max: float | None) -> Floats | None:
    """Weights of the program with this cost over (weights, z, u), or None when there are none."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, eye, hstack, vstack

    periods, assets = table.shape
    rows = hstack([csr_matrix(-table), csr_matrix(-np.ones((periods, 1))), -eye(periods)])
    bounds_of_rows = np.zeros(periods)
    if es_max is not None:
        cap = np.concatenate([np.zeros(assets), [1.0], np.full(periods, 1.0 / (share * periods))])
        rows, bounds_of_rows = vstack([rows, csr_matrix(cap)]), np.append(bounds_of_rows, es_max)
    sums = csr_matrix(np.concatenate([np.ones(assets), np.zeros(1 + periods)]))
    bounds = [(0.0, weight_max)] * assets + [(None, None)] + [(0.0, None)] * periods
    answer = linprog(cost, A_ub=rows.tocsr(), b_ub=bounds_of_rows, A_eq=sums, b_eq=[gross], bounds=bounds, method="highs")
    return np.asarray(answer.x[:assets], np.float64) if answer.status == 0 else None


def _tail_share(confidence: float) -> Fraction:
    """`1 - confidence` exactly as written, so that 0.95 of 20 leaves one and not 0.99."""
    share = 1 - Fraction(str(confidence))
    if not 0 < share <= Fraction(1, 2):
        raise InvalidInput(f"expected shortfall: confidence is {confidence}", why="at least 0.5, below 1", fix="use 0.975")
    return share


def _series(returns: Floats) -> Floats:
    series = np.asarray(returns, np.float64)
    if series.ndim != 1 or series.size == 0 or not np.isfinite(series).all():
        raise InvalidInput(f"expected shortfall: returns of shape {series.shape}", why="one finite series", fix="drop what is not known")
    return series


def _table(returns: Floats) -> Floats:
    table = np.asarray(returns, np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise InvalidInput(
            f"ES: returns of shape {table.shape}", why="finite, one row per period and one column per asset", fix="drop gaps"
        )
    return table
