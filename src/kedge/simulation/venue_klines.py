"""Klines of one instrument, built from its trades.

Rules: a trade touches the open minute alone; each interval absorbs the one it is made of (`_MADE_OF`) as that closes, so that a minute
costs little; what is forming is put together when somebody asks. A minute without trades closes flat at
the last price with no volume. Each kline is confirmed once, when time reaches its end. A silence longer than the minutes kept
leaves a gap instead of inventing them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kedge.domain.events import BarClosed
from kedge.domain.instrument import InstrumentId
from kedge.simulation.venue_types import KLINE_INTERVALS, MINUTE_NS, KlineRow

_HOURS = 24
_MADE_OF: Final = {
    "3": "1", "5": "1", "15": "5", "30": "15", "60": "30", "120": "60", "240": "120", "360": "120", "720": "360", "D": "720",
}  # fmt: skip
_GROW_INTO: Final = {child: [name for name, of in _MADE_OF.items() if of == child] for child in KLINE_INTERVALS}


@dataclass(slots=True)
class _Candle:
    """A kline being formed; prices in ticks, volume in lots, turnover in 1e-8."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0
    trade_ns: int = 0

    def absorb(self, minute: _Candle) -> None:
        self.high = max(self.high, minute.high)
        self.low = min(self.low, minute.low)
        self.close = minute.close
        self.volume += minute.volume
        self.turnover += minute.turnover
        self.trade_ns = max(self.trade_ns, minute.trade_ns)

    def begun_at(self, start_ns: int) -> _Candle:
        """The same as the first part of one that starts then."""
        return _Candle(start_ns, self.open, self.high, self.low, self.close, self.volume, self.turnover, self.trade_ns)

    def row(self, instrument: InstrumentId, interval: str, confirm: bool) -> KlineRow:
        end_ns = self.start_ns + KLINE_INTERVALS[interval]
        return KlineRow(
            instrument, interval, self.start_ns, end_ns, self.open, self.high, self.low, self.close,
            self.volume, self.turnover, confirm, self.trade_ns or self.start_ns,
        )  # fmt: skip


