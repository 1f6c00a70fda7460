"""Tables from history: bars in, a scenario's paths, settlements and betas out. Whoever reads the bars stands outside.

Prices are whole numbers of any one unit per asset (ticks, or 1e-8): only their ratios count. Moves are exact: opens and closes to
the nearest bps, half to even, lows down, highs up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_DAY, NS_PER_S, to_grid
from kedge.risk.stress.scenario import Scenario, minutes_between
from kedge.risk.stress.types import BPS, NS_PER_MINUTE, Beta, Settlement, Source

BETA_UNIT: Final = 10_000
BETA_DAYS_MIN: Final = 250
"""A slope of fewer daily returns says more about luck than about the asset."""


class PriceBar(NamedTuple):
    """One bar by its opening time (UTC ns), prices in one unit."""

    ts_ns: int
    open: int
    high: int
    low: int
    close: int


def path_text(bars: Iterable[PriceBar], start_ns: int, end_ns: int, bar_minutes: int, *, base: int = 0) -> str:
    """The path of a window as text, see `scenario.parse_path`; moves are from `base`, by default the first bar's open.

    Raises
    ------
    InvalidInput
        No bar opens at the start (and no base is given), or a bar lies off the grid.
    """
    span_ns = bar_minutes * NS_PER_MINUTE
    cells = ["-"] * ((end_ns - start_ns) // span_ns)
    for bar in sorted(bars):
        if not start_ns <= bar.ts_ns < end_ns:
            continue
        number, off = divmod(bar.ts_ns - start_ns, span_ns)
        if off:
            raise InvalidInput(f"bar of {bar.ts_ns}", why=f"not on the grid of {bar_minutes} minutes", fix="pass bars of one interval")
        if not base and number:
            raise InvalidInput(
                f"the first bar opens {number} bars after the start", why="moves count from it", fix="pass bars of the whole window"
            )
        base = base or bar.open
        cells[number] = _cell(bar, base)
    if not any(cell != "-" for cell in cells):
        raise InvalidInput(f"no bar from {start_ns} to {end_ns}", why="a path needs history", fix="pass bars of the whole window")
    return " ".join(cells)


def settlements_of(rates: Iterable[tuple[int, int]], start_ns: int, end_ns: int) -> tuple[Settlement, ...]:
    """Funding settlements (`ts_ns`, rate in 1e-8) within a window; one at the very start was paid before it."""
    return tuple(Settlement(minutes_between(start_ns, ts_ns), rate_e8) for ts_ns, rate_e8 in sorted(rates) if start_ns < ts_ns < end_ns)


def beta_of(asset: str, factor: str, closes: Mapping[int, int], factor_closes: Mapping[int, int], *, gap_days: int = 1) -> Beta:
    """Slope of an asset's daily log returns on the factor's, by least squares, on days (numbers since 1970) that both have.

    A return over more than `gap_days` is left out.

    Raises
    ------
    InvalidInput
        Fewer than `BETA_DAYS_MIN` returns.
    """
    days = sorted(closes.keys() & factor_closes.keys())
    pairs = [(a, b) for a, b in zip(days, days[1:], strict=False) if b - a <= gap_days]
    if len(pairs) < BETA_DAYS_MIN:
        raise InvalidInput(f"beta of {asset}: {len(pairs)} returns", why=f"at least {BETA_DAYS_MIN} are needed", fix="record more history")
    ours = [math.log(closes[b] / closes[a]) for a, b in pairs]
    theirs = [math.log(factor_closes[b] / factor_closes[a]) for a, b in pairs]
    mean, mean_factor = math.fsum(ours) / len(ours), math.fsum(theirs) / len(theirs)
    spread = math.fsum((x - mean_factor) ** 2 for x in theirs)
    slope = math.fsum((x - mean_factor) * (y - mean) for x, y in zip(theirs, ours, strict=True)) / spread
    return Beta(asset, factor, to_grid(slope, BETA_UNIT), len(pairs), _day_text(pairs[0][1]), _day_text(pairs[-1][1]))


def tables_from_bars(scenario: Scenario, bars: Mapping[str, Sequence[PriceBar]], source: Source) -> Scenario:
    """A scenario whose paths of these assets come from other bars, such as the ones recorded here; the others stay.

    Raises
    ------
    InvalidInput
        An asset whose bars do not cover the window from its first bar on.
    """
    rows, sources = dict(scenario.rows), dict(scenario.sources)
    for asset, own in bars.items():
        rows[asset] = path_text(own, scenario.start_ns, scenario.end_ns, scenario.bar_minutes)
        sources[asset] = source
    return msgspec.structs.replace(scenario, rows=rows, sources=sources)


def _cell(bar: PriceBar, base: int) -> str:
    def move(price: int) -> Fraction:
        return Fraction((price - base) * BPS, base)

    return f"{round(move(bar.open))},{math.ceil(move(bar.high))},{math.floor(move(bar.low))},{round(move(bar.close))}"


def _day_text(day: int) -> str:
    return datetime.fromtimestamp(day * NS_PER_DAY // NS_PER_S, UTC).date().isoformat()
