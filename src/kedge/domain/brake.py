"""The nouns of the brake: its levels, what triggers it, and the latch that outlives every process.

Rules: severity only rises by machine or by one person; it falls by a release alone. A latch that cannot be read is HALTED.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

LATCH_SCHEMA: Final = "kedge/latch/v1"


class BrakeLevel(StrEnum):
    """How hard the brake is on, mildest first. The words stand in records and files: none is ever renamed.

    REDUCE_ONLY lets only reductions pass; HALTED lets the trader send nothing, resting orders go and stops stay; FLATTENING closes every
    position; HALTED_FLAT is what a flattening ends in: no position, no order of any kind.
    """

    RUNNING = "running"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"
    FLATTENING = "flattening"
    HALTED_FLAT = "halted_flat"


SEVERITY: Final = {level: number for number, level in enumerate(BrakeLevel)}
"""Rising: a higher number is never replaced by a lower one without a release."""

ENGAGEABLE: Final = (BrakeLevel.REDUCE_ONLY, BrakeLevel.HALTED, BrakeLevel.FLATTENING)
"""What a person or a trigger may ask for."""


class Trigger(StrEnum):
    """Why the brake is on. The words stand in records: none is ever renamed."""

    MANUAL = "manual"
    DRAWDOWN = "drawdown"
    VAR99 = "var99"
    DAILY_LOSS = "daily_loss"
    MARGIN_RATIO = "margin_ratio"
    LIQUIDATION_DISTANCE = "liquidation_distance"
    GROSS_LEVERAGE = "gross_leverage"
    POSITION_NOTIONAL = "position_notional"
    HEARTBEAT = "heartbeat"
    BOOKS_DIFFER = "books_differ"
    STOP_MISSING = "stop_missing"
    REJECTS = "rejects"
    CLOCK = "clock"
    STALE_DATA = "stale_data"
    JOURNAL = "journal"
    MODEL = "model"
    UNREADABLE = "unreadable"


class Latch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the brake's file says.

    Attributes
    ----------
    generation : int
        Grows by one with every change; stands in the ids of the guard's orders, in permits and in releases.
    observed, limit : str
        What was measured and what it may be, for people; empty for a manual one.
    actor_id : str
        Who engaged or released it; `guard` where a trigger did.
    engaged_wall_ns, changed_wall_ns : int
        When it left RUNNING (0 while running), and when this generation was written.
    high_water_e8 : int
        Of flow-adjusted equity, in 1e-8; 0 before the first reading.
    release_id : str
        The approval that released it last; empty where none did.
    """

    account: str
    generation: int
    level: BrakeLevel
    trigger: Trigger | None = None
    observed: str = ""
    limit: str = ""
    reason: str = ""
    actor_id: str = ""
    source: str = ""
    engaged_wall_ns: int = 0
    changed_wall_ns: int = 0
    high_water_e8: int = 0
    release_id: str = ""
    schema: str = LATCH_SCHEMA


def worse(one: BrakeLevel, other: BrakeLevel) -> BrakeLevel:
    """The more severe of two."""
    return one if SEVERITY[one] >= SEVERITY[other] else other


def permits_risk(level: BrakeLevel) -> bool:
    """Whether new risk may be permitted at this level."""
    return level is BrakeLevel.RUNNING
