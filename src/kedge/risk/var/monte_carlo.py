"""Monte Carlo VaR and ES of a multivariate Student-t: one chi-square per scenario, so that what falls together falls together.

A portfolio of a multivariate t is a t, so the exact answer is at hand and the simulation is held against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var import historical, parametric
from kedge.risk.var.measure import (
    C_ES,
    C_VAR,
    HOUSE_CONVENTION,
    Float64Array,
    NotUsable,
    VarEs,
    alpha_of,
    checked_matrix,
    checked_number,
    checked_weights,
)

METHOD: Final = "monte-carlo-t"
FROBENIUS_MAX: Final = 0.05
CHUNK: Final = 65_536
"""Scenarios drawn at once, so that memory stays small."""


class Repaired(msgspec.Struct, frozen=True):
    """A correlation matrix that is positive semi-definite, and how far it had to be moved (Frobenius norm)."""

    matrix: Float64Array
    change: float


def repaired_correlation(correlation: Float64Array) -> Repaired:
    """Clip negative eigenvalues and rescale to a unit diagonal.

    Raises
    ------
    InvalidInput
        Not square and symmetric with ones on the diagonal and entries within [-1, 1].
    NotUsable
        It moved by more than 0.05: such a matrix is a guess about another market.
    """
    given = checked_matrix(correlation, least=1, name="correlation")
    square = given.shape[0] == given.shape[1]
    if not square or not np.allclose(given, given.T, atol=1e-12) or not np.allclose(np.diag(given), 1.0, atol=1e-12):
        raise InvalidInput(f"correlation {given.shape}", why="square, symmetric, ones on the diagonal", fix="estimate it again")
    if np.abs(given).max() > 1.0:
        raise InvalidInput(f"a correlation of {np.abs(given).max():.4g}", why="all lie within [-1, 1]", fix="estimate it again")
    values, vectors = np.linalg.eigh(given)
    if values.min() >= 0.0:
        return Repaired(given, 0.0)
    clipped = vectors * np.clip(values, 0.0, None) @ vectors.T
    scale = np.sqrt(np.diag(clipped))
    matrix = clipped / np.outer(scale, scale)
    change = float(np.linalg.norm(matrix - given))
    if change > FROBENIUS_MAX:
        raise NotUsable(
            f"correlation moved by {change:.4f} to become positive semi-definite",
            why=f"at most {FROBENIUS_MAX} (Frobenius)",
            fix="estimate all pairs over the same days",
        )
    return Repaired(matrix, change)


def covariance(volatilities: Sequence[float] | Float64Array, correlation: Float64Array) -> Float64Array:
    """Standard deviations and correlation to covariance, shape (d, d)."""
    spread = checked_weights(volatilities, np.asarray(correlation).shape[0])
    if (spread < 0.0).any():
        raise InvalidInput("a volatility is negative", why="no standard deviation is", fix="pass standard deviations")
    scaled: Float64Array = np.outer(spread, spread) * correlation
    return scaled


def factor(matrix: Float64Array) -> Float64Array:
    """L with `L L' = matrix`: lower triangular (Cholesky) where it is positive definite, by eigenvalues where it is only semi-definite."""
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        root: Float64Array = vectors * np.sqrt(np.clip(values, 0.0, None))
        return root


def exact_t(
    weights: Sequence[float] | Float64Array,
    volatilities: Sequence[float] | Float64Array,
    correlation: Float64Array,
    nu: float,
    c_var: float = C_VAR,
    c_es: float = C_ES,
) -> VarEs:
    """The closed form that the simulation must meet: a t with the portfolio's sigma."""
    sigma = _portfolio_sigma(weights, volatilities, correlation)
    return parametric.student_t(0.0, sigma, nu, c_var, c_es)


def standard_error(sigma: float, nu: float, confidence: float, scenarios: int) -> float:
    """Of a simulated VaR: `sqrt(a (1 - a) / N) / f(q)` at the exact quantile of a t with this standard deviation."""
    scale, alpha = parametric.student_t_scale(checked_number(sigma, "sigma", above=0.0), nu), float(alpha_of(confidence))
    density = parametric.student_t_density(nu, parametric.student_t_quantile(nu, confidence)) / scale
    return math.sqrt(alpha * (1 - alpha) / scenarios) / density


def multivariate_t(
    weights: Sequence[float] | Float64Array,
    volatilities: Sequence[float] | Float64Array,
    correlation: Float64Array,
    nu: float,
    *,
    seed: int,
    scenarios: int = 100_000,
    c_var: float = C_VAR,
    c_es: float = C_ES,
) -> VarEs:
    """VaR and ES by simulation of `X = L Z sqrt((nu - 2) / chi2)`, one chi-square per scenario.

    Parameters
    ----------
    weights, volatilities : shape (d,)
        Signed fractions of equity; daily standard deviations.
    correlation : shape (d, d)
        Repaired where it is not positive semi-definite, which the flags then tell.
    nu : float
        Above 2.
    seed, scenarios : int
        Both stand among the flags or as `n`; the standard error is that of N independent scenarios.
    """
    checked_number(nu, "nu", above=2.0)
    if scenarios < 2:
        raise InvalidInput(f"{scenarios} scenarios", why="a quantile takes some", fix="pass 100,000")
    repaired = repaired_correlation(correlation)
    held = checked_weights(weights, repaired.matrix.shape[0])
    loads = held @ factor(covariance(volatilities, repaired.matrix))
    rng, sums = np.random.default_rng(seed), np.empty(scenarios)
    for start in range(0, scenarios, CHUNK):
        rows = min(CHUNK, scenarios - start)
        shared = np.sqrt((nu - 2) / rng.chisquare(nu, rows))
        sums[start : start + rows] = rng.standard_normal((rows, held.size)) @ loads * shared
    sigma = _portfolio_sigma(held, volatilities, repaired.matrix)
    var_at_es = historical.value_at_risk(sums, c_es)
    flags = [f"seed={seed}"] + ([f"correlation_moved={repaired.change:.6f}"] if repaired.change else [])
    return VarEs(
        method=METHOD,
        convention=f"{HOUSE_CONVENTION}; Student-t, nu {nu:g}",
        confidence_var=c_var,
        confidence_es=c_es,
        var_frac=historical.value_at_risk(sums, c_var),
        es_frac=max(historical.expected_shortfall(sums, c_es), var_at_es),
        var_at_es_frac=var_at_es,
        n=scenarios,
        flags=tuple(flags),
        standard_error_frac=standard_error(sigma, nu, c_var, scenarios) if sigma > 0.0 else 0.0,
    )


def _portfolio_sigma(
    weights: Sequence[float] | Float64Array, volatilities: Sequence[float] | Float64Array, correlation: Float64Array
) -> float:
    spread = covariance(volatilities, correlation)
    held = checked_weights(weights, spread.shape[0])
    return math.sqrt(max(0.0, float(held @ spread @ held)))
