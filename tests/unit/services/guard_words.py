"""What a guard leaves in a state folder, written by hand for tests of whoever reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.ops.guard_files import write_status
from kedge.risk.brake.triggers import Reading
from kedge.services.guard.status import GuardStatus, OrderStatus, PositionStatus
from kedge.storage import SigningKey
from kedge.storage.guard_journal import GUARD_JOURNAL, GuardWriter

ACCOUNT = "acct"
NS = 1_000_000_000


def reading(trigger: Trigger, observed: int, limit: int, level: BrakeLevel = BrakeLevel.HALTED, **more: Any) -> Reading:
    """A measure that may not rise above its limit."""
    room = (limit - observed) * 100_000_000 // limit
    plain = {"trigger": trigger, "level": level, "unit": "1e-8", "observed": observed, "limit": limit, "room_e8": room}
    return Reading(**{**plain, "is_breached": observed > limit, **more})


def latch(level: BrakeLevel = BrakeLevel.RUNNING, **more: Any) -> Latch:
    return Latch(account=ACCOUNT, generation=more.pop("generation", 3), level=level, **more)


def status(level: BrakeLevel = BrakeLevel.RUNNING, readings: Iterable[Reading] = (), **more: Any) -> GuardStatus:
    """A guard that has just looked."""
    latched = more.pop("latch", None) or latch(level)
    plain: dict[str, Any] = {
        "account": ACCOUNT,
        "guard": "guard",
        "wall_ns": time.time_ns(),
        "started_wall_ns": time.time_ns() - NS,
        "latch": latched,
        "latch_is_durable": True,
        "is_flat": False,
        "view_age_ns": 0,
        "permits": "",
        "heartbeat_age_ns": 0,
        "readings": tuple(readings),
    }
    return GuardStatus(**{**plain, **more})


def said(state: Path, told: GuardStatus, *, age_s: float = 0.0, pid: int | None = None) -> None:
    """Leave it as the guard does, so many seconds ago, from a process that lives."""
    written = {"pid": pid or os.getpid(), "written_wall_ns": time.time_ns() - int(age_s * NS)}
    write_status(state, msgspec.json.encode({**msgspec.to_builtins(told), **written}))


def position(instrument: str = "test:AAAUSDT", lots: int = 1_000, **more: Any) -> PositionStatus:
    return PositionStatus(instrument=instrument, lots=lots, mark_e8=100_000_000_000, notional_e8=lots * 100_000_000, stop_ticks=0, **more)


def orders(**counts: int) -> OrderStatus:
    return OrderStatus(**counts)


def journalled(state: Path, *records: msgspec.Struct) -> None:
    """The guard's journal with these records."""
    folder = state / "guard"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    writer = GuardWriter(
        folder / GUARD_JOURNAL, ACCOUNT, signer=SigningKey.generate(), engine_version="0", wall_ns=lambda: 1_700_000_000 * NS
    )
    try:
        writer.append(list(records))
    finally:
        writer.close()
