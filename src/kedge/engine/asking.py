"""Asking the strategy what it wants at a bar, and recording what its model said.

Rules: a model's word is an output before anything follows from it, with the features it saw as a blob of their own bytes; a rule has no
word to record. The strategy is asked once for each closed bar.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from kedge.domain.outputs import Output, Predicted
from kedge.domain.units import E8, float_hex, to_grid
from kedge.engine.state import EngineState, Slot
from kedge.strategy.base import NO_TARGETS, ModelStrategy, Prediction, Strategy, Target

Asked = tuple[Sequence[Target], str, Prediction | None]
"""Targets, the prediction they follow from ('' where none was recorded), and the prediction again where it carries a veto."""


class Asker:
    """One engine's way to its strategy.

    Attributes
    ----------
    blobs : dict
        Features of predictions since they were last taken, by SHA-256 (hex): float64, little-endian, in the model's order.
    """

    def __init__(self, state: EngineState, run_id: str, strategy: Strategy, emit: Callable[[Output], None]) -> None:
        self.blobs: dict[str, bytes] = {}
        self._state, self._run_id, self._emit = state, run_id, emit
        self._on_event = strategy.on_event
        self._model = cast("ModelStrategy", strategy) if is_model_strategy(strategy) else None

    def ask(self, slot: Slot) -> Asked:
        """What the strategy wants of the bar that has closed in this slot."""
        model = self._model
        if model is None:
            return self._on_event(slot), "", None
        prediction = model.predict(slot)
        if prediction is None:
            return NO_TARGETS, "", None
        prediction_id = self._record(slot, model, prediction) if math.isfinite(prediction.probability) else ""
        return model.decide(slot, prediction), prediction_id, prediction if prediction.veto else None

    def take_blobs(self) -> dict[str, bytes]:
        """What the last step's predictions saw; empty afterwards."""
        blobs = self.blobs
        if blobs:
            self.blobs = {}
        return blobs

    def _record(self, slot: Slot, model: ModelStrategy, prediction: Prediction) -> str:
        body = np.asarray(slot.features, "<f8").tobytes()
        name = hashlib.sha256(body).hexdigest()
        self.blobs[name] = body
        prediction_id = f"{self._run_id}.p{self._state.predictions + 1}"
        self._emit(
            Predicted(
                prediction_id=prediction_id,
                instrument=slot.instrument,
                model_sha256=model.model_sha256,
                features_sha256=name,
                score_hex=float_hex(prediction.score),
                probability_hex=float_hex(prediction.probability),
                probability_e8=to_grid(prediction.probability, E8),
                expected_return_e8=to_grid(prediction.expected_return_frac, E8),
                horizon_ns=prediction.horizon_ns,
                veto=prediction.veto,
            )
        )
        return prediction_id


def is_model_strategy(strategy: Strategy) -> bool:
    """Whether a strategy has a model behind it."""
    return hasattr(strategy, "predict")
