"""Limits on our side: never past the venue's count, room for exits, bans, and corrections by what the venue says."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.limits import IP_BAN_NS, JITTER_NS, GroupLimit, Level, Priority, RequestLimits
from kedge.venues.bybit.rest_endpoints import CANCEL, CREATE, TRADER_LIMITS

MS = 1_000_000
S = 1_000 * MS
WHOLE = {"order.create": GroupLimit(10, 10)}


class CountingVenue:
    """Counts what arrived within the last second, as the venue does; what it refuses does not count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.window: deque[int] = deque()

    def takes(self, at_ns: int, cost: int = 1) -> bool:
        while self.window and self.window[0] <= at_ns - S:
            self.window.popleft()
        if len(self.window) + cost > self.limit:
            return False
        self.window.extend([at_ns] * cost)
        return True

    @property
    def remaining(self) -> int:
        return self.limit - len(self.window)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), speed=st.sampled_from([1, 3, 20]), jitter_ms=st.integers(0, 100), largest=st.integers(1, 3))
def test_the_venues_count_is_never_exceeded_and_most_of_it_is_used(seed: int, speed: int, jitter_ms: int, largest: int) -> None:
    chance = random.Random(seed)
    limits = RequestLimits(WHOLE, speed=speed, address_limit=100_000)
    arrivals: list[tuple[int, int]] = []
    now_ns, until_ns = 0, 6 * S
    while now_ns < until_ns:
        cost = chance.randint(1, largest)
        wait_ns = limits.take("order.create", Priority.EXIT, now_ns, cost=cost)
        if wait_ns:
            now_ns += wait_ns
            continue
        arrivals.append((now_ns + chance.randint(0, jitter_ms) * MS, cost))
        now_ns += chance.randint(0, 2) * MS // speed
    venue = CountingVenue(10 * speed)
    assert all(venue.takes(at_ns, cost) for at_ns, cost in sorted(arrivals))
    if largest == 1 or speed > 1:  # a batch of three leaves one of ten unused
        assert sum(cost for _, cost in arrivals) >= 0.85 * 10 * speed * 6


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_another_process_under_the_same_account_is_learnt_from_the_headers(seed: int) -> None:
    chance = random.Random(seed)
    limits = RequestLimits(WHOLE, jitter_ns=0, address_limit=100_000)
    venue = CountingVenue(10)
    refused, asked, now_ns = 0, 0, 0
    while now_ns < 20 * S:
        if chance.random() < 0.3:
            venue.takes(now_ns)
        if not limits.take("order.create", Priority.EXIT, now_ns):
            asked += 1
            taken = venue.takes(now_ns)
            limits.observe("order.create", now_ns, now_ns, 10, venue.remaining)
            if not taken:
                refused += 1
                limits.refused("order.create", now_ns, venue.window[0] + S - now_ns)
        now_ns += 50 * MS
    assert asked > 40
    assert refused <= asked // 4


def take_all(limits: RequestLimits, group: str, priority: Priority, now_ns: int = 0) -> int:
    count = 0
    while not limits.take(group, priority, now_ns):
        count += 1
    return count


def test_the_trader_has_seven_creates_of_which_two_are_kept_for_exits() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    assert take_all(limits, CREATE.group, Priority.TRADE) == 5
    assert take_all(limits, CREATE.group, Priority.EXIT) == 2


def test_orders_do_not_take_the_room_of_cancels() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    take_all(limits, CREATE.group, Priority.TRADE)
    assert take_all(limits, CANCEL.group, Priority.EXIT) == 6


def test_reads_cannot_use_up_the_address_so_that_cancels_are_stuck() -> None:
    limits = RequestLimits(TRADER_LIMITS, address_limit=20)
    assert take_all(limits, "unlimited.group", Priority.CHECK) == 16
    assert limits.take(CREATE.group, Priority.TRADE, 0) > 0
    assert limits.take(CANCEL.group, Priority.EXIT, 0) == 0


def test_the_trade_socket_does_not_count_for_the_address() -> None:
    limits = RequestLimits(TRADER_LIMITS, address_limit=1)
    assert limits.take(CANCEL.group, Priority.EXIT, 0, over_http=False) == 0
    assert limits.take(CANCEL.group, Priority.EXIT, 0, over_http=False) == 0
    assert limits.take(CANCEL.group, Priority.EXIT, 0) == 0
    assert limits.take(CANCEL.group, Priority.EXIT, 0) > 0


def test_idle_reads_have_a_budget_of_their_own_and_others_go_past_it() -> None:
    limits = RequestLimits({}, idle_per_minute=3)
    assert take_all(limits, "market.kline", Priority.IDLE) == 3
    assert limits.take("market.kline", Priority.IDLE, 0) == 60 * S
    assert limits.take("market.kline", Priority.CHECK, 0) == 0
    assert limits.take("market.kline", Priority.IDLE, 60 * S) == 0


def test_idle_reads_leave_half_of_a_group_to_checks() -> None:
    limits = RequestLimits({"execution.list": GroupLimit(50, 40)})
    assert take_all(limits, "execution.list", Priority.IDLE) == 20
    assert take_all(limits, "execution.list", Priority.CHECK) == 20


