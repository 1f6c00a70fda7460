"""Risk parity: weights whose contributions to the portfolio's variance are equal (Maillard, Roncalli and Teiletche 2010)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_refused import SizingRefused

Floats = npt.NDArray[np.float64]

_ROUNDS: Final = 10_000
_TOLERANCE: Final = 1e-12


def risk_parity(cov: Floats) -> Floats | SizingRefused:
    """Long-only weights summing to one with equal `w_i (Sigma w)_i`, shape (n_assets,).

    Solves `min y' Sigma y / 2 - sum(ln y) / n` by one coordinate after the other (each step a quadratic) and normalises.

    Raises
    ------
    InvalidInput
        A covariance that is not finite, square and symmetric, or an asset without variance.

    Returns
    -------
    Floats or SizingRefused
        `NOT_CONVERGED` where a near-singular covariance does not settle.
    """
    sigma = _covariance(cov)
    n_assets = sigma.shape[0]
    scale = float(np.mean(np.diag(sigma)))
    scaled = sigma / scale
    weights: Floats = 1.0 / np.sqrt(np.diag(scaled) * n_assets)
    unequal = math.inf
    for _ in range(_ROUNDS):
        for asset in range(n_assets):
            variance = float(scaled[asset, asset])
            others = float(scaled[asset] @ weights) - variance * float(weights[asset])
            weights[asset] = (-others + math.sqrt(others**2 + 4.0 * variance / n_assets)) / (2.0 * variance)
        shares = weights * (scaled @ weights)
        unequal = float(np.abs(shares - 1.0 / n_assets).max())
        if unequal <= _TOLERANCE:
            return np.asarray(weights / weights.sum(), np.float64)
    return SizingRefused("NOT_CONVERGED", unequal, _TOLERANCE, "contributions did not become equal (share of variance)")


def risk_shares(weights: Floats, cov: Floats) -> Floats:
    """Each asset's share of the portfolio's variance, summing to one, shape (n_assets,)."""
    sigma, held = _covariance(cov), np.asarray(weights, np.float64)
    total = float(held @ sigma @ held)
    if not total > 0.0:
        raise InvalidInput(f"risk shares: variance is {total}", why="a portfolio without risk has no shares of it", fix="pass open weights")
    return np.asarray(held * (sigma @ held) / total, np.float64)


def inverse_volatility(cov: Floats) -> Floats:
    """Weights in proportion to one over the standard deviation, summing to one: risk parity when all correlations are equal."""
    inverse = 1.0 / np.sqrt(np.diag(_covariance(cov)))
    return np.asarray(inverse / inverse.sum(), np.float64)


def _covariance(cov: Floats) -> Floats:
    sigma = np.asarray(cov, np.float64)
    if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1] or sigma.size == 0 or not np.isfinite(sigma).all():
        raise InvalidInput(f"covariance of shape {sigma.shape}", why="must be square and finite", fix="estimate it from whole rows")
    if not np.allclose(sigma, sigma.T, rtol=1e-9, atol=0.0) or (np.diag(sigma) <= 0.0).any():
        raise InvalidInput("covariance", why="not symmetric, or an asset without variance", fix="leave out what does not move")
    return sigma
