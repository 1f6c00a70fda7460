"""Finds what an id names in the steps that mention it, and says which decisions need a prediction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.events import OrderFilled
from kedge.domain.orders import OrderIntent
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Predicted
from kedge.domain.record import RunStarted, Step

MODEL_STRATEGY: Final = "model"
"""Name of the strategy that trades by a model; all others are rules."""

FLATTEN: Final = "FLATTEN"
"""Reason of decisions that a person's command took."""
BY_ENGINE: Final = frozenset({"STOP_UNCONFIRMED", "STOP_FIRED", "LIQUIDATED", "DELEVERAGED", "RESIZED"})
"""Reasons of decisions that no strategy took: a position stood without its stop, the venue ended it by itself, or it outgrew a cap."""
NOT_FINITE: Final = "NOT_FINITE"
"""A model whose answer is no number: nothing was predicted, and the decision says so."""


def model_of(started: RunStarted) -> str:
    """Hash of the model that a run trades with; '' where a rule decides."""
    engine = started.settings.get("engine", {})
    return str(engine.get("params", {}).get("model", "")) if engine.get("strategy") == MODEL_STRATEGY else ""


def fills_of(steps: Iterable[Step], client_order_id: str) -> list[OrderFilled]:
    """Fills of an order, each once: a venue may tell one again."""
    found: dict[str, OrderFilled] = {}
    for step in steps:
        if type(step.event) is OrderFilled and step.event.client_order_id == client_order_id:
            found.setdefault(step.event.fill_id, step.event)
    return list(found.values())


def sent_of(steps: Iterable[Step], client_order_id: str) -> tuple[Step, OrderSent] | None:
    """The step that sent an order, and what it sent."""
    for step in steps:
        for output in step.outputs:
            if type(output) is OrderSent and output.approved.order.client_order_id == client_order_id:
                return step, output
    return None


def refused_of(steps: Iterable[Step], client_order_id: str) -> tuple[Step, OrderRefused] | None:
    """The step whose limits refused an order."""
    for step in steps:
        for output in step.outputs:
            if type(output) is OrderRefused and output.order.client_order_id == client_order_id:
                return step, output
    return None


def orders_in(step: Step) -> list[OrderIntent]:
    """Orders that a step sends or refuses."""
    return [o.approved.order if isinstance(o, OrderSent) else o.order for o in step.outputs if isinstance(o, OrderSent | OrderRefused)]


def decided_of(steps: Iterable[Step], decision_id: str) -> tuple[Step, Decided] | None:
    """The step that took a decision."""
    for step in steps:
        for output in step.outputs:
            if type(output) is Decided and output.decision_id == decision_id:
                return step, output
    return None


def predicted_of(steps: Iterable[Step], prediction_id: str) -> tuple[Step, Predicted] | None:
    """The step that made a prediction."""
    for step in steps:
        for output in step.outputs:
            if type(output) is Predicted and output.prediction_id == prediction_id:
                return step, output
    return None


def needs_prediction(decided: Decided) -> bool:
    """Whether a decision should name a prediction: the model strategy's own, unless somebody else took it or the model gave no number."""
    said_nothing = decided.code == NOT_FINITE or decided.reason.startswith(NOT_FINITE)
    others = decided.reason == FLATTEN or decided.reason in BY_ENGINE
    return decided.strategy == MODEL_STRATEGY and not others and not said_nothing


def filled_of(steps: Iterable[Step], fill_id: str) -> tuple[Step, OrderFilled] | None:
    """The step that first told a fill."""
    for step in steps:
        if type(step.event) is OrderFilled and step.event.fill_id == fill_id:
            return step, step.event
    return None
