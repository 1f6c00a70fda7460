"""A venue with a past: klines and settlements of before its first price, which nobody traded at and everybody may ask for."""

from __future__ import annotations

import pytest
from tests.builders import AAA, BBB, HOUR, MINUTE, T0, bar, instrument, walk

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FundingKnown
from kedge.simulation.venue import Venue
from kedge.simulation.venue_klines import Klines
from kedge.simulation.venue_types import KlineRow, VenueSettings


def made(minutes: int, ids: tuple[str, ...] = (AAA,)) -> Venue:
    """A venue whose time is so many minutes after T0."""
    return Venue([instrument(name) for name in ids], VenueSettings(seed=3), T0 + minutes * MINUTE)


def ohlcv(row: KlineRow) -> tuple[int, ...]:
    return row.start_ns, row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks, row.volume_lots


def as_row(one: BarClosed) -> tuple[int, ...]:
    return one.open_ts_ns, one.open_ticks, one.high_ticks, one.low_ticks, one.close_ticks, one.volume_lots


def test_the_past_is_told_as_klines_of_its_length_newest_first() -> None:
    venue, bars = made(12, (AAA, BBB)), walk(5, 12, (AAA, BBB))
    venue.remember(bars)
    for name in (AAA, BBB):
        rows = venue.klines(name, "1", limit=100)
        assert [ohlcv(row) for row in rows] == [as_row(one) for one in reversed(bars) if one.instrument == name]
        assert all(row.confirm for row in rows)
    assert venue.ticker(AAA).last_ticks == 0


def test_longer_klines_are_made_of_the_past_and_go_on_with_the_first_trade() -> None:
    venue, bars = made(7), walk(5, 7)
    venue.remember(bars)
    (five,) = venue.klines(AAA, "5", limit=10)
    assert ohlcv(five)[1:] == (
        bars[0].open_ticks,
        max(one.high_ticks for one in bars[:5]),
        min(one.low_ticks for one in bars[:5]),
        bars[4].close_ticks,
        sum(one.volume_lots for one in bars[:5]),
    )
    venue.play_bar(bar(8, 1_111))
    forming = venue.klines(AAA, "5", limit=1)[0]
    assert (forming.confirm, forming.open_ticks, forming.close_ticks) == (False, bars[5].open_ticks, 1_111)
    assert forming.volume_lots == sum(one.volume_lots for one in bars[5:]) + bar(8, 1_111).volume_lots


def test_hours_remembered_leave_minutes_unknown() -> None:
    venue = made(600)
    hours = [bar(n, 1_000 + n, span=HOUR) for n in range(1, 11)]
    venue.remember(hours)
    assert venue.klines(AAA, "1", limit=10) == []
    assert [row.close_ticks for row in venue.klines(AAA, "60", limit=3)] == [1_010, 1_009, 1_008]
    assert len(venue.klines(AAA, "120", limit=10)) >= 4


def test_settlements_of_the_past_stand_in_the_history_with_the_mark_of_their_bar() -> None:
    venue, bars = made(10), walk(5, 10)
    rates = [FundingKnown(T0 + 3 * MINUTE, AAA, -50), FundingKnown(T0 - HOUR, AAA, 7)]
    venue.remember(bars, sorted(rates, key=lambda rate: rate.ts_ns))
    told = [(row.ts_ns, row.rate_e8, row.mark_e8) for row in venue.funding_history(AAA)]
    assert told == [(T0 + 3 * MINUTE, -50, bars[2].close_ticks * instrument().tick_e8), (T0 - HOUR, 7, 0)]


def test_a_past_that_is_not_over_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the venue's past") as told:
        made(3).remember(walk(5, 4))
    assert "after" in told.value.why


def test_a_past_after_the_first_price_is_refused() -> None:
    venue = made(0)
    venue.play_bar(bar(1))
    with pytest.raises(InvalidInput, match="the venue's past") as told:
        venue.remember(walk(5, 1))
    assert "prices have been fed" in told.value.why


def test_a_hole_before_the_first_trade_ends_what_was_forming() -> None:
    klines = Klines(AAA, 100)
    klines.remember([bar(1), bar(2), bar(31)], 1, T0 + 60 * MINUTE)
    starts = [(row.start_ns - T0) // MINUTE for row in klines.rows("5", 10, None, None)]
    assert starts == [30, 0]
    klines.trade(1_234, 5, 0, T0 + 60 * MINUTE)
    current = klines.current("5")
    assert current is not None
    assert ((current.start_ns - T0) // MINUTE, current.open_ticks, current.volume_lots) == (60, 1_234, 5)


def test_a_settlement_and_a_new_rate_are_told_by_a_ticker_at_once() -> None:
    venue = made(0)
    venue.play_bar(bar(1))
    venue.drain()
    venue.set_funding_rate(AAA, 123)
    (ticker,) = [row for row in venue.drain() if hasattr(row, "funding_rate_e8")]
    assert ticker.funding_rate_e8 == 123
    venue.set_funding_rate(AAA, 123)
    assert not [row for row in venue.drain() if hasattr(row, "funding_rate_e8")]
    due_ns = ticker.next_funding_ns
    venue.advance(due_ns)
    (settled,) = [row for row in venue.drain() if hasattr(row, "funding_rate_e8")]
    assert (settled.ts_ns, settled.next_funding_ns > due_ns) == (due_ns, True)
