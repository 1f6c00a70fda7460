"""The equity curve's levels: each is what a plain loop over all marks gives, whatever the resolution."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kedge.services.replica_equity import FACTOR, LEVELS, EquityLevels

SPAN = 60
Mark = tuple[int, int, int]
marks = st.lists(st.tuples(st.integers(0, 500), st.integers(-(10**6), 10**6), st.integers(0, 10**6)), min_size=1, max_size=80).map(
    lambda found: [(sum(step for step, _, _ in found[: n + 1]) + 1, equity, down) for n, (_, equity, down) in enumerate(found)]
)
"""Times that never fall, equities and drawdowns."""


def by_hand(found: list[Mark], span: int) -> list[tuple[int, int, int, int, int]]:
    buckets: dict[int, list[Mark]] = {}
    for mark in found:
        buckets.setdefault((mark[0] - 1) // span, []).append(mark)
    return [
        (inside[-1][0], inside[-1][1], min(e for _, e, _ in inside), max(e for _, e, _ in inside), max(d for *_, d in inside))
        for _, inside in sorted(buckets.items())
    ]


@given(marks)
def test_every_level_is_what_a_plain_loop_gives(found: list[Mark]) -> None:
    levels = EquityLevels(SPAN)
    ended = [row for mark in found for row in levels.take(*mark)]
    for level in range(4):
        whole = [row[1:] for row in ended if row[0] == level] + [row[1:] for row in levels.unfinished(level)]
        assert whole == by_hand(found, SPAN * FACTOR**level)


@given(marks, st.integers(0, 80))
def test_levels_can_be_put_away_and_taken_up(found: list[Mark], cut: int) -> None:
    whole, first = EquityLevels(SPAN), EquityLevels(SPAN)
    rows = [row for mark in found for row in whole.take(*mark)]
    parts = [row for mark in found[:cut] for row in first.take(*mark)]
    second = EquityLevels(SPAN, first.buckets)
    parts += [row for mark in found[cut:] for row in second.take(*mark)]
    assert parts == rows
    assert second.unfinished(3) == whole.unfinished(3)


def test_memory_does_not_grow_with_the_run() -> None:
    levels = EquityLevels(SPAN)
    for n in range(1, 5_000):
        levels.take(n * SPAN, n, 0)
    assert len(levels.buckets) == LEVELS


def test_the_finest_level_that_fits_is_chosen() -> None:
    levels = EquityLevels(SPAN)
    assert levels.finest_for(10 * SPAN, 100) == 0
    assert levels.finest_for(100 * SPAN, 100) == 1
    assert levels.finest_for(10**18, 100) == LEVELS - 1