def test_the_wait_named_is_the_wait_needed() -> None:
    limits = RequestLimits(WHOLE)
    for number in range(10):
        assert limits.take("order.create", Priority.EXIT, number * MS) == 0
    wait_ns = limits.take("order.create", Priority.EXIT, 9 * MS, cost=3)
    assert wait_ns == 2 * MS + S + JITTER_NS - 9 * MS
    assert limits.take("order.create", Priority.EXIT, 9 * MS + wait_ns - 1, cost=3) == 1
    assert limits.take("order.create", Priority.EXIT, 9 * MS + wait_ns, cost=3) == 0


def test_a_request_that_can_never_fit_is_refused_at_once() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    assert limits.largest(CREATE.group, Priority.TRADE) == 5
    assert limits.largest("market.kline", Priority.TRADE) is None
    with pytest.raises(InvalidInput, match="smaller batches"):
        limits.take(CREATE.group, Priority.TRADE, 0, cost=6)


@pytest.mark.parametrize("field", ["speed", "address_limit", "idle_per_minute"])
def test_limits_of_nothing_are_refused_by_name(field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field} is 0"):
        RequestLimits({}, **{field: 0})


def test_a_larger_limit_in_the_headers_is_taken_over_in_proportion() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.observe(CREATE.group, 0, 0, 20, 20)
    assert take_all(limits, CREATE.group, Priority.EXIT) == 14


def test_a_smaller_limit_in_the_headers_is_taken_over_too() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.observe(CREATE.group, 0, 0, 1, None)
    assert take_all(limits, CREATE.group, Priority.EXIT) == 1


@pytest.mark.parametrize(("limit", "remaining"), [(None, None), (None, 3), (0, 0), (10, None), (10, -1), (10, 11)])
def test_headers_that_say_nothing_change_nothing(limit: int | None, remaining: int | None) -> None:
    limits = RequestLimits(WHOLE)
    limits.observe("order.create", 0, 0, limit, remaining)
    limits.observe("unknown", 0, 0, limit, remaining)
    assert take_all(limits, "order.create", Priority.EXIT) == 10


def test_status_is_what_remains_and_what_we_did_not_send_was_sent_by_others() -> None:
    limits = RequestLimits(WHOLE)
    limits.take("order.create", Priority.EXIT, 0)
    limits.observe("order.create", 0, MS, 10, 9)
    assert limits.utilisation(MS)[0].remaining == 9
    limits.take("order.create", Priority.EXIT, 2 * MS)
    limits.observe("order.create", 2 * MS, 3 * MS, 10, 4)
    assert limits.utilisation(3 * MS)[0].remaining == 4
    assert take_all(limits, "order.create", Priority.EXIT, 3 * MS) == 4


def test_a_batch_waits_for_room_that_others_hold() -> None:
    limits = RequestLimits(WHOLE)
    limits.observe("order.create", 0, 0, 10, 1)
    assert limits.take("order.create", Priority.EXIT, 0, cost=3) == S + JITTER_NS
    assert limits.take("order.create", Priority.EXIT, S + JITTER_NS, cost=3) == 0


def test_too_many_rests_the_group_until_the_reset_or_for_a_window() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.refused(CREATE.group, 0, 300 * MS)
    limits.refused("unknown", 0, 300 * MS)
    assert limits.take(CREATE.group, Priority.EXIT, 0) == 300 * MS + JITTER_NS
    assert limits.take(CANCEL.group, Priority.EXIT, 0) == 0
    limits.refused(CREATE.group, 0, None)
    assert limits.take(CREATE.group, Priority.EXIT, 0) == S
    assert limits.take(CREATE.group, Priority.EXIT, S) == 0


def test_a_reset_far_away_or_in_the_past_is_not_believed() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.refused(CREATE.group, 0, 3_600 * S)
    assert limits.take(CREATE.group, Priority.EXIT, 0) == S + JITTER_NS
    other = RequestLimits(TRADER_LIMITS)
    other.refused(CREATE.group, 0, -5 * S)
    assert other.take(CREATE.group, Priority.EXIT, 0) == JITTER_NS


def test_a_ban_stops_everything_for_as_long_as_it_lasts() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.ban(0, "HTTP 403 access too frequent")
    assert limits.take(CANCEL.group, Priority.EXIT, 0) == IP_BAN_NS
    assert limits.take("market.time", Priority.CHECK, IP_BAN_NS - 1) == 1
    assert limits.banned_for_ns(IP_BAN_NS - 1) == 1
    assert limits.ban_why == "HTTP 403 access too frequent"
    assert limits.take(CANCEL.group, Priority.EXIT, IP_BAN_NS) == 0
    assert limits.banned_for_ns(IP_BAN_NS) == 0


@pytest.mark.parametrize(("sends", "level"), [(0, Level.OK), (6, Level.OK), (7, Level.WARNING), (8, Level.CRITICAL), (10, Level.CRITICAL)])
def test_utilisation_is_one_less_what_remains_of_our_share(sends: int, level: Level) -> None:
    limits = RequestLimits(WHOLE)
    for _ in range(sends):
        limits.take("order.create", Priority.EXIT, 0)
    found = limits.utilisation(0)[0]
    assert (found.group, found.own, found.remaining, found.used_bps, found.level) == ("order.create", 10, 10 - sends, sends * 1_000, level)
