"""Laws of the measures: homogeneous, monotone, translated; conventions ordered; the incremental book is the book."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk.var.book_plain import exact

from kedge.domain.units import E8
from kedge.risk.var import backtests, decompose, historical, weighted
from kedge.risk.var.book import VarBook
from kedge.risk.var.historical import Convention

RETURNS = st.lists(st.floats(-0.875, 3.0, width=32), min_size=2, max_size=300).map(np.array)
CONFIDENCES = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999])


@given(returns=RETURNS, confidence=CONFIDENCES)
def test_es_is_never_below_var_and_neither_beyond_the_worst(returns: np.ndarray, confidence: float) -> None:
    var, es = historical.value_at_risk(returns, confidence), historical.expected_shortfall(returns, confidence)
    assert es >= var - 1e-12
    assert es <= -returns.min() + 1e-12
    told = historical.var_es(returns, confidence, confidence)
    assert told.es_frac >= told.var_frac


@given(returns=RETURNS, confidence=CONFIDENCES)
def test_the_houses_convention_never_understates_the_naive_one(returns: np.ndarray, confidence: float) -> None:
    house = historical.value_at_risk(returns, confidence)
    for milder in (Convention.NAIVE_FLOOR, Convention.HIGHER):
        assert historical.value_at_risk(returns, confidence, milder) <= house


@given(returns=RETURNS, confidence=CONFIDENCES, scale=st.floats(0.01, 100), shift=st.floats(-1, 1))
def test_a_larger_position_risks_in_proportion_and_a_sure_gain_is_taken_off(
    returns: np.ndarray, confidence: float, scale: float, shift: float
) -> None:
    for measure in (historical.value_at_risk, historical.expected_shortfall, weighted.value_at_risk, weighted.expected_shortfall):
        told = measure(returns, confidence)
        assert measure(returns * scale + shift, confidence) == pytest.approx(told * scale - shift, rel=1e-9, abs=1e-9)


@given(returns=RETURNS, confidence=CONFIDENCES, worse=st.floats(0, 0.5))
def test_what_loses_more_in_every_scenario_risks_more(returns: np.ndarray, confidence: float, worse: float) -> None:
    lower = returns - worse * np.abs(returns)
    for measure in (historical.value_at_risk, historical.expected_shortfall):
        assert measure(lower, confidence) >= measure(returns, confidence) - 1e-12


@given(data=st.data(), confidence=CONFIDENCES)
def test_es_of_a_sum_is_never_above_the_sum_of_es(data: st.DataObject, confidence: float) -> None:
    rows = data.draw(st.integers(2, 120))
    one, two = (np.array(data.draw(st.lists(st.floats(-0.875, 3, width=32), min_size=rows, max_size=rows))) for _ in range(2))
    apart = historical.expected_shortfall(one, confidence) + historical.expected_shortfall(two, confidence)
    assert historical.expected_shortfall(one + two, confidence) <= apart + 1e-9
    parts = decompose.es_parts(np.column_stack([one, two]), [1.0, 1.0], confidence)
    assert parts.total_frac == pytest.approx(historical.expected_shortfall(one + two, confidence), rel=1e-9, abs=1e-9)


@given(returns=RETURNS, confidence=CONFIDENCES)
def test_weights_that_hardly_fade_are_the_historical_measure(returns: np.ndarray, confidence: float) -> None:
    told = weighted.expected_shortfall(returns, confidence, 1 - 1e-9)
    assert told == pytest.approx(historical.expected_shortfall(returns, confidence), rel=1e-4, abs=1e-4)


@given(
    hits=st.lists(st.integers(0, 1), min_size=2, max_size=400),
    p=st.sampled_from([0.001, 0.01, 0.025, 0.05, 0.5]),
)
def test_any_series_of_hits_gives_numbers_within_their_range(hits: list[int], p: float) -> None:
    told = backtests.christoffersen(hits, p)
    assert told.lr_cc == pytest.approx(told.lr_pof + told.lr_ind)
    assert min(told.lr_ind, told.lr_pof) >= 0
    assert all(0 <= value <= 1 for value in (told.p_ind, told.p_cc, told.p_cc_all_days))
    light = backtests.traffic_light(len(hits), sum(hits), p)
    assert 0 <= light.yellow_from <= light.red_from <= len(hits)


AMOUNTS = st.one_of(st.integers(-(10**14), 10**14), st.integers(-100, 100))
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("held"), st.integers(0, 2), AMOUNTS),
        st.tuples(st.just("open"), st.integers(0, 2), AMOUNTS),
        st.tuples(st.just("equity"), st.just(0), AMOUNTS),
    ),
    max_size=30,
)


@given(changes=CHANGES, seed=st.integers(0, 1_000), days=st.integers(1, 60))
def test_after_any_changes_the_book_is_the_book_made_anew(changes: list[tuple[str, int, int]], seed: int, days: int) -> None:
    returns = np.random.default_rng(seed).standard_t(3, (days, 3)) * 0.03
    walked, fresh = (VarBook(["A", "B", "C"], returns, equity_e8=E8) for _ in range(2))
    held, opened, equity = [0] * 3, [(0, 0)] * 3, E8
    for what, index, amount in changes:
        if what == "held":
            held[index] = amount
            walked.set_notional_e8(index, amount)
        elif what == "open":
            opened[index] = (max(0, amount), max(0, -amount))
            walked.set_open_e8(index, *opened[index])
        else:
            equity = amount
            walked.set_equity_e8(amount)
    fresh.set_equity_e8(equity)
    for index in range(3):
        fresh.set_notional_e8(index, held[index])
        fresh.set_open_e8(index, *opened[index])
    assert walked.var_es() == fresh.var_es()
    assert walked.worst() == fresh.worst()
    if equity > 0:
        assert walked.worst()[0] >= walked.var_es()[0]
        if not any(map(any, opened)):
            assert walked.var_es() == exact(returns, held, equity)
