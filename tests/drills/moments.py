"""The moments of a drill that a disturbance waits for: by what the watch sees, never by the clock."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

from kedge.apps.drill_run import Drill
from kedge.domain.brake import BrakeLevel

HALF_WAY = Decimal("0.05")
"""A loss at which the brake has not fired yet."""


async def falling(drill: Drill) -> None:
    """Wait until half of the way to the breach is lost."""
    watch = drill.watch
    await watch.until(lambda: bool(watch.samples) and watch.high - watch.samples[-1].equity > HALF_WAY * watch.high, 60)


async def breached(drill: Drill) -> None:
    """Wait for the price that breaches."""
    await drill.watch.until(lambda: drill.watch.breach_ns is not None or drill.watch.level not in (None, BrakeLevel.RUNNING), 60)


async def nearly(drill: Drill, share: str = "0.085") -> None:
    """Wait until the breach is near."""
    watch = drill.watch
    await watch.until(lambda: bool(watch.samples) and watch.high - watch.samples[-1].equity > Decimal(share) * watch.high, 60)


async def smaller(drill: Drill, within_s: float = 60) -> bool:
    """Wait until the guard has closed a part, and not all."""
    assert await drill.latched(BrakeLevel.FLATTENING, within_s)
    before = {symbol: abs(size) for symbol, size in drill.watch.samples[-1].positions.items()}

    def is_part() -> bool:
        now = drill.watch.samples[-1].positions
        return bool(now) and sum(map(abs, now.values())) != sum(before.values())

    return await drill.watch.until(is_part, within_s)


def locked(path: Path) -> sqlite3.Connection:
    """Take a database's write lock and keep it."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection
