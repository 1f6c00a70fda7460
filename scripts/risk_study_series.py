"""The series of the risk study: returns of hours, UTC days and sessions, from files of market data.

The rule of gaps: a return spans exactly one bar. An hour that is missing leaves out the return over the hole (it spans more than an hour,
and a forecast for one hour says nothing of it); a UTC day closes with its bar of 23:00, and a day without one leaves out two returns,
the one into it and the one out of it. What is left out is counted and its worst move is told. Sessions of shares follow each other as the
file has them: nights, weekends and holidays belong to the next session.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.feeds.tables import file_sha256

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
CRYPTO: Final = {"BTC": "ohlcv/binance-spot-BTCUSDT-1h.parquet", "ETH": "ohlcv/binance-spot-ETHUSDT-1h.parquet"}
SHARES: Final = {"SPY": "equities/us-SPY-1d.parquet", "QQQ": "equities/us-QQQ-1d.parquet"}
TESTED_FROM: Final = date(2020, 1, 1)
"""First hour and day of crypto whose forecast is tested; what lies before it is history."""


class Closes(NamedTuple):
    """Closes by the time at which they were known, Unix ms, oldest first; `step_ms` apart where nothing is missing, 0 for sessions."""

    end_ms: IntArray
    close: FloatArray
    step_ms: int
    sha256: str


class Hole(NamedTuple):
    """A stretch without returns: when it ended, how many bars it spans, and the move over it."""

    end_ms: int
    bars: int
    move_frac: float


class Returns(NamedTuple):
    """Simple returns over one bar each, oldest first, by the end of their bar; and what holes left out."""

    end_ms: IntArray
    returns: FloatArray
    holes: tuple[Hole, ...]


class Series(NamedTuple):
    """One row of the study: returns, of which those from `first` on are forecast."""

    name: str
    unit: str
    returns: Returns
    first: int
    sha256: str

    @property
    def tested(self) -> int:
        """How many returns are forecast."""
        return len(self.returns.returns) - self.first

    @property
    def holes(self) -> tuple[Hole, ...]:
        """Those since the first tested return."""
        return tuple(hole for hole in self.returns.holes if hole.end_ms >= self.returns.end_ms[self.first])


def read_closes(path: Path, step_ms: int) -> Closes:
    """Closes of a file whose `ts` is the opening of a bar; a session counts as known at its date."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["ts", "close"])
    end = np.asarray(table.column("ts"), np.int64) + step_ms
    return Closes(end, np.asarray(table.column("close"), np.float64), step_ms, file_sha256(path))


def days_of(hours: Closes) -> Closes:
    """UTC days of hours: each closes with the bar that ends at its midnight; a day without that bar has no close."""
    whole = hours.end_ms % DAY_MS == 0
    return Closes(hours.end_ms[whole], hours.close[whole], DAY_MS, hours.sha256)


def returns_of(closes: Closes) -> Returns:
    """Returns over exactly one bar; see the rule of gaps above."""
    moved = closes.close[1:] / closes.close[:-1] - 1.0
    end = closes.end_ms[1:]
    if not closes.step_ms:
        return Returns(end, moved, ())
    spans = np.diff(closes.end_ms) // closes.step_ms
    whole = spans == 1
    holes = zip(end[~whole].tolist(), spans[~whole].tolist(), moved[~whole].tolist(), strict=True)
    return Returns(end[whole], moved[whole], tuple(Hole(*hole) for hole in holes))


def series_of(name: str, unit: str, closes: Closes, history: int) -> Series:
    """The returns of one series, tested from TESTED_FROM, or from its own return number `history` where that comes later."""
    found = returns_of(closes)
    since = int(datetime.combine(TESTED_FROM, datetime.min.time(), UTC).timestamp() * 1_000) if closes.step_ms else 0
    first = int(np.searchsorted(found.end_ms, since, side="right"))
    return Series(name, unit, found, max(first, history) if not closes.step_ms else first, closes.sha256)


def since(series: Series) -> tuple[date, date]:
    """The UTC dates of the first and the last tested return: the day that it is about, not the midnight after it."""
    ends = series.returns.end_ms[[series.first, -1]] - (series.unit != "session")
    first, last = (datetime.fromtimestamp(int(end) / 1_000, UTC).date() for end in ends)
    return first, last
