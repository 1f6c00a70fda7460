"""A cross-margin account at any marks: equity, maintenance margin, funding and the cost of leaving. Exact integers throughout."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.funding import funding_paid_e8
from kedge.kernel.margin import book_maintenance_e8
from kedge.risk.stress.exit_cost import Slippage, exit_cost_e8, slippage
from kedge.risk.stress.types import Assumptions, Book


class CrossAccount:
    """Evaluates a book at given marks; holds no state of its own but arrays of the book.

    Parameters
    ----------
    book : Book
    assumptions : Assumptions
    """

    def __init__(self, book: Book, assumptions: Assumptions) -> None:
        self.book = book
        self.positions = book.positions
        self.slippages: tuple[Slippage, ...] = tuple(slippage(position, assumptions) for position in book.positions)
        specs = [position.instrument for position in book.positions]
        self._lots = np.array([position.lots for position in book.positions], np.int64)
        self._tick_values = np.array([spec.tick_value_e8 for spec in specs], np.int64)
        self._leverages = np.array([position.leverage_e2 for position in book.positions], np.int64)
        fees = [spec.taker_fee_e8 if assumptions.margin_closing_fee else 0 for spec in specs]
        self._fees = np.array(fees, np.int64)
        self._tier_counts = np.array([len(spec.tiers) for spec in specs], np.int64)
        self._tiers = np.zeros((len(specs), max((len(spec.tiers) for spec in specs), default=1), 3), np.int64)
        for slot, spec in enumerate(specs):
            for row, tier in enumerate(spec.tiers):
                self._tiers[slot, row] = tier.notional_max_e8, tier.maintenance_rate_e8, tier.deduction_e8

    def marks(self) -> list[int]:
        """The marks of now."""
        return [position.mark_ticks for position in self.positions]

    def moved(self, slot: int, move: int, unit: int) -> int:
        """A position's mark after a move of `move / unit`, rounded against it, at least one tick.

        Raises
        ------
        InvalidInput
            Past the highest price the instrument's arithmetic is proved for.
        """
        position = self.positions[slot]
        scaled = position.mark_ticks * (unit + move)
        mark_ticks = max(1, scaled // unit if position.lots >= 0 else -(-scaled // unit))
        if mark_ticks > position.instrument.price_max_ticks:
            raise InvalidInput(
                f"stress: {position.instrument.instrument_id} at {mark_ticks} ticks",
                why=f"past the highest price of its record, {position.instrument.price_max_ticks}",
                fix="use a smaller shock",
            )
        return mark_ticks

    def pnl_e8(self, slot: int, mark_ticks: int) -> int:
        """Unrealised profit of one position at a mark."""
        position = self.positions[slot]
        return position.lots * mark_ticks * position.instrument.tick_value_e8 - position.cost_e8

    def equity_e8(self, marks: Sequence[int], collateral_e8: int) -> int:
        """Wallet, unrealised profit and what counts of the collateral."""
        return self.book.wallet_e8 + collateral_e8 + sum(self.pnl_e8(slot, mark) for slot, mark in enumerate(marks))

    def collateral_e8(self, moves: Sequence[int], unit: int) -> int:
        """What the other coins count for after moves of `move / unit`, haircut applied, rounded down."""
        return sum(
            held.value_e8 * (E8 - held.haircut_e8) * max(0, unit + move) // (E8 * unit)
            for held, move in zip(self.book.collateral, moves, strict=True)
        )

    def maintenance_e8(self, marks: Sequence[int]) -> int:
        """Maintenance margin of all positions at their marks, tiers by the value there."""
        at = np.array(marks, np.int64)
        return int(book_maintenance_e8(self._lots, at, self._tick_values, self._leverages, self._fees, self._tiers, self._tier_counts))

    def maintenance_of_e8(self, slot: int, mark_ticks: int) -> int:
        """Maintenance margin of one position."""
        one = slice(slot, slot + 1)
        at = np.array([mark_ticks], np.int64)
        return int(
            book_maintenance_e8(
                self._lots[one], at, self._tick_values[one], self._leverages[one], self._fees[one], self._tiers[one], self._tier_counts[one]
            )
        )

    def funding_e8(self, slot: int, mark_ticks: int, rate_e8: int, *, against: bool = False) -> int:
        """What one position pays at a settlement; `against` it whichever side it is on."""
        position, spec = self.positions[slot], self.positions[slot].instrument
        lots = abs(position.lots) if against else position.lots
        return funding_paid_e8(lots, mark_ticks * spec.tick_e8, rate_e8, spec.tick_e8, spec.tick_value_e8)

    def exit_costs_e8(self, marks: Sequence[int]) -> list[int]:
        """What closing each position costs at these marks."""
        return [
            exit_cost_e8(position.lots * mark * position.instrument.tick_value_e8, slip.share, position.instrument.taker_fee_e8)
            for position, mark, slip in zip(self.positions, marks, self.slippages, strict=True)
        ]

    def adl_ranks(self, marks: Sequence[int]) -> list[int]:
        """Rank of each profitable position in the queue of auto-deleveraging, 1 first, by leveraged return on cost; 0 for the others."""
        winners = []
        for slot, (position, mark) in enumerate(zip(self.positions, marks, strict=True)):
            if (pnl_e8 := self.pnl_e8(slot, mark)) > 0:
                winners.append((Fraction(-pnl_e8 * position.leverage_e2, abs(position.cost_e8) or 1), slot))
        order = [slot for _, slot in sorted(winners)]
        return [order.index(slot) + 1 if slot in order else 0 for slot in range(len(marks))]
