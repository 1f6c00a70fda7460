"""Venue time flows with the wall between announced instants, never past them, never back; wall time carries the skew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.venues.exchange.clocks import UNPACED_SPEED, HandClock, PlayClock, WallVenueClock

S = 1_000_000_000
START = 1_700_000_000 * S


class Hands:
    """A monotonic clock and a wall that a test moves."""

    def __init__(self) -> None:
        self.passed_ns = 0

    def monotonic_ns(self) -> int:
        return 5 * S + self.passed_ns

    def wall_ns(self) -> int:
        return 9_000 * S + self.passed_ns


def play_clock(speed: int) -> tuple[PlayClock, Hands]:
    hands = Hands()
    return PlayClock(START, speed, monotonic_ns=hands.monotonic_ns, wall_ns=hands.wall_ns), hands


def test_venue_time_flows_speed_times_as_fast_up_to_the_announced_instant() -> None:
    clock, hands = play_clock(60)
    clock.announce(START + 90 * S)
    hands.passed_ns = S
    assert clock.venue_ns() == START + 60 * S
    assert clock.left_ns(START + 90 * S) == S // 2
    hands.passed_ns = 5 * S
    assert clock.venue_ns() == START + 90 * S


def test_venue_time_stands_at_an_instant_until_the_next_is_announced() -> None:
    clock, hands = play_clock(10)
    clock.announce(START + S)
    hands.passed_ns = S
    clock.reach(START + S)
    hands.passed_ns = 2 * S
    assert clock.venue_ns() == START + S
    clock.announce(START + 100 * S)
    assert clock.venue_ns() == START + 20 * S


def test_a_little_lateness_is_made_up_and_a_long_one_is_let_go() -> None:
    clock, hands = play_clock(1)
    hands.passed_ns = S + S // 2
    clock.reach(START + S)
    assert clock.left_ns(START + 2 * S) == S // 2
    hands.passed_ns = 60 * S
    clock.reach(START + 2 * S)
    assert clock.left_ns(START + 3 * S) == S


def test_a_frozen_clock_stands_still_and_thaws_without_a_jump() -> None:
    clock, hands = play_clock(100)
    clock.announce(START + 1_000 * S)
    hands.passed_ns = S
    clock.freeze()
    hands.passed_ns = 8 * S
    assert clock.venue_ns() == START + 100 * S
    clock.thaw()
    assert clock.venue_ns() == START + 100 * S
    hands.passed_ns = 9 * S
    assert clock.venue_ns() == START + 200 * S


def test_an_unpaced_clock_moves_from_instant_to_instant_and_nothing_is_ever_left_to_wait() -> None:
    clock, hands = play_clock(UNPACED_SPEED)
    clock.announce(START + 60 * S)
    hands.passed_ns = 30 * S
    assert not clock.is_paced
    assert clock.venue_ns() == START
    assert clock.left_ns(START + 60 * S) == 0
    clock.reach(START + 60 * S)
    assert clock.venue_ns() == START + 60 * S


@given(st.lists(st.tuples(st.sampled_from(["pass", "announce", "reach", "freeze", "thaw"]), st.integers(0, 10**12)), max_size=30))
def test_venue_time_never_goes_back_whatever_is_asked_of_it(moves: list[tuple[str, int]]) -> None:
    clock, hands = play_clock(7)
    seen = clock.venue_ns()
    for what, amount in moves:
        if what == "pass":
            hands.passed_ns += amount
        elif what in ("freeze", "thaw"):
            getattr(clock, what)()
        else:
            getattr(clock, what)(START + amount)
        now = clock.venue_ns()
        assert now >= seen
        seen = now


@pytest.mark.parametrize("speed", [0, -1, UNPACED_SPEED + 1])
def test_a_speed_out_of_range_is_refused_by_name(speed: int) -> None:
    with pytest.raises(InvalidInput, match=f"speed is {speed}"):
        PlayClock(START, speed)


def test_only_the_wall_carries_the_skew() -> None:
    clock, _ = play_clock(1)
    clock.skew_ns = -2 * S
    assert clock.wall_ns() == 8_998 * S
    assert clock.venue_ns() == START


def test_a_live_clock_follows_the_wall_and_holds_where_it_is_set_back() -> None:
    times = iter([100, 90, 120])
    clock = WallVenueClock(wall_ns=lambda: next(times))
    assert [clock.venue_ns() for _ in range(3)] == [100, 100, 120]
    still = WallVenueClock(wall_ns=lambda: 50)
    still.skew_ns = 7
    assert (still.wall_ns(), still.venue_ns()) == (57, 50)


def test_a_hand_clock_shows_what_it_is_set_to() -> None:
    clock = HandClock(5)
    clock.skew_ns = 2
    assert (clock.venue_ns(), clock.wall_ns()) == (5, 7)
    assert HandClock(5, 9).wall_ns() == 9
