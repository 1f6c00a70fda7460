"""The strategies that ship, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from kedge.domain.errors import NotFound
from kedge.strategy.base import Strategy, read_params
from kedge.strategy.mean_reversion import MeanReversion, MeanReversionParams
from kedge.strategy.trend import Trend, TrendParams


def _trend(given: dict[str, Any]) -> Strategy:
    return Trend(read_params(TrendParams, given, owner="trend"))


def _mean_reversion(given: dict[str, Any]) -> Strategy:
    return MeanReversion(read_params(MeanReversionParams, given, owner="mean_reversion"))


STRATEGIES: dict[str, Callable[[dict[str, Any]], Strategy]] = {"trend": _trend, "mean_reversion": _mean_reversion}


def make_strategy(name: str, params: dict[str, Any]) -> Strategy:
    """Build a shipped strategy from its name and plain parameters."""
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, list(STRATEGIES), 1)
        raise NotFound(
            f"strategy {name!r} does not exist",
            why=f"there are {', '.join(STRATEGIES)}",
            fix=f"did you mean {near[0]!r}?" if near else "choose one of them",
        )
    return STRATEGIES[name](params)
