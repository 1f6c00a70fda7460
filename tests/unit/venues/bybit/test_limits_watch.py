"""What is told of the limits: one line for each crossing, figures for monitoring, and nothing about what is not known."""

from __future__ import annotations

import logging

import pytest

from kedge.ops.metrics import PrometheusMetrics
from kedge.venues.bybit.limits import GroupLimit, Level, Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_watch import CALM_NS, LimitsWatch

S = 1_000_000_000
GROUP = "order.create"
ONE = Request(GROUP, Priority.EXIT)
OTHER = Request("market.time", Priority.CHECK)


class Desk:
    """Limits of ten a second, and what was told of them."""

    def __init__(self, caplog: pytest.LogCaptureFixture, metrics: PrometheusMetrics | None = None) -> None:
        caplog.set_level(logging.INFO, "kedge.venues.bybit.limits_watch")
        self._caplog = caplog
        self.limits = RequestLimits({GROUP: GroupLimit(10, 10)})
        self.watch = LimitsWatch(self.limits, metrics)

    def send(self, count: int, now_ns: int) -> list[Ticket]:
        tickets = []
        for _ in range(count):
            tickets.append(self.limits.take(ONE, now_ns))
            self.watch.took(ONE, now_ns, 0)
            self.limits.answered(tickets[-1], now_ns)
        return tickets

    def told(self) -> list[tuple[str, int]]:
        """Events and their severity, and forget them."""
        found = [(str(vars(record)["event"]), record.levelno) for record in self._caplog.records]
        self._caplog.clear()
        return found


def test_each_level_is_told_once_when_it_is_reached(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(caplog)
    desk.send(6, 0)
    assert desk.told() == []
    desk.send(1, 0)
    assert vars(caplog.records[0])["group"] == GROUP
    assert (vars(caplog.records[0])["used_bps"], vars(caplog.records[0])["own"], vars(caplog.records[0])["remaining"]) == (7_000, 10, 3)
    assert desk.told() == [("limit_warning", logging.WARNING)]
    desk.send(3, 0)
    assert desk.told() == [("limit_critical", logging.CRITICAL)]
    for second in range(2, 9, 2):
        desk.send(10, second * S)
    assert desk.told() == []
    assert desk.watch.level(GROUP) is Level.CRITICAL
    assert desk.watch.level("unknown") is Level.OK


def test_both_levels_are_told_when_they_are_reached_at_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(caplog)
    desk.limits.take(Request(GROUP, Priority.EXIT, cost=9), 0)
    desk.watch.took(Request(GROUP, Priority.EXIT, cost=9), 0, 0)
    assert desk.told() == [("limit_warning", logging.WARNING), ("limit_critical", logging.CRITICAL)]


def test_a_level_is_left_only_after_a_calm_while_and_told_again_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(caplog)
    desk.send(10, 0)
    desk.told()
    desk.watch.refresh(5 * S)
    desk.watch.refresh(5 * S + CALM_NS)
    assert desk.told() == [("limit_warning", logging.INFO)]
    desk.watch.refresh(6 * S + CALM_NS)
    desk.watch.refresh(6 * S + 2 * CALM_NS)
    assert desk.told() == [("limit_ok", logging.INFO)]
    desk.watch.refresh(7 * S + 2 * CALM_NS)
    assert desk.told() == []
    desk.send(7, 100 * S)
    assert desk.told() == [("limit_warning", logging.WARNING)]


def test_use_just_below_a_level_does_not_leave_it(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(caplog)
    desk.send(8, 0)
    desk.told()
    desk.watch.refresh(5 * S)
    desk.send(8, 10 * S)  # not calm after all
    desk.watch.refresh(10 * S)
    desk.watch.refresh(14 * S)
    desk.watch.refresh(14 * S + CALM_NS - 1)
    assert desk.told() == []


def test_figures_show_use_levels_waits_refusals_and_bans(caplog: pytest.LogCaptureFixture) -> None:
    metrics = PrometheusMetrics()
    desk = Desk(caplog, metrics)
    tickets = desk.send(8, 0)
    desk.limits.answered(tickets[-1], 0, 10, 2)
    desk.watch.took(OTHER, 0, S // 2)
    desk.watch.turned_away(GROUP)
    desk.watch.refused(GROUP)
    desk.limits.ban(0, "HTTP 403")
    desk.watch.banned("HTTP 403", 600 * S)
    found = desk.watch.refresh(0)
    assert [used.used_bps for used in found] == [8_000]
    lines = set(metrics.text().splitlines())
    assert lines >= {
        'kedge_venue_limit_used_ratio{group="order.create"} 0.8',
        'kedge_venue_limit_header_used_ratio{group="order.create"} 0.8',
        'kedge_venue_limit_level{group="order.create"} 2.0',
        'kedge_venue_limit_alerts_total{group="order.create",level="warning"} 1.0',
        'kedge_venue_limit_alerts_total{group="order.create",level="critical"} 1.0',
        'kedge_venue_requests_total{group="order.create"} 8.0',
        'kedge_venue_requests_total{group="market.time"} 1.0',
        'kedge_venue_no_room_total{group="order.create"} 1.0',
        'kedge_venue_limit_refusals_total{group="order.create"} 1.0',
        "kedge_venue_bans_total 1.0",
        "kedge_venue_banned_seconds 600.0",
        'kedge_venue_room_wait_seconds_bucket{le="0.25",priority="check"} 0.0',
        'kedge_venue_room_wait_seconds_bucket{le="0.5",priority="check"} 1.0',
    }
    assert {("limit_refused", logging.ERROR), ("limit_banned", logging.CRITICAL)} <= set(desk.told())


def test_what_the_headers_never_said_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    metrics = PrometheusMetrics()
    desk = Desk(caplog, metrics)
    desk.send(1, 0)
    desk.watch.refresh(0)
    assert "kedge_venue_limit_header_used_ratio{" not in metrics.text()


def test_without_figures_only_the_log_is_written(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(caplog)
    desk.watch.turned_away(GROUP)
    desk.watch.refused(GROUP)
    desk.watch.banned("why", S)
    assert [name for name, _ in desk.told()] == ["limit_refused", "limit_banned"]
    assert len(desk.watch.refresh(0)) == 1
