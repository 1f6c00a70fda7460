"""The limits as one versioned document. Fractions are of flow-adjusted equity, in 1e-8.

Defaults and their order come from the control table: every row is target <= soft <= hard, asserted when built.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.errors import InvalidConfig
from kedge.domain.units import NS_PER_MS

Frac = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Multiple = Annotated[int, msgspec.Meta(ge=1, le=10_000_000_000)]
SpanNs = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Pre-trade limits and the levels at which the trader itself reduces or halts."""

    order_notional_frac_soft_e8: Frac = 10_000_000
    order_notional_frac_max_e8: Frac = 15_000_000
    position_notional_frac_max_e8: Frac = 25_000_000
    gross_leverage_max_e8: Multiple = 150_000_000
    net_leverage_max_e8: Multiple = 150_000_000
    daily_loss_soft_e8: Frac = 1_000_000
    daily_loss_reduce_e8: Frac = 1_500_000
    daily_loss_halt_e8: Frac = 2_000_000
    drawdown_soft_e8: Frac = 5_000_000
    drawdown_reduce_e8: Frac = 6_500_000
    drawdown_halt_e8: Frac = 8_000_000
    open_orders_instrument_max: Count = 20
    open_orders_total_max: Count = 100
    orders_per_second_max: Count = 7
    orders_per_10s_max: Count = 50
    messages_per_3s_max: Count = 60
    messages_per_fill_max: Count = 100
    messages_window_min: Count = 200
    duplicate_window_ns: SpanNs = 2_000 * NS_PER_MS
    fat_finger_multiple: Count = 20
    fat_finger_orders_min: Count = 10
    fat_finger_volume_frac_e8: Frac = 25_000_000
    stale_bars_e2: Count = 150

    def __post_init__(self) -> None:
        rows = (
            ("order_notional_frac_soft_e8", "order_notional_frac_max_e8", "position_notional_frac_max_e8"),
            ("position_notional_frac_max_e8", "gross_leverage_max_e8"),
            ("net_leverage_max_e8", "gross_leverage_max_e8"),
            ("daily_loss_soft_e8", "daily_loss_reduce_e8", "daily_loss_halt_e8"),
            ("drawdown_soft_e8", "drawdown_reduce_e8", "drawdown_halt_e8"),
            ("open_orders_instrument_max", "open_orders_total_max"),
            ("orders_per_second_max", "orders_per_10s_max"),
        )
        for row in rows:
            values = [getattr(self, name) for name in row]
            if values != sorted(values):
                raise InvalidConfig(
                    f"limits: {', '.join(f'{n} is {v}' for n, v in zip(row, values, strict=True))}",
                    why="a row must rise: target <= soft <= hard",
                    fix="raise the later or lower the earlier value",
                )

    @property
    def version(self) -> str:
        """First 16 hex digits of the document's content hash; stands on every decision."""
        return content_hash(self)[:16]
