"""The instruments that ship: dated records of the common Bybit linear perpetuals, as constants.

Rules: a record says on which grid a bar that OPENS at or after its `valid_from_ns` lies. Where the venue changed a
grid, the older and finer record stays until the first UTC midnight after the last bar that needs it, because orders
placed before such a change rest and trade on their old prices. What is a venue fact, what was measured and what is
a cautious assumption is told apart in docs/instruments.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

import msgspec

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.instrument import Instrument, InstrumentId, RiskTier, tick_value_e8
from kedge.domain.units import E8, NS_PER_S
from kedge.market.catalogue_tiers import BTC_TIERS, LARGE_TIERS, MAJOR_TIERS

VENUE: Final = "bybit-linear"
MAKER_FEE_E8: Final = 20_000
TAKER_FEE_E8: Final = 55_000
FUNDING_INTERVAL_NS: Final = 8 * 3600 * NS_PER_S
NOTIONAL_MIN_E8: Final = 5 * E8
COLLAR_MAJOR_BPS: Final = 100
COLLAR_OTHER_BPS: Final = 300


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument in its own units: `grids` are (valid from, tick, lot), quantities in base, prices in quote units."""

    base: str
    grids: tuple[tuple[str, int, int], ...]
    price_max: int
    order_qty_max: int
    market_qty_max: int
    position_max: int
    tiers: tuple[RiskTier, ...]
    price_collar_bps: int


# Ticks and lots in 1e-8: 10_000_000 is 0.1. Dates are UTC midnights; the first is where the measured bars begin.
_FACTS: Final = (
    _Facts(
        base="BTC",
        grids=(("2023-11-29", 10_000_000, 100_000),),
        price_max=1_000_000,
        order_qty_max=100,
        market_qty_max=50,
        position_max=4_000,
        tiers=BTC_TIERS,
        price_collar_bps=COLLAR_MAJOR_BPS,
    ),
    _Facts(
        base="ETH",
        grids=(("2023-12-18", 1_000_000, 1_000_000),),
        price_max=100_000,
        order_qty_max=1_000,
        market_qty_max=500,
        position_max=40_000,
        tiers=MAJOR_TIERS,
        price_collar_bps=COLLAR_MAJOR_BPS,
    ),
    _Facts(
        base="SOL",
        grids=(("2023-12-18", 100_000, 10_000_000), ("2024-04-06", 1_000_000, 10_000_000)),
        price_max=10_000,
        order_qty_max=20_000,
        market_qty_max=5_000,
        position_max=200_000,
        tiers=LARGE_TIERS,
        price_collar_bps=COLLAR_OTHER_BPS,
    ),
    _Facts(
        base="BNB",
        grids=(("2023-12-18", 5_000_000, 1_000_000), ("2025-07-29", 10_000_000, 1_000_000)),
        price_max=20_000,
        order_qty_max=5_000,
        market_qty_max=1_000,
        position_max=50_000,
        tiers=LARGE_TIERS,
        price_collar_bps=COLLAR_OTHER_BPS,
    ),
    _Facts(
        base="XRP",
        grids=(("2023-12-18", 10_000, 10_000_000),),
        price_max=100,
        order_qty_max=1_000_000,
        market_qty_max=200_000,
        position_max=20_000_000,
        tiers=LARGE_TIERS,
        price_collar_bps=COLLAR_OTHER_BPS,
    ),
    _Facts(
        base="DOGE",
        grids=(("2023-12-18", 1_000, 100_000_000),),
        price_max=10,
        order_qty_max=5_000_000,
        market_qty_max=1_000_000,
        position_max=100_000_000,
        tiers=LARGE_TIERS,
        price_collar_bps=COLLAR_OTHER_BPS,
    ),
)


def midnight_ns(date: str) -> int:
    """UTC midnight of a date written as 2024-04-06."""
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * NS_PER_S


def _record(facts: _Facts, valid_from: str, tick_e8: int, lot_e8: int) -> Instrument:
    name = f"{VENUE}:{facts.base}USDT"
    lots_per_unit = E8 // lot_e8
    return Instrument(
        instrument_id=name,
        base=facts.base,
        quote="USDT",
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        tick_value_e8=tick_value_e8(tick_e8, lot_e8, name=name),
        price_max_ticks=facts.price_max * E8 // tick_e8,
        order_qty_min_lots=1,
        order_qty_max_lots=facts.order_qty_max * lots_per_unit,
        market_qty_max_lots=facts.market_qty_max * lots_per_unit,
        position_max_lots=facts.position_max * lots_per_unit,
        notional_min_e8=NOTIONAL_MIN_E8,
        maker_fee_e8=MAKER_FEE_E8,
        taker_fee_e8=TAKER_FEE_E8,
        leverage_max_e2=facts.tiers[0].leverage_max_e2,
        tiers=facts.tiers,
        funding_interval_ns=FUNDING_INTERVAL_NS,
        price_collar_bps=facts.price_collar_bps,
        valid_from_ns=midnight_ns(valid_from),
    )


CATALOGUE: Final[Mapping[InstrumentId, tuple[Instrument, ...]]] = MappingProxyType(
    {f"{VENUE}:{facts.base}USDT": tuple(_record(facts, *grid) for grid in facts.grids) for facts in _FACTS}
)
"""Every shipped record by instrument id, oldest first."""


def known_symbols() -> tuple[InstrumentId, ...]:
    """The instrument ids that have shipped records, sorted, such as `bybit-linear:BTCUSDT`."""
    return tuple(sorted(CATALOGUE))


def instruments_for(instrument_id: InstrumentId, first_ts_ns: int, last_ts_ns: int) -> tuple[Instrument, ...]:
    """The dated records in force from `first_ts_ns` to `last_ts_ns`, both included, oldest first; at least one.

    Raises
    ------
    NotFound
        No record ships for this instrument, or none reaches back to `first_ts_ns`.
    InvalidInput
        The span ends before it begins.
    """
    if last_ts_ns < first_ts_ns:
        raise InvalidInput(
            f"span is {first_ts_ns} to {last_ts_ns}", why="it ends before it begins", fix="pass the first and last time in order"
        )
    records = _records(instrument_id)
    start, stop = (bisect_right(records, ts_ns, key=lambda r: r.valid_from_ns) for ts_ns in (first_ts_ns, last_ts_ns))
    if start == 0:
        raise NotFound(
            f"no record of {instrument_id} at ts_ns {first_ts_ns}",
            why=f"the first shipped one begins at {records[0].valid_from_ns}; what held before it is not known",
            fix="start later, name a record with --instrument FILE, or let the grid be derived from the data",
        )
    return records[start - 1 : stop]


def instrument_at(instrument_id: InstrumentId, ts_ns: int) -> Instrument:
    """The record in force for a bar that opens at `ts_ns`; errors as `instruments_for`."""
    return instruments_for(instrument_id, ts_ns, ts_ns)[0]


def _records(instrument_id: InstrumentId) -> tuple[Instrument, ...]:
    if instrument_id in CATALOGUE:
        return CATALOGUE[instrument_id]
    near = get_close_matches(instrument_id, CATALOGUE, n=1)
    raise NotFound(
        f"no record ships for instrument {instrument_id!r}",
        why=f"records ship for {', '.join(known_symbols())}",
        fix=(f"did you mean {near[0]}? Else " if near else "") + "name a record with --instrument FILE, or let the grid be derived",
    )
