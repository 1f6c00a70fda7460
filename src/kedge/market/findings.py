"""What validation says: quarantined rows with the rules they broke, and findings that only report.

Rules: codes are stable and documented in docs/data.md; a finding carries its count and where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from kedge.market.bars import Ints, Mask
from kedge.market.intervals import utc_text


class Rule(StrEnum):
    """Rules whose breach sends a row to quarantine, in the order they are tried."""

    MISSING_FIELD = "MISSING_FIELD"
    NOT_FINITE = "NOT_FINITE"
    MIXED_INSTRUMENTS = "MIXED_INSTRUMENTS"
    UNCONFIRMED = "UNCONFIRMED"
    NON_POSITIVE_PRICE = "NON_POSITIVE_PRICE"
    NEGATIVE_VOLUME = "NEGATIVE_VOLUME"
    HIGH_BELOW_BODY = "HIGH_BELOW_BODY"
    LOW_ABOVE_BODY = "LOW_ABOVE_BODY"
    OFF_TICK = "OFF_TICK"
    OFF_LOT = "OFF_LOT"
    OFF_INTERVAL = "OFF_INTERVAL"
    DUPLICATE_TS = "DUPLICATE_TS"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    MIXED_INTERVAL = "MIXED_INTERVAL"
    OUTLIER = "OUTLIER"


class Report(StrEnum):
    """Findings that report and leave the rows where they are."""

    MISSING_BARS = "MISSING_BARS"
    ZERO_VOLUME = "ZERO_VOLUME"
    NO_VOLUME = "NO_VOLUME"
    FLAT = "FLAT"
    STUCK_PRICE = "STUCK_PRICE"
    PRICE_BREAK = "PRICE_BREAK"
    DESCENDING = "DESCENDING"
    ORDER_JUMPS = "ORDER_JUMPS"
    FIRST_BAR = "FIRST_BAR"
    LONG_WICK = "LONG_WICK"
    OTHER_INSTRUMENTS = "OTHER_INSTRUMENTS"
    GRID_CHANGE = "GRID_CHANGE"
    OUTLIER_KEPT = "OUTLIER_KEPT"
    TIMEZONE_SUSPECT = "TIMEZONE_SUSPECT"
    VENUE_SWITCH = "VENUE_SWITCH"
    PARTIAL_BARS = "PARTIAL_BARS"
    MADE_UP_BARS = "MADE_UP_BARS"
    MISSING_AGAINST = "MISSING_AGAINST"
    PRICE_DIFFERENCE = "PRICE_DIFFERENCE"
    VOLUME_DIFFERENCE = "VOLUME_DIFFERENCE"


@dataclass(frozen=True, slots=True)
class Span:
    """`count` bars from `start_ms` on."""

    start_ms: int
    count: int

    def as_dict(self) -> dict[str, Any]:
        return {"start": utc_text(self.start_ms), "start_ms": self.start_ms, "count": self.count}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a reader should know about a series.

    `count` is how many bars (or rows, or steps: `text` says which); `spans` says where, all of them;
    `data` holds the numbers behind the text, plain and ready for JSON.
    """

    code: Report
    count: int
    text: str
    spans: tuple[Span, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code.value,
            "count": self.count,
            "text": self.text,
            "spans": [s.as_dict() for s in self.spans],
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that broke rules: its number in the source, every rule, and its values as the source wrote them."""

    row_number: int
    codes: tuple[Rule, ...]
    values: tuple[str, ...]

    @property
    def first_code(self) -> Rule:
        """The first rule that it broke."""
        return self.codes[0]

    def as_dict(self) -> dict[str, Any]:
        return {"row": self.row_number, "code": self.first_code.value, "codes": [c.value for c in self.codes], "values": list(self.values)}


def count_by_code(rows: Sequence[QuarantinedRow]) -> dict[str, int]:
    """Rows per first broken rule, in the order of `Rule`."""
    counts = {rule.value: 0 for rule in Rule}
    for row in rows:
        counts[row.first_code.value] += 1
    return {code: count for code, count in counts.items() if count}


def by_code(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Findings by code; a report holds at most one of each."""
    return {finding.code.value: finding for finding in findings}


def mask_runs(mask: Mask) -> tuple[Ints, Ints]:
    """First position and length of each run of True.

    Returns
    -------
    starts, lengths : int64 arrays, shape (n_runs,)
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return edges[0::2].astype(np.int64), (edges[1::2] - edges[0::2]).astype(np.int64)


def spans_of(mask: Mask, ts_ms: Ints) -> tuple[Span, ...]:
    """Runs of consecutive rows as spans."""
    starts, lengths = mask_runs(mask)
    return tuple(Span(ts, count) for ts, count in zip(ts_ms[starts].tolist(), lengths.tolist(), strict=True))
