"""The clerk of drills: every record becomes an act once, a missed drill one of each day, and a store that refuses is asked again."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest
from tests.unit.services.drills.crashes import WALL_NS, report

from kedge.domain.errors import RecordingFailed
from kedge.domain.people import Act, Source
from kedge.domain.units import NS_PER_DAY
from kedge.journal.acts import act_bytes
from kedge.services.drills.clerk import Clerk, standing
from kedge.services.drills.records import drills_folder, write_record


class Desk:
    """Keeps acts, by their id as the store does; refuses while it is told to."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.refuses = False

    def tell(self, act: Act) -> None:
        if self.refuses:
            raise RecordingFailed("the store is locked", why="another process", fix="wait")
        act_bytes(act)
        self.acts.setdefault(act.act_id, act)


def clerk(folder: Path, desk: Desk, now_ns: int = WALL_NS, since_ns: int | None = WALL_NS) -> Clerk:
    return Clerk(folder, desk.tell, rung=lambda: "paper", since=lambda: since_ns, wall_ns=lambda: now_ns)


def test_where_nobody_ever_guarded_there_is_nothing_to_drill(tmp_path: Path) -> None:
    desk = Desk()
    assert clerk(tmp_path, desk, since_ns=None).look() is None
    assert standing(tmp_path, "paper", None, WALL_NS) is None
    assert desk.acts == {}


def test_a_drill_that_was_held_becomes_an_act_with_the_hash_of_its_record(tmp_path: Path) -> None:
    desk = Desk()
    write_record(tmp_path, report(drill_id="good"))
    write_record(tmp_path, report(drill_id="bad", findings=("it reversed",)))
    watching = clerk(tmp_path, desk)
    watching.look()
    watching.look()
    assert set(desk.acts) == {"drill-good", "drill-bad"}
    good, bad = desk.acts["drill-good"], desk.acts["drill-bad"]
    assert (good.source, good.action, good.subject, good.details["passed"]) == (Source.SYSTEM, "drill-held", "good", "yes")
    assert good.details["record_sha256"] == hashlib.sha256((drills_folder(tmp_path) / "good.json").read_bytes()).hexdigest()
    assert (bad.details["passed"], bad.details["findings"]) == ("no", "it reversed")


def test_a_missed_drill_is_an_act_and_an_error_of_every_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.ERROR, "kedge.drills"):
        for days in (7, 9, 9, 10):
            found = clerk(tmp_path, desk, WALL_NS + days * NS_PER_DAY).look()
            assert found is not None
            assert found.is_missed is (days > 8)
    missed = [act for act in desk.acts.values() if act.action == "drill-missed"]
    assert len(missed) == 2
    assert all(act.details["code"] == "DRILL_MISSED" and "kedge brake test" in act.details["words"] for act in missed)
    assert "drill of the brake missed" in caplog.text


def test_what_the_store_refused_is_told_at_the_next_look(tmp_path: Path) -> None:
    desk = Desk()
    write_record(tmp_path, report(drill_id="good"))
    watching = clerk(tmp_path, desk)
    desk.refuses = True
    with pytest.raises(RecordingFailed):
        watching.look()
    desk.refuses = False
    watching.look()
    assert set(desk.acts) == {"drill-good"}
