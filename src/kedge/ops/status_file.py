"""The status that a running `kedge demo` leaves for others to read: `<state folder>/status.json`.

The rules: written whole or not at all (temporary file, then rename), read without trusting it, and its age and the
writer's lock decide whether it may be called live. A stale figure is said to be stale, never shown as current.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedge.domain.errors import IntegrityError, NotFound
from kedge.ops.atomic_file import replace_content
from kedge.ops.process_lock import ProcessLock, holder_of

STATUS_NAME = "status.json"
LOCK_NAME = "up.lock"
STALE_AFTER_S = 5.0
"""The writer writes about every second; five missed ones are no accident."""
FIELDS = (
    "run_id",
    "mode",
    "source",
    "fills",
    "round_trips",
    "equity",
    "drawdown",
    "funnel",
    "positions",
    "orders",
    "bars",
)


def up_lock(state_folder: Path) -> ProcessLock:
    """The lock that `kedge up` and `kedge demo` hold while they run: one of them per state folder."""
    return ProcessLock(state_folder / LOCK_NAME, what="kedge up")


def write_status(state_folder: Path, status: Mapping[str, Any], now: datetime) -> None:
    """Write the status atomically; every name in `FIELDS` must be there, and `updated_at` is added from `now` (UTC)."""
    missing = [name for name in FIELDS if name not in status]
    if missing:
        raise KeyError(f"status lacks {', '.join(missing)}")
    state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({**status, "updated_at": now.astimezone(UTC).isoformat()}, allow_nan=False)
    replace_content(state_folder / STATUS_NAME, text.encode())


def read_status(state_folder: Path, now: datetime) -> dict[str, Any]:
    """Read the status and judge it: adds `running`, `age_s` and `stale`.

    Raises
    ------
    NotFound
        Nothing has run with this state folder.
    IntegrityError
        The file is not a status.
    """
    path = state_folder / STATUS_NAME
    try:
        status = json.loads(path.read_bytes())
        age_s = (now - datetime.fromisoformat(status["updated_at"])).total_seconds()
    except FileNotFoundError:
        raise NotFound("no run yet", why=f"{path} does not exist", fix="kedge up") from None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is not a status", why=str(error), fix="remove it and run `kedge demo`") from None
    running = holder_of(state_folder / LOCK_NAME) is not None
    fresh = math.isfinite(age_s) and -STALE_AFTER_S < age_s < STALE_AFTER_S
    return {**status, "running": running, "age_s": round(age_s, 1), "stale": not (running and fresh)}
