"""A row: what one closed bar tells the features, as float64 cells.

The engine builds it from events, `rows_of` from columns, equal to the bit.

Rules: unknown is NaN, never zero. A settlement at exactly the close is known to that bar. The leader's close is one interval old, so
that the order in which instruments arrive never matters. Prices are in the quote currency, volume in base units, rates are fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_S, to_float
from kedge.market.grid_bars import GridBars

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

OPEN: Final = 0
HIGH: Final = 1
LOW: Final = 2
CLOSE: Final = 3
VOLUME: Final = 4
"""Base units."""
TS_S: Final = 5
"""Close of the bar, whole seconds since 1970 UTC."""
FUNDING_RATE: Final = 6
"""Rate of the last settlement at or before the close, as a fraction; NaN until one is known."""
FUNDING_TS_S: Final = 7
"""When that settlement was, seconds since 1970 UTC; NaN until one is known."""
LEADER_CLOSE: Final = 8
"""Close of the leader's bar that closed exactly one interval before this one; NaN where there is none."""
ROW_SIZE: Final = 9

GAP_BARS_CARRIED: Final = 3
"""Features survive a hole of at most this many bars, as `EngineSettings.gap_bars_carried` has it by default."""


class Settlements(NamedTuple):
    """Funding of one instrument, int64 arrays of shape (n,), ascending: time of settlement and rate in 1e-8."""

    ts_ns: Int64Array
    rate_e8: Int64Array


class Closes(NamedTuple):
    """Closes of one instrument, shape (n,), ascending: int64 close time, float64 price in the quote currency."""

    ts_ns: Int64Array
    close: Float64Array


def rows_of(
    records: Instrument | Sequence[Instrument],
    bars: GridBars,
    *,
    interval_ns: int,
    funding: Settlements | None = None,
    leader: Closes | None = None,
) -> Float64Array:
    """Rows of a whole series, shape (n_bars, ROW_SIZE).

    Parameters
    ----------
    records : Instrument or sequence of Instrument
        The dated records whose grids the bars are on, by `valid_from_ns`; one record holds for all bars.
    leader : Closes, optional
        Of the leader (`closes_of` its bars); the leader itself is led by its own closes.

    Raises
    ------
    InvalidInput
        Times do not ascend, or there is no record.
    """
    dated = (records,) if isinstance(records, Instrument) else tuple(records)
    _check_ascending("bars", bars.close_ts_ns)
    tick, lot = _units(dated, bars.close_ts_ns)
    rows = np.full((len(bars), ROW_SIZE), np.nan)
    for cell, ticks in ((OPEN, bars.open_ticks), (HIGH, bars.high_ticks), (LOW, bars.low_ticks), (CLOSE, bars.close_ticks)):
        rows[:, cell] = _cross(ticks, tick)
    rows[:, VOLUME] = _cross(bars.volume_lots, lot)
    rows[:, TS_S] = bars.close_ts_ns // NS_PER_S
    if funding is not None and len(funding.ts_ns):
        _fill_funding(rows, bars.close_ts_ns, funding)
    if leader is not None and len(leader.ts_ns):
        _fill_leader(rows, bars.close_ts_ns - interval_ns, leader)
    return rows


def closes_of(records: Instrument | Sequence[Instrument], bars: GridBars) -> Closes:
    """What followers need of a leader's bars."""
    dated = (records,) if isinstance(records, Instrument) else tuple(records)
    return Closes(bars.close_ts_ns, _cross(bars.close_ticks, _units(dated, bars.close_ts_ns)[0]))


def resets_of(bars: GridBars, *, interval_ns: int, gap_bars_carried: int = GAP_BARS_CARRIED) -> BoolArray:
    """Where a hole too long to bridge lies before a bar, shape (n_bars,): there features start again, as in the engine."""
    resets = np.zeros(len(bars), dtype=np.bool_)
    resets[1:] = bars.open_ts_ns[1:] - bars.close_ts_ns[:-1] > gap_bars_carried * interval_ns
    return resets


def tick_size(record: Instrument) -> float:
    """One price step in the quote currency."""
    return record.tick_e8 / E8


def lot_size(record: Instrument) -> float:
    """One quantity step in base units."""
    return record.lot_e8 / E8


RATE_UNIT: Final = 1.0 / E8
"""One step of a rate in 1e-8, as a fraction."""


def _cross(integers: Int64Array, unit: float | Float64Array) -> Float64Array:
    """The engine's own crossing, over a column."""
    return np.asarray(to_float(cast(Any, integers), cast(Any, unit)), np.float64)


def _units(dated: Sequence[Instrument], close_ts_ns: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Tick and lot in force at each bar: a new record holds for bars that close after it begins."""
    if not dated:
        raise InvalidInput("no instrument record was given", why="ticks mean nothing without one", fix="pass the records of the bars")
    starts = np.array([record.valid_from_ns for record in dated], np.int64)
    _check_ascending("instrument records", starts)
    at = np.maximum(np.searchsorted(starts, close_ts_ns, side="left") - 1, 0)
    ticks, lots = np.array([tick_size(record) for record in dated]), np.array([lot_size(record) for record in dated])
    return ticks[at], lots[at]


def _fill_funding(rows: Float64Array, close_ts_ns: Int64Array, funding: Settlements) -> None:
    _check_ascending("settlements", funding.ts_ns)
    last = np.searchsorted(funding.ts_ns, close_ts_ns, side="right") - 1
    known = last >= 0
    rows[known, FUNDING_RATE] = _cross(funding.rate_e8[last[known]], RATE_UNIT)
    rows[known, FUNDING_TS_S] = funding.ts_ns[last[known]] // NS_PER_S


def _fill_leader(rows: Float64Array, wanted_ts_ns: Int64Array, leader: Closes) -> None:
    _check_ascending("closes of the leader", leader.ts_ns)
    at = np.minimum(np.searchsorted(leader.ts_ns, wanted_ts_ns), len(leader.ts_ns) - 1)
    there = leader.ts_ns[at] == wanted_ts_ns
    rows[there, LEADER_CLOSE] = leader.close[at[there]]


def _check_ascending(what: str, ts_ns: Int64Array) -> None:
    if bool((np.diff(ts_ns) <= 0).any()):
        raise InvalidInput(f"{what} do not ascend in time", why="each is one fact at one time", fix="sort them and drop repeats")
