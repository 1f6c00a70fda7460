"""The strategies that ship, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from kedge.domain.errors import InvalidInput, NotFound
from kedge.strategy.base import Strategy, read_params
from kedge.strategy.mean_reversion import MeanReversion, MeanReversionParams
from kedge.strategy.model import MODEL, read_model_params
from kedge.strategy.trend import Trend, TrendParams


def _trend(given: dict[str, Any]) -> Strategy:
    return Trend(read_params(TrendParams, given, owner="trend"))


def _mean_reversion(given: dict[str, Any]) -> Strategy:
    return MeanReversion(read_params(MeanReversionParams, given, owner="mean_reversion"))


def _without_model(given: dict[str, Any]) -> InvalidInput:
    params = read_model_params(given)
    return InvalidInput(
        f"model {params.model[:16]} was not loaded",
        why="a name and parameters alone make no model strategy",
        fix="load it by its hash from the model store and hand the strategy to the engine",
    )


STRATEGIES: dict[str, Callable[[dict[str, Any]], Strategy]] = {"trend": _trend, "mean_reversion": _mean_reversion}
"""The rules: a name and parameters make one."""

NAMES = (*STRATEGIES, MODEL)
"""All that ship, the one with a model too."""


def make_strategy(name: str, params: dict[str, Any]) -> Strategy:
    """Build a shipped strategy from its name and plain parameters; the one with a model needs it loaded and is refused here."""
    if name == MODEL:
        raise _without_model(params)
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, NAMES, 1)
        raise NotFound(
            f"strategy {name!r} does not exist",
            why=f"there are {', '.join(NAMES)}",
            fix=f"did you mean {near[0]!r}?" if near else "choose one of them",
        )
    return STRATEGIES[name](params)
