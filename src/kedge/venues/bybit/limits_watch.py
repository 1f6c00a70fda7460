"""What is told of the limits: a log line when a group comes near its limit or away from it, and figures for monitoring.

Rules: a level is told once when it is reached, and again only after the group was well below it for a while; shares are a process's
own; what the venue counts is what its headers say. Figures are named `kedge_venue_*`.
"""

from __future__ import annotations

import logging
from typing import Final

from kedge.domain.ports import Metrics
from kedge.domain.units import NS_PER_S
from kedge.venues.bybit.limits import CRITICAL_BPS, WARNING_BPS, Level, Request, RequestLimits, Utilisation

_LOG: Final = logging.getLogger(__name__)

CALM_BPS: Final = 1_000
"""How far below a level a group must be to have left it."""
CALM_NS: Final = 10 * NS_PER_S
"""How long it must have been there: use that goes up and down with every bar is one alert, not one a bar."""

_FROM_BPS: Final = {Level.WARNING: WARNING_BPS, Level.CRITICAL: CRITICAL_BPS}
_RANK: Final = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2}
_BELOW: Final = {Level.CRITICAL: Level.WARNING, Level.WARNING: Level.OK}
WAITS_S: Final = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)


class _Told:
    """What was told of a group last, and since when it has been calm."""

    __slots__ = ("calm_since_ns", "level")

    def __init__(self) -> None:
        self.level = Level.OK
        self.calm_since_ns: int | None = None


class LimitsWatch:
    """Tells of levels, waits, refusals and bans.

    Parameters
    ----------
    metrics : Metrics, optional
        Without them only the log is written.
    """

    def __init__(self, limits: RequestLimits, metrics: Metrics | None = None) -> None:
        self._limits = limits
        self._told: dict[str, _Told] = {}
        self._figures = None if metrics is None else _Figures(metrics)

    def level(self, group: str) -> Level:
        """The level that was told last."""
        told = self._told.get(group)
        return Level.OK if told is None else told.level

    def took(self, request: Request, now_ns: int, waited_ns: int) -> None:
        """A request got its room after so long."""
        used = self._limits.used(request.group, now_ns)
        if used is not None:
            self._judge(used, now_ns)
        if self._figures is not None:
            self._figures.requests.add(1, request.group)
            self._figures.waits.observe(waited_ns / NS_PER_S, request.priority.name.lower())

    def turned_away(self, group: str) -> None:
        """A request got no room in time, or a ban holds: it was not sent."""
        if self._figures is not None:
            self._figures.turned_away.add(1, group)

    def refused(self, group: str) -> None:
        """The venue said "too many": our count and its own differ, which should not be."""
        _LOG.error("the venue refused a request over its limit", extra={"event": "limit_refused", "group": group})
        if self._figures is not None:
            self._figures.refusals.add(1, group)

    def banned(self, why: str, for_ns: int) -> None:
        """The venue turned this address away."""
        told = {"event": "limit_banned", "why": why, "for_s": for_ns / NS_PER_S}
        _LOG.critical("banned by the venue: silent until it ends", extra=told)
        if self._figures is not None:
            self._figures.bans.add(1)

    def refresh(self, now_ns: int) -> list[Utilisation]:
        """Judge all groups now and set their gauges; to be called about every second. Returns every group's use, by name."""
        found = self._limits.utilisation(now_ns)
        for used in found:
            self._judge(used, now_ns)
        if self._figures is not None:
            self._figures.show(found, {name: _RANK[told.level] for name, told in self._told.items()})
            self._figures.banned_s.set(self._limits.banned_for_ns(now_ns) / NS_PER_S)
        return found

    def _judge(self, used: Utilisation, now_ns: int) -> None:
        told = self._told.get(used.group)
        if told is None:
            if used.level is Level.OK:
                return
            told = self._told[used.group] = _Told()
        if _RANK[used.level] > _RANK[told.level]:
            reached = [level for level in Level if _RANK[told.level] < _RANK[level] <= _RANK[used.level]]
            told.level, told.calm_since_ns = used.level, None
            for level in reached:  # whoever watches for one level must not miss it because both came at once
                self._alert(used, level)
        elif told.level is not Level.OK:
            self._calm(told, used, now_ns)

    def _calm(self, told: _Told, used: Utilisation, now_ns: int) -> None:
        """Leave a level when the group has been well below it for long enough."""
        if used.used_bps > _FROM_BPS[told.level] - CALM_BPS:
            told.calm_since_ns = None
        elif told.calm_since_ns is None:
            told.calm_since_ns = now_ns
        elif now_ns - told.calm_since_ns >= CALM_NS:
            told.level, told.calm_since_ns = _BELOW[told.level], None
            _LOG.info("request limit: less used again", extra={"event": f"limit_{told.level}", **_shown(used)})

    def _alert(self, used: Utilisation, level: Level) -> None:
        severity = logging.CRITICAL if level is Level.CRITICAL else logging.WARNING
        _LOG.log(severity, "request limit nearly used up", extra={"event": f"limit_{level}", **_shown(used)})
        if self._figures is not None:
            self._figures.alerts.add(1, used.group, level.value)


def _shown(used: Utilisation) -> dict[str, object]:
    return {"group": used.group, "used_bps": used.used_bps, "own": used.own, "remaining": used.remaining}


class _Figures:
    """The figures, registered once."""

    def __init__(self, metrics: Metrics) -> None:
        group = ("group",)
        self.used = metrics.gauge("kedge_venue_limit_used_ratio", "Use of this process's own share of a request limit, 0 to 1.", group)
        self.venue_used = metrics.gauge("kedge_venue_limit_header_used_ratio", "Use as the venue's last headers said, 0 to 1.", group)
        self.level = metrics.gauge("kedge_venue_limit_level", "Level told last: 0 ok, 1 warning (70 %), 2 critical (80 %).", group)
        self.alerts = metrics.counter("kedge_venue_limit_alerts_total", "Times that a level was reached.", ("group", "level"))
        self.requests = metrics.counter("kedge_venue_requests_total", "Requests that were given room.", group)
        self.turned_away = metrics.counter("kedge_venue_no_room_total", "Requests that were given up unsent.", group)
        self.refusals = metrics.counter("kedge_venue_limit_refusals_total", "Requests the venue refused over its limit.", group)
        self.bans = metrics.counter("kedge_venue_bans_total", "Times that the venue banned this address.", ())
        self.banned_s = metrics.gauge("kedge_venue_banned_seconds", "Seconds until a ban ends, 0 without one.", ())
        self.waits = metrics.histogram("kedge_venue_room_wait_seconds", "Time a request waited for room.", WAITS_S, ("priority",))

    def show(self, found: list[Utilisation], ranks: dict[str, int]) -> None:
        """Set the gauges; of what the venue never said nothing is shown."""
        for used in found:
            self.used.set(used.used_bps / 10_000, used.group)
            self.level.set(ranks.get(used.group, 0), used.group)
            if used.venue_limit and used.venue_remaining is not None:
                self.venue_used.set(1 - used.venue_remaining / used.venue_limit, used.group)
