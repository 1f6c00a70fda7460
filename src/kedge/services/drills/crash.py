"""A crash as a drill plays it: the deepest fall of a dated path, compressed, with a past to measure risk from.

Rules: the bars keep their order and their four prices, relative to the price before them; a bar is compressed to `bar_s` of wall time and
played as open-low-high-close with at least one price per second; before it stand calm seconds in which positions are opened. Everything
assumed is said in `words`, which the report prints.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.market.path import PATH_RULE
from kedge.services.drills.market_file import MarketPath, PathBar

STEPS: Final = 64
"""Prices that a bar is played in, the most that an exchange takes."""
BAR_S_MAX: Final = 60
"""A bar takes at most so long, so that a path of `STEPS` prices has at least one a second."""
STEP_NOTIONAL_E8: Final = 10_000 * E8
"""What the crowd trades at each price, a fifth of one price's depth: bars have volume, and books stay."""
NS_PER_MINUTE: Final = 60 * NS_PER_S
PAST_MINUTES: Final = 60
CALM_BPS: Final = 2
SYNTHETIC_DAYS: Final = 500
SYNTHETIC_SIGMA_BPS: Final = 300
_T_DEGREES: Final = 4


class Bar(NamedTuple):
    """One recorded bar; prices as multiples of the price right before the crash."""

    open: float
    high: float
    low: float
    close: float


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """A crash of several instruments.

    Attributes
    ----------
    name, title, source : str
        Its id, what happened, and where the prices come from.
    bar_minutes : int
        Length of a recorded bar.
    start_ts_ns : int
        When the first bar opened, UTC.
    bars : mapping
        Symbol to its bars, all equally many.
    price_e8 : mapping
        Symbol to the price right before.
    closes_e8 : mapping
        Symbol to daily closes before the day of the crash, oldest first.
    words : tuple of str
        What had to be assumed.
    """

    name: str
    title: str
    source: str
    bar_minutes: int
    start_ts_ns: int
    bars: Mapping[str, tuple[Bar, ...]]
    price_e8: Mapping[str, int]
    closes_e8: Mapping[str, tuple[int, ...]]
    words: tuple[str, ...] = ()

    def fall_frac(self, symbol: str) -> float:
        """How far the price falls from the start to its lowest, as a fraction."""
        return 1.0 - min(bar.low for bar in self.bars[symbol])

    @property
    def lowest_after(self) -> int:
        """After how many bars the first symbol closes lowest: where the end of a UTC day shows the fall best."""
        closes = [bar.close for bar in self.bars[min(self.bars)]]
        return closes.index(min(closes)) + 1


class Timing(NamedTuple):
    """How a crash is laid out in time: calm seconds first, seconds of a bar, and after which bar a UTC day ends (None for no day's end)."""

    calm_s: int = 20
    bar_s: int = 20
    midnight_after: int | None = None
    still_s: int = 30
    """Seconds at the end in which prices stay about where they are, so that a close out has somebody to trade with."""
    minute_after_s: int | None = None
    """Seconds after the beginning at which a minute ends, so that a trader sees its first bar; None for whatever comes."""


def deepest(bars: Sequence[Bar], count: int) -> int:
    """Where the `count` bars begin within which the price falls furthest from the price before them.

    Raises
    ------
    InvalidInput
        There are fewer bars.
    """
    if not 1 <= count <= len(bars):
        raise InvalidInput(
            f"{count} bars of {len(bars)}", why="a drill plays at least one bar, and no more than there are", fix="play fewer"
        )
    before = [bars[0].open, *(bar.close for bar in bars[:-1])]
    falls = [min(bar.low for bar in bars[at : at + count]) / before[at] for at in range(len(bars) - count + 1)]
    return falls.index(min(falls))


def rebased(bars: Sequence[Bar], base: float) -> tuple[Bar, ...]:
    """The same bars as multiples of `base`."""
    return tuple(Bar(*(price / base for price in bar)) for bar in bars)


def compressed(crash: Crash, timing: Timing) -> str:
    """What was done to time and prices, for the report."""
    return (
        f"{len(next(iter(crash.bars.values())))} bars of {crash.bar_minutes} min played in {timing.bar_s} s each "
        f"({crash.bar_minutes * 60 // timing.bar_s} times faster), {STEPS} prices a bar, {PATH_RULE}, seeded"
    )


def synthetic_closes(price_e8: int, seed: int, days: int = SYNTHETIC_DAYS) -> tuple[int, ...]:
    """Daily closes that end at a price: Student t moves with 4 degrees of freedom, 3 % a day, from a seed.

    They stand for a past where no recorded one is at hand, and whoever shows them says so.
    """
    dice = random.Random(seed)
    scale = SYNTHETIC_SIGMA_BPS / 10_000 / math.sqrt(_T_DEGREES / (_T_DEGREES - 2))
    closes = [float(price_e8)]
    for _ in range(days - 1):
        chi = sum(dice.gauss(0, 1) ** 2 for _ in range(_T_DEGREES))
        closes.append(closes[-1] * math.exp(-scale * dice.gauss(0, 1) / math.sqrt(chi / _T_DEGREES)))
    return tuple(int(close) for close in reversed(closes))


