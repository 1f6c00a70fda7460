"""The brake as people see it: how old the guard's word is, every trigger, what engaging would do, records and drills in words."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.ops.guard_files import BrakeRequest, drop_request, status_path
from kedge.ops.latch_file import latch_path
from kedge.services.brake_dry_run import dry_run, no_run
from kedge.services.brake_records import drills_view, guarded_since, history_view, last_drill, words_of
from kedge.services.brake_views import brake_view, triggers
from kedge.services.drills.records import write_record
from kedge.services.drills.report import DrillReport, Times
from kedge.services.guard import records
from kedge.services.guard.status import Times as GuardTimes
from kedge.services.guard_seen import guard_seen

from .guard_words import ACCOUNT, NS, journalled, latch, orders, position, reading, said, status
from .replica_runs import closed, model_run, opened, read_all


def now() -> datetime:
    return datetime.now(UTC)


def dead_pid() -> int:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


@pytest.mark.parametrize(("age_s", "state"), [(0.0, "fresh"), (4.0, "late"), (30.0, "stale"), (-60.0, "stale")])
def test_the_guards_word_ages_until_it_is_stale(tmp_path: Path, age_s: float, state: str) -> None:
    said(tmp_path, status(), age_s=age_s)
    seen = guard_seen(tmp_path, now())
    assert (seen.state, seen.is_current, bool(seen.why)) == (state, state != "stale", state != "fresh")
    assert seen.latch is not None
    assert seen.latch.level is BrakeLevel.RUNNING


def test_a_guard_whose_process_is_gone_is_stale_however_young_its_word(tmp_path: Path) -> None:
    said(tmp_path, status(), pid=dead_pid())
    assert (guard_seen(tmp_path, now()).state, guard_seen(tmp_path, now()).why) == ("stale", "the guard's process is gone")


def test_without_any_guard_nobody_knows_and_a_lone_latch_is_read(tmp_path: Path) -> None:
    seen = guard_seen(tmp_path, now())
    assert (seen.state, seen.latch, seen.status) == ("absent", None, None)
    assert brake_view(tmp_path, seen)["level"] is None
    latch_path(tmp_path).parent.mkdir()
    latch_path(tmp_path).write_bytes(msgspec.json.encode(latch(BrakeLevel.FLATTENING)))
    seen = guard_seen(tmp_path, now())
    assert (seen.state, brake_view(tmp_path, seen)["level"]) == ("stale", BrakeLevel.FLATTENING)


def test_a_latch_that_is_gone_though_a_guard_has_recorded_here_counts_as_halted(tmp_path: Path) -> None:
    journalled(tmp_path)
    said(tmp_path, status(), age_s=30.0)
    for seen in (guard_seen(tmp_path, now()), status_path(tmp_path).unlink() or guard_seen(tmp_path, now())):
        assert seen.latch is not None
        assert (seen.state, seen.latch.level, seen.latch.trigger) == ("stale", BrakeLevel.HALTED, Trigger.UNREADABLE)


def test_of_a_guard_that_was_killed_the_latch_counts_and_not_its_last_word(tmp_path: Path) -> None:
    said(tmp_path, status(), pid=dead_pid())
    latch_path(tmp_path).write_bytes(msgspec.json.encode(latch(BrakeLevel.FLATTENING)))
    seen = guard_seen(tmp_path, now())
    assert seen.latch is not None
    assert (seen.state, seen.latch.level) == ("stale", BrakeLevel.FLATTENING)


def test_what_cannot_be_read_counts_as_halted(tmp_path: Path) -> None:
    latch_path(tmp_path).parent.mkdir()
    latch_path(tmp_path).write_text('{"level": "run')
    status_path(tmp_path).write_text("{")
    seen = guard_seen(tmp_path, now())
    view = brake_view(tmp_path, seen)
    assert (view["level"], view["trigger"], view["generation"], view["permits"]) == (BrakeLevel.HALTED, "unreadable", None, None)
    status_path(tmp_path).write_text(f'{{"written_wall_ns": {time.time_ns()}, "pid": {os.getpid()}, "account": 3}}')
    assert "none that is known here" in guard_seen(tmp_path, now()).why


def test_the_view_tells_who_why_and_what_waits(tmp_path: Path) -> None:
    engaged = latch(
        BrakeLevel.HALTED,
        trigger=Trigger.MANUAL,
        reason="odd feed",
        actor_id="p-1",
        source="browser",
        engaged_wall_ns=NS,
        changed_wall_ns=2 * NS,
    )
    said(tmp_path, status(latch=engaged, permits="the brake is on"))
    drop_request(tmp_path, BrakeRequest(level=BrakeLevel.FLATTENING, actor_id="p", reason="r", source="cli", asked_wall_ns=1))
    view = brake_view(tmp_path, guard_seen(tmp_path, now()), actor="Ada")
    told = {
        name: view[name] for name in ("level", "trigger", "reason", "actor_id", "actor", "generation", "account", "permits", "guard_url")
    }
    assert told == {
        "level": BrakeLevel.HALTED,
        "trigger": "manual",
        "reason": "odd feed",
        "actor_id": "p-1",
        "actor": "Ada",
        "generation": 3,
        "account": ACCOUNT,
        "permits": False,
        "guard_url": None,
    }
    assert (view["engaged_at"], view["changed_at"], view["pending_requests"]) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", 1)


def test_triggers_come_with_the_nearest_first_and_an_unknown_var_is_said_to_be_unknown() -> None:
    rows = triggers(
        status(
            readings=[
                reading(Trigger.DRAWDOWN, 4_000_000, 8_000_000),
                reading(Trigger.DAILY_LOSS, 2_500_000, 2_000_000),
                reading(Trigger.REJECTS, 3, 10, unit="count"),
            ],
            positions=(position(),),
            var_flags=("no history",),
        )
    )
    assert [(row["name"], row["breached"]) for row in rows] == [
        ("daily_loss", True), ("drawdown", False), ("rejects", False), ("var99", False),
    ]  # fmt: skip
    assert [row["used"] for row in rows[:2]] == ["1.25000000", "0.50000000"]
    assert (rows[2]["observed"], rows[2]["limit"]) == ("3", "10")
    assert (rows[3]["observed"], rows[3]["used"], rows[3]["why"]) == (None, None, "no history")


@pytest.mark.parametrize(
    ("level", "more", "words"),
    [
        (BrakeLevel.HALTED, {}, ""),
        (BrakeLevel.FLATTENING, {}, "2 orders and 1 positions left at the venue; test:AAAUSDT: empty book"),
        (BrakeLevel.HALTED_FLAT, {"times": GuardTimes(flat_ns=4_200_000_000)}, "flat: no position and no order, 4.2 s after the breach"),
        (BrakeLevel.HALTED_FLAT, {}, "flat: no position and no order"),
    ],
)
def test_a_flatten_tells_where_it_stands(tmp_path: Path, level: BrakeLevel, more: dict[str, Any], words: str) -> None:
    said(tmp_path, status(level, orders=orders(resting=1, conditional=1), positions=(position(waits="empty book"),), **more))
    assert brake_view(tmp_path, guard_seen(tmp_path, now()))["progress"] == words


def test_a_dry_run_lists_what_would_go_and_a_range_of_its_cost(tmp_path: Path) -> None:
    model_run(tmp_path / "journal.sqlite", bars=40)
    replica = read_all(opened(tmp_path / "journal.sqlite", tmp_path / "replica.sqlite"))
    try:
        seen = guard_seen(tmp_path, now())
        plan = dry_run(replica, seen)
        held = [slot for slot in replica.state.by_index if slot.position_lots]
        assert [one["instrument"] for one in plan["closes"]] == [slot.instrument for slot in held]
        assert held, "the run is flat: another seed would show more"
        fees = sum(float(one["fee"]) for one in plan["closes"])
        collars = sum(float(one["slippage_max"]) for one in plan["closes"])
        assert float(plan["cost_min"]) == pytest.approx(fees)
        assert float(plan["cost_max"]) == pytest.approx(fees + collars)
        assert all(float(one["slippage_max"]) == pytest.approx(float(one["notional"]) / 100) for one in plan["closes"])
        assert "as the run's books say" in plan["why"]
        said(tmp_path, status(orders=orders(resting=7)))
        assert "the guard sees 7 open orders and 0 positions" in dry_run(replica, guard_seen(tmp_path, now()))["why"]
        same = status(orders=orders(resting=len(plan["cancels"])), positions=tuple(position() for _ in held))
        said(tmp_path, same)
        assert dry_run(replica, guard_seen(tmp_path, now()))["why"] == ""
    finally:
        closed(replica)


def test_without_a_run_only_the_guard_knows_what_is_there(tmp_path: Path) -> None:
    assert no_run(guard_seen(tmp_path, now()))["why"] == "no run is followed here"
    said(tmp_path, status(orders=orders(resting=2), positions=(position(),)))
    told = no_run(guard_seen(tmp_path, now()))
    assert (told["source"], told["cost_min"], told["closes"]) == ("none", None, [])
    assert "2 open orders and 1 positions" in told["why"]


EVERY: tuple[tuple[msgspec.Struct, str], ...] = (
    (
        records.GuardStarted(wall_ns=1, account="a", name="g", level=BrakeLevel.RUNNING, generation=0, version="", settings=""),
        "began its watch",
    ),
    (
        records.Breached(wall_ns=2, trigger=Trigger.DRAWDOWN, level=BrakeLevel.HALTED, observed="9 %", limit="8 %", instrument="x"),
        "drawdown reached halted, x, observed 9 %, limit 8 %",
    ),
    (
        records.Latched(
            wall_ns=3,
            level=BrakeLevel.HALTED,
            generation=1,
            trigger=Trigger.DRAWDOWN,
            observed="9 %",
            limit="8 %",
            reason="",
            actor_id="guard",
            source="guard",
            is_durable=False,
            took_ns=5,
        ),
        "halted by drawdown, observed 9 %, limit 8 %, NOT ON THE DISK",
    ),
    (
        records.Latched(
            wall_ns=4,
            level=BrakeLevel.FLATTENING,
            generation=2,
            trigger=Trigger.MANUAL,
            observed="",
            limit="",
            reason="enough",
            actor_id="p-1",
            source="browser",
            is_durable=True,
            took_ns=5,
        ),
        "flattening by p-1, enough",
    ),
    (records.CancelsSent(wall_ns=5, kind="resting", count=1, answer="taken", generation=2), "cancel all resting orders: taken"),
    (records.CancelsSent(wall_ns=5, kind="k-1", count=1, answer="taken", generation=2), "cancel order k-1: taken"),
    (
        records.SliceAnswered(wall_ns=6, client_order_id="c", instrument="x", state="taken", cum_lots=3, words=""),
        "slice of x: taken, 3 lots",
    ),
    (records.Waiting(wall_ns=7, instrument="x", held_lots=1, why="no depth"), "x waits: no depth"),
    (records.DeadMan(wall_ns=8, silent_ns=12_500_000_000, orders=4), "silent for 12.50 s: 4 orders cancelled"),
    (
        records.Released(
            wall_ns=9,
            approval_id="a",
            generation=2,
            from_level=BrakeLevel.HALTED,
            reason="ok",
            root_cause="c",
            high_water="keep",
            actors=("p-1", "p-2"),
            solo=True,
        ),
        "released from halted by p-1, p-2, SOLO, ok",
    ),
)


def test_the_history_tells_every_record_in_a_sentence_newest_first(tmp_path: Path) -> None:
    assert history_view(tmp_path, 10) == ([], None, "no guard has kept a journal here")
    assert guarded_since(tmp_path) is None
    journalled(tmp_path, *(record for record, _ in EVERY))
    rows, following, why = history_view(tmp_path, 100)
    assert (why, following) == ("", None)
    for row, (_, words) in zip(rows, reversed(EVERY), strict=True):
        assert words in row["words"]
    assert [row["level"] for row in rows if row["kind"] == "latched"] == ["flattening", "halted"]
    first, following, _ = history_view(tmp_path, 2)
    assert first == rows[:2]
    assert history_view(tmp_path, 100, following)[0] == rows[2:]
    assert guarded_since(tmp_path) == 1_700_000_000 * NS


def test_records_that_have_no_sentence_are_told_by_their_fields() -> None:
    assert words_of("unheard_of", {"wall_ns": 1, "type": "x", "some_thing": 3, "names": ["a", "b"]}) == "some thing 3, names a, b"
    bare = "guard_stopped permits_stopped permits_granted paged flat disturbed release_refused latch_trouble flowed records_lost slice_sent"
    for kind in bare.split():
        assert words_of(kind, {}), kind


def test_thinned_readings_are_left_out_of_the_history(tmp_path: Path) -> None:
    seen = records.Seen(
        wall_ns=1,
        equity_e8=1,
        wallet_e8=1,
        drawdown_e8=0,
        day_loss_e8=0,
        gross_e8=0,
        maintenance_e8=0,
        var99_e8=None,
        var_method="",
        open_orders=0,
    )
    journalled(tmp_path, seen, records.PermitsGranted(wall_ns=2, generation=0))
    assert [row["kind"] for row in history_view(tmp_path, 10)[0]] == ["permits_granted"]


def drill(drill_id: str, at_wall_ns: int, **more: Any) -> DrillReport:
    plain: dict[str, Any] = {
        "drill_id": drill_id,
        "started_wall_ns": at_wall_ns,
        "rung": "paper",
        "scenario": "mar-2020",
        "title": "t",
        "source": "s",
        "kind": "drawdown",
        "outcome": "flat",
    }
    return DrillReport(**{**plain, **more})


def test_drills_come_with_their_seconds_and_when_the_next_one_is_due(tmp_path: Path) -> None:
    today = 20_000 * 86_400 * NS
    assert drills_view(tmp_path, today) == {"items": [], "due_at": None, "missed": False, "why": ""}
    assert last_drill(tmp_path) is None
    write_record(
        tmp_path,
        drill(
            "d1",
            today,
            trigger="drawdown",
            seen=Times(blocked_ms=120, flat_ms=5_000),
            guard=Times(blocked_ms=80, cancels_ms=300, flat_ms=4_000),
            loss_at_flat_e8=50,
            equity_breach_e8=1_000,
        ),
    )
    write_record(tmp_path, drill("d2", today + NS, outcome="risk left", fault="trader killed", findings=("late",)))
    view = drills_view(tmp_path, today + 2 * NS)
    newest, older = view["items"]
    assert (newest["ok"], newest["outcome"], newest["notes"], newest["flat_s"]) == (False, "risk left, fault: trader killed", "late", None)
    assert (older["block_s"], older["cancels_s"], older["flat_s"], older["loss_frac"]) == (0.12, 0.3, 4.0, "0.05000000")
    assert not view["missed"]
    assert drills_view(tmp_path, today + 9 * 86_400 * NS)["missed"]
    assert last_drill(tmp_path) == newest
