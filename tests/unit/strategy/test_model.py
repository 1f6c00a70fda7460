"""The strategy with a model: what it may be made of, what follows from a probability, and when it refuses to follow."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.feature import Feature
from kedge.learning.model import Calibration, Logistic, Policy, model_sha256
from kedge.learning.operators import Operator
from kedge.strategy.base import NOT_FINITE, OUT_OF_DOMAIN, Prediction
from kedge.strategy.model import ModelParams, ModelTrader, read_model_params, wanted_side
from kedge.strategy.registry import make_strategy

from ...builders import AAA, MINUTE
from .model_documents import a_model, params_of, trader_of


class Seen:
    """What a strategy sees: features as a plain sequence, and the exposure it last asked for."""

    instrument, ts_ns, close, position_lots = AAA, 0, 100.0, 0

    def __init__(self, features: tuple[float, ...], exposure_frac: float = 0.0, *, ready: bool = True) -> None:
        self.features, self.exposure_frac, self.ready = features, exposure_frac, ready


RISE, FALL = (0.01, 0.5), (-0.01, 0.5)
P_RISE = 1.0 / (1.0 + math.exp(-1.0))


def test_it_predicts_from_the_model_and_takes_the_likelier_side() -> None:
    one = trader_of(a_model())
    prediction = one.predict(Seen(RISE))
    assert prediction is not None
    assert (prediction.score, prediction.veto, prediction.horizon_ns) == (1.0, "", 4 * MINUTE)
    assert prediction.probability == pytest.approx(P_RISE, abs=1e-15)
    assert prediction.expected_return_frac == pytest.approx((2 * P_RISE - 1) * 0.01, abs=1e-15)
    (long,) = one.decide(Seen(RISE), prediction)
    assert (long.exposure_frac, long.confidence, long.horizon_ns) == (0.1, prediction.probability, 4 * MINUTE)
    (short,) = one.on_event(Seen(FALL))
    assert (short.exposure_frac, short.confidence) == (-0.1, pytest.approx(P_RISE, abs=1e-15))
    assert short.expected_return_frac < 0 < long.expected_return_frac


def test_nothing_is_said_before_the_features_are_warm_or_when_nothing_changes() -> None:
    one = trader_of(a_model())
    assert one.predict(Seen(RISE, ready=False)) is None
    assert one.on_event(Seen(RISE, ready=False)) == ()
    assert one.on_event(Seen(RISE, 0.1)) == ()


def test_a_model_that_may_not_go_short_goes_flat_without_a_confidence_that_could_veto_it() -> None:
    one = trader_of(a_model(), allow_short=False)
    (flat,) = one.on_event(Seen(FALL, 0.1))
    assert (flat.exposure_frac, flat.confidence) == (0.0, None)
    assert one.on_event(Seen(FALL, 0.0)) == ()


@pytest.mark.parametrize(
    ("probability", "held", "side"),
    [
        (0.61, 0, 1), (0.60, 0, 0), (0.40, 0, 0), (0.39, 0, -1), (0.51, 1, 1), (0.50, 1, 0), (0.45, 1, 0), (0.39, 1, -1),
        (0.49, -1, -1), (0.50, -1, 0), (0.55, -1, 0), (0.61, -1, 1),
    ],
)  # fmt: skip
def test_sides_are_entered_beyond_their_threshold_and_left_at_the_exit(probability: float, held: int, side: int) -> None:
    assert wanted_side(Policy(long_above=0.6, short_below=0.4, exit_at=0.5), probability, held) == side


def test_equal_thresholds_never_trade_on_their_own_probability() -> None:
    assert wanted_side(Policy(long_above=0.5, short_below=0.5, exit_at=0.5), 0.5, 0) == 0


def test_too_many_features_outside_the_training_domain_open_nothing_and_close_what_is_held() -> None:
    one = trader_of(a_model(), outside_max=1)
    assert one.predict(Seen((2.0, 0.5))).veto == "", "one feature outside is allowed"
    for features in ((2.0, 11.0), (math.nan, 11.0), (-2.0, math.nan)):
        prediction = one.predict(Seen(features))
        assert prediction.veto == OUT_OF_DOMAIN
        assert prediction.observed.startswith("2 of 2 features outside: momentum")
        assert prediction.limit == "1 features"
        assert one.decide(Seen(features), prediction) == ()
        (closed,) = one.decide(Seen(features, -0.1), prediction)
        assert (closed.exposure_frac, closed.confidence) == (0.0, None)
        assert closed.reason.startswith("OUT_OF_DOMAIN: 2 of 2")


def test_a_feature_never_known_in_training_may_stay_unknown() -> None:
    one = trader_of(a_model(domain_low=(-1.0, 0.0), domain_high=(1.0, 0.0)), outside_max=0)
    assert one.predict(Seen((0.01, math.nan))).veto == ""
    assert one.predict(Seen((0.01, 0.3))).veto == OUT_OF_DOMAIN, "a number is news to it"
    assert one.predict(Seen((math.nan, math.nan))).veto == OUT_OF_DOMAIN


def test_an_answer_that_is_no_number_is_a_veto() -> None:
    linear = Logistic(weights=(1.0, 1.0), means=(0.0, 0.0), scales=(1.0, 1.0), intercept=0.0)
    one = trader_of(a_model(trees=None, logistic=linear), outside_max=5)
    seen = Seen((math.inf, 0.5))
    prediction = one.predict(seen)
    assert (prediction.veto, prediction.observed, prediction.limit) == (NOT_FINITE, "score inf, probability 1.0", "numbers")
    assert one.decide(seen, prediction) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "has no model"),
        ({"model": ""}, "has no model"),
        ({"model": "demo@champion"}, "model"),
        ({"model": "a" * 64, "exposure_frac": 0}, "exposure_frac"),
        ({"model": "a" * 64, "outside_max": -1}, "outside_max"),
        ({"model": "a" * 64, "exposur_frac": 0.1}, "exposure_frac"),
    ],
)
def test_bad_parameters_are_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_model_params(given)
    assert said in str(refused.value)


def test_the_registry_says_how_to_name_a_model_and_that_it_must_be_loaded() -> None:
    with pytest.raises(InvalidInput, match=r"--param model=NAME@champion"):
        make_strategy("model", {})
    with pytest.raises(InvalidInput, match="was not loaded"):
        make_strategy("model", params_of(a_model()))


def test_another_model_than_the_named_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the parameters name"):
        ModelTrader(ModelParams(model="a" * 64), a_model())


def test_a_model_whose_features_are_computed_otherwise_today_is_refused() -> None:
    model = a_model(feature_set_sha256="0" * 64)
    with pytest.raises(IntegrityError, match="an operator has changed"):
        trader_of(model)


def test_a_domain_of_another_length_is_refused() -> None:
    with pytest.raises(IntegrityError, match="1 lower and 2 upper"):
        trader_of(a_model(domain_low=(0.0,)))


def test_a_document_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(IntegrityError, match="calibration"):
        trader_of(a_model(calibration=Calibration(method="magic")))


def test_history_lets_the_first_live_bar_carry_the_first_word() -> None:
    assert trader_of(a_model()).history_bars == 4
    slow = (Feature("slow", Operator.MOMENTUM, 10), Feature("fast", Operator.MOMENTUM, 2))
    assert trader_of(a_model(slow)).history_bars == 10


def test_the_name_is_the_hash_of_the_document() -> None:
    model = a_model()
    one = trader_of(model)
    assert one.model_sha256 == model_sha256(model) != model_sha256(msgspec.structs.replace(model, seed=8))
    assert one.interval_ns == MINUTE
    assert isinstance(one.predict(Seen(RISE)), Prediction)
