"""The standard shocks: which factor moves, and what each of them does to a book."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.risk.stress.makers import QUIET, book, position

from kedge.domain.errors import InvalidInput
from kedge.risk.stress import standard_shocks
from kedge.risk.stress.types import Assumptions

COV = np.array([[0.0009, 0.0006], [0.0006, 0.0016]])
ASSUMED = Assumptions(slip_multiplier_e2=100, margin_closing_fee=False)


def by_id(held, assets, cov):
    return {one.scenario_id: one for one in standard_shocks(held, assets, cov, ASSUMED)}


def test_six_shocks_answer_what_a_long_book_loses() -> None:
    found = by_id(book(5_000, position("BTC", depth=QUIET), position("ETH", depth=QUIET)), ("BTC", "ETH"), COV)
    assert list(found) == ["factor-down", "factor-down-as-one", "factor-up", "factor-up-as-one", "funding", "liquidity"]
    assert [one.move_bps for one in found["factor-down"].positions] == [-2_000, -1_334]
    assert [one.move_bps for one in found["factor-down-as-one"].positions] == [-2_000, -2_667]
    assert found["factor-down-as-one"].loss_e8 > found["factor-down"].loss_e8 > 0 > found["factor-up"].loss_e8
    assert found["funding"].loss_e8 == found["funding"].funding_e8 + found["funding"].exit_cost_e8
    assert found["funding"].title == "Funding of 0.30% against every position, 3 times"
    assert found["liquidity"].exit_cost_e8 == found["funding"].exit_cost_e8
    assert all(one.funding_e8 > 0 for one in found.values())


def test_a_thin_book_costs_more_to_leave() -> None:
    found = by_id(book(5_000, position("BTC", 200_000, depth=QUIET)), ("BTC",), COV[:1, :1])
    assert found["liquidity"].exit_cost_e8 > found["funding"].exit_cost_e8
    assert found["liquidity"].positions[0].unfilled_lots == 100_000


def test_without_bitcoin_the_largest_holding_is_the_factor() -> None:
    found = by_id(book(5_000, position("SOL", 10, depth=QUIET), position("ETH", -1_000, depth=QUIET)), ("SOL", "ETH"), COV)
    assert found["factor-up"].title == "ETH +20%, the others by covariance"
    assert found["factor-up"].loss_e8 > 0
    still = np.array([[0.0, 0.0], [0.0, 0.0016]])
    moved = by_id(book(5_000, position("BTC", 10, depth=QUIET), position("ETH", depth=QUIET)), ("BTC", "ETH"), still)
    assert moved["factor-down"].title == "ETH -20%, the others by covariance"


def test_a_book_that_nothing_moves_cannot_be_asked() -> None:
    with pytest.raises(InvalidInput, match="without variance"):
        standard_shocks(book(5_000, position("ETH")), ("ETH",), np.zeros((1, 1)))
