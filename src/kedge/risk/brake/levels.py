"""How a latch changes. Pure: a latch and a wish in, the next latch out, or None where nothing changes.

Rules: severity only rises, except by a release; every change is a generation of its own; who engaged first is kept where a later wish is
no more severe.
"""

from __future__ import annotations

import msgspec

from kedge.domain.brake import ENGAGEABLE, SEVERITY, BrakeLevel, Latch, Trigger
from kedge.domain.errors import InvalidInput

GUARD_ACTOR = "guard"
"""Who engages where a trigger does."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Why the brake should go on."""

    level: BrakeLevel
    trigger: Trigger
    reason: str
    actor_id: str = GUARD_ACTOR
    source: str = "trigger"
    observed: str = ""
    limit: str = ""


def raised(latch: Latch, wish: Wish, now_wall_ns: int, high_water_e8: int) -> Latch | None:
    """The latch with this wish, None where it is on at least as hard already.

    Raises
    ------
    InvalidInput
        Nobody may ask for this level, or nobody is named, or no reason is.
    """
    if wish.level not in ENGAGEABLE:
        raise InvalidInput(
            f"level is {wish.level!r}", why=f"what can be engaged is {', '.join(ENGAGEABLE)}", fix="choose one; a release goes another way"
        )
    if not wish.reason.strip() or not wish.actor_id.strip():
        raise InvalidInput("the brake was asked for without a reason or a name", why="every record says who and why", fix="give both")
    if SEVERITY[wish.level] <= SEVERITY[latch.level]:
        return None
    return msgspec.structs.replace(
        latch,
        generation=latch.generation + 1,
        level=wish.level,
        trigger=wish.trigger,
        observed=wish.observed,
        limit=wish.limit,
        reason=wish.reason,
        actor_id=wish.actor_id,
        source=wish.source,
        engaged_wall_ns=latch.engaged_wall_ns or now_wall_ns,
        changed_wall_ns=now_wall_ns,
        high_water_e8=high_water_e8,
    )


def flat(latch: Latch, now_wall_ns: int, high_water_e8: int) -> Latch | None:
    """The latch once everything is closed; None where nothing was being closed."""
    if latch.level is not BrakeLevel.FLATTENING:
        return None
    return msgspec.structs.replace(
        latch,
        generation=latch.generation + 1,
        level=BrakeLevel.HALTED_FLAT,
        changed_wall_ns=now_wall_ns,
        high_water_e8=high_water_e8,
    )


def released(latch: Latch, approval_id: str, actor_id: str, reason: str, now_wall_ns: int, high_water_e8: int) -> Latch:
    """The latch let go of."""
    return Latch(
        account=latch.account,
        generation=latch.generation + 1,
        level=BrakeLevel.RUNNING,
        reason=reason,
        actor_id=actor_id,
        source="release",
        changed_wall_ns=now_wall_ns,
        high_water_e8=high_water_e8,
        release_id=approval_id,
    )
