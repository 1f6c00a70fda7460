"""Gaps: missing bars, found by arithmetic on the coverage, never by filling in.

Rule: coverage is a list of `[start_ms, end_ms)` segments; 600 million rows on a grid are a few thousand segments, so gaps of the
whole history are found without looking at rows again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kedge.market.bars import Ints
from kedge.market.findings import Finding, Report, Span
from kedge.market.intervals import utc_text


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Segments `[start_ms[i], end_ms[i])` that hold every bar, ascending and disjoint; int64 arrays, shape (n_segments,)."""

    interval_ms: int
    start_ms: Ints
    end_ms: Ints

    @property
    def bars(self) -> int:
        """How many bars the segments hold."""
        return int((self.end_ms - self.start_ms).sum() // self.interval_ms)

    def gaps(self) -> tuple[Span, ...]:
        """What is missing between the segments."""
        missing = (self.start_ms[1:] - self.end_ms[:-1]) // self.interval_ms
        return tuple(Span(ts, n) for ts, n in zip(self.end_ms[:-1].tolist(), missing.tolist(), strict=True))

    def merged(self, other: Coverage) -> Coverage:
        """The union of two coverages of one interval."""
        start = np.concatenate((self.start_ms, other.start_ms))
        order = np.argsort(start, kind="stable")
        start, end = start[order], np.maximum.accumulate(np.concatenate((self.end_ms, other.end_ms))[order])
        opens = np.concatenate(([True], start[1:] > end[:-1])) if len(start) else np.zeros(0, dtype=np.bool_)
        lasts = np.concatenate((opens[1:], [True])) if len(start) else opens
        return Coverage(self.interval_ms, start[opens], end[lasts])


def coverage(ts_ms: Ints, interval_ms: int) -> Coverage:
    """Segments of ascending, unique timestamps; a step that is not one interval ends a segment."""
    if len(ts_ms) == 0:
        return Coverage(interval_ms, ts_ms[:0], ts_ms[:0])
    breaks = np.flatnonzero(np.diff(ts_ms) != interval_ms)
    starts = ts_ms[np.concatenate(([0], breaks + 1))]
    ends = ts_ms[np.concatenate((breaks, [len(ts_ms) - 1]))] + interval_ms
    return Coverage(interval_ms, starts, ends)


def find_gaps(ts_ms: Ints, interval_ms: int) -> tuple[Span, ...]:
    """Missing bars between ascending, unique timestamps on the interval."""
    return coverage(ts_ms, interval_ms).gaps()


def gap_finding(ts_ms: Ints, interval_ms: int) -> list[Finding]:
    """`MISSING_BARS` with every hole, or nothing."""
    gaps = find_gaps(ts_ms, interval_ms)
    if not gaps:
        return []
    missing, largest = sum(gap.count for gap in gaps), max(gaps, key=lambda gap: gap.count)
    text = f"{missing} bars are missing in {len(gaps)} holes; the largest is {largest.count} from {utc_text(largest.start_ms)}"
    return [Finding(Report.MISSING_BARS, missing, text, gaps, {"holes": len(gaps)})]
