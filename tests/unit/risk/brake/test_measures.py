"""Notional, margin and distance to liquidation of a cross-margin account, against a plain walk over marks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.world import listing

from kedge.domain.units import E8
from kedge.domain.venue import VenuePosition
from kedge.risk.brake.measures import Held, liquidation_distances_e8, maintenance_e8, measured, notional_e8

SPEC, OTHER, _ = listing()
TICK = SPEC.tick_e8
START, FURTHEST = 100, 12


def held(lots: int, mark_ticks: int = 10_000, *, spec=SPEC, leverage_e2: int | None = 1_000, rest_e8: int = 0) -> Held:  # type: ignore[no-untyped-def]
    position = VenuePosition(
        instrument=spec.instrument_id,
        position_idx=0,
        lots=lots,
        cost_e8=0,
        mark_e8=None,
        leverage_e2=leverage_e2,
        stop_loss_ticks=0,
        ts_ns=0,
    )
    return Held(spec=spec, position=position, mark_e8=mark_ticks * TICK + rest_e8, sigma_e8=3_000_000, unstopped_ns=7)


def test_notional_is_signed_and_at_the_mark_between_two_ticks() -> None:
    assert notional_e8(held(500)) == 500 * E8
    assert notional_e8(held(-500, rest_e8=TICK // 2)) == -500 * E8 - 500 * SPEC.tick_value_e8 // 2


def test_maintenance_follows_the_tiers_and_counts_the_closing_fee() -> None:
    small, large = maintenance_e8(held(500)), maintenance_e8(held(50_000))
    assert 5 * E8 < small < 5 * E8 + E8
    value = 50_000 * E8
    assert large > value * 25 // 1_000 - 300 * E8
    assert maintenance_e8(held(500, leverage_e2=None)) >= maintenance_e8(held(500))


def plain_distance(book: list[Held], at: int, equity_e8: int) -> int | None:
    """Tick by tick, each mark revalued by itself."""
    one = book[at]
    start = one.mark_e8 // TICK
    others = sum(maintenance_e8(other) for other in book if other is not one)
    marks = range(start, 0, -1) if one.position.lots > 0 else range(start, FURTHEST * start + 1)
    for mark in marks:
        moved = held(one.position.lots, mark, spec=one.spec)
        worth = equity_e8 + one.position.lots * (mark - start) * one.spec.tick_value_e8
        if worth <= maintenance_e8(moved) + others:
            return abs(mark - start) * E8 // start
    return None


@settings(max_examples=12, deadline=None)
@given(st.integers(-24_000, 24_000).filter(bool), st.integers(-9_000, 9_000), st.integers(150, 900))
def test_the_distance_is_that_of_the_first_mark_at_which_equity_meets_the_margin(lots: int, other: int, equity: int) -> None:
    book = [held(lots, START), *([held(other, START, spec=OTHER)] if other else [])]
    found = liquidation_distances_e8(book, equity * E8)[SPEC.instrument_id]
    expected = plain_distance(book, 0, equity * E8)
    assert found == expected or (expected is None and found is not None and found > (FURTHEST - 1) * E8)


def test_a_position_that_no_mark_liquidates_has_no_distance_and_no_book_has_none() -> None:
    assert liquidation_distances_e8([], 5) == {}
    assert liquidation_distances_e8([held(10)], 1_000_000 * E8) == {SPEC.instrument_id: None}


@pytest.mark.parametrize("lots", [500, -500])
def test_a_mark_between_ticks_is_taken_at_the_nearer_side_of_liquidation(lots: int) -> None:
    on, off = (liquidation_distances_e8([held(lots, rest_e8=rest)], 60 * E8)[SPEC.instrument_id] for rest in (0, TICK // 2))
    assert on is not None
    assert off is not None
    assert off <= on


def test_every_position_is_seen_whole() -> None:
    (seen,) = measured([held(500)], 60 * E8)
    assert (seen.instrument, seen.lots, seen.sigma_e8, seen.unstopped_ns) == (SPEC.instrument_id, 500, 3_000_000, 7)
    assert seen.liquidation_e8 is not None
