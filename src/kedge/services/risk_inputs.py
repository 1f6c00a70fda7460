"""What risk is measured on: a copy of a followed run's books, so that slow measures can be worked out beside the run that goes on."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, to_float
from kedge.kernel.account import EQUITY, WALLET
from kedge.risk.stress.types import Book, Position
from kedge.services.replica import Replica

CLOSES_USED: Final = 1_001

Float64Array = npt.NDArray[np.float64]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of the run.

    Attributes
    ----------
    lots : int
        Signed; 0 where nothing is held.
    mark_ticks : int
        0 where no mark is known.
    closes : tuple of (int, int)
        UTC day counted from 1970, and its close in 1e-8, oldest first.
    """

    spec: Instrument
    lots: int
    cost_e8: int
    mark_ticks: int
    closes: tuple[tuple[int, int], ...]

    @property
    def value_e8(self) -> int:
        """Signed notional at the mark."""
        return self.lots * self.mark_ticks * self.spec.tick_value_e8


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The books at one moment."""

    run_id: str
    ts_ns: int
    seq: int
    quote: str
    wallet_e8: int
    equity_e8: int
    holdings: tuple[Holding, ...]

    @property
    def held(self) -> tuple[Holding, ...]:
        """Those with a position and a mark."""
        return tuple(one for one in self.holdings if one.lots and one.mark_ticks)

    def book(self) -> Book:
        """The account as a stress test takes it; how deep the books are is not known here."""
        positions = tuple(
            Position(
                instrument=one.spec, lots=one.lots, cost_e8=one.cost_e8, mark_ticks=one.mark_ticks, leverage_e2=one.spec.leverage_max_e2
            )
            for one in self.held
        )
        return Book(wallet_e8=self.wallet_e8, positions=positions)


def inputs_of(replica: Replica) -> Inputs:
    """Copy what is needed from a run as far as it has been read."""
    state = replica.state
    return Inputs(
        run_id=replica.started.run_id,
        ts_ns=state.ts_ns,
        seq=replica.seq,
        quote=state.by_index[0].spec.quote,
        wallet_e8=int(state.account_view[WALLET]),
        equity_e8=int(state.account_view[EQUITY]),
        holdings=tuple(
            Holding(
                spec=slot.spec,
                lots=slot.position_lots,
                cost_e8=int(state.costs[slot.index]),
                mark_ticks=int(state.marks[slot.index]),
                closes=tuple(slot.days.closes[-CLOSES_USED:]),
            )
            for slot in state.by_index
        ),
    )


def history(holdings: tuple[Holding, ...]) -> Float64Array:
    """Simple daily returns, shape (days, n), oldest first, on a grid of consecutive UTC days; NaN where a day or the one before it is not
    known. No days at all where nobody has two closes."""
    days = [day for one in holdings for day, _ in one.closes]
    if not days:
        return np.full((0, len(holdings)), np.nan)
    first, last = min(days), max(days)
    prices = np.full((last - first + 1, len(holdings)), np.nan)
    for column, one in enumerate(holdings):
        for day, close_e8 in one.closes:
            prices[day - first, column] = to_float(close_e8, 1 / E8)
    returns: Float64Array = prices[1:] / prices[:-1] - 1.0
    return returns


def weights(inputs: Inputs, holdings: tuple[Holding, ...]) -> Float64Array:
    """Signed notionals as fractions of equity, shape (n,); equity is positive."""
    return np.array([to_float(one.value_e8, 1 / inputs.equity_e8) for one in holdings])
