"""Keeps the schedule of drills: tells the journal of acts what was held and what was missed, and says when one is due.

Rules: a drill's record becomes an act once, under its own id, so that the signed journal says what the files said when they were new; a
missed drill is an act of every UTC day on which it is missed, and an error in the log. Without a guard there is nothing to drill.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.people import Act, Source
from kedge.domain.units import NS_PER_DAY
from kedge.governance.actions import Action
from kedge.services.drills.records import SUFFIX, drills_folder, read_records
from kedge.services.drills.report import DrillReport
from kedge.services.drills.schedule import ALERT, Due, due

_TOLD_MOST: Final = 20
"""Records that are looked at each time; older ones were told long ago."""

_log: Final = logging.getLogger("kedge.drills")


def standing(state_folder: Path, rung: str, since_wall_ns: int | None, now_wall_ns: int) -> Due | None:
    """Where the schedule stands; None where no guard has ever watched and no drill was held."""
    reports = read_records(state_folder).reports
    if since_wall_ns is None and not reports:
        return None
    return due(rung, reports, now_wall_ns if since_wall_ns is None else since_wall_ns, now_wall_ns)


class Clerk:
    """Looks after the drills of one state folder.

    Parameters
    ----------
    tell : callable
        Writes an act; the same act twice is one.
    rung, since : callables
        Where the account trades, and since when it is guarded (wall ns, None for never).
    """

    def __init__(
        self,
        state_folder: Path,
        tell: Callable[[Act], None],
        *,
        rung: Callable[[], str],
        since: Callable[[], int | None],
        wall_ns: Callable[[], int],
    ) -> None:
        self._folder, self._tell = state_folder, tell
        self._rung, self._since, self._wall_ns = rung, since, wall_ns
        self._told: set[str] = set()

    def look(self) -> Due | None:
        """Tell what is new; where the schedule stands.

        Raises
        ------
        KedgeError
            The store takes no act now; it is told at the next look.
        """
        now_ns = self._wall_ns()
        for report in reversed(read_records(self._folder, most=_TOLD_MOST).reports):
            self._once(f"drill-{report.drill_id}", partial(self._held, report))
        found = standing(self._folder, self._rung(), self._since(), now_ns)
        if found is not None and found.is_missed:
            self._once(f"drill-missed-{now_ns // NS_PER_DAY}", partial(self._missed, found, now_ns))
        return found

    def _once(self, act_id: str, made: Callable[[str], Act]) -> None:
        if act_id not in self._told:
            self._tell(made(act_id))
            self._told.add(act_id)

    def _held(self, report: DrillReport, act_id: str) -> Act:
        return held(act_id, report, self._record_sha256(report))

    def _missed(self, found: Due, now_ns: int, act_id: str) -> Act:
        _log.error("%s", found.words, extra={"kedge_fields": {"event": "alert", "code": ALERT}})
        return _act(act_id, now_ns, Action.DRILL_MISSED, "brake", {"code": ALERT, "words": found.words, "rung": self._rung()})

    def _record_sha256(self, report: DrillReport) -> str:
        path = drills_folder(self._folder) / f"{report.drill_id}{SUFFIX}"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def held(act_id: str, report: DrillReport, record_sha256: str) -> Act:
    """The act of a drill that was held: how it ended, and the hash of its record."""
    return _act(
        act_id,
        report.started_wall_ns,
        Action.DRILL_HELD,
        report.drill_id,
        {
            "scenario": report.scenario,
            "kind": report.kind,
            "outcome": report.outcome,
            "passed": "yes" if report.is_passed else "no",
            "findings": "; ".join(report.findings)[:1_000],
            "times": msgspec.json.encode(report.seen).decode(),
            "record_sha256": record_sha256,
        },
    )


def _act(act_id: str, wall_ns: int, action: Action, subject: str, details: dict[str, str]) -> Act:
    return Act(
        act_id=act_id,
        wall_ns=wall_ns,
        person_id="system",
        name="system",
        roles=(),
        source=Source.SYSTEM,
        action=action.value,
        subject=subject,
        outcome="done",
        details=details,
    )
