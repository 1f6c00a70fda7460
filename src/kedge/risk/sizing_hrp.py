"""Hierarchical risk parity (Lopez de Prado 2016): order assets by likeness, split the list in halves, weight halves by inverse variance.

Two variants are published and differ in what is linked: the distances themselves, or the Euclidean distances between their columns
(the paper's). The caller names one; leaf order and weights can differ.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput

Floats = npt.NDArray[np.float64]


class Linked(StrEnum):
    """What single linkage is given."""

    DISTANCES = "distances"
    DISTANCES_OF_DISTANCES = "distances-of-distances"


class HrpWeights(NamedTuple):
    """Long-only weights summing to one, shape (n_assets,), and the order of the leaves they came from."""

    weights: Floats
    leaf_order: tuple[int, ...]


def hrp(cov: Floats, linked: Linked) -> HrpWeights:
    """Weights from a covariance, distance `sqrt((1 - rho) / 2)`, single linkage, quasi-diagonal order, halves of the list.

    Raises
    ------
    InvalidInput
        Fewer than two assets, or a covariance that is not finite, square and symmetric with positive variances.
    """
    sigma = np.asarray(cov, np.float64)
    if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1] or sigma.shape[0] < 2 or not np.isfinite(sigma).all():
        raise InvalidInput(
            f"covariance of shape {sigma.shape}", why="at least two assets, square and finite", fix="estimate it from whole rows"
        )
    if not np.allclose(sigma, sigma.T, rtol=1e-9, atol=0.0) or (np.diag(sigma) <= 0.0).any():
        raise InvalidInput("covariance", why="not symmetric, or an asset without variance", fix="leave out what does not move")
    order = _leaf_order(sigma, linked)
    weights = np.ones(sigma.shape[0])
    pending = [order]
    while pending:
        leaves = pending.pop()
        half = len(leaves) // 2
        if not half:
            continue
        left, right = leaves[:half], leaves[half:]
        one, other = _variance(sigma, left), _variance(sigma, right)
        weights[left] *= other / (one + other)
        weights[right] *= one / (one + other)
        pending += [left, right]
    return HrpWeights(weights, tuple(order))


def _leaf_order(sigma: Floats, linked: Linked) -> list[int]:
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist, squareform

    deviation = np.sqrt(np.diag(sigma))
    likeness = np.clip(sigma / np.outer(deviation, deviation), -1.0, 1.0)
    np.fill_diagonal(likeness, 1.0)
    distances = np.sqrt((1.0 - likeness) / 2.0)
    given = squareform(distances, checks=False) if linked is Linked.DISTANCES else pdist(distances)
    return [int(leaf) for leaf in leaves_list(linkage(given, method="single"))]


def _variance(sigma: Floats, leaves: list[int]) -> float:
    """Variance of a cluster held in proportion to one over its variances."""
    part = sigma[np.ix_(leaves, leaves)]
    inverse = 1.0 / np.diag(part)
    weights = inverse / inverse.sum()
    return float(weights @ part @ weights)
