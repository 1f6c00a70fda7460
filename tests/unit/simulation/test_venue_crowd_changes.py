"""A background that quotes thinner, further away, or not at all from one moment on; and the faults that order it so."""

from __future__ import annotations

from kedge.domain.units import E8
from kedge.simulation.faults import Fault
from kedge.simulation.faults_armed import Armoury
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, PriceLevel, VenueSettings

from ...builders import AAA, T0, instrument
from .test_venue_rules import BUY, SELL, TICK_E8, ask, took, venue

USUAL = Crowd(levels=5, notional_e8=10_000 * E8)
MS = 1_000_000


def priced(ticks: int = 10_000) -> Venue:
    made = venue(USUAL)
    made.set_prices(AAA, ticks, ticks * TICK_E8, ticks * TICK_E8, T0, flow_lots=0)
    return made


def book(made: Venue) -> tuple[tuple[PriceLevel, ...], tuple[PriceLevel, ...]]:
    shown = made.depth(AAA, 50)
    return shown.bids, shown.asks


def changed(made: Venue, **fields: int) -> None:
    members = {name: getattr(USUAL, name) for name in Crowd.__struct_fields__}
    made.set_crowd(AAA, Crowd(**{**members, **fields}))


def test_a_thinner_background_shows_at_once_and_the_usual_one_again_later() -> None:
    made = priced()
    before = sum(lots for _, lots in book(made)[0])
    changed(made, notional_e8=100 * E8)
    thin = sum(lots for _, lots in book(made)[0])
    assert 0 < thin < before // 20
    assert len(book(made)[0]) == len(book(made)[1]) == 5
    made.set_crowd(AAA, USUAL)
    assert sum(lots for _, lots in book(made)[1]) > 20 * thin


def test_an_empty_background_leaves_nothing_to_trade_with_but_other_accounts() -> None:
    made = priced()
    changed(made, notional_e8=0)
    assert book(made) == ((), ())
    took(made.place("a", ask(BUY, 5_000, 9_990), T0))
    assert book(made)[0] == ((9_990, 5_000),)
    assert took(made.place("b", ask(SELL, 5_000, 9_990), T0)).cum_lots == 5_000


def test_a_gap_stands_on_both_sides_of_the_price_and_moves_with_it() -> None:
    made = priced()
    changed(made, gap_bps=300)
    for last in (10_000, 8_000):
        made.set_prices(AAA, last, last * TICK_E8, last * TICK_E8, T0, flow_lots=0)
        bids, asks = book(made)
        assert last * 96 // 100 < bids[0][0] <= last * 97 // 100
        assert last * 103 // 100 <= asks[0][0] < last * 104 // 100


def test_a_gap_wider_than_the_price_leaves_no_bids() -> None:
    made = priced(10)
    changed(made, gap_bps=10_000)
    assert book(made)[0] == ()
    assert book(made)[1]


def test_the_same_background_changes_nothing_and_one_before_any_price_waits_for_it() -> None:
    made = priced()
    shown = book(made)
    made.set_crowd(AAA, USUAL)
    assert book(made) == shown
    bare = Venue([instrument(AAA)], VenueSettings(crowd=USUAL), T0)
    changed(bare, gap_bps=100)
    assert book(bare) == ((), ())
    bare.set_prices(AAA, 10_000, 10_000 * TICK_E8, 10_000 * TICK_E8, T0, flow_lots=0)
    assert book(bare)[0][0][0] <= 9_900


def test_faults_of_the_book_say_how_the_background_quotes_and_for_how_long() -> None:
    armoury = Armoury()
    assert armoury.crowd(USUAL, 0, "BTCUSDT") == USUAL
    armoury.arm(Fault("thin_book", bps=100, ms=20, symbol="BTCUSDT"), 0)
    armoury.arm(Fault("wide_book", bps=300, ms=10), 0)
    both = armoury.crowd(USUAL, 0, "BTCUSDT")
    assert (both.notional_e8, both.gap_bps) == (USUAL.notional_e8 // 100, 300)
    other = armoury.crowd(USUAL, 0, "ETHUSDT")
    assert (other.notional_e8, other.gap_bps) == (USUAL.notional_e8, 300)
    assert armoury.crowd(USUAL, 15 * MS, "BTCUSDT").gap_bps == 0
    assert armoury.crowd(USUAL, 20 * MS, "BTCUSDT") == USUAL
    armoury.arm(Fault("thin_book", ms=5), 30 * MS)
    assert armoury.crowd(USUAL, 30 * MS, "BTCUSDT").notional_e8 == 0
