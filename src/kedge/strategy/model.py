"""The strategy with a model behind it: holds the side whose calibrated probability is beyond the thresholds frozen with the model.

Rules: everything that decides is in the model document or in the parameters, both named by hash in the run's first record. A prediction
from features far outside the training domain opens nothing and closes what is held: nobody vouches for it any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.feature_sets import feature_set_sha256
from kedge.learning.model import Model, Policy, model_sha256
from kedge.learning.scorer import Scorer
from kedge.learning.training_domain import outside_domain
from kedge.strategy.base import NO_TARGETS, NOT_FINITE, OUT_OF_DOMAIN, Prediction, Target, View, read_params

MODEL: Final = "model"
"""The strategy's name."""

SHA256: Final = r"^[0-9a-f]{64}$"
FEATURES_SHOWN: Final = 3


class ModelParams(msgspec.Struct, frozen=True, kw_only=True):
    """Which model, and how much to stake on it.

    Attributes
    ----------
    model : str
        SHA-256 of the model document: its name in every record.
    version : str
        What people call it, such as 'demo-synthetic-1m/3'; decides nothing.
    exposure_frac : float
        Of equity, for each instrument and side.
    allow_short : bool
        Off means flat where the model would be short.
    outside_max : int
        A prediction is not followed when more of its features than this are outside the training domain. Unknown counts as outside,
        but for a feature that was never known in training.
    """

    model: Annotated[str, msgspec.Meta(pattern=SHA256)]
    version: Annotated[str, msgspec.Meta(max_length=128)] = ""
    exposure_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    allow_short: bool = True
    outside_max: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 3


def read_model_params(given: dict[str, Any]) -> ModelParams:
    """Parameters from plain data.

    Raises
    ------
    InvalidInput
        No model is named, or a value is outside its bounds.
    """
    if not given.get(MODEL):
        raise InvalidInput(
            "strategy 'model' has no model", why="its parameter `model` names the one to trade with", fix="--param model=NAME@champion"
        )
    return read_params(ModelParams, given, owner=MODEL)


def wanted_side(policy: Policy, probability: float, held: int) -> int:
    """The side to hold, -1, 0 or 1, after this probability of a rise and the side held now.

    Beyond a threshold (not at it) the side is entered or turned to; a side held is left when the probability is back at `exit_at`.
    """
    if probability > policy.long_above:
        return 1
    if probability < policy.short_below:
        return -1
    if held > 0:
        return 1 if probability > policy.exit_at else 0
    if held < 0:
        return -1 if probability < policy.exit_at else 0
    return 0


class ModelTrader:
    """A `ModelStrategy`: one model, one policy, the same for every instrument.

    Attributes
    ----------
    history_bars : int
        Bars before the first one of a live run that let the model speak at that one.

    Raises
    ------
    InvalidInput
        The parameters name another model than the one given.
    IntegrityError
        The document contradicts itself (see `Scorer`), or its features are computed otherwise today.
    """

    name = MODEL

    def __init__(self, params: ModelParams, model: Model) -> None:
        sha256 = model_sha256(model)
        if sha256 != params.model:
            raise InvalidInput(
                f"model {sha256[:16]} was given", why=f"the parameters name {params.model[:16]}", fix="load the model that the run names"
            )
        _check(model)
        self.params, self.model = params, model
        self.features = model.feature_set.features
        self.model_sha256 = sha256
        self.interval_ns = model.interval_ns
        self.history_bars = max(0, max((one.warmup_bars for one in self.features), default=0) - 1)
        self._horizon_ns = model.label.horizon_bars * model.interval_ns
        self._scorer = Scorer(model)
        self._low, self._high = np.array(model.domain_low, np.float64), np.array(model.domain_high, np.float64)
        self._outside = np.zeros(len(self._low), np.int64)

    def on_event(self, view: View) -> Sequence[Target]:
        """What follows from the bar, where nobody records the prediction."""
        prediction = self.predict(view)
        return NO_TARGETS if prediction is None else self.decide(view, prediction)

    def predict(self, view: View) -> Prediction | None:
        """The model's word on this bar, with a veto where its features are too far from the training domain."""
        if not view.ready:
            return None
        x = np.asarray(view.features, np.float64)
        score = float(self._scorer.score(x))
        probability = float(self._scorer.probability(score))
        veto, observed, limit = self._veto(x, score, probability)
        expected = (2.0 * probability - 1.0) * self.model.barrier_frac
        return Prediction(view.instrument, score, probability, expected, self._horizon_ns, veto, observed, limit)

    def decide(self, view: View, prediction: Prediction) -> Sequence[Target]:
        """A new target where the wanted side differs from the last one asked for."""
        held = view.exposure_frac
        if prediction.veto:
            return (Target(view.instrument, 0.0, reason=f"{prediction.veto}: {prediction.observed}"),) if held else NO_TARGETS
        p = prediction.probability
        side = wanted_side(self.model.policy, p, (held > 0) - (held < 0))
        if side < 0 and not self.params.allow_short:
            side = 0
        wanted = side * self.params.exposure_frac
        if wanted == held:
            return NO_TARGETS
        if not side:
            return (Target(view.instrument, 0.0, reason="probability back inside the thresholds"),)
        return (
            Target(
                view.instrument,
                wanted,
                confidence=p if side > 0 else 1.0 - p,
                expected_return_frac=prediction.expected_return_frac,
                horizon_ns=self._horizon_ns,
                reason="rise likelier than the threshold" if side > 0 else "fall likelier than the threshold",
            ),
        )

    def _veto(self, x: Any, score: float, probability: float) -> tuple[str, str, str]:
        if not (math.isfinite(score) and math.isfinite(probability)):
            return NOT_FINITE, f"score {score!r}, probability {probability!r}", "numbers"
        count = outside_domain(x, self._low, self._high, self._outside)
        if count <= self.params.outside_max:
            return "", "", ""
        first = [self._told(n, float(x[n])) for n in self._outside[: min(count, FEATURES_SHOWN)].tolist()]
        return OUT_OF_DOMAIN, f"{count} of {len(x)} features outside: {', '.join(first)}", f"{self.params.outside_max} features"

    def _told(self, n: int, value: float) -> str:
        return f"{self.features[n].name} {value:.6g} not in {self._low[n]:.6g} to {self._high[n]:.6g}"


def _check(model: Model) -> None:
    count, here = len(model.feature_set.features), feature_set_sha256(model.feature_set)
    if here != model.feature_set_sha256:
        raise IntegrityError(
            f"the model's features are {model.feature_set_sha256[:16]}, computed here they would be {here[:16]}",
            why="an operator has changed since it was trained: it would see other numbers than it learnt from",
            fix="train again, or use the version that trained it",
        )
    if {len(model.domain_low), len(model.domain_high)} != {count}:
        raise IntegrityError(
            f"the model's domain has {len(model.domain_low)} lower and {len(model.domain_high)} upper ends",
            why=f"its feature set has {count} features",
            fix="train again",
        )
