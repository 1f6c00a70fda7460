"""The guard's figures for monitoring."""

from __future__ import annotations

from typing import Final

from kedge.domain.brake import SEVERITY
from kedge.domain.ports import Metrics
from kedge.domain.units import E8, NS_PER_S
from kedge.services.guard.status import GuardStatus

UNKNOWN: Final = float("nan")


class GuardMetrics:
    """Gauges of a status; what is unknown is NaN, never zero."""

    def __init__(self, metrics: Metrics) -> None:
        gauge = metrics.gauge
        self._level = gauge("kedge_brake_level", "How hard the brake is on: 0 running to 4 flat.", ())
        self._generation = gauge("kedge_brake_generation", "Generation of the latch.", ())
        self._view_age = gauge("kedge_guard_view_age_seconds", "Since the guard last read the venue whole.", ())
        self._beat_age = gauge("kedge_guard_heartbeat_age_seconds", "Since the guard last heard a trader.", ())
        self._permits = gauge("kedge_guard_permits", "1 while the guard permits new risk, else 0.", ())
        self._durable = gauge("kedge_guard_latch_durable", "1 while the latch is on the disk, else 0.", ())
        self._journal = gauge("kedge_guard_journal_ok", "1 while the guard's journal takes records, else 0.", ())
        self._fractions = {
            "drawdown_e8": gauge("kedge_guard_drawdown_fraction", "Drawdown from the high-water mark, of equity.", ()),
            "day_loss_e8": gauge("kedge_guard_day_loss_fraction", "Loss of the UTC day, of equity at its beginning.", ()),
            "var99_e8": gauge("kedge_guard_var99_fraction", "One-day VaR at 99 %, of equity.", ()),
        }
        self._pages = metrics.counter("kedge_guard_pages_total", "Calls for a person.", ("code",))

    def paged(self, code: str) -> None:
        """A person was called."""
        self._pages.add(1, code)

    def show(self, status: GuardStatus) -> None:
        """The guard now."""
        self._level.set(SEVERITY[status.latch.level])
        self._generation.set(status.latch.generation)
        self._view_age.set(_seconds(status.view_age_ns))
        self._beat_age.set(_seconds(status.heartbeat_age_ns))
        self._permits.set(0 if status.permits else 1)
        self._durable.set(1 if status.latch_is_durable else 0)
        self._journal.set(0 if status.journal else 1)
        for name, figure in self._fractions.items():
            value = getattr(status, name)
            figure.set(UNKNOWN if value is None else value / E8)


def _seconds(age_ns: int | None) -> float:
    return UNKNOWN if age_ns is None else age_ns / NS_PER_S
