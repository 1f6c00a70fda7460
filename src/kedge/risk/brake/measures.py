"""Positions as the brake measures them: notional at the venue's mark, maintenance margin by its tiers, distance to liquidation. Pure.

Rules: the account is a cross-margin one; the venue's equity is taken as given, so that what it counts and we do not is in it; roundings
ask more of us than the venue does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from kedge.domain.instrument import Instrument, InstrumentId, RiskTier
from kedge.domain.units import E8
from kedge.domain.venue import VenuePosition
from kedge.kernel.margin import liquidation_ticks, maintenance_margin_e8
from kedge.kernel.positions import value_at_e8
from kedge.risk.brake.view import PositionView

ONE_TIMES_E2: Final = 100


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One position with its instrument; `mark_e8` is the venue's mark, or the last one known."""

    spec: Instrument
    position: VenuePosition
    mark_e8: int
    sigma_e8: int
    unstopped_ns: int = 0


def notional_e8(held: Held) -> int:
    """Signed value at the mark, in 1e-8."""
    spec = held.spec
    return int(value_at_e8(held.mark_e8, held.position.lots, spec.tick_e8, spec.tick_value_e8))


def maintenance_e8(held: Held) -> int:
    """Maintenance margin at the mark, closing fee included, in 1e-8."""
    is_long = held.position.lots > 0
    args = (abs(notional_e8(held)), _leverage_e2(held), int(is_long), held.spec.taker_fee_e8, _tiers(held.spec.tiers))
    return int(maintenance_margin_e8(*args))


def measured(book: Sequence[Held], equity_e8: int) -> tuple[PositionView, ...]:
    """Every position of an account as the brake sees it."""
    distances = liquidation_distances_e8(book, equity_e8)
    return tuple(
        PositionView(
            instrument=held.spec.instrument_id,
            lots=held.position.lots,
            notional_e8=notional_e8(held),
            maintenance_e8=maintenance_e8(held),
            liquidation_e8=distances[held.spec.instrument_id],
            sigma_e8=held.sigma_e8,
            unstopped_ns=held.unstopped_ns,
        )
        for held in book
    )


def liquidation_distances_e8(book: Sequence[Held], equity_e8: int) -> Mapping[InstrumentId, int | None]:
    """How far each mark is from liquidation while the others stand still, as a fraction of it in 1e-8; None where no mark leads there."""
    if not book:
        return {}
    marks, tiers = [_mark_ticks(held) for held in book], np.zeros((len(book), max(len(held.spec.tiers) for held in book), 3), np.int64)
    for slot, held in enumerate(book):
        tiers[slot, : len(held.spec.tiers)] = _tiers(held.spec.tiers)
    columns = (
        [held.position.lots for held in book],
        # at the mark nothing is unrealised: equity is the wallet
        [held.position.lots * mark * held.spec.tick_value_e8 for held, mark in zip(book, marks, strict=True)],
        marks,
        [held.spec.tick_value_e8 for held in book],
        [_leverage_e2(held) for held in book],
        [held.spec.taker_fee_e8 for held in book],
        [len(held.spec.tiers) for held in book],
    )
    lots, costs, ticks, values, leverages, fees, counts = np.array(columns, np.int64)
    terms = (lots, costs, ticks, values, leverages, fees, tiers, counts)
    found: dict[InstrumentId, int | None] = {}
    for slot, (held, mark) in enumerate(zip(book, marks, strict=True)):
        end = 1 if held.position.lots > 0 else held.spec.price_max_ticks
        at = int(liquidation_ticks(slot, mark, end, equity_e8, *terms))
        found[held.spec.instrument_id] = abs(at - mark) * E8 // mark if at else None
    return found


def _mark_ticks(held: Held) -> int:
    """The mark on the grid, rounded to the side that is nearer to liquidation."""
    ticks, rest = divmod(held.mark_e8, held.spec.tick_e8)
    return max(1, min(ticks + (1 if rest and held.position.lots < 0 else 0), held.spec.price_max_ticks))


def _leverage_e2(held: Held) -> int:
    """The position's leverage; unknown, the one that makes the closing fee dearest."""
    usual = held.spec.leverage_max_e2 if held.position.lots > 0 else ONE_TIMES_E2
    return max(ONE_TIMES_E2, held.position.leverage_e2 or usual)


@lru_cache(maxsize=1_000)
def _tiers(tiers: tuple[RiskTier, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """As the laws take them: made once, since each reading asks for those of every position."""
    return np.array([(t.notional_max_e8, t.maintenance_rate_e8, t.deduction_e8) for t in tiers], np.int64)
