"""Flat is a second of nothing after the last moment at which an old order may still come; a dead trader's orders go again and again."""

from __future__ import annotations

from kedge.domain.units import NS_PER_S
from kedge.risk.brake.flatness import DeadMan, FlatClock

S = NS_PER_S


def test_a_second_of_nothing_counts_only_after_the_quiet_time() -> None:
    clock = FlatClock(10 * S, 3 * S, S)
    assert [clock.saw(at * S // 10, 0, 0) for at in (101, 120, 129, 130, 135, 139, 140)] == [False] * 6 + [True]
    assert clock.is_flat


def test_one_order_or_position_begins_the_second_anew() -> None:
    clock = FlatClock(0, 0, S)
    clock.saw(0, 0, 0)
    assert not clock.saw(S // 2, 1, 0)
    assert not clock.saw(S, 0, 0)
    assert not clock.saw(S + S // 2, 0, 1)
    assert not clock.saw(2 * S, 0, 0)
    assert clock.saw(3 * S, 0, 0)
    assert not clock.saw(3 * S + 1, 1, 0)
    assert not clock.is_flat


def test_a_silent_traders_orders_go_once_a_second_as_long_as_there_are_any() -> None:
    man = DeadMan(10)
    assert not man.is_due(0, 10 * S, 5), "at the limit it is not silent yet"
    assert man.is_due(S, 10 * S + 1, 5)
    assert not man.is_due(S + S // 2, 11 * S, 5)
    assert man.is_due(2 * S, 11 * S, 5)
    assert not man.is_due(9 * S, 20 * S, 0)


def test_a_dead_mans_switch_at_zero_is_off() -> None:
    assert not DeadMan(0).is_due(0, 10**15, 5)
