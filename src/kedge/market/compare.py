"""Two sources of one series, bar by bar: what differs, what one has and the other lacks, and what that looks like.

Rules: the finer source is resampled to the coarser interval; prices are compared exactly, and volumes exactly too, or within
1e-9 where one is a sum of floats. `table` is the series under test, `other` the one it is held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any, Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.market.bars import FIELDS, PRICES, BarTable, Ints
from kedge.market.changes import partial_bars, venue_switch
from kedge.market.findings import Finding, Report, Span, spans_of
from kedge.market.intervals import interval_text, utc_text
from kedge.market.resample import resample

OFF_FRAC: Final = 0.005
_SUM_RTOL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sources agree on.

    Attributes
    ----------
    interval_ms, common_bars, first_ms, last_ms : int
        The interval compared at, how many bars both have, and their span.
    differ : dict
        Field -> bars whose values are not equal.
    off : dict
        Price field -> bars off by more than `OFF_FRAC` of the other's price.
    close_median_bps : float
        Median absolute difference of the closes.
    findings : tuple of Finding
        Empty when the sources agree.
    """

    interval_ms: int
    common_bars: int
    first_ms: int
    last_ms: int
    differ: dict[str, int]
    off: dict[str, int]
    close_median_bps: float
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "interval": interval_text(self.interval_ms),
            "common_bars": self.common_bars,
            "first": utc_text(self.first_ms),
            "last": utc_text(self.last_ms),
            "differ": self.differ,
            "off_by_more_than_half_a_percent": self.off,
            "close_median_bps": self.close_median_bps,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def compare(table: BarTable, other: BarTable) -> Comparison:
    """Hold `table` against `other`; both sorted, unique and clean.

    Raises
    ------
    InvalidInput
        The intervals have no common multiple among the two, or the sources share no bar.
    """
    fine = table
    table, other, summed = _at_one_interval(table, other)
    common, mine, theirs = np.intersect1d(table.ts_ms, other.ts_ms, assume_unique=True, return_indices=True)
    if len(common) == 0:
        raise InvalidInput(
            "the sources share no bar", why=f"{_span_text(table)} against {_span_text(other)}", fix="compare sources of one period"
        )
    here, there = table.take(mine), other.take(theirs)
    differ = {name: int((getattr(here, name) != getattr(there, name)).sum()) for name in PRICES}
    differ["volume"] = _volume_differences(here, there, summed=summed)
    off = {name: int((np.abs(getattr(here, name) / getattr(there, name) - 1) > OFF_FRAC).sum()) for name in PRICES}
    switch = venue_switch(here, there, fine)
    before = slice(0, len(here) if not switch else int(np.searchsorted(here.ts_ms, switch[0].spans[0].start_ms)))
    findings = [
        *_missing_findings(table, other),
        *switch,
        *partial_bars(here.take(before), there.take(before)),
        *_difference_findings(here, there, differ, off),
    ]
    median_bps = float(np.median(np.abs(here.close / there.close - 1))) * 10_000
    return Comparison(table.interval_ms, len(common), int(common[0]), int(common[-1]), differ, off, median_bps, tuple(findings))


def _at_one_interval(table: BarTable, other: BarTable) -> tuple[BarTable, BarTable, bool]:
    interval_ms = max(table.interval_ms, other.interval_ms)
    if gcd(table.interval_ms, other.interval_ms) != min(table.interval_ms, other.interval_ms):
        raise InvalidInput(
            f"intervals are {interval_text(table.interval_ms)} and {interval_text(other.interval_ms)}",
            why="the coarser is not a multiple of the finer",
            fix="resample one of them first",
        )
    return resample(table, interval_ms), resample(other, interval_ms), table.interval_ms != other.interval_ms


def _span_text(table: BarTable) -> str:
    return f"{utc_text(int(table.ts_ms[0]))} to {utc_text(int(table.ts_ms[-1]))}" if len(table) else "no whole bar"


def _volume_differences(here: BarTable, there: BarTable, *, summed: bool) -> int:
    gap = np.abs(here.volume - there.volume)
    return int((gap > _SUM_RTOL * np.abs(there.volume)).sum()) if summed else int((gap > 0).sum())


def _missing_findings(table: BarTable, other: BarTable) -> list[Finding]:
    found = []
    made_up = _only_in(table.ts_ms, other.ts_ms, table.interval_ms)
    if made_up:
        n = sum(span.count for span in made_up)
        found.append(
            Finding(Report.MADE_UP_BARS, n, f"{n} bars in {len(made_up)} stretches are not in the other source: padded or made up", made_up)
        )
    missing = _only_in(other.ts_ms, table.ts_ms, table.interval_ms)
    if missing:
        n = sum(span.count for span in missing)
        found.append(Finding(Report.MISSING_AGAINST, n, f"{n} bars in {len(missing)} stretches are in the other source only", missing))
    return found


def _only_in(ts_ms: Ints, other_ms: Ints, interval_ms: int) -> tuple[Span, ...]:
    """Stretches of `ts_ms` that `other_ms` lacks within its own span."""
    inside = ts_ms[(ts_ms >= other_ms[0]) & (ts_ms <= other_ms[-1])]
    extra = inside[~np.isin(inside, other_ms, assume_unique=True)]
    if len(extra) == 0:
        return ()
    starts = np.flatnonzero(np.concatenate(([True], np.diff(extra) != interval_ms)))
    counts = np.diff(np.append(starts, len(extra)))
    return tuple(Span(ts, n) for ts, n in zip(extra[starts].tolist(), counts.tolist(), strict=True))


def _difference_findings(here: BarTable, there: BarTable, differ: dict[str, int], off: dict[str, int]) -> list[Finding]:
    found = []
    if any(differ[name] for name in PRICES):
        apart = np.logical_or.reduce([getattr(here, name) != getattr(there, name) for name in PRICES])
        listed = ", ".join(f"{name} {differ[name]} ({off[name]} by more than 0.5 %)" for name in PRICES)
        data = {"differ": {name: differ[name] for name in PRICES}, "off": off}
        found.append(
            Finding(
                Report.PRICE_DIFFERENCE,
                int(apart.sum()),
                f"prices differ in {int(apart.sum())} bars: {listed}",
                spans_of(apart, here.ts_ms),
                data,
            )
        )
    if differ[FIELDS[5]]:
        total = float(here.volume.sum() / there.volume.sum()) if there.volume.sum() > 0 else float("inf")
        text = f"volume differs in {differ['volume']} bars; this source has {total:.3f} of the other's in all"
        found.append(Finding(Report.VOLUME_DIFFERENCE, differ["volume"], text))
    return found
