"""Bars as columns: `BarTable` for bars that stand in order, `RawBars` for rows as a source wrote them.

Rules: `ts_ms` is the bar's opening in UTC milliseconds; columns have one length; tables are never changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedge.domain.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FIELDS: Final = ("ts", "open", "high", "low", "close", "volume")
PRICES: Final = ("open", "high", "low", "close")
NO_TS: Final = int(np.iinfo(np.int64).min)
"""Stands in `ts_ms` of a raw row whose timestamp is missing or unreadable."""


@dataclass(frozen=True, slots=True, eq=False)
class BarTable:
    """Columns of bars of one instrument and one interval.

    Attributes
    ----------
    symbol : str
        A label, such as `BTCUSDT`.
    interval_ms : int
        Length of a bar.
    ts_ms : int64 array, shape (n,)
        Opening time, UTC milliseconds.
    open, high, low, close, volume : float64 arrays, shape (n,)
        Prices in the quote currency, volume in base units.
    """

    symbol: str
    interval_ms: int
    ts_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        if self.interval_ms < 1:
            raise InvalidInput(f"interval_ms is {self.interval_ms}", why="a bar has a positive length", fix="name the interval, such as 5m")
        lengths = {name: len(column) for name, column in zip(FIELDS, self.columns, strict=True)}
        if len(set(lengths.values())) != 1:
            raise InvalidInput(f"columns have lengths {lengths}", why="a bar needs every column", fix="pass columns of one length")

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def columns(self) -> tuple[Ints, Floats, Floats, Floats, Floats, Floats]:
        """The six columns in the order of `FIELDS`."""
        return self.ts_ms, self.open, self.high, self.low, self.close, self.volume

    def take(self, rows: Ints | Mask | slice) -> BarTable:
        """The chosen rows, in the order given."""
        return BarTable(self.symbol, self.interval_ms, self.ts_ms[rows], *(column[rows] for column in self.columns[1:]))

    @classmethod
    def of(
        cls,
        ts_ms: ArrayLike,
        open_: ArrayLike,
        high: ArrayLike,
        low: ArrayLike,
        close: ArrayLike,
        volume: ArrayLike,
        *,
        interval_ms: int,
        symbol: str = "",
    ) -> BarTable:
        """Build from anything NumPy reads as columns."""
        prices = (np.asarray(column, dtype=np.float64) for column in (open_, high, low, close, volume))
        return cls(symbol, interval_ms, np.asarray(ts_ms, dtype=np.int64), *prices)


@dataclass(frozen=True, slots=True, eq=False)
class RawBars:
    """Rows as a source wrote them, before any rule has spoken.

    Attributes
    ----------
    table : BarTable
        In the source's order; unreadable numbers are NaN, unreadable timestamps `NO_TS`.
    missing : bool array, shape (n, 6)
        True where the source left a field of `FIELDS` empty.
    row_number : int64 array, shape (n,)
        1-based data row in the source.
    texts : callable
        Position -> the row's six values as the source wrote them.
    confirmed : bool array or None
        The source's own flag that the bar is closed.
    foreign : bool array or None
        True where the row names another instrument.
    malformed : tuple of (row number, text)
        Rows that could not be split into fields.
    other_instrument_rows : int
        Rows of instruments that the caller did not ask for; left out by request.
    """

    table: BarTable
    missing: Mask
    row_number: Ints
    texts: Callable[[int], tuple[str, ...]]
    confirmed: Mask | None = None
    foreign: Mask | None = None
    malformed: tuple[tuple[int, str], ...] = ()
    other_instrument_rows: int = 0

    @classmethod
    def from_table(cls, table: BarTable) -> RawBars:
        """Rows that never were text: each value is shown as its shortest exact text."""
        columns = table.columns

        def texts(position: int) -> tuple[str, ...]:
            return tuple(str(column[position].item()) for column in columns)

        return cls(table, np.zeros((len(table), len(FIELDS)), dtype=np.bool_), np.arange(1, len(table) + 1, dtype=np.int64), texts)
