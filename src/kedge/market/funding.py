"""Funding rates as columns, exact in 1e-8, and the check that finds settlement times written in local time.

Rule: a rate becomes an integer only when it is exactly one; what is not goes to quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import RATE_MAX_E8
from kedge.domain.units import E8
from kedge.market.bars import NO_TS, Floats, Ints
from kedge.market.findings import Finding, QuarantinedRow, Report, Rule, Span
from kedge.market.intervals import interval_text, utc_text

HOUR_MS: Final = 3_600_000
SETTLE_MS: Final = 8 * HOUR_MS


@dataclass(frozen=True, slots=True, eq=False)
class FundingTable:
    """Settlements of one instrument, ascending and unique.

    Attributes
    ----------
    symbol : str
        A label.
    ts_ms : int64 array, shape (n,)
        Settlement time, UTC milliseconds.
    rate_e8 : int64 array, shape (n,)
        Rate of the interval in 1e-8; 10_000 is 1 bp, positive when longs pay.
    """

    symbol: str
    ts_ms: Ints
    rate_e8: Ints

    def __post_init__(self) -> None:
        if len(self.ts_ms) != len(self.rate_e8):
            raise InvalidInput(f"{len(self.ts_ms)} times and {len(self.rate_e8)} rates", why="one rate per time", fix="pass equal lengths")
        if len(self.ts_ms) and bool((np.diff(self.ts_ms) <= 0).any()):
            raise InvalidInput("settlement times do not ascend", why="a settlement happens once", fix="sort and remove duplicates")

    def __len__(self) -> int:
        return len(self.ts_ms)


@dataclass(frozen=True, slots=True, eq=False)
class ValidatedFunding:
    """Accepted settlements, quarantined rows (values: time and rate as written), and findings."""

    accepted: FundingTable
    quarantine: tuple[QuarantinedRow, ...]
    findings: tuple[Finding, ...]
    rows: int


def validate_funding(symbol: str, ts_ms: Ints, rate: Floats, texts: tuple[tuple[str, str], ...]) -> ValidatedFunding:
    """Judge raw settlements.

    Parameters
    ----------
    ts_ms : int64 array, shape (n,)
        `NO_TS` where unreadable.
    rate : float64 array, shape (n,)
        NaN where unreadable; 0.0001 is 1 bp.
    texts : tuple of (time, rate)
        The values as written, for the quarantine.
    """
    rate_e8, exact = _exact_rates(rate)
    bad_number = (ts_ms == NO_TS) | ~np.isfinite(rate)
    blank = np.asarray(["" in (text[0].strip(), text[1].strip()) for text in texts], dtype=np.bool_) & bad_number
    off = ~bad_number & (~exact | (np.abs(rate_e8) > RATE_MAX_E8))
    rows = np.flatnonzero(~(bad_number | off))
    rows = rows[np.argsort(ts_ms[rows], kind="stable")]
    again = np.concatenate(([False], np.diff(ts_ms[rows]) == 0)) if len(rows) else np.zeros(0, dtype=np.bool_)
    masks = {
        Rule.MISSING_FIELD: blank,
        Rule.NOT_FINITE: bad_number & ~blank,
        Rule.OFF_TICK: off,
        Rule.DUPLICATE_TS: np.isin(np.arange(len(ts_ms)), rows[again]),
    }
    bad = np.flatnonzero(np.logical_or.reduce(list(masks.values())))
    quarantine = tuple(QuarantinedRow(at + 1, tuple(rule for rule, mask in masks.items() if mask[at]), texts[at]) for at in bad.tolist())
    accepted = FundingTable(symbol, ts_ms[rows[~again]], rate_e8[rows[~again]])
    return ValidatedFunding(accepted, quarantine, (*timezone_finding(accepted.ts_ms), *missing_settlements(accepted.ts_ms)), len(ts_ms))


def _exact_rates(rate: Floats) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Integers in 1e-8, and where the float is the nearest one to them."""
    known = np.where(np.isfinite(rate) & (np.abs(rate) < 1e6), rate, 0.0)
    rate_e8 = np.rint(known * E8).astype(np.int64)
    return rate_e8, np.asarray((rate_e8 / E8 == known) & (np.abs(np.nan_to_num(rate, nan=0.0, posinf=2e6, neginf=2e6)) < 1e6))


def timezone_finding(ts_ms: Ints) -> list[Finding]:
    """`TIMEZONE_SUSPECT`: most settlements lie the same whole hours away from 00:00, 08:00 and 16:00 UTC.

    Hourly and four-hourly funding hits 8-hour multiples often enough not to be suspected.
    """
    if len(ts_ms) < 3:
        return []
    hours, counts = np.unique((ts_ms % SETTLE_MS) // HOUR_MS, return_counts=True)
    common = int(hours[np.argmax(counts)])
    if common == 0 or float(counts.max() / counts.sum()) < 0.9:
        return []
    offset = common if common <= 4 else common - 8
    text = f"settlements are {common} h after 00:00, 08:00 and 16:00 UTC: the times look local, try --tz UTC{offset:+d}"
    return [Finding(Report.TIMEZONE_SUSPECT, int(counts.max()), text, (Span(int(ts_ms[0]), int(counts.max())),), {"offset_hours": offset})]


def missing_settlements(ts_ms: Ints) -> list[Finding]:
    """`MISSING_BARS` of a funding series: steps longer than eight hours."""
    long = np.flatnonzero(np.diff(ts_ms) > SETTLE_MS)
    if len(long) == 0:
        return []
    missing = (np.diff(ts_ms)[long] - 1) // SETTLE_MS
    spans = tuple(Span(int(ts_ms[at]) + SETTLE_MS, int(n)) for at, n in zip(long.tolist(), missing.tolist(), strict=True))
    text = f"{int(missing.sum())} settlements are missing at {interval_text(SETTLE_MS)}; the first after {utc_text(int(ts_ms[long[0]]))}"
    return [Finding(Report.MISSING_BARS, int(missing.sum()), text, spans)]
