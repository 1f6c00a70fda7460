"""Limits on our side: never past the venue's count, room for exits, bans, and corrections by what the venue says."""

from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.limits import IP_BAN_NS, RESET_SLACK_NS, GroupLimit, Level, Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_window import KNOWN_FROM, ROUND_NS, SLACK_NS, WAY_MAX_NS, Line, Window
from kedge.venues.bybit.rest_endpoints import AMEND, CANCEL, CREATE, TRADER_LIMITS

MS = 1_000_000
S = 1_000 * MS
WHOLE = {"order.create": GroupLimit(10, 10)}
HELD_NS = S + SLACK_NS + WAY_MAX_NS
"""How long an unanswered request counts."""


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


def ask(limits: RequestLimits, group: str, priority: Priority, now_ns: int = 0, *, cost: int = 1, over_http: bool = True) -> Ticket | int:
    """Take room if there is some, else how long to wait."""
    request = Request(group, priority, cost, over_http)
    return limits.wait_ns(request, now_ns) or limits.take(request, now_ns)


class BusyLine:
    """A client that asks as fast as it may over a line whose ways there and back take a random time, and the venue's count behind it."""

    def __init__(self, seed: int, limit: int, way_ms: int, jitter_ms: int, cost_max: int) -> None:
        self.chance, self.limit, self.cost_max = random.Random(seed), limit, cost_max
        self.way_ns, self.jitter_ns = way_ms * MS, jitter_ms * MS
        self.limits = RequestLimits({"order.create": GroupLimit(limit, limit)}, address_limit=100_000)
        self.arrivals: list[tuple[int, int]] = []
        self._answers: list[tuple[int, int, Ticket]] = []

    def run(self, until_ns: int) -> None:
        now_ns = 0
        while now_ns < until_ns:
            self._hear(now_ns)
            cost = self.chance.randint(1, self.cost_max)
            request = Request("order.create", Priority.EXIT, cost)
            wait_ns = self.limits.wait_ns(request, now_ns)
            if wait_ns:
                now_ns = max(now_ns + 1, min([now_ns + wait_ns, *(at_ns for at_ns, _, _ in self._answers[:1])]))
                continue
            self._send(request, now_ns)

    def _hear(self, now_ns: int) -> None:
        while self._answers and self._answers[0][0] <= now_ns:
            at_ns, _, ticket = heappop(self._answers)
            self.limits.answered(ticket, at_ns)

    def _send(self, request: Request, now_ns: int) -> None:
        ticket = self.limits.take(request, now_ns)
        arrives_ns = now_ns + self._way()
        self.arrivals.append((arrives_ns, request.cost))
        if self.chance.random() < 0.98:  # the others are never answered
            heappush(self._answers, (arrives_ns + self._way(), len(self.arrivals), ticket))

    def _way(self) -> int:
        return self.way_ns + self.chance.randint(0, self.jitter_ns)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    limit=st.sampled_from([5, 10, 50, 200]),
    way_ms=st.integers(0, 150),
    jitter_ms=st.integers(0, 300),
    cost_max=st.integers(1, 3),
)
def test_the_venues_count_is_never_exceeded_whatever_the_line_does(
    seed: int, limit: int, way_ms: int, jitter_ms: int, cost_max: int
) -> None:
    line = BusyLine(seed, limit, way_ms, jitter_ms, cost_max)
    line.run(until_ns=8 * S)
    venue = CountingVenue(limit)
    assert all(venue.takes(at_ns, cost) for at_ns, cost in sorted(line.arrivals))


@pytest.mark.parametrize(("way_ms", "jitter_ms"), [(0, 0), (2, 2), (5, 60), (100, 10), (200, 5)])
def test_a_line_near_or_far_uses_most_of_the_share(way_ms: int, jitter_ms: int) -> None:
    line = BusyLine(1, 50, way_ms, jitter_ms, 1)
    line.run(until_ns=30 * S)
    lost = 0.02 * len(line.arrivals)  # unanswered ones hold their place for twice as long
    assert len(line.arrivals) + lost >= 0.85 * 50 * 30
    venue = CountingVenue(50)
    assert all(venue.takes(at_ns) for at_ns, _ in sorted(line.arrivals))


@pytest.mark.slow
def test_a_hundred_thousand_requests_on_a_bad_line_are_all_within_the_venues_limit() -> None:
    line = BusyLine(7, 50, 20, 120, 1)
    line.run(until_ns=2_400 * S)
    venue = CountingVenue(50)
    assert len(line.arrivals) > 100_000
    assert all(venue.takes(at_ns, cost) for at_ns, cost in sorted(line.arrivals))


