"""The equity curve at several resolutions, in bounded memory: each level's buckets are four times as long as the level's below."""

from __future__ import annotations

from typing import Final

import msgspec

LEVELS: Final = 10
FACTOR: Final = 4

EquityRow = tuple[int, int, int, int, int, int]
"""`(level, end_ts_ns, equity_e8, low_e8, high_e8, drawdown_e8)`: the last equity, its extremes and the worst drawdown in one bucket."""


class Bucket(msgspec.Struct):
    """An unfinished bucket of one level; `number` counts spans since 1970."""

    number: int
    ts_ns: int
    equity_e8: int
    low_e8: int
    high_e8: int
    drawdown_e8: int


class EquityLevels:
    """Takes one equity a mark and gives each bucket away once it is over. A finished bucket flows into the level above it.

    Parameters
    ----------
    interval_ns : int
        The span of the finest level.
    buckets : list of Bucket or None
        Unfinished ones of an earlier process, by level.
    """

    def __init__(self, interval_ns: int, buckets: list[Bucket | None] | None = None) -> None:
        self.spans_ns = [interval_ns * FACTOR**level for level in range(LEVELS)]
        self.buckets: list[Bucket | None] = buckets if buckets is not None else [None] * LEVELS

    def take(self, ts_ns: int, equity_e8: int, drawdown_e8: int) -> list[EquityRow]:
        """One mark; gives the buckets that it ended. A mark at a bucket's very end, such as a bar's close, still belongs to it."""
        bucket = self.buckets[0]
        if bucket is None:
            self.buckets[0] = self._bucket(0, ts_ns, equity_e8, drawdown_e8)
            return []
        if (ts_ns - 1) // self.spans_ns[0] <= bucket.number:
            _merge(bucket, Bucket(bucket.number, ts_ns, equity_e8, equity_e8, equity_e8, drawdown_e8))
            return []
        self.buckets[0] = self._bucket(0, ts_ns, equity_e8, drawdown_e8)
        return [_row(0, bucket), *self._rise(1, bucket)]

    def _rise(self, level: int, done: Bucket) -> list[EquityRow]:
        """A finished bucket enters the level above; gives the buckets that this ends."""
        if level == LEVELS:
            return []
        number, above = (done.ts_ns - 1) // self.spans_ns[level], self.buckets[level]
        if above is not None and number <= above.number:
            _merge(above, done)
            return []
        self.buckets[level] = Bucket(number, done.ts_ns, done.equity_e8, done.low_e8, done.high_e8, done.drawdown_e8)
        return [] if above is None else [_row(level, above), *self._rise(level + 1, above)]

    def _bucket(self, level: int, ts_ns: int, equity_e8: int, drawdown_e8: int) -> Bucket:
        return Bucket((ts_ns - 1) // self.spans_ns[level], ts_ns, equity_e8, equity_e8, equity_e8, drawdown_e8)

    def unfinished(self, level: int) -> list[EquityRow]:
        """The open end of a level's curve: its own open bucket, and what lies in open buckets below, oldest first."""
        rows: list[EquityRow] = []
        for bucket in reversed(self.buckets[: level + 1]):
            if bucket is None:
                continue
            number = (bucket.ts_ns - 1) // self.spans_ns[level]
            if rows and number == (rows[-1][1] - 1) // self.spans_ns[level]:
                last = Bucket(number, *rows[-1][1:])
                _merge(last, bucket)
                rows[-1] = _row(level, last)
            else:
                rows.append(_row(level, bucket))
        return rows

    def finest_for(self, span_ns: int, points: int) -> int:
        """The finest level that shows a span in at most so many points; else the coarsest."""
        return next((level for level, one_ns in enumerate(self.spans_ns) if span_ns // one_ns + 2 <= points), LEVELS - 1)


def _merge(into: Bucket, later: Bucket) -> None:
    into.ts_ns, into.equity_e8 = max(into.ts_ns, later.ts_ns), later.equity_e8
    into.low_e8, into.high_e8 = min(into.low_e8, later.low_e8), max(into.high_e8, later.high_e8)
    into.drawdown_e8 = max(into.drawdown_e8, later.drawdown_e8)


def _row(level: int, bucket: Bucket) -> EquityRow:
    return (level, bucket.ts_ns, bucket.equity_e8, bucket.low_e8, bucket.high_e8, bucket.drawdown_e8)
