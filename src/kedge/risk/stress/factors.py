"""Factor shocks: one asset moves, the others follow by their covariance, or as if all were one. Statistics are float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, to_float, to_grid
from kedge.risk.stress.revalue import shock
from kedge.risk.stress.types import Assumptions, Book, StressResult

Floats = npt.NDArray[np.float64]

_ASYMMETRY_MAX = 1e-9
_LOWEST_E8 = 1 - E8


class FactorShock(NamedTuple):
    """One asset's shock on a book, three ways: the others stand still, follow by covariance, follow as one."""

    alone: StressResult
    propagated: StressResult
    correlation_one: StressResult


def propagated(cov: Floats, shocked: int, move: float) -> Floats:
    """Expected moves of all assets given that one moves: `Sigma[:, i] / Sigma[i, i] * move`, shape (n_assets,).

    Raises
    ------
    InvalidInput
        Not a covariance, or the asset does not move in it.
    """
    checked = covariance(cov)
    _moves(checked, shocked)
    return np.asarray(checked[:, shocked] / checked[shocked, shocked] * move, np.float64)


def correlation_one(cov: Floats, shocked: int, move: float) -> Floats:
    """Moves of all assets as if every correlation were one: in proportion to their standard deviations, shape (n_assets,)."""
    checked = covariance(cov)
    _moves(checked, shocked)
    sigma = np.sqrt(np.diag(checked))
    return np.asarray(sigma / sigma[shocked] * move, np.float64)


def covariance(cov: Floats) -> Floats:
    """The same matrix, checked: finite, square, symmetric, no negative variance.

    Raises
    ------
    InvalidInput
    """
    checked = np.asarray(cov, np.float64)
    square = checked.ndim == 2 and checked.shape[0] == checked.shape[1] and checked.shape[0] > 0
    if not square or not np.isfinite(checked).all():
        raise InvalidInput(f"covariance of shape {checked.shape}", why="must be square and finite", fix="estimate it from whole rows")
    scale = float(np.abs(checked).max())
    if np.abs(checked - checked.T).max() > _ASYMMETRY_MAX * scale or (np.diag(checked) < 0.0).any():
        raise InvalidInput("covariance", why="not symmetric, or a variance below zero", fix="estimate it from returns")
    return checked


def shocks_e8(assets: Sequence[str], moves: Floats) -> dict[str, int]:
    """Cross from statistics to the grid: moves as fractions to integers in 1e-8, none below -100 %."""
    return {asset: max(_LOWEST_E8, to_grid(float(move), E8)) for asset, move in zip(assets, moves, strict=True)}


def factor_shock(
    book: Book, assets: Sequence[str], cov: Floats, asset: str, move_e8: int, assumptions: Assumptions | None = None
) -> FactorShock:
    """Shock one asset of the book and revalue it, with and without the others following.

    Parameters
    ----------
    assets : Sequence[str]
        Base coins in the order of `cov`; every asset of the book is among them.
    move_e8 : int
        Of `asset`, in 1e-8.
    """
    if asset not in assets:
        raise InvalidInput(f"shock: {asset} has no covariance", why=f"known are {', '.join(assets)}", fix="name one of them")
    index, move = list(assets).index(asset), to_float(move_e8, 1 / E8)
    ways = (
        ("alone", np.where(np.arange(len(assets)) == index, move, 0.0)),
        ("with what follows", propagated(cov, index, move)),
        ("as if all were one", correlation_one(cov, index, move)),
    )
    return FactorShock(*(shock(book, shocks_e8(assets, moves), assumptions, title=f"{asset} {move:+.1%} {words}") for words, moves in ways))


def _moves(cov: Floats, shocked: int) -> None:
    if not 0 <= shocked < cov.shape[0] or cov[shocked, shocked] <= 0.0:
        raise InvalidInput(f"shock of asset {shocked}", why="not in the covariance, or without variance", fix="name one that moves")
