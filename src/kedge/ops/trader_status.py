"""The trader's own status, written every second of wall time: `<state folder>/trader.json`, and the lock of the one trader.

The figures are the trader's; this module adds who wrote them and when. A trader that ended leaves its last figures behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kedge.ops.health_file import TRADER, read_health_file, write_health_file
from kedge.ops.process_lock import ProcessLock, holder_of

LOCK_NAME: Final = "trader.lock"
ENDED: Final = "ended"
"""The `phase` of a trader whose market is over; of one that was told to stop it is another."""
NEVER_SHOWN: Final = ("api_key", "api_secret")


def trader_lock(state_folder: Path) -> ProcessLock:
    """The lock of the one trader that may use this state folder."""
    return ProcessLock(state_folder / LOCK_NAME, what="a trader")


def write_trader_status(state_folder: Path, status: Mapping[str, Any], now: datetime) -> None:
    """Write the figures atomically.

    Raises
    ------
    KeyError
        The status holds a name that belongs to credentials.
    """
    held = [name for name in NEVER_SHOWN if name in status]
    if held:
        raise KeyError(f"a status never holds {', '.join(held)}")
    write_health_file(state_folder, TRADER, status, now)


def read_trader_status(state_folder: Path, now: datetime) -> dict[str, Any]:
    """Read the figures and judge them: adds `running`, `age_s` and `stale` to what `read_health_file` adds.

    Raises
    ------
    NotFound, IntegrityError
        As `read_health_file`.
    """
    found = read_health_file(state_folder, TRADER, now)
    running = holder_of(state_folder / LOCK_NAME) is not None
    return {**found, "running": running, "stale": not (running and found["fresh"])}
