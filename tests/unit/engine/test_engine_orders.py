"""Our own orders: what is reserved, what is remembered, what is told apart."""

from __future__ import annotations

import pytest

from kedge.domain.errors import IllegalTransition
from kedge.domain.orders import Side
from kedge.engine.lifecycle import Report, Status
from kedge.engine.orders import FINISHED_KEPT, STRANGE_KEPT, Orders

from ...builders import AAA, BBB, T0, filled, order


def test_reserved_lots_and_best_resting_prices_by_side() -> None:
    orders = Orders()
    for name, side, lots, limit in (("a", Side.BUY, 3, 90), ("b", Side.BUY, 4, 95), ("c", Side.SELL, 5, 110), ("d", Side.SELL, 6, 105)):
        orders.add(order(name, side, lots, limit))
    orders.add(order("m", Side.BUY, 7))
    assert orders.open_lots(AAA) == (14, 11)
    assert orders.best_resting(AAA) == (95, 105)
    assert orders.live_count == 5
    assert (orders.open_lots(BBB), orders.best_resting(BBB)) == ((0, 0), (0, 0))


def test_a_part_that_was_not_told_yet_stays_reserved_and_what_is_reserved_only_shrinks() -> None:
    orders = Orders()
    sent = order(lots=10)
    orders.add(sent)
    orders.fill(filled(sent, 1, 100, lots=3, leaves=4, fill_id="second"))
    assert orders.open_lots(AAA) == (7, 0), "4 may trade, and 3 have traded that our position does not hold yet"
    orders.fill(filled(sent, 1, 100, lots=3, leaves=7, fill_id="first"))
    assert orders.open_lots(AAA) == (4, 0)


def test_an_amend_reserves_the_larger_quantity_until_it_is_settled() -> None:
    orders = Orders()
    orders.add(order(lots=10, limit=90))
    orders.report("o1", Report.ACCEPTED)
    orders.amend_sent("o1", 15, None)
    assert orders.open_lots(AAA) == (15, 0)
    orders.fill(filled(order(lots=10), 1, 90, lots=2, leaves=13))
    assert orders.open_lots(AAA) == (13, 0)
    orders.amended("o1", 15, 90, T0)
    assert (orders.open_lots(AAA), orders.by_id["o1"].is_amending) == ((13, 0), False)
    orders.amend_sent("o1", 5, 91)
    assert (orders.open_lots(AAA), orders.best_resting(AAA)) == ((13, 0), (91, 0))
    orders.amend_refused("o1")
    assert (orders.open_lots(AAA), orders.best_resting(AAA)) == ((13, 0), (90, 0))


def test_a_part_of_before_an_amend_told_after_it_takes_nothing_from_what_is_reserved() -> None:
    orders = Orders()
    orders.add(order(lots=10, limit=90))
    orders.report("o1", Report.ACCEPTED)
    orders.amend_sent("o1", 15, None)
    orders.amended("o1", 15, 90, T0)
    orders.fill(filled(order(lots=10), 1, 90, lots=2, leaves=8, fill_id="early"))
    assert orders.open_lots(AAA) == (13, 0)


def test_a_fill_seen_twice_is_told_by_none() -> None:
    orders = Orders()
    sent = order(lots=10)
    orders.add(sent)
    assert orders.fill(filled(sent, 1, 100, lots=3, leaves=7)) is not None
    assert orders.fill(filled(sent, 1, 100, lots=3, leaves=7)) is None
    assert orders.by_id["o1"].fill_ids == ["f1"]


@pytest.mark.parametrize("change", [{"instrument_id": BBB}, {"side": Side.SELL}])
def test_a_fill_of_another_instrument_or_side_changes_nothing(change: dict[str, object]) -> None:
    orders = Orders()
    orders.add(order(lots=10))
    with pytest.raises(IllegalTransition, match="fill f1"):
        orders.fill(filled(order(lots=10, **change), 1, 100))  # type: ignore[arg-type]
    assert orders.by_id["o1"].status is Status.PENDING_NEW
    assert orders.open_lots(AAA) == (10, 0)


def test_finished_orders_and_strange_fills_are_remembered_up_to_a_bound() -> None:
    orders = Orders()
    for n in range(FINISHED_KEPT + 5):
        orders.add(order(f"o{n}"))
        orders.report(f"o{n}", Report.CANCELED)
    assert len(orders.by_id) == FINISHED_KEPT
    with pytest.raises(KeyError):
        orders.report("o4", Report.ANSWER_LOST)
    assert orders.report("o5", Report.ANSWER_LOST).status is Status.CANCELED
    assert all(orders.is_new_strange(f"s{n}") for n in range(STRANGE_KEPT + 5))
    assert not orders.is_new_strange("s5")
    assert orders.is_new_strange("s4"), "forgotten by now"


def test_terms_that_are_older_than_those_known_are_no_news() -> None:
    orders = Orders()
    orders.add(order(lots=10, limit=90))
    orders.report("o1", Report.ACCEPTED)
    orders.amend_sent("o1", 15, 91)
    orders.amended("o1", 15, 91, T0 + 2)
    orders.amended("o1", 10, 90, T0 + 1)
    assert (orders.by_id["o1"].qty_lots, orders.by_id["o1"].limit_ticks) == (15, 91)
    assert orders.open_lots(AAA) == (15, 0)


def test_more_lots_than_ordered_or_asked_for_are_not_understood() -> None:
    orders = Orders()
    sent = order(lots=10, limit=90)
    orders.add(sent)
    orders.report("o1", Report.ACCEPTED)
    orders.amend_sent("o1", 12, None)
    orders.fill(filled(sent, 1, 90, lots=11, leaves=1))
    with pytest.raises(IllegalTransition, match="fill f2"):
        orders.fill(filled(sent, 1, 90, lots=2, leaves=0, fill_id="f2"))
    assert orders.by_id["o1"].filled_lots == 11
