"""Everything that decides what an engine does, as one frozen document whose hash stands in the journal."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.units import E8
from kedge.risk.limits import Limits
from kedge.risk.sizing_policy import SizingPolicy
from kedge.strategy.execution import DUST_DIVISOR, ExecutionPolicy


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy, limits, execution and starting money of one engine.

    Attributes
    ----------
    run_id : str
        Stands in every decision id, so ids never repeat between runs on one account.
    confidence_min_e8 : int
        Signals that carry a lower calibrated confidence are vetoed.
    gap_bars_carried : int
        Features survive a gap of at most this many bars; a longer one starts their warm-up again.
    attempts_max : int
        A decision whose orders the venue refused this often is given up until the next one.
    stop_distance_frac_e8 : int
        How far from the position's average price its stop lies at the venue, as a fraction in 1e-8; 0 for no stops.
    limits_number : int
        Which document of the account the limits are, counted from 1; 0 where they are of no document.
    sizing : SizingPolicy or None
        Caps on what the strategy may ask for; None sizes as it asks.
    """

    run_id: str
    account: str
    strategy: str
    params: dict[str, Any]
    wallet_e8: Annotated[int, msgspec.Meta(ge=1, le=10**17)]
    start_ts_ns: int
    interval_ns: Annotated[int, msgspec.Meta(ge=1)]
    limits: Limits = Limits()
    execution: ExecutionPolicy = ExecutionPolicy()
    confidence_min_e8: Annotated[int, msgspec.Meta(ge=0, le=E8)] = 0
    gap_bars_carried: Annotated[int, msgspec.Meta(ge=0)] = 3
    attempts_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    stop_distance_frac_e8: Annotated[int, msgspec.Meta(ge=0, le=90_000_000)] = 0
    limits_number: Annotated[int, msgspec.Meta(ge=0)] = 0
    sizing: SizingPolicy | None = None

    def __post_init__(self) -> None:
        if self.sizing is not None and self.stop_distance_frac_e8 not in (0, self.sizing.stop_frac_e8):
            raise InvalidConfig(
                f"stop_distance_frac_e8 is {self.stop_distance_frac_e8}, sizing.stop_frac_e8 is {self.sizing.stop_frac_e8}",
                why="sizes are made for the stop that lies at the venue",
                fix="give both the same distance",
            )
        largest = self.execution.slice_notional_frac_e8 * (DUST_DIVISOR + 1) // DUST_DIVISOR
        if largest > self.limits.order_notional_frac_max_e8:
            raise InvalidConfig(
                f"execution.slice_notional_frac_e8 is {self.execution.slice_notional_frac_e8}",
                why=f"its largest child ({largest}) is above limits.order_notional_frac_max_e8 ({self.limits.order_notional_frac_max_e8})",
                fix="lower the slice",
            )

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> EngineSettings:
        """Read settings back from a journal's first record."""
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise InvalidConfig(
                f"engine settings: {error}", why="recorded by another version?", fix="replay with the recorded version"
            ) from None
