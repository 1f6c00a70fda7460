"""Scores of probabilities: the published vector, scikit-learn as the oracle, ties, weights, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.learning.calibration_vector import P, Y

from kedge.domain.errors import InvalidInput
from kedge.learning.evaluation import auc, calibration_gaps, evaluate

TOLERANCE = 1e-6


def test_the_measures_are_the_published_vector() -> None:
    found = evaluate(P, Y)
    assert found.brier == pytest.approx(0.23111501341666668, abs=TOLERANCE)
    assert found.log_loss == pytest.approx(0.6821293863734869, abs=TOLERANCE)
    assert found.base_rate == pytest.approx(0.5416666666666666, abs=TOLERANCE)
    assert found.brier_skill == pytest.approx(0.06907519071328672, abs=TOLERANCE)
    assert found.brier_base == pytest.approx(0.2482638888888889, abs=TOLERANCE)
    assert found.ece == pytest.approx(0.13237749999999998, abs=TOLERANCE)
    assert max(calibration_gaps(P, Y, np.ones(len(P)))[1]) == pytest.approx(0.29562727272727274, abs=TOLERANCE)
    assert (found.rows, found.effective_rows) == (len(P), float(len(P)))


@pytest.mark.parametrize("rounding", [1, 2, 15])
def test_weighted_measures_are_scikit_learns_ties_included(rounding: int) -> None:
    from sklearn import metrics

    rng = np.random.default_rng(rounding)
    p = np.round(rng.uniform(0.01, 0.99, 500), rounding)
    y, w = (rng.uniform(size=500) < p) * 1.0, rng.uniform(0.1, 1.0, 500)
    found = evaluate(p, y, w)
    assert found.brier == pytest.approx(metrics.brier_score_loss(y, p, sample_weight=w), abs=1e-12)
    assert found.auc == pytest.approx(metrics.roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    assert found.log_loss == pytest.approx(metrics.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), sample_weight=w), abs=1e-9)
    assert found.hit_rate == pytest.approx(np.average(np.where(p == 0.5, 0.5, (p > 0.5) == (y == 1)), weights=w), abs=1e-12)
    assert found.effective_rows == pytest.approx(w.sum())


def test_auc_counts_pairs_and_half_of_ties() -> None:
    p, y, w = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0, 0.5])
    pairs = [(a, b) for a in (2, 3) for b in (0, 1)]
    won = sum(w[a] * w[b] * (1.0 if p[a] > p[b] else 0.5 if p[a] == p[b] else 0.0) for a, b in pairs)
    assert auc(p, y, w) == pytest.approx(won / sum(w[a] * w[b] for a, b in pairs))


def test_always_the_base_rate_has_no_skill_and_ranks_nothing() -> None:
    y = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    found = evaluate(np.full(5, 0.4), y)
    assert found.brier_skill == pytest.approx(0.0)
    assert found.auc == 0.5
    assert found.log_loss == pytest.approx(found.log_loss_base)


def test_one_class_has_neither_skill_nor_rank() -> None:
    found = evaluate(np.array([0.2, 0.9]), np.array([1.0, 1.0]))
    assert math.isnan(found.brier_skill)
    assert math.isnan(found.auc)


def test_certainty_is_put_in_the_last_bin_and_its_loss_is_bounded() -> None:
    found = evaluate(np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert found.log_loss == pytest.approx(-math.log(1e-15) / 2, rel=1e-3)
    assert found.ece == 0.5


@pytest.mark.parametrize(
    ("p", "y", "w", "told"),
    [
        ([], [], [], "0 probabilities"),
        ([0.5], [1.0, 0.0], [1.0], "2 outcomes"),
        ([1.5], [1.0], [1.0], "outside 0 .. 1"),
        ([math.nan], [1.0], [1.0], "outside 0 .. 1"),
        ([0.5], [0.5], [1.0], "neither 0 nor 1"),
        ([0.5], [1.0], [0.0], "weight not positive"),
        ([0.5], [1.0], [math.nan], "weight not positive"),
    ],
)
def test_what_cannot_be_scored_is_refused(p: list[float], y: list[float], w: list[float], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        evaluate(np.array(p), np.array(y), np.array(w))
