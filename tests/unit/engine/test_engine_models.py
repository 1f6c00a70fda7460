"""The engine with a model: each ready bar's prediction is recorded with its features, and decisions name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kedge.domain.canonical import digest
from kedge.domain.errors import InvalidConfig
from kedge.domain.events import Command, CommandGiven
from kedge.domain.outputs import Decided, OrderSent, Output, Predicted
from kedge.domain.units import E8, float_hex, hex_float
from kedge.engine.engine import Engine
from kedge.learning.model import Policy, model_sha256
from kedge.strategy.base import NO_TARGETS, Prediction, Target, View

from ...builders import AAA, BBB, MINUTE, T0, bar, instrument, settings
from ..strategy.model_documents import FEATURES, a_model, trader_of

WARM = 5


def model_engine(model: Any = None, ids: Sequence[str] = (AAA,), **changes: Any) -> Engine:
    given = {name: changes.pop(name) for name in ("exposure_frac", "outside_max", "allow_short") if name in changes}
    return Engine(settings(**changes), [instrument(one) for one in ids], trader_of(model or a_model(), **given))


def steps(one: Engine, prices: Sequence[int], *, start: int = 1, name: str = AAA) -> list[tuple[Output, ...]]:
    return [one.step(bar(n, price, name)) for n, price in enumerate(prices, start)]


def of(kind: type, outputs: Sequence[Output]) -> list[Any]:
    return [output for output in outputs if isinstance(output, kind)]


def test_each_ready_bar_is_predicted_and_the_decision_names_the_prediction() -> None:
    one = model_engine()
    told = steps(one, [1_000, 1_001, 1_002, 1_003, 1_004, 1_005])
    assert told[: WARM - 1] == [()] * (WARM - 1)
    predicted, decided, sent = told[WARM - 1]
    assert isinstance(predicted, Predicted)
    assert isinstance(decided, Decided)
    assert isinstance(sent, OrderSent)
    assert (predicted.prediction_id, decided.prediction_id, predicted.instrument) == ("run.p1", "run.p1", AAA)
    assert predicted.model_sha256 == model_sha256(a_model())
    assert predicted.probability_e8 == decided.confidence_e8 == 73_105_858
    assert (predicted.expected_return_e8, predicted.horizon_ns) == (decided.expected_return_e8, decided.horizon_ns)
    assert hex_float(predicted.score_hex) == 1.0
    assert round(hex_float(predicted.probability_hex) * E8) == predicted.probability_e8
    (later,) = told[WARM]
    assert (later.prediction_id, one.state.predictions) == ("run.p2", 2)


def test_the_blob_is_what_the_model_saw_to_the_bit() -> None:
    model = a_model()
    one, strategy = model_engine(model), trader_of(model)
    steps(one, [1_000, 1_001, 1_002, 1_003])
    assert one.take_blobs() == {}
    (predicted, *_) = one.step(bar(5, 1_004))
    ((name, body),) = one.take_blobs().items()
    assert name == predicted.features_sha256 == digest(body)
    features = np.frombuffer(body, "<f8")
    assert len(features) == len(FEATURES)

    class Again:
        instrument, ready, features = AAA, True, ()

    Again.features = tuple(features.tolist())
    again = strategy.predict(Again())  # type: ignore[arg-type]
    assert (float_hex(again.score), float_hex(again.probability)) == (predicted.score_hex, predicted.probability_hex)
    assert one.take_blobs() == {}, "taken once"


def test_exits_by_command_name_no_prediction() -> None:
    one = model_engine()
    steps(one, [1_000, 1_001, 1_002, 1_003, 1_004])
    (decided, *_) = of(Decided, one.step(CommandGiven(T0 + 6 * MINUTE, Command.FLATTEN, "me", "enough")))
    assert (decided.reason, decided.prediction_id, decided.confidence_e8) == ("FLATTEN", "", None)
    assert of(Predicted, one.step(bar(6, 1_005))) == [], "held flat: nobody is asked"


def test_a_model_veto_is_recorded_when_it_begins_and_again_when_it_comes_back() -> None:
    narrow = a_model(domain_low=(-0.01, -10.0), domain_high=(0.01, 10.0))
    one = model_engine(narrow, outside_max=0, exposure_frac=0.05)
    calm, wild = [1_000, 1_000, 1_000, 1_000], [1_100, 1_250, 1_400]
    told = steps(one, [*calm, *wild])
    assert [len(of(Predicted, outputs)) for outputs in told] == [0, 0, 0, 0, 1, 1, 1]
    assert [output.veto for outputs in told for output in of(Predicted, outputs)] == ["OUT_OF_DOMAIN"] * 3
    (vetoed,) = [output for outputs in told for output in of(Decided, outputs)]
    assert (vetoed.code, vetoed.prediction_id, vetoed.exposure_e8, vetoed.limit) == ("OUT_OF_DOMAIN", "run.p1", 0, "0 features")
    assert "momentum 0.0953102 not in -0.01 to 0.01" in vetoed.observed
    assert one.state.funnel.vetoed == {"OUT_OF_DOMAIN": 1}
    steps(one, [1_400, 1_400, 1_400], start=8)
    (closed,) = of(Decided, one.step(bar(11, 1_600)))
    assert (closed.code, closed.exposure_e8, closed.reason[:13]) == ("OK", 0, "OUT_OF_DOMAIN")
    assert one.state.funnel.vetoed == {"OUT_OF_DOMAIN": 1}, "what is held is closed, which is no veto"
    (again,) = of(Decided, one.step(bar(12, 1_800)))
    assert (again.code, again.exposure_e8) == ("OUT_OF_DOMAIN", 0)
    assert one.state.funnel.vetoed == {"OUT_OF_DOMAIN": 2}


def test_the_same_model_veto_is_another_one_after_the_model_was_followed_again() -> None:
    never = Policy(long_above=1.0, short_below=0.0, exit_at=0.5)
    one = model_engine(a_model(domain_low=(-0.01, -10.0), domain_high=(0.01, 10.0), policy=never), outside_max=0)
    steps(one, [1_000, 1_000, 1_000, 1_000, 1_200, 1_200, 1_200, 1_200, 1_400])
    assert one.state.funnel.vetoed == {"OUT_OF_DOMAIN": 2}


def test_a_refusal_is_recorded_once_until_something_else_is_decided() -> None:
    one = model_engine(confidence_min_e8=90_000_000)
    told = steps(one, [1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 1_006])
    decided = [output for outputs in told for output in of(Decided, outputs)]
    assert [(one.code, one.observed, one.limit) for one in decided] == [("CONFIDENCE_LOW", "0.7311", "0.9000")]
    assert one.state.predictions == 3


def test_instruments_count_their_predictions_together() -> None:
    one = model_engine(ids=(AAA, BBB))
    ids = []
    for n in range(1, 7):
        for name in (AAA, BBB):
            ids += [(output.prediction_id, output.instrument) for output in of(Predicted, one.step(bar(n, 1_000 + n, name)))]
    assert ids == [("run.p1", AAA), ("run.p2", BBB), ("run.p3", AAA), ("run.p4", BBB)]


def test_folding_the_record_gives_the_same_state_as_stepping() -> None:
    model = a_model(domain_low=(-0.004, -10.0), domain_high=(0.004, 10.0))
    prices = [1_000, 1_001, 1_003, 1_002, 1_004, 1_010, 1_020, 1_000, 1_001, 1_001, 1_002, 1_030, 1_001, 1_000]
    one, folded = model_engine(model, outside_max=0), model_engine(model, outside_max=0)
    for n, price in enumerate(prices, 1):
        event = bar(n, price)
        folded.apply(event, one.step(event))
        assert folded.snapshot() == one.snapshot()
    assert one.state.funnel.vetoed
    restored = model_engine(model, outside_max=0)
    restored.restore(one.snapshot())
    assert restored.snapshot() == one.snapshot()
    assert restored.step(bar(15, 1_030)) == one.step(bar(15, 1_030))


def test_bars_of_another_length_than_the_model_was_trained_on_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="the model was trained on bars of 60 s"):
        model_engine(interval_ns=5 * MINUTE)


class Unsure:
    """A model strategy whose answer is no number."""

    name, features, model_sha256, interval_ns = "model", (), "f" * 64, MINUTE

    def on_event(self, view: View) -> Sequence[Target]:
        raise AssertionError("a model is asked for its prediction")

    def predict(self, view: View) -> Prediction:
        return Prediction(view.instrument, float("nan"), float("nan"), float("nan"), MINUTE, "NOT_FINITE", "score nan", "numbers")

    def decide(self, view: View, prediction: Prediction) -> Sequence[Target]:
        return NO_TARGETS


def test_an_answer_that_is_no_number_is_a_veto_without_a_recorded_prediction() -> None:
    one = Engine(settings(), [instrument()], Unsure())
    first, second = one.step(bar(1)), one.step(bar(2))
    (vetoed,) = first
    assert isinstance(vetoed, Decided)
    assert (vetoed.code, vetoed.prediction_id) == ("NOT_FINITE", "")
    assert second == ()
    assert one.take_blobs() == {}
