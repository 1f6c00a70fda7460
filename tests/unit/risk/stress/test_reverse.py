"""Reverse stress: closed form, local sets, books with tiers and liquidation, and what cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.risk.stress.makers import CALM, QUIET, book, perp, position, tiers

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.risk.stress.factors import shocks_e8
from kedge.risk.stress.revalue import shock
from kedge.risk.stress.reverse import elliptical, nearest
from kedge.risk.stress.reverse_book import Target, reverse
from kedge.risk.stress.surface import Surface
from kedge.risk.stress.types import Assumptions, Collateral, StressResult

COV = np.array([[0.0009, 0.00096, 0.00099], [0.00096, 0.0016, 0.00154], [0.00099, 0.00154, 0.003025]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


def test_for_a_linear_book_the_search_finds_the_closed_form_and_nothing_else() -> None:
    expected = elliptical(WEIGHTS, COV, 0.25)
    (found,) = nearest(lambda moves: 0.25 + float(WEIGHTS @ moves), COV, rng=np.random.default_rng(1), random_starts=5)
    assert found.distance == pytest.approx(expected.distance, rel=1e-6)
    assert found.moves == pytest.approx(expected.moves, rel=1e-4)


def test_a_book_that_breaches_both_ways_has_two_local_answers_nearest_first() -> None:
    cov = np.diag([0.01, 0.01])
    found = nearest(lambda moves: min(0.3 + float(moves[0]), 0.4 - float(moves[0])), cov)
    assert [one.distance for one in found] == pytest.approx([3.0, 4.0], rel=1e-6)
    assert found[0].moves == pytest.approx([-0.3, 0.0], abs=1e-6)


def test_a_book_already_past_the_limit_answers_with_no_move() -> None:
    (found,) = nearest(lambda moves: -1.0, COV)
    assert (found.distance, found.start) == (0.0, "unmoved")


def test_where_nothing_within_reach_breaches_the_answer_is_empty() -> None:
    assert nearest(lambda moves: 1.0, COV) == ()
    assert nearest(lambda moves: 2.0 + float(moves[0]), np.array([[0.01]])) == ()


def test_moves_that_the_covariance_does_not_know_are_never_made() -> None:
    cov = np.outer([1.0, 2.0], [1.0, 2.0]) * 1e-4
    (found,) = nearest(lambda moves: 0.1 + float(moves[1]), cov)
    assert found.moves == pytest.approx([-0.05, -0.1], rel=1e-6)
    (at_rest,) = nearest(lambda moves: 0.1 + float(moves[0]), np.diag([0.01, 0.0]))
    assert at_rest.moves == pytest.approx([-0.1, 0.0], abs=1e-9)


@pytest.mark.parametrize("cov", [np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((2, 2))])
def test_a_matrix_that_is_no_covariance_is_refused(cov: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="covariance"):
        nearest(lambda moves: 1.0 + float(moves[0]), cov)


@pytest.mark.parametrize(("weights", "loss"), [(np.zeros(3), 0.1), (np.ones(2), 0.1), (WEIGHTS, 0.0), (WEIGHTS, float("nan"))])
def test_a_linear_book_without_risk_or_a_loss_that_is_none_is_refused(weights: np.ndarray, loss: float) -> None:
    with pytest.raises(InvalidInput, match="reverse stress"):
        elliptical(weights, COV, loss)


def hedged(wallet: float = 3_000.0):
    growing = tiers((1_200, 0.01), (2_000, 0.05), (1e6, 0.2))
    spec = {"tiers": growing, "taker_fee_e8": 55_000}
    return book(
        wallet,
        position("BTC", 6_000, instrument=perp("BTC", **spec), depth=QUIET),
        position("ETH", -3_000, instrument=perp("ETH", **spec), depth=QUIET),
        position("SOL", -1_000, instrument=perp("SOL", **spec), depth=QUIET),
        collateral=(Collateral(asset="ETH", value_e8=100 * E8, haircut_e8=E8 // 10),),
    )


ASSETS = ("BTC", "ETH", "SOL")


@pytest.mark.parametrize("fee", [True, False])
def test_the_continuous_surface_is_the_exact_revaluation_but_for_ticks(fee: bool) -> None:
    assumed = Assumptions(margin_closing_fee=fee)
    surface, rng = Surface(hedged(), ASSETS, assumed), np.random.default_rng(7)
    for moves in rng.uniform(-0.6, 1.5, (40, 3)):
        exact, point = shock(hedged(), shocks_e8(ASSETS, moves), assumed), surface.at(moves)
        assert point.equity == pytest.approx(exact.equity_e8 / E8, abs=2.0)
        assert point.maintenance == pytest.approx(exact.maintenance_e8 / E8, abs=1.0)
        assert point.exit_cost == pytest.approx(exact.exit_cost_e8 / E8, abs=0.1)


def past(result: StressResult, target: Target, limit_e8: int) -> bool:
    if target is Target.LOSS:
        return result.liquidated or result.loss_frac_e8 >= limit_e8
    if target is Target.LIQUIDATION:
        return result.equity_e8 <= result.maintenance_e8
    return result.equity_e8 <= 0 or result.maintenance_e8 * E8 >= limit_e8 * result.equity_e8


@pytest.mark.parametrize(
    ("target", "limit_e8"), [(Target.LOSS, E8 // 5), (Target.LOSS, 5 * E8), (Target.LIQUIDATION, 0), (Target.MARGIN_RATIO, E8 // 2)]
)
def test_the_nearest_shock_breaches_and_none_of_many_nearer_ones_does(target: Target, limit_e8: int) -> None:
    found = reverse(hedged(), ASSETS, COV, target, limit_e8, CALM, rng=np.random.default_rng(3), random_starts=4)
    assert found
    assert all(one.confirmed and past(one.result, target, limit_e8) for one in found)
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    root, rng = np.linalg.cholesky(COV), np.random.default_rng(5)
    for direction in rng.standard_normal((300, 3)):
        moves = root @ (direction / np.linalg.norm(direction) * found[0].distance * 0.995)
        if moves.min() > -0.99:
            assert not past(shock(hedged(), shocks_e8(ASSETS, moves), CALM), target, limit_e8)


def test_a_book_whose_records_end_below_the_shock_is_searched_within_them() -> None:
    low_ceiling = perp("BTC", price_max_ticks=11_000)
    short = book(400, position("BTC", -1_000, instrument=low_ceiling, depth=QUIET))
    assert reverse(short, ("BTC",), COV[:1, :1], Target.LIQUIDATION, assumptions=CALM) == ()


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InvalidInput, match="limit_e8 is 0"):
        reverse(hedged(), ASSETS, COV, Target.LOSS)
    with pytest.raises(InvalidInput, match="equity is 0"):
        reverse(book(0), ASSETS, COV, Target.LIQUIDATION)
    with pytest.raises(InvalidInput, match="not named"):
        reverse(hedged(), ASSETS[:2], COV[:2, :2], Target.LIQUIDATION)
