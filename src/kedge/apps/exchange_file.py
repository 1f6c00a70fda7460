"""Where the running exchange of a state folder answers: `<state>/exchange.json`, there for as long as it accepts connections.

Rules: written whole or not at all; the lock decides whether an exchange runs, the file only says where. What a killed exchange left
behind is not taken for a running one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from kedge.ops.atomic_file import replace_content
from kedge.ops.process_lock import ProcessLock, holder_of

FILE: Final = "exchange.json"
LOCK: Final = "exchange.lock"
STARTS: Final = "paper/starts"


class Running(msgspec.Struct, frozen=True):
    """A running exchange: its process, its address, when it began to accept connections (UTC)."""

    pid: int
    url: str
    started: str
    schema: str = "kedge/exchange/v1"


def exchange_lock(state_folder: Path) -> ProcessLock:
    """The lock that an exchange holds while it runs."""
    return ProcessLock(state_folder / LOCK, what="kedge exchange")


def write_running(state_folder: Path, running: Running) -> None:
    """Say where the exchange answers."""
    replace_content(state_folder / FILE, msgspec.json.encode(running))


def read_running(state_folder: Path) -> Running | None:
    """The exchange that runs with this state folder; None where none does, or it does not accept connections yet."""
    try:
        found = msgspec.json.decode((state_folder / FILE).read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found if holder_of(state_folder / LOCK) == found.pid else None


def remove_running(state_folder: Path) -> None:
    """Take the file away; none there is no error."""
    (state_folder / FILE).unlink(missing_ok=True)


def count_start(state_folder: Path) -> int:
    """How many exchanges this state folder has seen before, this one now counted: what tells the ids of one from the next."""
    path = state_folder / STARTS
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else "0"
    before = int(text) if text.isdigit() else 0
    replace_content(path, str(before + 1).encode())
    return before
