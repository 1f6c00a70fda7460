"""From a run's first record to the strategy that decides it, with its model loaded by hash: for recovery, replay, lineage, replica."""

from __future__ import annotations

from typing import Any, Protocol

from kedge.domain.record import RunStarted
from kedge.governance.lineage_find import model_of as model_of
from kedge.learning.model import Model
from kedge.strategy.base import Strategy
from kedge.strategy.model import MODEL, ModelTrader, read_model_params


class Models(Protocol):
    """Where models lie. `load` answers with the model of exactly this hash, or refuses."""

    def load(self, sha256: str) -> Model: ...


def model_strategy(params: dict[str, Any], models: Models) -> ModelTrader:
    """The model strategy that these parameters describe.

    Raises
    ------
    InvalidInput
        No model is named, or a parameter is outside its bounds.
    NotFound
        The store does not hold the model.
    IntegrityError
        Its bytes are not those of its name.
    """
    given = read_model_params(params)
    return ModelTrader(given, models.load(given.model))


def strategy_of(started: RunStarted, models: Models) -> Strategy | None:
    """The strategy that a run's settings name where it needs a model; None where its name and parameters are enough.

    Raises
    ------
    NotFound, IntegrityError
        The model is not there, or is another one than its name says.
    """
    engine = started.settings["engine"]
    return model_strategy(engine["params"], models) if engine["strategy"] == MODEL else None
