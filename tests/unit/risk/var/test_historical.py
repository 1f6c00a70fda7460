"""Order statistics, their errors, and input that is refused instead of answered with 0."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.risk.var import historical, weighted
from kedge.risk.var.historical import Convention
from kedge.risk.var.measure import alpha_of, checked_matrix, checked_number, checked_weights, least_rows, tail_flags

FALLING = [-0.01 * n for n in range(20, 0, -1)]


@pytest.mark.parametrize("wrong", [[], [0.01], [0.01, math.nan], [0.01, math.inf, 0.02], [[0.01], [0.02]]])
def test_empty_short_unknown_or_foreign_input_is_refused(wrong: list[float]) -> None:
    for measure in (historical.var_es, weighted.var_es):
        with pytest.raises(InvalidInput, match="returns"):
            measure(wrong)


def test_the_refusal_names_the_row() -> None:
    with pytest.raises(InvalidInput, match=r"returns\[2\]"):
        historical.value_at_risk([0.0, 0.1, math.nan, 0.2], 0.9)
    with pytest.raises(InvalidInput, match=r"returns\[1\]"):
        checked_matrix(np.array([[0.0, 1.0], [0.0, math.inf]]))


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 1.01, math.nan])
def test_a_confidence_outside_0_to_1_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidInput, match="confidence"):
        historical.expected_shortfall(FALLING, confidence)


def test_alpha_is_what_was_written_and_not_its_binary_neighbour() -> None:
    assert [int(alpha_of(c) * n) for c, n in ((0.9, 10), (0.9, 30), (0.8, 5), (0.975, 200))] == [1, 3, 1, 5]
    assert [int((1 - c) * n) for c, n in ((0.9, 10), (0.9, 30), (0.8, 5))] == [0, 2, 0]
    assert (least_rows(0.99), least_rows(0.975)) == (1_000, 400)


def test_a_sure_gain_is_a_negative_loss() -> None:
    answer = historical.var_es([0.01, 0.02, 0.03] * 400)
    assert (answer.var_frac, answer.es_frac) == (-0.01, -0.01)


def test_a_short_position_is_its_negated_pnl() -> None:
    prices = np.array([1.0, 2.0, 1.0, 1.0])
    returns = prices[1:] / prices[:-1] - 1
    assert historical.value_at_risk(-returns, 0.99) == 1.0
    assert historical.value_at_risk(returns, 0.99) == 0.5


def test_equal_returns_have_no_error_and_equal_measures() -> None:
    answer = historical.var_es([-0.0137] * 1_000)
    assert (answer.var_frac, answer.var_at_es_frac, answer.es_frac) == pytest.approx((0.0137,) * 3, rel=1e-12)
    assert answer.es_frac >= answer.var_at_es_frac
    assert answer.standard_error_frac is None


@pytest.mark.parametrize(("rows", "flags"), [(39, "insufficient_tail"), (100, "thin_tail"), (999, "thin_tail"), (1_000, "")])
def test_a_thin_tail_is_flagged(rows: int, flags: str) -> None:
    told = np.random.default_rng(3).normal(0, 0.01, rows)
    assert (historical.var_es(told).flags or ("",))[0] == flags
    if rows < 40:
        assert historical.expected_shortfall(told, 0.975) == pytest.approx(-told.min())


def test_the_tail_flags_go_by_the_confidence() -> None:
    assert [tail_flags(n, 0.9) for n in (9, 10, 99, 100)] == [("insufficient_tail",), ("thin_tail",), ("thin_tail",), ()]


def test_the_callers_order_is_kept() -> None:
    told = np.random.default_rng(4).normal(0, 0.02, 300)
    before = told.copy()
    historical.var_es(told)
    weighted.var_es(told)
    assert (told == before).all()


def test_every_convention_agrees_with_numpys_of_the_same_name() -> None:
    told = np.random.default_rng(5).standard_t(4, 237) * 0.02
    names = {
        Convention.INVERSE_CDF: "inverted_cdf",
        Convention.LOWER: "lower",
        Convention.LINEAR: "linear",
        Convention.HIGHER: "higher",
        Convention.HAZEN: "hazen",
        Convention.WEIBULL: "weibull",
        Convention.MEDIAN_UNBIASED: "median_unbiased",
    }
    for convention, name in names.items():
        for confidence in (0.9, 0.95, 0.975, 0.99, 0.999):
            expected = np.quantile(told, float(alpha_of(confidence)), method=name)  # type: ignore[call-overload]
            assert historical.quantile(told, confidence, convention) == pytest.approx(expected, abs=1e-15)


def test_the_mean_of_the_worst_needs_a_whole_row() -> None:
    assert historical.mean_of_worst(FALLING, 0.96) is None
    assert historical.mean_of_worst(FALLING, 0.95) == pytest.approx(0.20)
    assert historical.expected_shortfall(FALLING, 0.96) == pytest.approx(0.20)


def test_the_standard_error_is_that_of_the_normal_within_a_third() -> None:
    told = np.random.default_rng(6).normal(0, 0.02, 20_000)
    exact = math.sqrt(0.01 * 0.99 / 20_000) / (math.exp(-(2.3263478740408408**2) / 2) / math.sqrt(2 * math.pi) / 0.02)
    assert historical.standard_error(told, 0.99) == pytest.approx(exact, rel=0.33)


def test_the_interval_holds_the_true_var_as_often_as_it_says() -> None:
    rng, true = np.random.default_rng(7), 1.6448536269514722
    held = 0
    for _ in range(600):
        low, high = historical.interval(rng.normal(0, 1, 250), 0.95)
        assert low is not None
        assert high is not None
        held += low <= true <= high
    assert held / 600 >= 0.93  # at least 95 % by construction; two and a half standard errors below


def test_an_end_that_no_row_reaches_is_unknown() -> None:
    told = np.random.default_rng(8).normal(0, 1, 250)
    low, high = historical.interval(told, 0.99)
    assert high is None
    assert low is not None
    assert low < historical.value_at_risk(told, 0.99)
    assert historical.interval(told[:3], 0.1) == (None, pytest.approx(-np.sort(told[:3])[0], abs=10))


def test_one_fresh_crash_decides_the_age_weighted_var_and_is_flagged() -> None:
    told = np.full(500, 0.001)
    told[-1] = -0.4
    answer = weighted.var_es(told, 0.98)
    assert answer.var_frac == 0.4
    assert "one_day_decides" in answer.flags
    aged = weighted.var_es(np.append(told, np.full(100, 0.001)), 0.98)
    assert aged.var_frac == -0.001


def test_age_weights_sum_to_one_and_their_size_is_the_closed_form() -> None:
    n, decay = 250, 0.98
    assert weighted.age_weights(n, decay).sum() == pytest.approx(1.0, abs=1e-12)
    closed = (1 + decay) * (1 - decay**n) / ((1 - decay) * (1 + decay**n))
    assert weighted.effective_size(n, decay) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize(("n", "decay"), [(0, 0.98), (10, 1.0), (10, 0.5), (10, math.nan)])
def test_a_decay_that_forgets_nothing_or_everything_is_refused(n: int, decay: float) -> None:
    with pytest.raises(InvalidInput, match="decay"):
        weighted.age_weights(n, decay)


def test_age_weighted_tails_are_flagged_by_effective_size() -> None:
    told = np.random.default_rng(9).normal(0, 0.01, 2_000)
    assert weighted.var_es(told, 0.9).flags == ("insufficient_tail", "one_day_decides")
    assert weighted.var_es(told, 0.995).flags == ("thin_tail",)
    assert weighted.var_es(told, 0.9995).flags == ()


@pytest.mark.parametrize(("weights", "count"), [([0.1], 2), ([0.1, math.nan], 2), ([[0.1]], 1)])
def test_weights_must_be_one_known_number_each(weights: list[float], count: int) -> None:
    with pytest.raises(InvalidInput, match="weights"):
        checked_weights(weights, count)


@pytest.mark.parametrize(("value", "bounds"), [(math.nan, {}), (-1.0, {"least": 0.0}), (0.0, {"above": 0.0})])
def test_a_number_outside_its_bounds_is_refused_by_name(value: float, bounds: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="sigma is"):
        checked_number(value, "sigma", **bounds)
