"""The guard's plan fits its shares: what it reads again and again raises no alert, near or far, and a true shortage does."""

from __future__ import annotations

import logging
from heapq import heappop, heappush

import pytest

from kedge.services.guard.asking import ASK_EVERY_NS
from kedge.services.guard.settings import GuardSettings
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.limits import Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_watch import LimitsWatch

NS_PER_MS, NS_PER_S = 1_000_000, 1_000_000_000
PLAN = GuardSettings(account="a")
EVERY_NS = {
    ends.POSITIONS: round(PLAN.poll_risk_s * NS_PER_S),
    ends.WALLET: round(PLAN.poll_risk_s * NS_PER_S),
    ends.REALTIME: round(PLAN.orders_every_s * NS_PER_S),
    ends.TRANSACTION_LOG: ASK_EVERY_NS,
    ends.EXECUTIONS: ASK_EVERY_NS,
    ends.FEE_RATE: 10 * NS_PER_S,
}
"""The most that is asked while nothing is amiss, and while wallet or positions wait for their rows."""


def alerts(
    endpoint: ends.Endpoint, every_ns: int, round_trip_ns: int, caplog: pytest.LogCaptureFixture, *, limit: int | None = None
) -> list[str]:
    """What is told of 20 s of asking at this pace on a line of this length; `limit` is the venue's, where it says another than ours."""
    caplog.set_level(logging.INFO, "kedge.venues.bybit.limits_watch")
    limits = RequestLimits(ends.GUARD_LIMITS, address_limit=ends.GUARD_ADDRESS_LIMIT)
    watch, request = LimitsWatch(limits), Request(endpoint.group, Priority.CHECK)
    answers: list[tuple[int, int, Ticket]] = []
    for number in range(20 * NS_PER_S // every_ns):
        now_ns = number * every_ns
        while answers and answers[0][0] <= now_ns:
            at_ns, _, ticket = heappop(answers)
            limits.answered(ticket, at_ns, limit, limit)
        if limits.wait_ns(request, now_ns) == 0:
            heappush(answers, (now_ns + round_trip_ns, number, limits.take(request, now_ns)))
            watch.took(request, now_ns, 0)
    return [str(vars(record)["event"]) for record in caplog.records]


@pytest.mark.parametrize("round_trip_ms", [1, 80, 300])
@pytest.mark.parametrize("endpoint", EVERY_NS, ids=lambda endpoint: endpoint.group)
def test_what_the_guard_asks_by_plan_raises_no_alert(endpoint: ends.Endpoint, round_trip_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    assert alerts(endpoint, EVERY_NS[endpoint], round_trip_ms * NS_PER_MS, caplog) == []


def test_a_share_that_is_short_is_told(caplog: pytest.LogCaptureFixture) -> None:
    every_ns = EVERY_NS[ends.POSITIONS]
    assert alerts(ends.POSITIONS, every_ns // 3, NS_PER_MS, caplog) == ["limit_warning", "limit_critical"], "thirty a second of 25"
    caplog.clear()
    assert alerts(ends.POSITIONS, every_ns, NS_PER_MS, caplog, limit=20) == ["limit_warning", "limit_critical"], "the venue allows less"