def test_a_standstill_of_the_line_makes_no_burst_at_its_end() -> None:
    limits = RequestLimits({"order.create": GroupLimit(10, 7)})
    tickets = [ask(limits, "order.create", Priority.EXIT, 0) for _ in range(7)]
    assert ask(limits, "order.create", Priority.EXIT, S) != 0
    assert isinstance(ask(limits, "order.create", Priority.EXIT, S + 500 * MS), int)  # all seven may arrive together with an eighth
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        limits.answered(ticket, S + 600 * MS)
    assert isinstance(ask(limits, "order.create", Priority.EXIT, S + 700 * MS), int)
    assert isinstance(ask(limits, "order.create", Priority.EXIT, HELD_NS), Ticket)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_another_process_under_the_same_account_is_learnt_from_the_headers(seed: int) -> None:
    chance = random.Random(seed)
    limits = RequestLimits(WHOLE, address_limit=100_000)
    venue = CountingVenue(10)
    refused, asked, now_ns = 0, 0, 0
    while now_ns < 20 * S:
        if chance.random() < 0.3:
            venue.takes(now_ns)
        ticket = ask(limits, "order.create", Priority.EXIT, now_ns)
        if isinstance(ticket, Ticket):
            asked += 1
            taken = venue.takes(now_ns)
            limits.answered(ticket, now_ns, 10, venue.remaining)
            if not taken:
                refused += 1
                limits.refused("order.create", now_ns, venue.window[0] + S - now_ns)
        now_ns += 50 * MS
    assert asked > 40
    assert refused <= asked // 4


def take_all(limits: RequestLimits, group: str, priority: Priority, now_ns: int = 0) -> int:
    count = 0
    while isinstance(ask(limits, group, priority, now_ns), Ticket):
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
    assert isinstance(ask(limits, CREATE.group, Priority.TRADE), int)
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT), Ticket)


def test_the_trade_socket_does_not_count_for_the_address() -> None:
    limits = RequestLimits(TRADER_LIMITS, address_limit=1)
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT, over_http=False), Ticket)
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT, over_http=False), Ticket)
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT), Ticket)
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT), int)


def test_idle_reads_have_a_budget_of_their_own_and_others_go_past_it() -> None:
    limits = RequestLimits({}, idle_per_minute=3)
    assert take_all(limits, "market.kline", Priority.IDLE) == 3
    assert ask(limits, "market.kline", Priority.IDLE) == 60 * S
    assert isinstance(ask(limits, "market.kline", Priority.CHECK), Ticket)
    assert isinstance(ask(limits, "market.kline", Priority.IDLE, 60 * S), Ticket)


def test_idle_reads_leave_half_of_a_group_to_checks() -> None:
    limits = RequestLimits({"execution.list": GroupLimit(50, 40)})
    assert take_all(limits, "execution.list", Priority.IDLE) == 20
    assert take_all(limits, "execution.list", Priority.CHECK) == 20


def test_exits_find_their_room_again_though_others_wait_for_it() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    assert take_all(limits, CREATE.group, Priority.EXIT, 0) == 7
    assert take_all(limits, CREATE.group, Priority.TRADE, HELD_NS) == 5
    assert take_all(limits, CREATE.group, Priority.TRADE, HELD_NS) == 0
    assert take_all(limits, CREATE.group, Priority.EXIT, HELD_NS) == 2


def test_the_wait_named_is_the_wait_needed_once_the_answers_are_here() -> None:
    limits = RequestLimits(WHOLE)
    for number in range(10):
        ticket = ask(limits, "order.create", Priority.EXIT, number * MS)
        assert isinstance(ticket, Ticket)
        limits.answered(ticket, (number + 5) * MS)
    wait_ns = ask(limits, "order.create", Priority.EXIT, 15 * MS, cost=3)
    assert wait_ns == 7 * MS + S + SLACK_NS - 15 * MS
    assert ask(limits, "order.create", Priority.EXIT, 15 * MS + wait_ns - 1, cost=3) == 1
    assert isinstance(ask(limits, "order.create", Priority.EXIT, 15 * MS + wait_ns, cost=3), Ticket)


def test_an_answer_that_is_due_is_hoped_for_and_one_that_is_overdue_is_not() -> None:
    limits = RequestLimits({"order.create": GroupLimit(1, 1)})
    ask(limits, "order.create", Priority.EXIT, 0)
    assert ask(limits, "order.create", Priority.EXIT, 10 * MS) == S + SLACK_NS - 10 * MS
    assert ask(limits, "order.create", Priority.EXIT, S + SLACK_NS) == WAY_MAX_NS
    assert isinstance(ask(limits, "order.create", Priority.EXIT, HELD_NS), Ticket)


