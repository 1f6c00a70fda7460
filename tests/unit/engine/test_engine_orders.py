"""Our own orders: what is reserved, what is remembered, what is told apart."""

from __future__ import annotations

import pytest

from kedge.domain.errors import IllegalTransition
from kedge.domain.orders import Side
from kedge.engine.lifecycle import Report, Status
from kedge.engine.orders import FINISHED_KEPT, STRANGE_KEPT, Orders

from ...builders import AAA, BBB, filled, order


def test_reserved_lots_and_best_resting_prices_by_side() -> None:
    orders = Orders()
    for name, side, lots, limit in (("a", Side.BUY, 3, 90), ("b", Side.BUY, 4, 95), ("c", Side.SELL, 5, 110), ("d", Side.SELL, 6, 105)):
        orders.add(order(name, side, lots, limit))
    orders.add(order("m", Side.BUY, 7))
    assert orders.open_lots(AAA) == (14, 11)
    assert orders.best_resting(AAA) == (95, 105)
    assert orders.live_count == 5
    assert (orders.open_lots(BBB), orders.best_resting(BBB)) == ((0, 0), (0, 0))


def test_parts_out_of_order_never_raise_what_is_reserved() -> None:
    orders = Orders()
    sent = order(lots=10)
    orders.add(sent)
    orders.fill(filled(sent, 1, 100, lots=3, leaves=4, fill_id="second"))
    orders.fill(filled(sent, 1, 100, lots=3, leaves=7, fill_id="first"))
    assert orders.open_lots(AAA) == (4, 0)


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
        orders.report("o4", Report.NO_REPLY)
    assert orders.report("o5", Report.NO_REPLY).status is Status.CANCELED
    assert all(orders.is_new_strange(f"s{n}") for n in range(STRANGE_KEPT + 5))
    assert not orders.is_new_strange("s5")
    assert orders.is_new_strange("s4"), "forgotten by now"
