"""Factor shocks on a book: the others still, following, and as one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.risk.stress.makers import CALM, QUIET, book, position

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.risk.stress.factors import correlation_one, factor_shock, propagated, shocks_e8

COV = np.array([[0.0009, 0.00096], [0.00096, 0.0016]])


def test_leaving_correlated_assets_flat_understates() -> None:
    held = book(3_000, position("BTC", depth=QUIET), position("ETH", depth=QUIET))
    found = factor_shock(held, ("BTC", "ETH"), COV, "BTC", -E8 // 5, CALM)
    assert found.alone.loss_e8 < found.propagated.loss_e8 < found.correlation_one.loss_e8
    assert [one.move_bps for one in found.propagated.positions] == [-2_000, -2_134]
    assert [one.move_bps for one in found.correlation_one.positions] == [-2_000, -2_667]
    assert found.alone.title == "BTC -20.0% alone"


def test_moves_cross_to_the_grid_and_never_reach_all_of_a_price() -> None:
    assert shocks_e8(("BTC", "ETH"), np.array([-0.25, -1.5])) == {"BTC": -E8 // 4, "ETH": 1 - E8}


def test_an_asset_without_covariance_is_refused() -> None:
    with pytest.raises(InvalidInput, match="SOL has no covariance"):
        factor_shock(book(1_000, position()), ("BTC",), COV[:1, :1], "SOL", -1)


@pytest.mark.parametrize(
    "cov",
    [
        np.zeros((2, 3)),
        np.zeros((0, 0)),
        np.array([[1.0, np.nan], [np.nan, 1.0]]),
        np.array([[1.0, 0.5], [0.4, 1.0]]),
        np.array([[-1.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_what_is_no_covariance_is_refused(cov: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="covariance"):
        propagated(cov, 0, -0.1)


@pytest.mark.parametrize("shocked", [-1, 2, 1])
def test_an_asset_that_does_not_move_cannot_be_shocked(shocked: int) -> None:
    with pytest.raises(InvalidInput, match="shock of asset"):
        correlation_one(np.array([[1.0, 0.0], [0.0, 0.0]]), shocked, -0.1)
