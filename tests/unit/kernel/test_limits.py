"""Limit questions by example, and what is refused."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidInput
from kedge.kernel.limits import reduces, reference_ticks, within_collar, worst_case_lots


@pytest.mark.parametrize(
    ("position", "buys", "sells", "order", "worst"),
    [(0, 0, 0, 5, 5), (3, 4, 0, 5, 12), (3, 0, 10, -5, 12), (-3, 4, 2, 1, 5), (5, 0, 0, -5, 5), (5, 0, 0, -20, 15)],
)
def test_worst_case(position: int, buys: int, sells: int, order: int, worst: int) -> None:
    assert worst_case_lots(position, buys, sells, order) == worst


@pytest.mark.parametrize(
    ("position", "buys", "sells", "order", "answer"),
    [(5, 0, 0, -5, 1), (5, 9, 0, -5, 1), (5, 0, 1, -5, 0), (5, 0, 0, -6, 0), (5, 0, 0, 1, 0), (-5, 2, 0, 3, 1),
     (-5, 3, 0, 3, 0), (0, 0, 0, -1, 0),
     (5, 0, 0, 0, 0)],
)  # fmt: skip
def test_truly_reduces(position: int, buys: int, sells: int, order: int, answer: int) -> None:
    assert reduces(position, buys, sells, order) == answer


@pytest.mark.parametrize(("price", "answer"), [(105_000, 1), (105_001, 0), (95_000, 1), (94_999, 0), (100_000, 1)])
def test_the_collar_includes_its_edge(price: int, answer: int) -> None:
    assert within_collar(price, 100_000, 500) == answer


@pytest.mark.parametrize(
    ("side", "is_market", "limit", "reference"),
    [(1, 0, 120, 120), (1, 0, 80, 100), (-1, 0, 120, 100), (-1, 0, 80, 100), (1, 1, 0, 100), (1, 1, 120, 100)],
)
def test_reference_price(side: int, is_market: int, limit: int, reference: int) -> None:
    assert reference_ticks(side, is_market, limit, 100) == reference


def test_the_impossible_is_refused() -> None:
    for law in (worst_case_lots, reduces):
        for buys, sells in ((-1, 0), (0, -1)):
            with pytest.raises(InvalidInput, match="open lots"):
                law(1, buys, sells, 1)
    for price, mark, bps in ((0, 1, 1), (1, 0, 1), (-1, 1, 1), (1, 1, -1), (1, 1, 10_001)):
        with pytest.raises(InvalidInput, match="collar"):
            within_collar(price, mark, bps)
    for side, is_market, limit, mark in ((0, 0, 1, 1), (2, 0, 1, 1), (1, 0, 0, 1), (1, 1, 0, 0), (-1, 0, 1, -3)):
        with pytest.raises(InvalidInput, match="reference_ticks"):
            reference_ticks(side, is_market, limit, mark)
