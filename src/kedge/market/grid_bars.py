"""Bars on the integer grid: the crossing from files to the engine, and the one merged stream of events.

Rules: a price must be the float64 nearest to a whole number of ticks, or its bar goes to quarantine; volume finer than the lot is
rounded down and counted. Events come in order of their time, then instrument id; a hole becomes a `FeedGap` at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FeedGap
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.market.bars import PRICES, BarTable, Ints
from kedge.market.findings import QuarantinedRow, Rule
from kedge.market.intervals import utc_text
from kedge.market.steps import floor_steps, nearest_steps

CHUNK_BARS: Final = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class GridBars:
    """Bars as integers, ascending; int64 arrays of shape (n,)."""

    open_ts_ns: Ints
    close_ts_ns: Ints
    open_ticks: Ints
    high_ticks: Ints
    low_ticks: Ints
    close_ticks: Ints
    volume_lots: Ints

    def __len__(self) -> int:
        return len(self.close_ts_ns)

    @property
    def columns(self) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints, Ints]:
        return (self.close_ts_ns, self.open_ts_ns, self.open_ticks, self.high_ticks, self.low_ticks, self.close_ticks, self.volume_lots)


@dataclass(frozen=True, slots=True)
class GridReport:
    """What the crossing cost: bars quarantined (OFF_TICK, or above the price bound), and volumes rounded down."""

    quarantine: tuple[QuarantinedRow, ...]
    volumes_rounded: int


def to_grid_bars(table: BarTable, instrument: Instrument) -> tuple[GridBars, GridReport]:
    """Put an accepted table on an instrument's grid.

    Returns
    -------
    bars : GridBars
        Every bar whose four prices are on the tick and within 1..`price_max_ticks`.
    report : GridReport
        Row numbers count from 1 in `table`.

    Raises
    ------
    InvalidInput
        The table is not ascending, or holds a value that is not finite.
    """
    if bool((np.diff(table.ts_ms) <= 0).any()):
        raise InvalidInput(
            f"bars of {instrument.instrument_id} do not ascend", why="the engine takes time in order", fix="validate the table first"
        )
    ticks, on_tick = [], np.ones(len(table), dtype=np.bool_)
    for name in PRICES:
        steps, exact = nearest_steps(getattr(table, name), instrument.tick_e8, field=name)
        ticks.append(steps)
        on_tick &= exact & (steps >= 1) & (steps <= instrument.price_max_ticks)
    lots, rounded = floor_steps(table.volume, instrument.lot_e8, field="volume")
    if bool((lots < 0).any()):
        raise InvalidInput(
            f"volume of {instrument.instrument_id} is negative", why="volume counts what traded", fix="validate the table first"
        )
    open_ns = table.ts_ms * NS_PER_MS
    columns = (open_ns, open_ns + table.interval_ms * NS_PER_MS, *ticks, lots)
    bars = GridBars(*(column[on_tick] for column in columns))
    return bars, GridReport(_off_tick_rows(table, ~on_tick), int((rounded & on_tick).sum()))


def _off_tick_rows(table: BarTable, off: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[QuarantinedRow, ...]:
    return tuple(
        QuarantinedRow(
            at + 1, (Rule.OFF_TICK,), (utc_text(int(table.ts_ms[at])), *(repr(float(column[at])) for column in table.columns[1:]))
        )
        for at in np.flatnonzero(off).tolist()
    )


def bar_events(series: Sequence[tuple[Instrument, GridBars]]) -> Iterator[BarClosed | FeedGap]:
    """One stream of all bars, in order of close time, then instrument id.

    A hole in a series yields `FeedGap` in the place of its last missing bar, so time never runs backwards.

    Raises
    ------
    InvalidInput
        An instrument appears twice, or a series does not ascend.
    """
    ordered = sorted(series, key=lambda pair: pair[0].instrument_id)
    ids = [instrument.instrument_id for instrument, _ in ordered]
    _check_series(ids, [bars for _, bars in ordered])
    return chain.from_iterable(_pieces(ids, [bars for _, bars in ordered]))


def _check_series(ids: list[str], bars: list[GridBars]) -> None:
    if len(set(ids)) != len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})
        raise InvalidInput(f"instrument {', '.join(twice)} appears twice", why="one series per instrument", fix="join the files first")
    for name, one in zip(ids, bars, strict=True):
        if bool((one.close_ts_ns <= one.open_ts_ns).any()) or bool((one.open_ts_ns[1:] < one.close_ts_ns[:-1]).any()):
            raise InvalidInput(
                f"bars of {name} overlap or do not ascend", why="the engine takes time in order", fix="validate the table first"
            )


def _pieces(ids: list[str], series: list[GridBars]) -> Iterator[Iterable[BarClosed | FeedGap]]:
    """The stream as runs of bars and single gaps; the runs build their events without Python code per bar."""
    if not ids:
        return
    parts = [_with_gaps(bars) for bars in series]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    rank = np.repeat(np.arange(len(ids)), [len(part[0]) for part in parts])
    order = np.lexsort((rank, columns[0]))
    columns, names = [column[order] for column in columns], np.asarray(ids, dtype=np.object_)[rank[order]]
    start = 0
    for edge in np.flatnonzero(columns[2] == 0).tolist():  # prices on the grid are at least one tick
        yield from _bars(columns, names, start, edge)
        yield (FeedGap(int(columns[0][edge]), names[edge], int(columns[1][edge])),)
        start = edge + 1
    yield from _bars(columns, names, start, len(names))


def _with_gaps(bars: GridBars) -> tuple[Ints, ...]:
    """The bars' columns with a row of zero prices for each hole: `ts_ns` its end, `open_ts_ns` its start."""
    at = np.flatnonzero(bars.open_ts_ns[1:] != bars.close_ts_ns[:-1]) + 1
    close, open_, *values = bars.columns
    close, open_ = np.insert(close, at, bars.open_ts_ns[at]), np.insert(open_, at, bars.close_ts_ns[at - 1])
    return (close, open_, *(np.insert(column, at, 0) for column in values))


def _bars(columns: list[Ints], names: NDArray[np.object_], start: int, stop: int) -> Iterator[Iterable[BarClosed]]:
    """Events of rows `start` to `stop`, in chunks that bound memory."""
    for low in range(start, stop, CHUNK_BARS):
        rows = slice(low, min(low + CHUNK_BARS, stop))
        close, *rest = (column[rows].tolist() for column in columns)
        yield map(BarClosed, close, names[rows].tolist(), *rest)