def test_what_never_left_does_not_count() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    tickets = [ask(limits, CREATE.group, Priority.TRADE) for _ in range(5)]
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        limits.unsent(ticket)
        limits.unsent(ticket)
    assert take_all(limits, CREATE.group, Priority.TRADE) == 5


def test_a_request_that_can_never_fit_is_refused_at_once() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    assert limits.largest(CREATE.group, Priority.TRADE) == 5
    assert limits.largest("market.kline", Priority.TRADE) is None
    with pytest.raises(InvalidInput, match="smaller batches"):
        ask(limits, CREATE.group, Priority.TRADE, cost=6)


def test_nothing_is_kept_for_exits_where_there_are_none() -> None:
    assert take_all(RequestLimits(TRADER_LIMITS), AMEND.group, Priority.TRADE) == 10


@pytest.mark.parametrize("field", ["speed", "address_limit", "idle_per_minute", "ban_ns"])
def test_limits_of_nothing_are_refused_by_name(field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field} is 0"):
        RequestLimits({}, **{field: 0})


def said(limits: RequestLimits, group: str, sent_ns: int, now_ns: int, limit: int | None, remaining: int | None) -> None:
    """One request and its answer with these headers."""
    ticket = ask(limits, group, Priority.EXIT, sent_ns)
    assert isinstance(ticket, Ticket)
    limits.answered(ticket, now_ns, limit, remaining)


def test_a_larger_limit_in_the_headers_is_taken_over_in_proportion() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    said(limits, CREATE.group, 0, 0, 20, 19)
    assert take_all(limits, CREATE.group, Priority.EXIT) == 13


def test_a_smaller_limit_in_the_headers_is_taken_over_too() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    said(limits, CREATE.group, 0, 0, 1, None)
    assert take_all(limits, CREATE.group, Priority.EXIT, HELD_NS) == 1


@pytest.mark.parametrize(("limit", "remaining"), [(None, None), (None, 3), (0, 0), (10, None), (10, -1), (10, 11)])
def test_headers_that_say_nothing_change_nothing(limit: int | None, remaining: int | None) -> None:
    limits = RequestLimits(WHOLE)
    said(limits, "order.create", 0, 0, limit, remaining)
    said(limits, "unknown", 0, 0, limit, remaining)
    assert take_all(limits, "order.create", Priority.EXIT) == 9
    assert limits.utilisation(0)[0].venue_remaining is None


def test_status_is_what_remains_and_what_we_did_not_send_was_sent_by_others() -> None:
    limits = RequestLimits(WHOLE)
    said(limits, "order.create", 0, MS, 10, 9)
    assert limits.utilisation(MS)[0].remaining == 9
    said(limits, "order.create", 2 * MS, 3 * MS, 10, 4)
    found = limits.utilisation(3 * MS)[0]
    assert (found.remaining, found.venue_limit, found.venue_remaining) == (4, 10, 4)
    assert take_all(limits, "order.create", Priority.EXIT, 3 * MS) == 4


def test_our_own_requests_of_the_window_before_are_not_taken_for_others() -> None:
    limits = RequestLimits(WHOLE)
    tickets = [ask(limits, "order.create", Priority.EXIT, number * MS) for number in range(10)]
    for number, ticket in enumerate(tickets):
        assert isinstance(ticket, Ticket)
        limits.answered(ticket, number * MS + MS, 10, 9 - number)
    last = ask(limits, "order.create", Priority.EXIT, S + 3 * MS)
    assert isinstance(last, Ticket)
    limits.answered(last, S + 60 * MS, 10, 1)  # nine were counted when it arrived, of which few still count now
    assert limits.utilisation(S + 60 * MS)[0].remaining == 9


def test_others_are_not_minded_while_our_whole_share_fits_beside_them() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    said(limits, CREATE.group, 0, MS, 10, 7)
    assert take_all(limits, CREATE.group, Priority.EXIT, MS) == 6


def test_a_batch_waits_for_room_that_others_hold() -> None:
    limits = RequestLimits(WHOLE)
    said(limits, "order.create", 0, 0, 10, 0)
    assert ask(limits, "order.create", Priority.EXIT, cost=3) == S + SLACK_NS
    assert isinstance(ask(limits, "order.create", Priority.EXIT, S + SLACK_NS, cost=3), Ticket)