def market_of(crash: Crash, instruments: Mapping[str, Instrument], timing: Timing, *, seed: int = 1) -> MarketPath:
    """Lay a crash out as a market.

    Parameters
    ----------
    instruments : mapping
        Symbol to the record it is played on.

    Raises
    ------
    InvalidInput
        A timing that cannot be played, or a price below one tick.
    """
    if not 1 <= timing.bar_s <= BAR_S_MAX or timing.calm_s < 1 or timing.still_s < 1:
        raise InvalidInput(
            f"timing is {timing}", why=f"a bar takes 1 to {BAR_S_MAX} s, and at least one price a second", fix="choose a shorter bar"
        )
    start_ns = _start(crash, timing)
    past: list[PathBar] = []
    played: list[PathBar] = []
    for symbol in sorted(crash.bars):
        grid = _Grid(symbol, instruments[symbol], crash.price_e8[symbol])
        past += _days(grid, crash.closes_e8[symbol], start_ns)
        past += _calm(grid, 1.0, start_ns - start_ns % NS_PER_MINUTE - PAST_MINUTES * NS_PER_MINUTE, PAST_MINUTES, NS_PER_MINUTE, seed)
        played += _played(grid, crash.bars[symbol], start_ns, timing, seed)
    return MarketPath(
        title=crash.title,
        source=crash.source,
        symbols=tuple(sorted(crash.bars)),
        start_ts_ns=start_ns,
        past=tuple(sorted(past, key=_when)),
        played=tuple(sorted(played, key=_when)),
    )


def _start(crash: Crash, timing: Timing) -> int:
    """Where the market begins: so that a UTC day ends after a bar, or at the crash's own time, but hours after its day began."""
    day_ns = crash.start_ts_ns - crash.start_ts_ns % NS_PER_DAY
    if timing.midnight_after is not None:
        return day_ns + NS_PER_DAY - (timing.calm_s + timing.midnight_after * timing.bar_s) * NS_PER_S
    start_ns = max(crash.start_ts_ns, day_ns + 2 * PAST_MINUTES * NS_PER_MINUTE)
    if timing.minute_after_s is None:
        return start_ns
    return start_ns - start_ns % NS_PER_MINUTE + NS_PER_MINUTE - timing.minute_after_s * NS_PER_S


class _Grid(NamedTuple):
    symbol: str
    instrument: Instrument
    price_e8: int

    def ticks(self, multiple: float) -> int:
        """A price that is this multiple of the price before the crash."""
        return self.ticks_of(int(self.price_e8 * multiple))

    def ticks_of(self, price_e8: int) -> int:
        """A price rounded down to the grid."""
        found = price_e8 // self.instrument.tick_e8
        if found < 1:
            raise InvalidInput(f"{self.symbol} at {price_e8} e8", why="a price below one tick", fix="play another instrument")
        return found

    def bar(self, since_ns: int, until_ns: int, bar: Bar) -> PathBar:
        opened, high, low, close = (self.ticks(price) for price in bar)
        return PathBar(self.symbol, since_ns, until_ns, opened, high, low, close, self.volume(close))

    def volume(self, price_ticks: int) -> int:
        """Lots that a bar trades at about this price."""
        return max(1, STEP_NOTIONAL_E8 // (price_ticks * self.instrument.tick_value_e8)) * STEPS


def _played(grid: _Grid, bars: Sequence[Bar], start_ns: int, timing: Timing, seed: int) -> list[PathBar]:
    calm_ns, bar_ns = timing.calm_s * NS_PER_S, timing.bar_s * NS_PER_S
    found = _calm(grid, 1.0, start_ns, 1, calm_ns, seed)
    for number, bar in enumerate(bars):
        since_ns = start_ns + calm_ns + number * bar_ns
        found.append(grid.bar(since_ns, since_ns + bar_ns, bar))
    last_ns = start_ns + calm_ns + len(bars) * bar_ns
    parts = -(-timing.still_s // BAR_S_MAX)
    return found + _calm(grid, bars[-1].close, last_ns, parts, timing.still_s * NS_PER_S // parts, seed)


def _calm(grid: _Grid, price: float, since_ns: int, count: int, length_ns: int, seed: int) -> list[PathBar]:
    """Bars that go nowhere, with a small seeded wobble."""
    dice = random.Random(f"{seed}/{grid.symbol}/{since_ns}")
    wobble = CALM_BPS / 10_000
    found = []
    for number in range(count):
        one, other = price * (1 + wobble * dice.random()), price * (1 - wobble * dice.random())
        found.append(grid.bar(since_ns + number * length_ns, since_ns + (number + 1) * length_ns, Bar(price, one, other, price)))
    return found


def _days(grid: _Grid, closes_e8: Sequence[int], start_ns: int) -> list[PathBar]:
    """Daily bars that end with the day before the market begins."""
    first_ns = start_ns - start_ns % NS_PER_DAY - len(closes_e8) * NS_PER_DAY
    found, before = [], closes_e8[0]
    for number, close in enumerate(closes_e8):
        since_ns = first_ns + number * NS_PER_DAY
        opened, high, low, closed = (grid.ticks_of(value) for value in (before, max(before, close), min(before, close), close))
        found.append(PathBar(grid.symbol, since_ns, since_ns + NS_PER_DAY, opened, high, low, closed, grid.volume(closed)))
        before = close
    return found


def _when(bar: PathBar) -> tuple[int, str]:
    return bar.ts_ns, bar.symbol
