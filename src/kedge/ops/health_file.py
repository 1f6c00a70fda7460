"""What each long-running process leaves for the others to read: `<state folder>/<name>.json`.

Rules: written whole or not at all (temporary file, then rename), read without trusting it; a file never says that its writer
lives, its age and pid do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedge.domain.errors import IntegrityError, NotFound
from kedge.ops.atomic_file import replace_content

STALE_AFTER_S: Final = 5.0
"""Writers write about every second; five missed ones are no accident."""
EXCHANGE: Final = "exchange"
TRADER: Final = "trader"
SERVER: Final = "server"
GUARD: Final = "guard"
SUPERVISOR: Final = "supervisor"


def health_path(state_folder: Path, name: str) -> Path:
    """Where the process of that name leaves its file."""
    return state_folder / f"{name}.json"


def write_health_file(state_folder: Path, name: str, content: Mapping[str, Any], now: datetime) -> None:
    """Write the file atomically, for its owner alone; `pid` and `updated_at` (from `now`, UTC) are added."""
    state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({**content, "pid": os.getpid(), "updated_at": now.astimezone(UTC).isoformat()}, allow_nan=False)
    replace_content(health_path(state_folder, name), text.encode())


def read_health_file(state_folder: Path, name: str, now: datetime) -> dict[str, Any]:
    """Read the file and judge it: adds `age_s`, `alive` (its writer's process exists) and `fresh` (alive and young).

    Raises
    ------
    NotFound
        No such process ever ran with this state folder, or it ended and took its file away.
    IntegrityError
        The file is none of ours.
    """
    path = health_path(state_folder, name)
    try:
        found = json.loads(path.read_bytes())
        age_s = (now - datetime.fromisoformat(found["updated_at"])).total_seconds()
        alive = is_alive(int(found["pid"]))
    except FileNotFoundError:
        raise NotFound(f"no {name} has run", why=f"{path} does not exist", fix="kedge up") from None
    except (OSError, OverflowError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is not readable", why=f"{type(error).__name__}: {error}", fix="remove it; its process writes it again"
        ) from None
    return {**found, "age_s": round(age_s, 1), "alive": alive, "fresh": alive and abs(age_s) < STALE_AFTER_S}


def remove_health_file(state_folder: Path, name: str) -> None:
    """Take the file away at an orderly end."""
    health_path(state_folder, name).unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid > 0
