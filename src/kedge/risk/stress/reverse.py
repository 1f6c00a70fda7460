"""Reverse stress: the most plausible shock that breaches. Statistics are float64; the answer is confirmed in exact integers.

Plausibility is the Mahalanobis distance of the moves under their covariance. A linear book has a closed form; a book with margin tiers,
liquidation and exit costs is searched from several starts, and every local answer is reported, since the nearest may not be found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.risk.stress.factors import covariance

Floats = npt.NDArray[np.float64]
Headroom = Callable[[Floats], float]
"""How far moves of shape (n_assets,) are from a breach; zero or less is one. Continuous."""

LOWEST_MOVE: Final = -0.99
"""No shock takes more than 99 % of a price."""

HIGHEST_MOVE: Final = 10.0
"""No shock multiplies a price by more than eleven."""

DISTANCE_MAX: Final = 100.0
"""Where a ray of shocks is given up: a hundred standard deviations."""

_RANK_TOLERANCE: Final = 1e-12
_NEGATIVE: Final = 1e3
_SAME: Final = 1e-3
_STEPS: Final = 50
_HALVINGS: Final = 45
_STEP: Final = 1e-6
_MOVED: Final = 1e-3


class Elliptical(NamedTuple):
    """The most plausible moves at which a linear book loses a given fraction, how far out they are, and how rarely one is there.

    `tail_chi2` is the chance of any moves at least this implausible, `tail_normal` of a loss at least this large, both if normal.
    """

    moves: Floats
    distance: float
    tail_chi2: float
    tail_normal: float


class LocalShock(NamedTuple):
    """A shock that breaches and to which no smaller one is near: moves of shape (n_assets,), their distance, where it began."""

    moves: Floats
    distance: float
    start: str


def elliptical(weights: Floats, cov: Floats, loss_frac: float) -> Elliptical:
    """`-L * Sigma w / (w' Sigma w)`, at distance `L / sigma_p`.

    Parameters
    ----------
    weights : Floats
        Signed notional of each asset as a fraction of equity, shape (n_assets,).
    loss_frac : float
        Of equity, above 0.

    Raises
    ------
    InvalidInput
        A book without risk, or a loss that is none.
    """
    from scipy.special import chdtrc, ndtr

    checked, held = covariance(cov), np.asarray(weights, np.float64)
    if held.shape != (checked.shape[0],) or not loss_frac > 0.0:
        raise InvalidInput(
            f"reverse stress: weights {held.shape}, loss {loss_frac}", why="one weight per asset, a loss above 0", fix="correct them"
        )
    variance = float(held @ checked @ held)
    if not variance > 0.0:
        raise InvalidInput(
            f"reverse stress: portfolio variance is {variance}", why="a book without risk loses nothing", fix="pass open positions"
        )
    distance = loss_frac / math.sqrt(variance)
    moves = -loss_frac * (checked @ held) / variance
    return Elliptical(moves, distance, float(chdtrc(held.size, distance**2)), float(ndtr(-distance)))


class _Search(NamedTuple):
    """What a search walks: the headroom, the root of the covariance (moves = root @ z), and the highest move of each asset."""

    headroom: Headroom
    root: Floats
    highest: Floats

    def at(self, z: Floats) -> float:
        return self.headroom(np.asarray(np.clip(self.root @ z, LOWEST_MOVE, self.highest), np.float64))


def nearest(
    headroom: Headroom, cov: Floats, *, highest: Floats | None = None, rng: np.random.Generator | None = None, random_starts: int = 0
) -> tuple[LocalShock, ...]:
    """All shocks found that breach with the least distance around them, the most plausible first; empty when none was found.

    Starts: downhill, every asset down and up with the others following, all as one down and up, and `random_starts` directions of `rng`.
    A book that breaches unmoved answers with that.

    Parameters
    ----------
    headroom : Headroom
        Asked only for moves within `LOWEST_MOVE` .. `highest`.
    cov : Floats
        Of simple returns, shape (n_assets, n_assets); may be singular: moves it does not know are never made.
    highest : Floats
        Highest move of each asset, shape (n_assets,); by default `HIGHEST_MOVE`.

    Raises
    ------
    InvalidInput
        Not a covariance.
    """
    checked = covariance(cov)
    n_assets = checked.shape[0]
    if headroom(np.zeros(n_assets)) <= 0.0:
        return (LocalShock(np.zeros(n_assets), 0.0, "unmoved"),)
    search = _Search(headroom, _root(checked), np.full(n_assets, HIGHEST_MOVE) if highest is None else highest)
    found: list[LocalShock] = []
    for name, direction in _starts(search, checked, rng, random_starts):
        edge = _edge(search, direction)
        if edge is not None:
            found.append(_settled(search, edge, name))
    return _distinct(found, search.root)


def _settled(search: _Search, start: Floats, name: str) -> LocalShock:
    """Slide along the edge of the breach to the nearest point around a start, then back onto the edge."""
    from scipy.optimize import minimize

    limits: list[dict[str, Any]] = [
        {"type": "ineq", "fun": lambda z: -search.at(z)},
        {"type": "ineq", "fun": lambda z: search.root @ z - LOWEST_MOVE, "jac": lambda z: search.root},
        {"type": "ineq", "fun": lambda z: search.highest - search.root @ z, "jac": lambda z: -search.root},
    ]
    answer = minimize(
        lambda z: 0.5 * float(z @ z), start, jac=lambda z: z, method="SLSQP", constraints=limits, options={"eps": _STEP, "maxiter": 100}
    )
    slid = _edge(search, np.asarray(answer.x, np.float64))
    best = slid if slid is not None and np.linalg.norm(slid) < np.linalg.norm(start) else start
    return LocalShock(np.asarray(search.root @ best, np.float64), float(np.linalg.norm(best)), name)


def _edge(search: _Search, direction: Floats) -> Floats | None:
    """The first breach found along a ray from zero, halved down to its edge; None when there is none within reach."""
    length = float(np.linalg.norm(direction))
    if not 0.0 < length < math.inf:
        return None
    unit = direction / length
    slope = search.root @ unit
    with np.errstate(divide="ignore"):
        limits = np.where(slope < 0.0, LOWEST_MOVE / slope, search.highest / slope)
    reach = min(DISTANCE_MAX, float(limits[slope != 0.0].min(initial=math.inf)))
    safe = breach = 0.0
    for step in range(1, _STEPS + 1):
        breach = reach * step / _STEPS
        if search.at(unit * breach) <= 0.0:
            break
        safe = breach
    else:
        return None
    for _ in range(_HALVINGS):
        middle = 0.5 * (safe + breach)
        safe, breach = (safe, middle) if search.at(unit * middle) <= 0.0 else (middle, breach)
    return np.asarray(unit * breach, np.float64)


def _starts(search: _Search, cov: Floats, rng: np.random.Generator | None, random_starts: int) -> Iterator[tuple[str, Floats]]:
    n_assets, rank = search.root.shape
    base = search.at(np.zeros(rank))
    yield "downhill", np.array([base - search.at(_MOVED * axis) for axis in np.eye(rank)])
    for index in range(n_assets):
        yield f"asset {index} down", -search.root[index]
        yield f"asset {index} up", search.root[index]
    as_one = np.asarray(np.linalg.lstsq(search.root, np.sqrt(np.diag(cov)), rcond=None)[0], np.float64)
    yield "all down", -as_one
    yield "all up", as_one
    if rng is not None:
        for number in range(random_starts):
            yield f"random {number}", np.asarray(rng.standard_normal(rank), np.float64)


def _root(cov: Floats) -> Floats:
    """A with A A' = cov, shape (n_assets, rank): directions without variance are left out, a negative one refused."""
    values, vectors = np.linalg.eigh(cov)
    tolerance = _RANK_TOLERANCE * max(float(values.max()), 0.0)
    if values.min() < -1e3 * tolerance or values.max() <= 0.0:
        raise InvalidInput(
            f"covariance: smallest eigenvalue {values.min()}", why="not positive semi-definite", fix="estimate it from whole rows"
        )
    kept = values > tolerance
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]), np.float64)


def _distinct(found: Sequence[LocalShock], root: Floats) -> tuple[LocalShock, ...]:
    kept: list[LocalShock] = []
    for shock in sorted(found, key=lambda one: one.distance):
        z = np.linalg.lstsq(root, shock.moves, rcond=None)[0]
        others = (np.linalg.lstsq(root, other.moves, rcond=None)[0] for other in kept)
        if all(np.linalg.norm(z - other) > _SAME * max(1.0, shock.distance) for other in others):
            kept.append(shock)
    return tuple(kept)
