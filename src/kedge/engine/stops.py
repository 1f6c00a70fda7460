"""The stop that lies at the venue for every position: where it is put, and when it is wanted anew.

Rules: the stop belongs to the whole position and is triggered by the mark. It lies a fixed fraction away from what the position cost on
average, on the grid, rounded towards the position; where the mark has passed that price before a stop was ever wanted, it is measured
from the mark instead. It never lies at or beyond the price of liquidation, where that is known: then halfway between it and the mark. It
is wanted in the very step in which a position opens, turns round, moves its average by more than a tick, or in which liquidation comes
nearer than the stop; it is wanted away, with 0, when the position ends, and when the venue still shows one then. A part that is closed
leaves the average, and so the stop, where it was.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from kedge.domain.events import (
    BarClosed,
    CashMoved,
    CostRestated,
    FundingSettled,
    InstrumentChanged,
    OrderFilled,
    PositionAdopted,
    StopPlaced,
)
from kedge.domain.instrument import RiskTier
from kedge.domain.outputs import StopWanted
from kedge.domain.units import E8
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import EQUITY, GROSS, WALLET
from kedge.kernel.margin import ONE_TIMES_E2, liquidation_ticks

MOVED: Final = "average moved"
NEARER: Final = "liquidation is nearer"
SAME_POSITION: Final = frozenset({MOVED, NEARER})
"""Reasons of a stop that is wanted elsewhere for the same position."""

Mover = OrderFilled | PositionAdopted | CostRestated | InstrumentChanged | StopPlaced
"""Events after which another stop may be wanted."""
MOVES: Final[frozenset[type]] = frozenset({OrderFilled, PositionAdopted, CostRestated, InstrumentChanged, StopPlaced})

ERODES: Final[frozenset[type]] = frozenset({BarClosed, OrderFilled, PositionAdopted, CashMoved, FundingSettled, InstrumentChanged})
"""Events after which the price of liquidation may have come nearer to any position: money left, margin was taken, or more is asked for."""


class StopKeeper:
    """Says after which event of one engine which stop is wanted.

    Parameters
    ----------
    distance_frac_e8 : int
        How far the stop lies from the position's average price, as a fraction in 1e-8; at least 1.
    """

    def __init__(self, state: EngineState, distance_frac_e8: int) -> None:
        self._state, self._distance_e8 = state, distance_frac_e8

    def after(self, event: Mover) -> StopWanted | None:
        """The stop that is wanted now, where it is another one than was wanted before; the event is observed already."""
        name = event.instrument.instrument_id if isinstance(event, InstrumentChanged) else event.instrument
        slot = self._state.slots.get(name)
        if slot is None:
            return None
        lots = slot.position_lots
        if not lots:
            is_gone = not slot.stop_wanted_ticks and not slot.stop_placed_ticks
            return None if is_gone else StopWanted(instrument=name, stop_ticks=0, position_lots=0, reason="flat")
        stands = slot.stop_wanted_ticks > 0 and (slot.stop_lots > 0) == (lots > 0)
        ticks = self._ticks(slot, lots, stands=stands)
        if stands and (isinstance(event, InstrumentChanged) or abs(ticks - slot.stop_wanted_ticks) <= 1):
            return None  # other margin only ever brings a stop nearer, see `eroded`
        reason = MOVED if stands else "turned round" if slot.stop_wanted_ticks else "opened"
        return StopWanted(instrument=name, stop_ticks=ticks, position_lots=lots, reason=reason)

    def eroded(self) -> list[StopWanted]:
        """Stops at or beyond the price of liquidation by now, of whatever position: they are wanted before it."""
        found = []
        for slot in self._state.by_index:
            lots, ticks, mark = slot.position_lots, slot.stop_wanted_ticks, int(self._state.marks[slot.index])
            if lots and ticks and protects(lots, ticks, mark) and not self._is_far(slot, ticks - mark):
                liquidation = first_liquidation_ticks(self._state, slot, mark, ticks)
                if liquidation and (before := halfway(liquidation, mark)) != ticks:
                    found.append(StopWanted(instrument=slot.instrument, stop_ticks=before, position_lots=lots, reason=NEARER))
        return found

    def _is_far(self, slot: Slot, way_ticks: int) -> bool:
        """A cheap sufficient test: when the mark has gone that way, equity is above all notional, which maintenance margin never is."""
        moved_e8 = abs(slot.position_lots * way_ticks * slot.spec.tick_value_e8)
        return self._state.account_view[EQUITY] - moved_e8 > self._state.account_view[GROSS] + moved_e8

    def _ticks(self, slot: Slot, lots: int, *, stands: bool) -> int:
        state, spec = self._state, slot.spec
        mark = int(state.marks[slot.index])
        ticks = stop_ticks(lots, abs(int(state.costs[slot.index])), abs(lots) * spec.tick_value_e8, self._distance_e8)
        if mark and not stands and not protects(lots, ticks, mark):
            ticks = stop_ticks(lots, mark, 1, self._distance_e8)
        ticks = min(max(1, ticks), spec.price_max_ticks)
        liquidation = first_liquidation_ticks(state, slot, mark, ticks) if mark and protects(lots, ticks, mark) else 0
        return halfway(liquidation, mark) if liquidation else ticks


def stop_ticks(lots: int, value: int, per_tick: int, distance_frac_e8: int) -> int:
    """A stop `distance` away from the price `value / per_tick`, in ticks, rounded towards it: below it of a long, above it of a short.

    `value` and `per_tick` are positive and of one unit; `lots` says by its sign which side is held.
    """
    if lots > 0:
        return -(-value * (E8 - distance_frac_e8) // (per_tick * E8))
    return value * (E8 + distance_frac_e8) // (per_tick * E8)


def protects(lots: int, ticks: int, mark_ticks: int) -> bool:
    """Whether a stop lies on the losing side of the mark; on the other side it would be refused, or fire at once."""
    return ticks < mark_ticks if lots > 0 else ticks > mark_ticks


def halfway(liquidation: int, mark_ticks: int) -> int:
    """Between the price of liquidation and the mark, and off both of them where there is a tick between."""
    return max(1, (liquidation + mark_ticks) // 2)


def first_liquidation_ticks(state: EngineState, slot: Slot, mark_ticks: int, ticks: int) -> int:
    """The first mark, from the mark in force to the stop, at which the account would be liquidated; 0 where there is none or nobody knows.

    Closing fees are taken at the leverage that makes them dearest, since the venue's setting is not in our books: it is asked for more
    margin than the venue asks. Unknown is any other position without a mark.
    """
    if any(state.lots[other.index] and not state.marks[other.index] for other in state.by_index):
        return 0
    specs = [one.spec for one in state.by_index]
    leverages = [spec.leverage_max_e2 if lots > 0 else ONE_TIMES_E2 for spec, lots in zip(specs, state.lots.tolist(), strict=True)]
    found = liquidation_ticks(
        slot.index, mark_ticks, ticks, int(state.account_view[WALLET]), state.lots, state.costs, state.marks, state.tick_values,
        np.array(leverages, np.int64), np.array([max(0, spec.taker_fee_e8) for spec in specs], np.int64),
        _tiers(tuple(spec.tiers for spec in specs)), np.array([len(spec.tiers) for spec in specs], np.int64),
    )  # fmt: skip
    return int(found)


@lru_cache(maxsize=100)
def _tiers(brackets: tuple[tuple[RiskTier, ...], ...]) -> np.ndarray[tuple[int, int, int], np.dtype[np.int64]]:
    """The brackets of all instruments as the law takes them; made once, for they change as rarely as the records."""
    table = np.zeros((len(brackets), max(map(len, brackets)), 3), np.int64)
    for row, tiers in enumerate(brackets):
        for column, tier in enumerate(tiers):
            table[row, column] = (tier.notional_max_e8, tier.maintenance_rate_e8, tier.deduction_e8)
    return table
