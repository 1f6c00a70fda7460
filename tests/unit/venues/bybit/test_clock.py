"""The venue's clock as we estimate it: best sample, rather late than early, and words for a wrong machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import VenueUnavailable
from kedge.venues.bybit.clock_offset import LATE_MAX_NS, MEASURE_EVERY_NS, ClockOffset, ClockSample

MS = 1_000_000
S = 1_000 * MS
VENUE0 = 1_767_000_000 * S


def sample(at_ns: int, there_ns: int, back_ns: int, *, wall_ahead_ns: int = 0) -> ClockSample:
    """An exchange sent at monotonic `at_ns`, when the venue's clock showed `VENUE0 + at_ns`."""
    received = at_ns + there_ns + back_ns
    return ClockSample(at_ns, received, VENUE0 + received + wall_ahead_ns, VENUE0 + at_ns + there_ns)


def test_the_shortest_round_trip_is_believed() -> None:
    clock = ClockOffset()
    clock.measure([sample(0, 5 * MS, 300 * MS), sample(S, 10 * MS, 10 * MS), sample(2 * S, 200 * MS, 1 * MS)])
    assert clock.venue_wall_ns(3 * S) == VENUE0 + 3 * S


@given(st.integers(0, 80 * MS), st.integers(0, 80 * MS), st.integers(0, 600 * S))
def test_a_timestamp_is_never_from_the_venues_future_and_never_a_window_late(there_ns: int, back_ns: int, later_ns: int) -> None:
    clock = ClockOffset()
    clock.measure([sample(5 * S, there_ns, back_ns)])
    now_ns = 5 * S + there_ns + back_ns + later_ns
    behind_ns = VENUE0 + now_ns - clock.timestamp_ms(now_ns) * MS
    assert 0 <= behind_ns <= there_ns + back_ns + MS


def test_deliberate_lateness_is_bounded() -> None:
    clock = ClockOffset()
    clock.measure([sample(0, S, S)])
    assert clock.timestamp_ms(2 * S) == (VENUE0 + 2 * S - LATE_MAX_NS) // MS


def test_a_step_of_the_machines_clock_changes_nothing() -> None:
    steady, stepped = ClockOffset(), ClockOffset()
    steady.measure([sample(0, MS, MS)])
    stepped.measure([sample(0, MS, MS, wall_ahead_ns=3_600 * S)])
    assert steady.timestamp_ms(50 * S) == stepped.timestamp_ms(50 * S)


def test_an_unmeasured_clock_tells_no_time() -> None:
    clock = ClockOffset()
    assert not clock.is_measured
    assert clock.is_due(0)
    with pytest.raises(VenueUnavailable, match="not known yet"):
        clock.timestamp_ms(0)
    with pytest.raises(VenueUnavailable, match="not measured"):
        clock.measure([])


def test_a_measurement_falls_due_after_its_time() -> None:
    clock = ClockOffset()
    clock.measure([sample(0, MS, MS)])
    assert not clock.is_due(2 * MS + MEASURE_EVERY_NS - 1)
    assert clock.is_due(2 * MS + MEASURE_EVERY_NS)


@pytest.mark.parametrize(
    ("ahead_ns", "words"),
    [(0, ""), (400 * MS, ""), (-400 * MS, ""), (2 * S, "2.0 s fast"), (-3 * S, "3.0 s slow"), (3_600 * S, "time zone")],
)
def test_a_wrong_clock_is_reported_with_what_to_do(ahead_ns: int, words: str) -> None:
    report = ClockOffset().measure([sample(0, MS, MS, wall_ahead_ns=ahead_ns)])
    assert report.ahead_ns == ahead_ns
    assert words in report.words
    assert bool(report.words) == bool(words)
    if words:
        assert "time service" in report.words
