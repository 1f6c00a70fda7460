"""A book as a continuous function of its assets' moves: the float twin of `revalue.shock`, which searches need and ticks would spoil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kedge.domain.units import E8, to_float
from kedge.risk.stress.account import CrossAccount
from kedge.risk.stress.factors import Floats
from kedge.risk.stress.types import Assumptions, Book, Position

_ONE_E2 = 100


class Point(NamedTuple):
    """The account after moves, in quote currency."""

    equity: float
    maintenance: float
    exit_cost: float


class Surface:
    """Evaluates equity, maintenance margin and exit cost of a book at any moves.

    Parameters
    ----------
    book : Book
    assets : Sequence[str]
        Base coins in the order of the moves; every asset of the book is among them.
    assumptions : Assumptions
    """

    def __init__(self, book: Book, assets: Sequence[str], assumptions: Assumptions) -> None:
        account = CrossAccount(book, assumptions)
        index = {asset: number for number, asset in enumerate(assets)}
        positions = book.positions
        self._of = np.array([index[position.asset] for position in positions], np.intp)
        self._held_of = np.array([index[held.asset] for held in book.collateral], np.intp)
        self._values = np.array([to_float(position.value_e8, 1 / E8) for position in positions])
        self._held = np.array([to_float(held.value_e8 * (E8 - held.haircut_e8), 1 / E8**2) for held in book.collateral])
        fees = np.array([to_float(position.instrument.taker_fee_e8, 1 / E8) for position in positions])
        closing = np.array([_closing_share(position) for position in positions])
        self._exit_shares = np.array([float(slip.share) for slip in account.slippages]) + fees
        self._closing = closing * fees if assumptions.margin_closing_fee else 0.0 * fees
        self._funding = to_float(assumptions.funding_intervals * assumptions.funding_shock_e8, 1 / E8)
        self._rates, self._deductions = _lines(positions)
        self.equity_before = to_float(account.equity_e8(account.marks(), account.collateral_e8([0] * len(book.collateral), 1)), 1 / E8)

    def at(self, moves: Floats) -> Point:
        """The account after moves of shape (n_assets,), each above -1."""
        factors = 1.0 + moves[self._of]
        sizes = np.abs(self._values) * factors
        gained = float(self._values @ (factors - 1.0)) + float(self._held @ moves[self._held_of])
        brackets = np.max(self._rates * sizes[:, None] - self._deductions, axis=1, initial=0.0)
        return Point(
            equity=self.equity_before + gained - self._funding * float(sizes.sum()),
            maintenance=float(brackets.sum() + self._closing @ sizes),
            exit_cost=float(self._exit_shares @ sizes),
        )


def _closing_share(position: Position) -> float:
    """The part of the value on which the closing fee in the margin falls: at the bankruptcy price."""
    share_e2 = position.leverage_e2 + (_ONE_E2 if position.lots < 0 else -_ONE_E2)
    return to_float(share_e2, 1 / position.leverage_e2)


def _lines(positions: Sequence[Position]) -> tuple[Floats, Floats]:
    """Rates and deductions of the tiers, shape (n_positions, n_tiers_max): marginal brackets make the margin their largest line."""
    width = max((len(position.instrument.tiers) for position in positions), default=1)
    rates, deductions = np.zeros((len(positions), width)), np.zeros((len(positions), width))
    for row, position in enumerate(positions):
        for column, tier in enumerate(position.instrument.tiers):
            rates[row, column] = to_float(tier.maintenance_rate_e8, 1 / E8)
            deductions[row, column] = to_float(tier.deduction_e8, 1 / E8)
    return rates, deductions
