"""The quality report: coverage by day, gaps, order, outliers, differences and freshness, and what they allow.

Rule: degraded data degrades trading in a defined way. `STALE` and `BROKEN` mean no new risk; `DEGRADED` is shown and trades on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from kedge.market.bars import BarTable, Floats, Ints
from kedge.market.compare import Comparison
from kedge.market.findings import Finding, Report, count_by_code
from kedge.market.gaps import coverage
from kedge.market.intervals import interval_text, utc_text
from kedge.market.validation import Validated

DAY_MS: Final = 86_400_000
NEEDS_OTHER: Final = {
    Report.VENUE_SWITCH: "a label that stopped being true: needs a second source (--against)",
    Report.PARTIAL_BARS: "bars stored before they closed: needs a second source (--against)",
    Report.PRICE_DIFFERENCE: "wrong prices inside the bar rules: needs a second source (--against)",
    Report.MADE_UP_BARS: "padded bars that carry volume: needs a second source (--against)",
}
_NO_NEW_RISK: Final = (Report.PRICE_BREAK, Report.VENUE_SWITCH, Report.TIMEZONE_SUSPECT)


class State(StrEnum):
    """What the data is worth, worst last."""

    GOOD = "good"
    DEGRADED = "degraded"
    STALE = "stale"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Quality:
    """One series judged.

    Attributes
    ----------
    state : State
        The worst that applies.
    new_risk_allowed : bool
        False when STALE or BROKEN.
    age_ms : int or None
        From the end of the last bar to `as_of_ms`; None when no time was given.
    coverage_frac : float
        Bars present in the span, in [0, 1].
    days : tuple of (date text, fraction)
        Coverage of each UTC day of the span: the heat map.
    quarantined : dict
        Rows per first broken rule.
    findings : tuple of Finding
    not_detectable : dict
        Code -> why this data alone cannot show it.
    """

    state: State
    new_risk_allowed: bool
    age_ms: int | None
    rows: int
    accepted: int
    coverage_frac: float
    days: tuple[tuple[str, float], ...]
    quarantined: dict[str, int]
    findings: tuple[Finding, ...]
    not_detectable: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "new_risk_allowed": self.new_risk_allowed,
            "age_ms": self.age_ms,
            "source_rows": self.rows,
            "accepted": self.accepted,
            "coverage_frac": self.coverage_frac,
            "incomplete_days": [{"day": day, "coverage_frac": part} for day, part in self.days if part < 1],
            "quarantined": self.quarantined,
            "findings": [finding.as_dict() for finding in self.findings],
            "not_detectable": self.not_detectable,
        }


def quality(
    validated: Validated, comparison: Comparison | None = None, *, as_of_ms: int | None = None, freshness_ms_max: int | None = None
) -> Quality:
    """Judge a validated series.

    Parameters
    ----------
    comparison : Comparison, optional
        Against a second source; without one `not_detectable` lists what stays unseen.
    as_of_ms, freshness_ms_max : int, optional
        The time of the judgement, and the objective: a last bar that ended longer ago is stale.
    """
    table = validated.accepted
    findings = (*validated.findings, *(comparison.findings if comparison else ()))
    covered = coverage(table.ts_ms, table.interval_ms)
    span_bars = int((covered.end_ms[-1] - covered.start_ms[0]) // table.interval_ms) if len(table) else 0
    age_ms = None if as_of_ms is None or len(table) == 0 else as_of_ms - int(covered.end_ms[-1])
    state = _state(validated, findings, age_ms, freshness_ms_max)
    return Quality(
        state=state,
        new_risk_allowed=state in (State.GOOD, State.DEGRADED),
        age_ms=age_ms,
        rows=validated.rows,
        accepted=len(table),
        coverage_frac=covered.bars / span_bars if span_bars else 0.0,
        days=daily_coverage(table),
        quarantined=count_by_code(validated.quarantine),
        findings=findings,
        not_detectable={} if comparison else {code.value: why for code, why in NEEDS_OTHER.items()},
    )


def _state(validated: Validated, findings: tuple[Finding, ...], age_ms: int | None, freshness_ms_max: int | None) -> State:
    if len(validated.accepted) == 0 or any(finding.code in _NO_NEW_RISK for finding in findings):
        return State.BROKEN
    if freshness_ms_max is not None and (age_ms is None or age_ms > freshness_ms_max):
        return State.STALE
    return State.DEGRADED if findings or validated.quarantine else State.GOOD


def daily_coverage(table: BarTable) -> tuple[tuple[str, float], ...]:
    """Bars present per UTC day over bars that the day has inside the span; days without any are listed with 0."""
    if len(table) == 0 or table.interval_ms > DAY_MS:
        return ()
    first, last = int(table.ts_ms[0]), int(table.ts_ms[-1])
    days = np.arange(first // DAY_MS, last // DAY_MS + 1, dtype=np.int64)
    present = np.bincount(table.ts_ms // DAY_MS - days[0], minlength=len(days))
    fractions = present / _expected_per_day(days, first, last, table.interval_ms)
    return tuple((utc_text(day * DAY_MS)[:10], fraction) for day, fraction in zip(days.tolist(), fractions.tolist(), strict=True))


def _expected_per_day(days: Ints, first_ms: int, last_ms: int, interval_ms: int) -> Floats:
    begin = np.maximum(days * DAY_MS, first_ms)
    end = np.minimum((days + 1) * DAY_MS - 1, last_ms)
    return np.asarray(end // interval_ms - (begin - 1) // interval_ms, dtype=np.float64)


def summary_text(result: Quality, interval_ms: int) -> str:
    """One line: what is there and what it is worth."""
    quarantined = result.rows - result.accepted
    counts = f"{result.accepted} bars of {interval_text(interval_ms)}, {quarantined} quarantined"
    return f"{counts}, coverage {result.coverage_frac:.2%}: {result.state.value}"