class Klines:
    """All intervals of one instrument, the last `rows_max` closed klines of each."""

    def __init__(self, instrument: InstrumentId, rows_max: int) -> None:
        self.instrument = instrument
        self.closed: dict[str, list[KlineRow]] = {interval: [] for interval in KLINE_INTERVALS}
        self.is_moved = False
        self._rows_max = rows_max
        self._minute: _Candle | None = None
        self._forming: dict[str, _Candle] = {}
        self._day: tuple[int, int, int, int, int] | None = None

    def remember(self, bars: Iterable[BarClosed], tick_value_e8: int, until_ns: int) -> None:
        """Take over bars of before the first trade, which comes after `until_ns`: klines of their length and of those made of them.

        Others stay unknown. Turnover is not recorded: the volume at the mean of the four prices stands for it.
        """
        for bar in bars:
            prices = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)
            turnover = bar.volume_lots * sum(prices) // len(prices) * tick_value_e8
            candle = _Candle(bar.open_ts_ns, *prices, bar.volume_lots, turnover, bar.ts_ns - 1)
            self._close_forming(bar.open_ts_ns)
            for interval, length in KLINE_INTERVALS.items():
                if length == bar.ts_ns - bar.open_ts_ns:
                    self._grow(interval, candle, bar.ts_ns)
        self._close_forming(until_ns)

    def trade(self, price_ticks: int, qty_lots: int, value_e8: int, ts_ns: int) -> None:
        """Take a trade; `roll` has been called for its time."""
        minute = self._minute
        if minute is None:
            minute = self._minute = _Candle(ts_ns - ts_ns % MINUTE_NS, price_ticks, price_ticks, price_ticks, price_ticks)
        elif not minute.volume:
            minute.open = minute.high = minute.low = price_ticks
        if price_ticks > minute.high:
            minute.high = price_ticks
        elif price_ticks < minute.low:
            minute.low = price_ticks
        minute.close = price_ticks
        minute.volume += qty_lots
        minute.turnover += value_e8
        minute.trade_ns = ts_ns
        self.is_moved = True

    def roll(self, ts_ns: int) -> list[KlineRow]:
        """Close every minute that ended by `ts_ns`; returns what became final, shorter intervals first."""
        final: list[KlineRow] = []
        minute = self._minute
        while minute is not None and minute.start_ns + MINUTE_NS <= ts_ns:
            final += self._close(minute)
            close, start_ns = minute.close, minute.start_ns + MINUTE_NS
            if ts_ns - start_ns > self._rows_max * MINUTE_NS:
                start_ns = ts_ns - ts_ns % MINUTE_NS
                final += self._close_forming(start_ns)
            minute = self._minute = _Candle(start_ns, close, close, close, close)
        return final

    def rows(self, interval: str, limit: int, start_ns: int | None, end_ns: int | None) -> list[KlineRow]:
        """Newest first, the open one included; both bounds inclusive by the kline's start."""
        current = self.current(interval)
        found: list[KlineRow] = []
        for row in [*([current] if current else []), *reversed(self.closed[interval])]:
            if (end_ns is None or row.start_ns <= end_ns) and (start_ns is None or row.start_ns >= start_ns):
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def current(self, interval: str) -> KlineRow | None:
        """The open kline of an interval, None before the first trade."""
        minute = self._minute
        if minute is None:
            return None
        parts = self._parts(interval)
        first = parts[0] if parts else minute
        candle = first.begun_at(first.start_ns - first.start_ns % KLINE_INTERVALS[interval])
        for part in parts[1:]:
            candle.absorb(part)
        if parts and minute.volume:
            candle.absorb(minute)
        return candle.row(self.instrument, interval, False)

    def day(self) -> tuple[int, int, int, int, int]:
        """Price a day ago, highest and lowest since (ticks), volume (lots) and turnover (1e-8): the closed 23 hours and this one."""
        if self._day is None:
            hours = self.closed["60"][-(_HOURS - 1) :]
            highs, lows = [h.high_ticks for h in hours], [h.low_ticks for h in hours]
            first = hours[0].open_ticks if hours else 0
            volume, turnover = sum(h.volume_lots for h in hours), sum(h.turnover_e8 for h in hours)
            self._day = (first, max(highs, default=0), min(lows, default=1 << 62), volume, turnover)
        first, high, low, volume, turnover = self._day
        candles = [*self._parts("60"), *([self._minute] if self._minute is not None else [])]
        if not candles:
            return first, high, low, volume, turnover
        return (
            first or candles[0].open,
            max(high, *(c.high for c in candles)),
            min(low, *(c.low for c in candles)),
            volume + sum(c.volume for c in candles),
            turnover + sum(c.turnover for c in candles),
        )

    def hour_ago_ticks(self) -> int:
        """Price an hour ago, or the oldest known; 0 before the first trade."""
        minutes = self.closed["1"]
        if minutes:
            return minutes[-min(60, len(minutes))].open_ticks
        return self._minute.open if self._minute else 0

    def _parts(self, interval: str) -> list[_Candle]:
        """What has closed within the open kline of an interval, oldest first; the open minute is not among it."""
        found: list[_Candle] = []
        name: str | None = interval
        while name is not None:
            if (candle := self._forming.get(name)) is not None:
                found.append(candle)
            name = _MADE_OF.get(name)
        return found

    def _close(self, minute: _Candle) -> list[KlineRow]:
        return self._grow("1", minute, minute.start_ns + MINUTE_NS)

    def _grow(self, interval: str, done: _Candle, end_ns: int) -> list[KlineRow]:
        """Keep a kline that has closed, and let it grow into those it is a part of; everything that closed with it, shorter ones first."""
        final = [self._keep(done.row(self.instrument, interval, True))]
        for name in _GROW_INTO[interval]:
            length = KLINE_INTERVALS[name]
            candle = self._forming.get(name)
            if candle is None:
                candle = self._forming[name] = done.begun_at(done.start_ns - done.start_ns % length)
            else:
                candle.absorb(done)
            if end_ns % length == 0:
                del self._forming[name]
                final += self._grow(name, candle, end_ns)
        return final

    def _close_forming(self, until_ns: int) -> list[KlineRow]:
        """After a long silence: what was forming ends where it stood."""
        final: list[KlineRow] = []
        for interval, length in KLINE_INTERVALS.items():
            candle = self._forming.get(interval)
            if candle is not None and candle.start_ns + length <= until_ns:
                del self._forming[interval]
                final += self._grow(interval, candle, candle.start_ns + length)
        return final

    def _keep(self, row: KlineRow) -> KlineRow:
        rows = self.closed[row.interval]
        rows.append(row)
        if len(rows) > self._rows_max + self._rows_max // 4:
            del rows[: len(rows) - self._rows_max]
        if row.interval == "60":
            self._day = None
        return row
