"""Calibration: the published vector, the choice by later Brier score, purging, and maps that never turn a model round."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.unit.learning.calibration_vector import P, Y

from kedge.domain.errors import InvalidInput
from kedge.learning.calibration import CalibrationChoice, fit_calibration, fit_candidates, fit_isotonic, fit_platt
from kedge.learning.features import Float64Array
from kedge.learning.scorer import Calibrator

QUERY = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
ONES = np.ones(len(P))


def choose(scores: Float64Array, y: Float64Array, horizon: int = 5, **given: Any) -> CalibrationChoice:
    t0 = np.arange(len(scores), dtype=np.int64) * 10
    return fit_calibration(scores, y, np.ones(len(scores)), t0, t0 + horizon * 10, **given)


def said_and_came(seed: int, rows: int, truth: Any) -> tuple[Float64Array, Float64Array]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, rows)
    return scores, (rng.uniform(size=rows) < truth(scores)) * 1.0


def test_platt_is_the_published_vector() -> None:
    logits = np.log(P / (1 - P))
    found = fit_platt(logits, Y, ONES)
    assert (found.intercept, found.slope) == (pytest.approx(0.10209646719635038, abs=1e-6), pytest.approx(0.45614725134435125, abs=1e-6))
    expected = [0.2890173134236059, 0.4293763391101327, 0.5255019685982577, 0.6197739940145351, 0.7510751030879822]
    assert Calibrator(found).batch(np.log(QUERY / (1 - QUERY))) == pytest.approx(expected, abs=1e-6)


def test_isotonic_is_the_published_vector() -> None:
    expected = [0.28973034997131386, 0.35294117647058826, 0.6111111111111112, 0.6111111111111112, 0.7222222222222222]
    assert Calibrator(fit_isotonic(P, Y, ONES)).batch(QUERY) == pytest.approx(expected, abs=1e-6)


def test_isotonic_never_claims_certainty() -> None:
    scores = np.arange(40.0)
    found = Calibrator(fit_isotonic(scores, (scores > 19) * 1.0, np.ones(40)))
    assert found.probability(-5.0) == pytest.approx(1 / 42)
    assert found.probability(99.0) == pytest.approx(41 / 42)


def test_scores_that_say_what_they_mean_are_left_alone() -> None:
    found = choose(*said_and_came(2, 6_000, lambda s: 1 / (1 + np.exp(-s))))
    assert found.briers["none"] <= min(found.briers.values()) + 1e-3
    assert found.briers[found.calibration.method] == min(found.briers.values())
    assert found.briers["none"] < found.brier_base


def test_overconfident_scores_are_calmed_by_platt() -> None:
    found = choose(*said_and_came(3, 900, lambda s: 1 / (1 + np.exp(-(0.3 * s - 0.4)))))
    assert found.calibration.method == "platt"
    assert found.calibration.slope == pytest.approx(0.3, abs=0.1)
    assert found.calibration.intercept == pytest.approx(-0.4, abs=0.15)
    assert "isotonic" not in found.briers
    assert "platt has the lowest Brier score on the later 300 rows" in found.why


def test_a_step_is_found_by_isotonic() -> None:
    found = choose(*said_and_came(4, 9_000, lambda s: np.where(s > 1.0, 0.9, 0.35)))
    assert found.calibration.method == "isotonic"
    calibrator = Calibrator(found.calibration)
    assert calibrator.probability(0.0) == pytest.approx(0.35, abs=0.05)
    assert calibrator.probability(3.0) == pytest.approx(0.9, abs=0.05)


def test_a_model_that_is_wrong_both_ways_is_made_to_say_nothing_not_turned_round() -> None:
    scores, y = said_and_came(5, 3_000, lambda s: 1 / (1 + np.exp(s)))
    platt = fit_platt(scores, y, np.ones(3_000))
    assert platt.slope == 0.0
    assert Calibrator(platt).probability(2.0) == pytest.approx(y.mean())
    for one in fit_candidates(scores, y, np.ones(3_000)):
        assert bool((np.diff(Calibrator(one).batch(np.linspace(-5, 5, 50))) >= 0).all())


def test_equal_scores_and_perfect_separation_give_finite_maps() -> None:
    same = fit_platt(np.full(50, 0.7), (np.arange(50) % 2) * 1.0, np.ones(50))
    assert (same.slope, same.intercept) == (0.0, pytest.approx(0.0))
    parted = fit_platt(np.linspace(-1, 1, 50), (np.arange(50) >= 25) * 1.0, np.ones(50))
    assert math.isfinite(parted.slope)
    assert parted.slope > 1.0


def test_weights_count_as_repeated_rows() -> None:
    scores, y = said_and_came(6, 300, lambda s: 1 / (1 + np.exp(-s)))
    twice = np.arange(300) % 3 == 0
    weighted = fit_platt(scores, y, np.where(twice, 2.0, 1.0))
    repeated = fit_platt(np.concatenate([scores, scores[twice]]), np.concatenate([y, y[twice]]), np.ones(400))
    assert (weighted.slope, weighted.intercept) == (pytest.approx(repeated.slope, abs=1e-6), pytest.approx(repeated.intercept, abs=1e-6))


def test_one_outcome_alone_calibrates_nothing() -> None:
    found = choose(np.linspace(-1, 1, 30), np.ones(30))
    assert found.calibration.method == "none"
    assert list(found.briers) == ["none"]


def test_labels_that_overlap_the_later_part_are_not_fitted_on() -> None:
    scores, y = said_and_came(7, 300, lambda s: 1 / (1 + np.exp(-s)))
    found = choose(scores, y, horizon=12)
    assert (found.rows_fitted, found.rows_judged) == (200 - 12, 100)
    assert choose(scores, y, horizon=0, fit_frac=0.5).rows_fitted == 150


def test_a_horizon_as_long_as_the_data_leaves_only_the_plain_logistic() -> None:
    scores, y = said_and_came(7, 60, lambda s: 1 / (1 + np.exp(-s)))
    found = choose(scores, y, horizon=500)
    assert (found.rows_fitted, found.calibration.method) == (0, "none")
    assert found.brier_base == 0.25


def test_the_order_of_rows_does_not_matter() -> None:
    scores, y = said_and_came(8, 400, lambda s: 1 / (1 + np.exp(-(0.4 * s + 0.3))))
    t0 = np.arange(400, dtype=np.int64)
    order = np.random.default_rng(1).permutation(400)
    straight = fit_calibration(scores, y, np.ones(400), t0, t0 + 3)
    mixed = fit_calibration(scores[order], y[order], np.ones(400), t0[order], t0[order] + 3)
    assert mixed.calibration.method == straight.calibration.method
    assert mixed.calibration.slope == pytest.approx(straight.calibration.slope, abs=1e-9)


def test_the_same_rows_give_the_same_map_to_the_bit() -> None:
    scores, y = said_and_came(9, 3_000, lambda s: 1 / (1 + np.exp(-(0.4 * s + 0.3))))
    assert choose(scores, y).calibration == choose(scores, y).calibration


@pytest.mark.parametrize(
    ("scores", "y", "told"), [([], [], "columns of"), ([1.0], [1.0, 0.0], "columns of"), ([math.inf], [1.0], "not finite")]
)
def test_what_cannot_be_calibrated_is_refused(scores: list[float], y: list[float], told: str) -> None:
    times = np.zeros(len(scores), np.int64)
    with pytest.raises(InvalidInput, match=told):
        fit_calibration(np.array(scores), np.array(y), np.ones(len(scores)), times, times)
