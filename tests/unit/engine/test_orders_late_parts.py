"""Fills of one order that are told in another order than they happened."""

from __future__ import annotations

import pytest

from kedge.domain.errors import IllegalTransition
from kedge.domain.events import OrderFilled
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.engine.lifecycle import Status
from kedge.engine.orders import Orders

from ...builders import T0, order


def part(fill_id: str, lots: int, leaves: int) -> OrderFilled:
    return OrderFilled(T0, fill_id, "o1", "test:AAAUSDT", Side.BUY, lots, 1_000, 1, Liquidity.TAKER, leaves, FillCause.TRADE)


def orders() -> Orders:
    made = Orders()
    made.add(order())
    return made


def test_a_part_that_was_missed_is_booked_after_the_last_one() -> None:
    held = orders()
    held.fill(part("b", 600, 0))
    assert held.by_id["o1"].status is Status.FILLED
    assert held.fill(part("a", 400, 600)) is not None
    assert held.fill(part("a", 400, 600)) is None
    assert (held.by_id["o1"].status, held.by_id["o1"].filled_lots, held.live_count) == (Status.FILLED, 1_000, 0)


def test_more_than_the_whole_order_is_not_understood() -> None:
    held = orders()
    held.fill(part("b", 600, 0))
    with pytest.raises(IllegalTransition):
        held.fill(part("a", 401, 600))
    assert held.by_id["o1"].filled_lots == 600
