"""The brake as plain documents: where it stands, and how far each trigger is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import KedgeError
from kedge.domain.units import E8, NS_PER_S
from kedge.ops.guard_files import waiting_requests
from kedge.risk.brake.triggers import Reading, in_words
from kedge.services.guard.status import GuardStatus
from kedge.services.guard_door import door_url
from kedge.services.guard_seen import GuardSeen
from kedge.services.replica_text import e8_text, time_text

WORDS: Final = {
    Trigger.DRAWDOWN: "equity below its highest, deposits and withdrawals taken out",
    Trigger.VAR99: "what one day loses with a chance of 1 %",
    Trigger.DAILY_LOSS: "loss since 00:00 UTC",
    Trigger.MARGIN_RATIO: "maintenance margin / equity",
    Trigger.LIQUIDATION_DISTANCE: "how far the mark is from liquidation",
    Trigger.GROSS_LEVERAGE: "gross notional / equity",
    Trigger.POSITION_NOTIONAL: "one position / equity",
    Trigger.HEARTBEAT: "silence of the trader while positions are open",
    Trigger.BOOKS_DIFFER: "how long wallet or positions have not been explained",
    Trigger.STOP_MISSING: "how long a position has had no stop at the venue",
    Trigger.REJECTS: "orders refused at the venue in the last minute",
    Trigger.CLOCK: "this machine's clock against the venue's",
    Trigger.STALE_DATA: "age of what the venue said last, with risk on",
}


COUNTED: Final = " count"


def guard_view(seen: GuardSeen) -> dict[str, Any]:
    """How fresh the guard's word is."""
    at = None if seen.status is None else time_text(seen.status.wall_ns)
    return {"state": seen.state, "age_s": seen.age_s, "at": at, "why": seen.why}


def brake_view(state_folder: Path, seen: GuardSeen, *, actor: str = "") -> dict[str, Any]:
    """Where the brake stands, without what engaging would do.

    Parameters
    ----------
    actor : str
        Name of the person behind the latch's `actor_id`, where it is known.
    """
    latch, status = seen.latch, seen.status
    return {
        "guard": guard_view(seen),
        "level": None if latch is None else latch.level,
        "trigger": None if latch is None or latch.trigger is None else latch.trigger.value,
        "reason": "" if latch is None else latch.reason,
        "observed": "" if latch is None else latch.observed,
        "limit": "" if latch is None else latch.limit,
        "actor_id": "" if latch is None else latch.actor_id,
        "actor": actor,
        "source": "" if latch is None else latch.source,
        "engaged_at": time_text(latch.engaged_wall_ns) if latch is not None and latch.engaged_wall_ns else None,
        "changed_at": time_text(latch.changed_wall_ns) if latch is not None and latch.changed_wall_ns else None,
        "generation": None if latch is None or not latch.account else latch.generation,
        "account": None if latch is None else latch.account or None,
        "permits": (status.permits == "") if status is not None and seen.is_current else None,
        "progress": "" if status is None else progress(status),
        "triggers": [] if status is None else triggers(status),
        "pending_requests": len(waiting_requests(state_folder)),
        "guard_url": _door(state_folder),
    }


def _door(state_folder: Path) -> str | None:
    try:
        return door_url(state_folder)
    except KedgeError:
        return None


def progress(status: GuardStatus) -> str:
    """Where a flatten stands, in words; empty while none is under way."""
    if status.latch.level not in (BrakeLevel.FLATTENING, BrakeLevel.HALTED_FLAT):
        return ""
    if status.is_flat or status.latch.level is BrakeLevel.HALTED_FLAT:
        took = status.times.flat_ns
        return "flat: no position and no order" + (f", {took / NS_PER_S:.1f} s after the breach" if took is not None else "")
    orders = status.orders.resting + status.orders.conditional
    parts = [f"{orders} orders and {len(status.positions)} positions left at the venue"]
    parts += [f"{one.instrument}: {one.waits}" for one in status.positions if one.waits]
    return "; ".join(parts)


def triggers(status: GuardStatus) -> list[dict[str, Any]]:
    """Every reading beside its limit, the nearest first; a VaR that could not be worked out is told as unknown."""
    rows = [_trigger(one) for one in sorted(status.readings, key=lambda one: (not one.is_breached, one.room_e8))]
    if status.positions and not any(one.trigger is Trigger.VAR99 for one in status.readings):
        rows.append({**_UNKNOWN_VAR, "why": "; ".join(status.var_flags) or "the guard could not work it out"})
    return rows


def _trigger(one: Reading) -> dict[str, Any]:
    return {
        "name": one.trigger.value,
        "words": WORDS.get(one.trigger, one.trigger.value.replace("_", " ")),
        "level": one.level,
        "observed": in_words(one, one.observed).removesuffix(COUNTED),
        "limit": in_words(one, one.limit).removesuffix(COUNTED),
        "reversed": one.trigger is Trigger.LIQUIDATION_DISTANCE,
        "used": e8_text(E8 - one.room_e8),
        "breached": one.is_breached,
        "instrument": one.instrument or None,
        "why": one.detail,
    }


_UNKNOWN_VAR: Final = {
    "name": Trigger.VAR99.value,
    "words": WORDS[Trigger.VAR99],
    "level": BrakeLevel.FLATTENING,
    "observed": None,
    "limit": "as configured",
    "reversed": False,
    "used": None,
    "breached": False,
    "instrument": None,
}
