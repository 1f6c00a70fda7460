"""Positions and orders of the summary show the stop and the terms that stand now."""

from __future__ import annotations

from kedge.domain.events import OrderAmended, StopPlaced
from kedge.domain.orders import OrderKind
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, T0, Wish, accepted, bar, engine, filled, sent


def test_a_stop_is_shown_with_a_mark_until_the_venue_shows_it() -> None:
    wish = Wish()
    one = engine(wish, stop_distance_frac_e8=10_000_000)
    wish.say(0.1)
    (intent,) = sent(one.step(bar(1)))
    one.step(filled(intent, T0 + 61_000_000_000, 1_001))
    assert one.summary()["positions"][0]["stop"] == "90.1?"
    one.step(StopPlaced(T0 + 62_000_000_000, AAA, 901))
    assert one.summary()["positions"][0]["stop"] == "90.1"


def test_without_stops_none_is_shown() -> None:
    wish = Wish()
    one = engine(wish)
    wish.say(0.1)
    (intent,) = sent(one.step(bar(1)))
    one.step(filled(intent, T0 + 61_000_000_000, 1_001))
    assert one.summary()["positions"][0]["stop"] == ""


def test_an_order_shows_the_quantity_and_limit_that_the_venue_confirmed() -> None:
    wish = Wish()
    one = engine(wish, execution=ExecutionPolicy(entry=OrderKind.LIMIT))
    wish.say(0.1)
    (intent,) = sent(one.step(bar(1)))
    one.step(accepted(intent, T0 + 61_000_000_000))
    one.step(OrderAmended(T0 + 62_000_000_000, intent.client_order_id, 500, intent.limit_ticks - 1))
    (row,) = one.summary()["live_orders"]
    assert (row["qty"], row["leaves"], row["limit"]) == ("0.500", "0.500", "99.9")
