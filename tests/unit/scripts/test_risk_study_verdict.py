"""The study's judgement: a right forecast passes, a wrong one fails by name, lights are counted window by window."""

from __future__ import annotations

import numpy as np
import pytest
from scripts import risk_study_verdict
from scripts.risk_study_verdict import Forecasts, critical, judge, rolling_lights

from kedge.risk.var.backtests import Colour
from kedge.risk.var.parametric import student_t

STEPS = 2_000


def forecasts(scale: float) -> Forecasts:
    """Student-t returns of five degrees against forecasts that are right but for a scale."""
    realised = np.random.default_rng(4).standard_t(5, STEPS) * np.sqrt(3 / 5) * 0.02
    right = student_t(0.0, 0.02 * scale, 5.0)
    columns = (np.full(STEPS, value) for value in (right.var_frac, right.var_at_es_frac, right.es_frac))
    return Forecasts("made", *columns, realised, np.ones(STEPS, np.bool_), {})


def test_a_right_forecast_fails_nothing() -> None:
    verdict = judge(forecasts(1.0), "day")
    assert verdict.failed == ()
    assert verdict.expected == 20.0
    assert verdict.exceptions == pytest.approx(20, abs=9)


def test_an_understated_forecast_has_too_many_exceptions_and_too_small_an_es() -> None:
    verdict = judge(forecasts(0.6), "day")
    assert {"Kupiec: too many", "cc", "ES", "red"} <= set(verdict.failed)
    assert verdict.worst is Colour.RED
    assert 0 < verdict.red_share <= 1


def test_an_overstated_forecast_has_too_few() -> None:
    assert "Kupiec: too few" in judge(forecasts(1.6), "day").failed


def test_lights_are_those_of_every_whole_window() -> None:
    hits = np.zeros(300, np.bool_)
    hits[:10] = True
    lights = rolling_lights(hits, 250)
    assert len(lights) == 51
    assert lights[0] is Colour.RED
    assert lights[1] is Colour.YELLOW
    assert lights[6] is Colour.GREEN
    assert rolling_lights(hits[:249], 250) == [Colour.UNKNOWN]


def test_the_critical_value_is_near_what_is_known_for_250_days_and_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert critical(250) == pytest.approx(-0.75, abs=0.06)  # -0.73 for five degrees of freedom, -0.81 for three
    monkeypatch.setattr(risk_study_verdict, "acerbi_critical", None)
    assert critical(250) < -0.6
