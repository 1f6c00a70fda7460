"""Whose risk it is: marginal, component, incremental and stand-alone VaR, and contributions to historical ES.

Components add up (Euler; Tasche 1999), increments do not. A hedge has a negative component.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var import historical
from kedge.risk.var.measure import Float64Array, NotUsable, alpha_of, checked_matrix, checked_weights
from kedge.risk.var.parametric import normal_quantile


class NormalParts(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of the zero-mean normal VaR of a portfolio, fractions of equity, one per instrument.

    Attributes
    ----------
    var_frac : float
    marginal : tuple of float
        Change of VaR per unit of weight.
    component_frac : tuple of float
        Weight times marginal; they sum to `var_frac`.
    component_share : tuple of float
        Of `var_frac`; they sum to 1.
    incremental_frac : tuple of float
        VaR less the VaR without the instrument.
    standalone_frac : tuple of float
    diversification_frac : float
        Sum of stand-alone VaR less VaR.
    """

    var_frac: float
    marginal: tuple[float, ...]
    component_frac: tuple[float, ...]
    component_share: tuple[float, ...]
    incremental_frac: tuple[float, ...]
    standalone_frac: tuple[float, ...]
    diversification_frac: float


class TailParts(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a tail measure over scenarios; `parts_frac` sum to `total_frac`.

    Attributes
    ----------
    total_frac : float
    parts_frac : tuple of float
        Positive where the instrument loses on the portfolio's worst days.
    rows : float
        Days in the tail, the last counted in part where it is.
    """

    total_frac: float
    parts_frac: tuple[float, ...]
    rows: float


def normal_parts(weights: Sequence[float] | Float64Array, covariance: Float64Array, confidence: float) -> NormalParts:
    """Decompose the normal VaR of signed `weights`, shape (d,), under `covariance`, shape (d, d).

    Raises
    ------
    NotUsable
        The portfolio does not move: there is nothing to share out.
    """
    spread = checked_matrix(covariance, least=1, name="covariance")
    held = checked_weights(weights, spread.shape[0])
    if spread.shape[0] != spread.shape[1] or not np.allclose(spread, spread.T):
        raise InvalidInput(f"covariance {spread.shape}", why="square and symmetric", fix="estimate it again")
    z, sigma = -normal_quantile(confidence), _sigma(held, spread)
    if sigma == 0.0:
        raise NotUsable("the portfolio's sigma is 0", why="marginals divide by it", fix="there is no risk to decompose")
    marginal = z * (spread @ held) / sigma
    component = held * marginal
    var = z * sigma
    without = [z * _sigma(np.where(np.arange(held.size) == n, 0.0, held), spread) for n in range(held.size)]
    alone = z * np.abs(held) * np.sqrt(np.diag(spread))
    return NormalParts(
        var_frac=var,
        marginal=tuple(marginal.tolist()),
        component_frac=tuple(component.tolist()),
        component_share=tuple((component / var).tolist()),
        incremental_frac=tuple(var - other for other in without),
        standalone_frac=tuple(alone.tolist()),
        diversification_frac=float(alone.sum()) - var,
    )


def es_parts(scenarios: Float64Array, weights: Sequence[float] | Float64Array, confidence: float, *, whole_days: bool = False) -> TailParts:
    """Contributions to ES: each instrument's mean loss over the portfolio's worst days.

    Parameters
    ----------
    scenarios : shape (n, d)
        Returns; filtered ones where the measure is filtered.
    whole_days : bool
        Over the worst `floor(alpha n)` days alone; else the house's ES, whose last day counts in part.
    """
    values = checked_matrix(scenarios)
    held = checked_weights(weights, values.shape[1])
    order = np.argsort(values @ held, kind="stable")
    rows = alpha_of(confidence) * values.shape[0]
    whole = math.floor(rows)
    if whole_days and not whole:
        raise NotUsable(f"{values.shape[0]} days hold no whole day of the tail", why="floor(alpha n) is 0", fix="pass more days")
    share = np.ones(whole) if whole_days or rows == whole else np.append(np.ones(whole), float(rows - whole))
    parts = -(share @ (values[order[: share.size]] * held)) / share.sum()
    return TailParts(total_frac=float(parts.sum()), parts_frac=tuple(parts.tolist()), rows=float(share.sum()))


def var_parts(scenarios: Float64Array, weights: Sequence[float] | Float64Array, confidence: float, *, neighbours: int = 5) -> TailParts:
    """Contributions to historical VaR, smoothed over `neighbours` days on either side of the quantile's day and scaled to the VaR.

    One day's own contributions are noise. `NotUsable` where the smoothed days do not lose.
    """
    values = checked_matrix(scenarios)
    held = checked_weights(weights, values.shape[1])
    moved = values @ held
    at = historical.inverse_cdf_index(confidence, values.shape[0])
    near = np.argsort(moved, kind="stable")[max(0, at - neighbours) : at + neighbours + 1]
    parts, var = -(values[near] * held).mean(axis=0), historical.value_at_risk(moved, confidence)
    if parts.sum() <= 0.0:
        raise NotUsable("days around the quantile do not lose", why="shares of a gain say nothing", fix="use es_parts")
    scaled = parts * (var / parts.sum())
    return TailParts(total_frac=var, parts_frac=tuple(scaled.tolist()), rows=float(near.size))


def incremental_var(scenarios: Float64Array, weights: Sequence[float] | Float64Array, confidence: float) -> tuple[float, ...]:
    """Historical VaR less the VaR without each instrument; they do not add up."""
    values = checked_matrix(scenarios)
    held = checked_weights(weights, values.shape[1])
    moved = values @ held
    var = historical.value_at_risk(moved, confidence)
    return tuple(var - historical.value_at_risk(moved - values[:, n] * held[n], confidence) for n in range(held.size))


def _sigma(held: Float64Array, spread: Float64Array) -> float:
    return math.sqrt(max(0.0, float(held @ spread @ held)))
