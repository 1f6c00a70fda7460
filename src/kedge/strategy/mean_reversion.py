"""Mean reversion: buy far below the mean, sell far above it, go flat near it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.learning.feature import WINDOW_MAX, Feature
from kedge.learning.operators import Operator
from kedge.strategy.base import NO_TARGETS, Target, View


class MeanReversionParams(msgspec.Struct, frozen=True, kw_only=True):
    """`window` in bars; enter beyond `entry_z` standard deviations, leave inside `exit_z`."""

    window: Annotated[int, msgspec.Meta(ge=5, le=WINDOW_MAX)] = 48
    entry_z: Annotated[float, msgspec.Meta(gt=0, le=20)] = 2.0
    exit_z: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.5
    exposure_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1

    def __post_init__(self) -> None:
        if self.exit_z >= self.entry_z:
            raise InvalidInput(
                f"mean_reversion: exit_z is {self.exit_z}, entry_z is {self.entry_z}",
                why="it would leave before it enters",
                fix="lower exit_z",
            )


class MeanReversion:
    """Fades moves beyond `entry_z`; the target it last asked for is its only memory."""

    name = "mean_reversion"

    def __init__(self, params: MeanReversionParams) -> None:
        self.params = params
        self.features = (Feature("zscore", Operator.ZSCORE, params.window),)

    def on_event(self, view: View) -> Sequence[Target]:
        if not view.ready:
            return NO_TARGETS
        z, held = view.features[0], view.exposure_frac
        wanted = self._wanted(z, held)
        if wanted == held:
            return NO_TARGETS
        return (Target(view.instrument, wanted, reason="far from the mean" if wanted else "back at the mean"),)

    def _wanted(self, z: float, held: float) -> float:
        if z <= -self.params.entry_z:
            return self.params.exposure_frac
        if z >= self.params.entry_z:
            return -self.params.exposure_frac
        back_at_mean = (held > 0 and z >= -self.params.exit_z) or (held < 0 and z <= self.params.exit_z)
        return 0.0 if back_at_mean else held
