"""Trend: hold the sign of a fast against a slow exponential mean of closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.learning.feature import WINDOW_MAX, Feature
from kedge.learning.operators import Operator
from kedge.strategy.base import NO_TARGETS, Target, View


class TrendParams(msgspec.Struct, frozen=True, kw_only=True):
    """`fast` and `slow` in bars; `exposure_frac` of equity per instrument; `allow_short` off means flat instead."""

    fast: Annotated[int, msgspec.Meta(ge=1, le=WINDOW_MAX)] = 20
    slow: Annotated[int, msgspec.Meta(ge=2, le=WINDOW_MAX)] = 100
    exposure_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    allow_short: bool = True

    def __post_init__(self) -> None:
        if self.fast >= self.slow:
            raise InvalidInput(f"trend: fast is {self.fast}, slow is {self.slow}", why="fast must be below slow", fix="lower fast")


class Trend:
    """Long above, short (or flat) below; always in once warm."""

    name = "trend"

    def __init__(self, params: TrendParams) -> None:
        self.params = params
        self.features = (Feature("ema_fast", Operator.EMA, params.fast), Feature("ema_slow", Operator.EMA, params.slow))
        self._up = params.exposure_frac
        self._down = -params.exposure_frac if params.allow_short else 0.0

    def on_event(self, view: View) -> Sequence[Target]:
        if not view.ready:
            return NO_TARGETS
        fast, slow = view.features
        wanted = self._up if fast > slow else self._down
        if wanted == view.exposure_frac or fast == slow:
            return NO_TARGETS
        return (Target(view.instrument, wanted, reason="fast mean above slow" if wanted > 0 else "fast mean below slow"),)