def test_too_many_rests_the_group_until_the_reset_or_for_a_window() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.refused(CREATE.group, 0, 300 * MS)
    limits.refused("unknown", 0, 300 * MS)
    assert ask(limits, CREATE.group, Priority.EXIT) == 300 * MS + RESET_SLACK_NS
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT), Ticket)
    limits.refused(CREATE.group, 0, None)
    assert ask(limits, CREATE.group, Priority.EXIT) == S
    assert isinstance(ask(limits, CREATE.group, Priority.EXIT, S), Ticket)


def test_a_reset_far_away_or_in_the_past_is_not_believed() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.refused(CREATE.group, 0, 3_600 * S)
    assert ask(limits, CREATE.group, Priority.EXIT) == S + RESET_SLACK_NS
    other = RequestLimits(TRADER_LIMITS)
    other.refused(CREATE.group, 0, -5 * S)
    assert ask(other, CREATE.group, Priority.EXIT) == RESET_SLACK_NS


def test_a_ban_stops_everything_for_as_long_as_it_lasts() -> None:
    limits = RequestLimits(TRADER_LIMITS)
    limits.ban(0, "HTTP 403 access too frequent")
    assert ask(limits, CANCEL.group, Priority.EXIT) == IP_BAN_NS
    assert ask(limits, "market.time", Priority.CHECK, IP_BAN_NS - 1) == 1
    assert limits.banned_for_ns(IP_BAN_NS - 1) == 1
    assert limits.ban_why == "HTTP 403 access too frequent"
    assert isinstance(ask(limits, CANCEL.group, Priority.EXIT, IP_BAN_NS), Ticket)
    assert limits.banned_for_ns(IP_BAN_NS) == 0


@pytest.mark.parametrize(("sends", "level"), [(0, Level.OK), (6, Level.OK), (7, Level.WARNING), (8, Level.CRITICAL), (10, Level.CRITICAL)])
def test_utilisation_is_one_less_what_remains_of_our_share(sends: int, level: Level) -> None:
    limits = RequestLimits(WHOLE)
    for _ in range(sends):
        ask(limits, "order.create", Priority.EXIT)
    found = limits.utilisation(0)[0]
    assert (found.group, found.own, found.remaining, found.used_bps, found.level) == ("order.create", 10, 10 - sends, sends * 1_000, level)
    assert limits.used("order.create", 0) == found
    assert limits.used("unknown", 0) is None
    assert (limits.window_ns("order.create"), limits.window_ns("unknown")) == (S, 0)


def test_a_line_is_known_after_some_round_trips_and_its_jitter_costs_credit() -> None:
    line = Line()
    for number in range(KNOWN_FROM):
        assert (line.jitter_ns, line.credit_ns) == (None, 0)
        line.saw(number * MS, (100 + number % 3) * MS)
    assert (line.jitter_ns, line.credit_ns) == (2 * MS, 98 * MS)
    line.saw(S, 500 * MS)
    assert (line.jitter_ns, line.credit_ns) == (400 * MS, 0)


def test_measurements_of_a_line_are_forgotten_after_two_rounds() -> None:
    line = Line()
    for _ in range(KNOWN_FROM):
        line.saw(0, 500 * MS)
    for number in range(KNOWN_FROM):
        line.saw(ROUND_NS, (100 + number % 2) * MS)
    assert line.jitter_ns == 400 * MS
    for number in range(KNOWN_FROM):
        line.saw(2 * ROUND_NS, (100 + number % 2) * MS)
    assert line.jitter_ns == MS


def test_a_known_line_holds_the_window_for_its_jitter_alone() -> None:
    limits = RequestLimits({"order.create": GroupLimit(10, 10)})
    for number in range(2 * KNOWN_FROM):
        said(limits, "order.create", number * S, number * S + 200 * MS, 10, 9)
    now_ns = 100 * S
    said(limits, "order.create", now_ns, now_ns + 200 * MS, 10, 9)
    assert limits.utilisation(now_ns + S)[0].remaining == 9
    assert limits.utilisation(now_ns + S + SLACK_NS)[0].remaining == 10


def test_an_answer_after_the_longest_way_and_one_said_twice_change_nothing() -> None:
    window = Window(S)
    sent = window.add(0, 1)
    window.prune(HELD_NS)
    assert window.used == 0
    window.arrived(sent, HELD_NS + S)
    window.arrived(sent, HELD_NS + 2 * S)
    window.prune(HELD_NS + 2 * S)
    assert window.used == 0
    assert list(window.newest_first()) == [sent]
    window.prune(100 * S)
    assert list(window.newest_first()) == []


def test_what_can_never_fit_waits_for_a_whole_window() -> None:
    window = Window(S)
    assert window.wait_ns(3, 2, 0) == S + SLACK_NS
