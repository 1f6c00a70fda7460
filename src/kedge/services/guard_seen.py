"""What the guard said last, read from the copy that it leaves for readers, and how old that word is.

Rules: nothing is decided by it; old is said to be old; where no copy can be read, the latch's own file is asked, and where that cannot be
read either the brake counts as HALTED, as everybody else takes it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import IntegrityError, NotFound
from kedge.ops.guard_files import read_status
from kedge.ops.latch_file import guard_folder, latch_path
from kedge.services.guard.status import GuardStatus
from kedge.storage.guard_journal import GUARD_JOURNAL
from kedge.storage.journal_files import head_path

LATE_S: Final = 3.0
STALE_S: Final = 6.0
"""The guard writes every second."""
FRESH: Final = "fresh"
LATE: Final = "late"
STALE: Final = "stale"
ABSENT: Final = "absent"


class GuardSeen(NamedTuple):
    """The guard's last word.

    Attributes
    ----------
    state : str
        'fresh', 'late', 'stale', or 'absent' where no guard has left anything here.
    age_s : float or None
        Seconds of wall time since it was said; None where nobody knows.
    status : GuardStatus or None
        What it said; None where that cannot be read.
    latch : Latch or None
        Where the brake stands, from the copy or from its own file; None where no guard has ever run here.
    why : str
        Why it is not fresh; empty when it is.
    """

    state: str
    age_s: float | None
    status: GuardStatus | None
    latch: Latch | None
    why: str

    @property
    def is_current(self) -> bool:
        """Whether its figures may be believed now."""
        return self.state in (FRESH, LATE)


def guard_seen(state_folder: Path, now: datetime) -> GuardSeen:
    """Read what the guard of a state folder said last. Never raises."""
    try:
        found = read_status(state_folder, now)
        status = msgspec.convert(found, GuardStatus)
    except NotFound as error:
        latch = _latch(state_folder)
        return GuardSeen(ABSENT if latch is None else STALE, None, None, latch, error.what)
    except (IntegrityError, msgspec.ValidationError) as error:
        why = error.what if isinstance(error, IntegrityError) else f"the guard's last word is none that is known here: {error}"
        return GuardSeen(STALE, None, None, _latch(state_folder), why)
    state, why = _judged(float(found["age_s"]), is_alive=bool(found["alive"]))
    latch = (_latch(state_folder) if state == STALE else None) or status.latch  # a guard that was killed may have latched and not told
    return GuardSeen(state, max(0.0, float(found["age_s"])), status, latch, why)


def _judged(age_s: float, *, is_alive: bool) -> tuple[str, str]:
    if not is_alive:
        return STALE, "the guard's process is gone"
    if age_s > STALE_S:
        return STALE, f"the guard has said nothing for {age_s:.0f} s"
    if age_s < -LATE_S:
        return STALE, "the guard's last word is from the future: a clock was set"
    return (LATE, f"the guard has said nothing for {age_s:.1f} s") if age_s > LATE_S else (FRESH, "")


def _latch(state_folder: Path) -> Latch | None:
    """The latch's file as it is; HALTED where it cannot be read or is gone, None where no guard has ever run here."""
    path = latch_path(state_folder)
    journal = guard_folder(state_folder) / GUARD_JOURNAL
    try:
        return msgspec.json.decode(path.read_bytes(), type=Latch)
    except FileNotFoundError:
        was_here = journal.exists() or head_path(journal).exists()
        return _unreadable("the latch's file is gone, and the guard's journal is there") if was_here else None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _unreadable("the latch's file cannot be read")


def _unreadable(why: str) -> Latch:
    return Latch(account="", generation=0, level=BrakeLevel.HALTED, trigger=Trigger.UNREADABLE, reason=why)
