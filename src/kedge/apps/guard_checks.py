"""What `kedge doctor` asks of the guard: whether it turns, where the brake is, and whether its secrets are its owner's alone."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

from kedge.apps.machine_checks import Answer
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import KedgeError, NotFound
from kedge.ops.guard_files import OPERATOR_TOKEN, PERMIT_KEY, read_status, waiting_requests
from kedge.ops.latch_file import guard_folder, latch_path


def guard_and_brake(folder: Path) -> Answer:
    """The guard of this state folder and its brake."""
    secrets = [guard_folder(folder) / name for name in (OPERATOR_TOKEN, PERMIT_KEY)]
    open_ones = [path.name for path in secrets if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_ones:
        paths = " ".join(str(guard_folder(folder) / name) for name in open_ones)
        return "fail", f"others can read {' and '.join(open_ones)}", f"rm {paths}"
    try:
        found = read_status(folder, datetime.now(UTC))
        level, trigger = str(found["latch"]["level"]), found["latch"]["trigger"]
    except NotFound:
        if latch_path(folder).exists():
            return "warn", "there is a latch, and no guard has left a word", "kedge guard"
        return "skip", "no guard has watched here yet", ""
    except (KedgeError, KeyError, TypeError) as error:
        return "fail", f"the guard's copy cannot be read: {error}", "kedge guard writes it again; kedge brake status"
    waiting = len(waiting_requests(folder))
    if waiting:
        return "fail", f"{waiting} requests to brake wait, and no guard takes them", "kedge guard"
    if level != BrakeLevel.RUNNING:
        return "warn", f"the brake is {level} ({trigger})", "kedge brake status; kedge brake release"
    if not found["fresh"]:
        return "warn", "the brake is off, and no guard runs: nothing permits new risk", "kedge up, or kedge guard"
    problem = found.get("permits") or found.get("journal") or ""
    if problem:
        return "warn", f"no new risk is permitted: {problem}", "kedge brake status"
    return "ok", "it turns, and the brake is off", ""
