"""What a drill showed: one document, as JSON and as text.

Rules: durations in whole milliseconds, money in 1e-8, fractions in basis points; unknown is None and printed as `unknown`, never zero.
What the guard measured and what an independent reader saw stand side by side; where they differ by more than a reading's distance, that
is a finding. A drill that found anything has not passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

SCHEMA: Final = "kedge/drill/v1"

BLOCK_MS: Final = 250
CANCELS_MS: Final = 2_000
FLAT_MS: Final = 10_000
SLACK: Final = 3
"""A drill fails beyond so many times a deadline: the machine may be busy with other things."""

FLAT: Final = "flat"
HALTED: Final = "halted and paging"
VENUE_STOP: Final = "closed by the venue's stop"
OPEN: Final = "risk left"
OUTCOMES: Final = (FLAT, HALTED, VENUE_STOP, OPEN)


class Change(NamedTuple):
    """One key of the configuration that the drill moved: its default and the drill's value, as text."""

    key: str
    default: str
    drill: str


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds since the breach; None where it did not come, or nobody saw it."""

    latched_ms: int | None = None
    blocked_ms: int | None = None
    cancels_ms: int | None = None
    orders_zero_ms: int | None = None
    positions_zero_ms: int | None = None
    flat_ms: int | None = None


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One drill.

    Attributes
    ----------
    drill_id : str
        Begins with the time, so that files sort.
    actor : str
        Who held it.
    journal : str
        Where the guard's journal of this drill lies, below the state folder.
    rung : str
        Where it was held: `paper` is a private simulated exchange.
    kind : str
        Which trigger was meant: `drawdown`, `var99`, or `defaults` for none moved out of the way.
    fault : str
        What was broken meanwhile; empty for nothing.
    positions : tuple of str
        What was held, and by whom, in words.
    assumptions : tuple of str
        Compression, path rule, past, depth, in words.
    outcome : str
        One of `OUTCOMES`.
    guard, seen : Times
        As the guard measured, and as an independent reader saw.
    day_end_ms : int or None
        From the end of the UTC day to the breach, where the day's close is what breached.
    loss_at_flat_e8 : int or None
        Equity at the breach less equity at the end.
    slip_bps : int or None
        The worst fill of a closing order against the mark it was sent at; `collar_bps` is what it may be.
    findings : tuple of str
        Whatever was not as it must be.
    """

    drill_id: str
    started_wall_ns: int
    rung: str
    scenario: str
    title: str
    source: str
    kind: str
    outcome: str
    fault: str = ""
    actor: str = ""
    version: str = ""
    code_sha256: str = ""
    market_sha256: str = ""
    journal: str = ""
    changes: tuple[Change, ...] = ()
    positions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    level: str = ""
    trigger: str = ""
    observed: str = ""
    limit: str = ""
    guard: Times = Times()
    seen: Times = Times()
    day_end_ms: int | None = None
    equity_start_e8: int | None = None
    equity_breach_e8: int | None = None
    equity_end_e8: int | None = None
    loss_at_flat_e8: int | None = None
    slices: int = 0
    slip_bps: int | None = None
    collar_bps: int | None = None
    pages: tuple[str, ...] = ()
    seconds: int = 0
    findings: tuple[str, ...] = ()
    schema: str = SCHEMA

    @property
    def is_passed(self) -> bool:
        """Whether it went as it must."""
        return not self.findings

    def is_within(self, slack: int = 1) -> bool:
        """Whether the deadlines were kept, times `slack`."""
        return not late(self, slack)


class Deadline(NamedTuple):
    """One duration that is promised: its name, what was measured, what is allowed (ms)."""

    words: str
    measured_ms: int | None
    allowed_ms: int


def deadlines(report: DrillReport) -> tuple[Deadline, ...]:
    """The promised durations; the reader's figure stands where it has one and the guard's where only the guard can know."""
    return (
        Deadline("breach to block", _first(report.seen.blocked_ms, report.guard.blocked_ms), BLOCK_MS),
        Deadline("breach to all cancels sent", report.guard.cancels_ms, CANCELS_MS),
        Deadline("breach to zero orders", report.seen.orders_zero_ms, FLAT_MS),
        Deadline("breach to zero positions", report.seen.positions_zero_ms, FLAT_MS),
        Deadline("breach to FLAT", _first(report.guard.flat_ms, report.seen.flat_ms), FLAT_MS),
    )


def late(report: DrillReport, slack: int = SLACK) -> tuple[str, ...]:
    """Deadlines that were missed, in words."""
    return tuple(
        f"{one.words}: {'not seen' if one.measured_ms is None else _s(one.measured_ms)}, allowed {_s(one.allowed_ms * slack)}"
        for one in deadlines(report)
        if one.measured_ms is None or one.measured_ms > one.allowed_ms * slack
    )


def text_of(report: DrillReport) -> str:
    """The report for people."""
    lines = [
        f"drill {report.drill_id}: {report.title}",
        f"  {'PASSED' if report.is_passed else 'FAILED'}: {report.outcome}, level {report.level or 'unknown'}",
        f"  meant: {report.kind}" + (f", with {report.fault}" if report.fault else ""),
        f"  fired: {report.trigger or 'nothing'} at {report.observed or 'unknown'}, limit {report.limit or 'unknown'}",
        "  times since the breach         guard     reader   allowed",
    ]
    guard, seen = report.guard, report.seen
    rows: Sequence[tuple[str, int | None, int | None, int | None]] = (
        ("latch written", guard.latched_ms, seen.latched_ms, BLOCK_MS),
        ("new risk blocked", guard.blocked_ms, seen.blocked_ms, BLOCK_MS),
        ("all cancels sent", guard.cancels_ms, None, CANCELS_MS),
        ("orders zero", guard.orders_zero_ms, seen.orders_zero_ms, FLAT_MS),
        ("positions zero", guard.positions_zero_ms, seen.positions_zero_ms, FLAT_MS),
        ("FLAT", guard.flat_ms, seen.flat_ms, FLAT_MS),
    )
    lines += [f"    {words:<22}{_s(one):>12}{_s(other):>11}{_s(allowed):>10}" for words, one, other, allowed in rows]
    if report.day_end_ms is not None:
        lines.append(f"  the UTC day ended {_s(report.day_end_ms)} before the breach")
    lines += [
        f"  equity at the start {_money(report.equity_start_e8)}, at the breach {_money(report.equity_breach_e8)}, "
        f"at the end {_money(report.equity_end_e8)}; loss from breach to flat {_money(report.loss_at_flat_e8)}",
        f"  {report.slices} slices, worst {_bps(report.slip_bps)} from the mark it was sent at, collar {_bps(report.collar_bps)}",
    ]
    lines += [f"  held: {words}" for words in report.positions]
    lines += [f"  moved: {one.key} is {one.drill}, by default {one.default}" for one in report.changes] or [
        "  moved: nothing, all defaults"
    ]
    lines += [f"  assumed: {words}" for words in report.assumptions]
    lines += [f"  prices: {report.source}, market {report.market_sha256[:16] or 'unknown'}"]
    lines += [f"  journal: {report.journal}"] if report.journal else []
    lines += [f"  paged: {words}" for words in report.pages]
    lines += [f"  FOUND: {words}" for words in report.findings]
    return "\n".join(lines)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _s(span_ms: int | None) -> str:
    return "unknown" if span_ms is None else f"{span_ms / 1_000:.3f} s"


def _money(value_e8: int | None) -> str:
    return "unknown" if value_e8 is None else f"{value_e8 / 10**8:,.2f}"


def _bps(value: int | None) -> str:
    return "unknown" if value is None else f"{value} bps"
