"""What the guard of a day brakes on: `watch` is people and its own latch; other names are triggers, so near that a day reaches them."""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.risk.brake.triggers import TriggerLimits

NONE: Final = "none"
WATCH: Final = "watch"

OFF: Final = TriggerLimits(
    drawdown_halt_e8=0, drawdown_flatten_e8=0, var99_flatten_e8=0, day_loss_halt_e8=0, day_loss_flatten_e8=0, gross_leverage_reduce_e8=0,
    position_notional_reduce_e8=0, margin_ratio_flatten_e8=0, liquidation_flatten_e8=0, liquidation_sigmas_e2=0, heartbeat_cancel_s=0,
    heartbeat_halt_s=0, stop_missing_s=0, books_differ_s=0, clock_halt_ms=0, rejects_per_minute=0, stale_halt_s=0,
)  # fmt: skip

GUARDS: Final[dict[str, dict[str, int]]] = {
    WATCH: {},
    "drawdown": {"drawdown_halt_e8": 1_500_000, "drawdown_flatten_e8": 2_500_000},
    "daily_loss": {"day_loss_halt_e8": 1_200_000, "day_loss_flatten_e8": 2_200_000},
    "var99": {"var99_flatten_e8": 5_000_000},
    "margin_ratio": {"margin_ratio_flatten_e8": 500_000},
    "liquidation_distance": {"liquidation_flatten_e8": 560_000_000},
    "gross_leverage": {"gross_leverage_reduce_e8": 45_000_000},
    "position_notional": {"position_notional_reduce_e8": 19_000_000},
    "heartbeat": {"heartbeat_cancel_s": 2, "heartbeat_halt_s": 4},
    "books_differ": {"books_differ_s": 3},
    "stop_missing": {"stop_missing_s": 2},
    "rejects": {"rejects_per_minute": 3},
    "clock": {"clock_halt_ms": 500},
    "stale_data": {"stale_halt_s": 3},
}
"""Limits by the name that a script gives."""


def limits_of(guard: str) -> TriggerLimits:
    """The limits of a day."""
    return msgspec.structs.replace(OFF, **GUARDS[guard])


def losses_of(guard: str) -> dict[tuple[str, str], int]:
    """Limits of losses, as the auditor knows them: (trigger, level) to 1e-8."""
    given = GUARDS.get(guard, {})
    names = {
        "drawdown_halt_e8": ("drawdown", "halted"), "drawdown_flatten_e8": ("drawdown", "flattening"),
        "day_loss_halt_e8": ("daily_loss", "halted"), "day_loss_flatten_e8": ("daily_loss", "flattening"),
    }  # fmt: skip
    return {names[name]: value for name, value in given.items() if name in names}


CELLS: Final = (
    ("manual", "reduce_only"), ("manual", "halted"), ("manual", "flattening"), ("drawdown", "halted"), ("drawdown", "flattening"),
    ("daily_loss", "halted"), ("daily_loss", "flattening"), ("var99", "flattening"), ("margin_ratio", "flattening"),
    ("liquidation_distance", "flattening"), ("gross_leverage", "reduce_only"), ("position_notional", "reduce_only"),
    ("heartbeat", "halted"), ("books_differ", "halted"), ("stop_missing", "reduce_only"), ("rejects", "halted"), ("clock", "halted"),
    ("stale_data", "halted"), ("journal", "halted"), ("model", "halted"), ("unreadable", "halted"),
)  # fmt: skip
"""Every trigger with every level that it leads to."""
