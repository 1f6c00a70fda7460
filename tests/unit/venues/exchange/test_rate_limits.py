"""Budgets of accounts and addresses, over windows that slide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.venues.exchange.rate_limits import ADDRESS_BUDGET, BAN_NS, AddressLimits, Allowance, Budget, RateLimits

NOW = 1_700_000_000 * NS_PER_S


def taken(limits: RateLimits, at_ns: int, *, account: str = "1", group: str = "order.create", cost: int = 1) -> Allowance:
    allowance = limits.take(account, group, at_ns, cost)
    assert allowance is not None
    return allowance


def test_what_remains_counts_down_and_the_reset_of_a_success_is_now() -> None:
    limits = RateLimits()
    assert taken(limits, NOW) == Allowance(True, 10, 9, NOW // NS_PER_MS)
    assert taken(limits, NOW + 1) == Allowance(True, 10, 8, NOW // NS_PER_MS)


def test_the_eleventh_in_a_second_is_refused_until_the_first_leaves_the_window() -> None:
    limits = RateLimits()
    for n in range(10):
        assert taken(limits, NOW + n * NS_PER_MS).ok
    refused = taken(limits, NOW + NS_PER_S - 1)
    assert refused == Allowance(False, 10, 0, NOW // NS_PER_MS + 1000)
    assert taken(limits, NOW + NS_PER_S).ok
    assert not taken(limits, NOW + NS_PER_S).ok


def test_a_refused_request_takes_nothing() -> None:
    limits = RateLimits()
    assert not taken(limits, NOW, cost=11).ok
    assert taken(limits, NOW, cost=10) == Allowance(True, 10, 0, NOW // NS_PER_MS)


def test_what_can_never_fit_resets_a_window_from_now() -> None:
    assert taken(RateLimits(), NOW, cost=11).reset_ms == NOW // NS_PER_MS + 1000


def test_accounts_and_groups_have_budgets_of_their_own() -> None:
    limits = RateLimits()
    assert taken(limits, NOW, cost=10).remaining == 0
    assert taken(limits, NOW, account="2").remaining == 9
    assert taken(limits, NOW, group="order.cancel").remaining == 9


def test_a_group_without_a_budget_is_unlimited() -> None:
    assert RateLimits().take("1", "no.such.group", NOW) is None


def test_budgets_grow_with_speed() -> None:
    assert taken(RateLimits(speed=60), NOW).limit == 600


def test_minute_budgets_reach_a_minute_back() -> None:
    limits = RateLimits(budgets={"asset": Budget(1, 60 * NS_PER_S)})
    assert taken(limits, NOW, group="asset").ok
    assert not taken(limits, NOW + 59 * NS_PER_S, group="asset").ok
    assert taken(limits, NOW + 60 * NS_PER_S, group="asset").ok


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=60))
def test_no_window_ever_holds_more_than_the_budget(requests: list[tuple[int, int]]) -> None:
    limits, now_ms, granted = RateLimits(budgets={"g": Budget(7)}), 0, []
    for wait_ms, cost in requests:
        now_ms += wait_ms
        allowance = limits.take("1", "g", now_ms * NS_PER_MS, cost)
        assert allowance is not None
        used = sum(each for at, each in granted if at > now_ms - 1000)
        assert allowance.ok == (used + cost <= 7)
        granted += [(now_ms, cost)] if allowance.ok else []
        assert allowance.remaining == 7 - used - (cost if allowance.ok else 0)


def test_a_clock_that_was_put_back_by_far_starts_the_count_anew() -> None:
    """What was counted an hour ahead must not fill the budget for that hour."""
    limits = RateLimits()
    for _ in range(10):
        assert taken(limits, NOW + 3_600 * NS_PER_S).ok
    allowances = [taken(limits, NOW) for _ in range(11)]
    assert [allowance.ok for allowance in allowances] == [True] * 10 + [False]
    assert taken(limits, NOW + NS_PER_S).ok


def test_a_clock_that_was_put_back_a_little_gives_nothing_away() -> None:
    limits = RateLimits()
    for _ in range(10):
        assert taken(limits, NOW).ok
    assert not taken(limits, NOW - NS_PER_S // 2).ok
    assert taken(limits, NOW + NS_PER_S).ok


def test_a_ban_ends_when_the_clock_is_put_back_behind_its_beginning() -> None:
    limits = AddressLimits()
    limits.ban("10.0.0.1", NOW + 3_600 * NS_PER_S)
    assert limits.admits("10.0.0.1", NOW)


def test_an_address_that_asks_too_often_is_banned_and_lifted_by_itself() -> None:
    limits = AddressLimits()
    for _ in range(ADDRESS_BUDGET.limit):
        assert limits.admits("10.0.0.1", NOW)
    assert not limits.admits("10.0.0.1", NOW)
    assert limits.admits("10.0.0.2", NOW)
    assert not limits.admits("10.0.0.1", NOW + BAN_NS - 1)
    assert limits.admits("10.0.0.1", NOW + BAN_NS)


def test_a_ban_can_be_ordered_and_lifted() -> None:
    limits = AddressLimits(budget=Budget(5), ban_ns=NS_PER_S)
    limits.ban("10.0.0.1", NOW)
    assert not limits.admits("10.0.0.1", NOW)
    limits.lift()
    assert limits.admits("10.0.0.1", NOW)


def test_addresses_that_fell_silent_are_forgotten_and_bans_are_not() -> None:
    limits = AddressLimits(budget=Budget(1), ban_ns=100 * NS_PER_S)
    assert limits.admits("banned", NOW)
    assert not limits.admits("banned", NOW)
    for n in range(5_000):
        assert limits.admits(f"stranger-{n}", NOW + n * NS_PER_MS)
    assert limits.size < 5_000
    assert not limits.admits("banned", NOW + 6 * NS_PER_S)
