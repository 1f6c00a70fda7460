"""Reverse stress of a book: the smallest shock at which it loses too much, is liquidated, or its margin ratio passes a limit."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, to_float
from kedge.risk.stress.factors import Floats, shocks_e8
from kedge.risk.stress.revalue import shock
from kedge.risk.stress.reverse import HIGHEST_MOVE, LOWEST_MOVE, LocalShock, nearest
from kedge.risk.stress.surface import Surface
from kedge.risk.stress.types import Assumptions, Book, StressResult

_OUTWARDS: Final = 1.0 + 1e-6
"""Beyond the rounding of a shock to 1e-8. Ticks need nothing more: exact marks are rounded against the position."""

_ROOM: Final = 0.99


class Target(StrEnum):
    """What counts as a breach."""

    LOSS = "loss"
    LIQUIDATION = "liquidation"
    MARGIN_RATIO = "margin_ratio"


class BookShock(NamedTuple):
    """A smallest shock of a book, in exact integers.

    Attributes
    ----------
    shocks_e8 : dict[str, int]
        Move per asset.
    distance : float
        Mahalanobis, in standard deviations.
    start : str
        Where the search began.
    confirmed : bool
        Whether the exact revaluation breaches too, not only the continuous surface that was searched.
    result : StressResult
    """

    shocks_e8: dict[str, int]
    distance: float
    start: str
    confirmed: bool
    result: StressResult


def reverse(
    book: Book,
    assets: Sequence[str],
    cov: Floats,
    target: Target,
    limit_e8: int = 0,
    assumptions: Assumptions | None = None,
    *,
    rng: np.random.Generator | None = None,
    random_starts: int = 0,
) -> tuple[BookShock, ...]:
    """The local set of smallest shocks that breach, the most plausible first; empty when none was found.

    Parameters
    ----------
    assets : Sequence[str]
        Base coins in the order of `cov`; every asset of the book is among them.
    cov : Floats
        Of simple returns over the horizon that is asked about, shape (n_assets, n_assets).
    limit_e8 : int
        Loss as a fraction of equity, or maintenance over equity; unused for a liquidation.

    Raises
    ------
    InvalidInput
        Equity that is not positive, an asset without covariance, or a limit that is not above 0.
    """
    assumed = assumptions or Assumptions()
    if target is not Target.LIQUIDATION and limit_e8 < 1:
        raise InvalidInput(f"reverse stress: limit_e8 is {limit_e8}", why="a limit is above 0", fix="pass a fraction in 1e-8")
    at_rest = shock(book, dict.fromkeys(assets, 0), assumed)
    if at_rest.equity_before_e8 <= 0:
        raise InvalidInput(f"reverse stress: equity is {at_rest.equity_before_e8}", why="nothing is left to lose", fix="fund it")
    surface, limit = Surface(book, assets, assumed), to_float(limit_e8, 1 / E8)
    found = nearest(
        lambda moves: _headroom(surface, moves, target, limit), cov, highest=_highest(book, assets), rng=rng, random_starts=random_starts
    )
    return tuple(_confirmed(book, assets, one, target, limit_e8, assumed) for one in found)


def breaches(result: StressResult, target: Target, limit_e8: int) -> bool:
    """Whether a result is past the limit, in exact integers."""
    if target is Target.LIQUIDATION:
        return result.liquidated
    if target is Target.MARGIN_RATIO:
        return result.margin_ratio_e8 is None or result.margin_ratio_e8 >= limit_e8
    return result.liquidated or result.loss_frac_e8 >= limit_e8


def _headroom(surface: Surface, moves: Floats, target: Target, limit: float) -> float:
    """How far moves are from a breach, as a fraction of equity before; zero or less is one."""
    point, before = surface.at(moves), surface.equity_before
    to_liquidation = (point.equity - point.maintenance) / before
    if target is Target.LIQUIDATION:
        return to_liquidation
    if target is Target.MARGIN_RATIO:
        return (limit * point.equity - point.maintenance) / before
    return min((point.equity - point.exit_cost) / before - 1.0 + limit, to_liquidation)


def _highest(book: Book, assets: Sequence[str]) -> Floats:
    """The highest move of each asset that the records of its instruments allow, with room for a rounded tick."""
    highest = []
    for asset in assets:
        room = [to_float(p.instrument.price_max_ticks, 1 / p.mark_ticks) - 1.0 for p in book.positions if p.asset == asset]
        highest.append(max(0.0, min([HIGHEST_MOVE, *room])) * _ROOM)
    return np.array(highest)


def _confirmed(book: Book, assets: Sequence[str], local: LocalShock, target: Target, limit_e8: int, assumed: Assumptions) -> BookShock:
    """The shock in integers, a hair further out, and whether the exact revaluation breaches there."""
    moves = shocks_e8(assets, np.maximum(local.moves * _OUTWARDS, LOWEST_MOVE))
    result = shock(book, moves, assumed, title=f"reverse: {target}")
    return BookShock(moves, local.distance, local.start, breaches(result, target, limit_e8), result)
