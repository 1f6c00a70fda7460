"""Sizes within a budget of expected shortfall: no cap is ever relaxed."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_es import Tail, best_weights, es_frac, es_scale, largest_scale
from kedge.risk.sizing_refused import SizingRefused

RETURNS = np.random.default_rng(9).normal([0.001, 0.002, 0.0], [0.02, 0.04, 0.01], (200, 3))


def test_the_tail_is_counted_as_written_and_not_as_binary_has_it() -> None:
    ordered = -np.arange(10.0, 0.0, -1.0)
    assert es_frac(ordered, 0.9) == 10.0
    assert es_frac(ordered, 0.9, Tail.WORST_FLOOR) == 10.0
    assert es_frac(np.tile(ordered, 3), 0.9) == 10.0
    assert es_frac(ordered, 0.75) == pytest.approx((10 + 9 + 0.5 * 8) / 2.5)
    assert es_frac(ordered, 0.95) == 10.0


@pytest.mark.parametrize(
    ("returns", "confidence", "tail"),
    [
        (np.array([]), 0.95, Tail.ACERBI_TASCHE),
        (np.array([0.1, np.nan]), 0.95, Tail.ACERBI_TASCHE),
        (np.zeros((2, 2)), 0.95, Tail.ACERBI_TASCHE),
        (np.zeros(10), 1.0, Tail.ACERBI_TASCHE),
        (np.zeros(10), 0.4, Tail.ACERBI_TASCHE),
        (np.zeros(10), 0.95, Tail.WORST_FLOOR),
    ],
)
def test_a_tail_that_cannot_be_measured_is_refused(returns: np.ndarray, confidence: float, tail: Tail) -> None:
    with pytest.raises(InvalidInput, match="expected shortfall"):
        es_frac(returns, confidence, tail)


def test_a_tail_nobody_has_seen_gives_no_scale() -> None:
    assert es_scale(0.05, 0.025) == 0.5
    refused = es_scale(-0.01, 0.025)
    assert isinstance(refused, SizingRefused)
    assert (refused.code, refused.observed, refused.limit) == ("ES_NOT_POSITIVE", -0.01, 0.0)
    assert isinstance(largest_scale(np.abs(RETURNS), np.ones(3), 0.95, 0.02), SizingRefused)


@pytest.mark.parametrize("wrong", [(float("nan"), 0.1), (0.1, 0.0), (0.1, float("inf"))])
def test_a_budget_that_cannot_be_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="ES cap"):
        es_scale(*wrong)


def test_the_best_weights_keep_the_cap_and_a_looser_cap_earns_no_less() -> None:
    tight, loose = best_weights(RETURNS, 0.95, 0.03), best_weights(RETURNS, 0.95, 0.06)
    assert not isinstance(tight, SizingRefused)
    assert not isinstance(loose, SizingRefused)
    assert tight.es <= 0.03 + 1e-9
    assert tight.weights.sum() == pytest.approx(1.0)
    assert (tight.weights >= -1e-12).all()
    assert loose.mean >= tight.mean


def test_a_cap_below_what_any_weights_reach_is_refused_with_the_least_and_not_relaxed() -> None:
    refused = best_weights(RETURNS, 0.95, 0.001)
    assert isinstance(refused, SizingRefused)
    assert (refused.code, refused.limit) == ("ES_INFEASIBLE", 0.001)
    just = best_weights(RETURNS, 0.95, refused.observed * 1.0001)
    assert not isinstance(just, SizingRefused)
    assert just.es == pytest.approx(refused.observed, rel=1e-3)


def test_weights_that_cannot_sum_are_refused() -> None:
    refused = best_weights(RETURNS, 0.95, 0.5, gross=1.0, weight_max=0.3)
    assert isinstance(refused, SizingRefused)
    assert (refused.code, refused.observed) == ("WEIGHTS_INFEASIBLE", 1.0)
    assert refused.limit == pytest.approx(0.9)


def test_programs_of_nothing_are_refused() -> None:
    with pytest.raises(InvalidInput, match="ES program"):
        best_weights(RETURNS, 0.95, 0.0)
    with pytest.raises(InvalidInput, match="shape"):
        best_weights(RETURNS[0], 0.95, 0.1)
    with pytest.raises(InvalidInput, match="one per asset"):
        largest_scale(RETURNS, np.ones(2), 0.95, 0.02)
