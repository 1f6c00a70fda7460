"""Trades that an order which is over has made by the venue's word, and that are not told yet: they stay reserved."""

from __future__ import annotations

from kedge.domain.events import OrderCanceled
from kedge.engine.lifecycle import Status

from ...builders import AAA, T0, Wish, engine
from .lives import NAME, brought_to
from .test_orders_late_parts import orders, part


def test_the_part_before_the_last_trade_stays_reserved_until_it_is_told() -> None:
    held = orders()
    held.fill(part("b", 600, 0))
    assert held.open_lots("test:AAAUSDT") == (400, 0)
    assert not held.is_settled("test:AAAUSDT")
    held.fill(part("a", 400, 600))
    assert held.open_lots("test:AAAUSDT") == (0, 0)
    assert held.is_settled("test:AAAUSDT")


def test_a_cancelled_order_keeps_reserved_what_the_venue_says_it_traded() -> None:
    held = orders()
    held.fill(part("a", 100, 900))
    state = held.canceled("o1", 400)
    assert (state.status, state.reserved_lots, held.live_count) == (Status.CANCELED, 300, 0)
    held.fill(part("b", 200, 700))
    assert state.reserved_lots == 100
    assert held.canceled("o1", 400).reserved_lots == 100, "told again, nothing new"
    held.fill(part("c", 100, 600))
    assert held.is_settled("test:AAAUSDT")


def test_a_later_word_that_less_was_traded_frees_it() -> None:
    held = orders()
    held.canceled("o1", 400)
    assert held.canceled("o1", 0).reserved_lots == 0
    assert held.is_settled("test:AAAUSDT")


def test_a_cancel_that_does_not_say_what_was_traded_reserves_nothing() -> None:
    held = orders()
    assert held.canceled("o1", None).reserved_lots == 0


def test_a_filled_order_that_was_cut_expects_no_more_than_it_was_cut_to() -> None:
    held = orders()
    held.fill(part("b", 600, 0))
    held.amended("o1", 600, 0, T0)
    assert held.is_settled("test:AAAUSDT")


def test_an_instrument_is_busy_until_the_trades_are_told_also_after_a_restart() -> None:
    one, _ = brought_to(Status.OPEN)
    one.step(OrderCanceled(T0 + 10**12, NAME, "EC_Done", 300))
    again = engine(Wish())
    again.restore(one.snapshot())
    for each in (one, again):
        assert sum(each.state.orders.open_lots(AAA)) == 300
        assert not each.state.orders.is_settled(AAA)
