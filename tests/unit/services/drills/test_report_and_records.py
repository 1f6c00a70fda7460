"""Reports of drills: what counts as passed and in time, how it reads, how it is kept, and when the next one is due."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.services.drills.crashes import WALL_NS, report

from kedge.domain.errors import Conflict
from kedge.domain.units import E8, NS_PER_DAY
from kedge.services.drills.records import drills_folder, read_records, write_record
from kedge.services.drills.report import BLOCK_MS, SLACK, Change, DrillReport, Times, deadlines, late, text_of
from kedge.services.drills.schedule import due

LATE = Times(latched_ms=20, blocked_ms=BLOCK_MS * SLACK + 1, cancels_ms=40, orders_zero_ms=100, positions_zero_ms=200, flat_ms=4_200)


def test_a_drill_with_findings_has_not_passed() -> None:
    assert report().is_passed
    assert not report(findings=("it reversed",)).is_passed


def test_a_deadline_is_missed_only_beyond_it_and_by_what_was_never_seen() -> None:
    assert report().is_within()
    at_the_limit = msgspec.structs.replace(report().seen, blocked_ms=BLOCK_MS)
    assert report(seen=at_the_limit).is_within()
    assert not report(seen=msgspec.structs.replace(at_the_limit, blocked_ms=BLOCK_MS + 1)).is_within()
    assert report(seen=msgspec.structs.replace(at_the_limit, blocked_ms=BLOCK_MS + 1)).is_within(SLACK)
    assert [words.partition(":")[0] for words in late(report(seen=LATE))] == ["breach to block"]
    unseen = report(seen=Times(), guard=Times())
    assert len(late(unseen)) == len(deadlines(unseen)) == 5
    assert all("not seen" in words for words in late(unseen))


def test_the_reader_is_believed_before_the_guard() -> None:
    guard = Times(blocked_ms=1, cancels_ms=2, orders_zero_ms=3, positions_zero_ms=4, flat_ms=5)
    told = {one.words: one.measured_ms for one in deadlines(report(seen=LATE, guard=guard))}
    assert told["breach to block"] == LATE.blocked_ms
    assert told["breach to zero positions"] == LATE.positions_zero_ms
    assert told["breach to all cancels sent"] == 2


def test_the_text_tells_everything_and_never_shows_the_unknown_as_zero() -> None:
    text = text_of(
        report(
            fault="thin book", changes=(Change("guard.triggers.var99_flatten_frac", "0.05", "0"),), positions=("1 BTCUSDT",),
            assumptions=("a made up past",), pages=("BRAKE: flattening",), findings=("it reversed",), journal="drills/x/journal.sqlite",
            equity_start_e8=100_000 * E8, slip_bps=3, collar_bps=100, day_end_ms=900,
        )
    )  # fmt: skip
    for words in (
        "FAILED", "with thin book", "guard.triggers.var99_flatten_frac is 0, by default 0.05", "held: 1 BTCUSDT", "assumed: a made up past",
        "paged: BRAKE: flattening", "FOUND: it reversed", "100,000.00", "at the breach unknown", "worst 3 bps", "collar 100 bps",
        "the UTC day ended 0.900 s before", "journal: drills/x/journal.sqlite", "0.030 s",
    ):  # fmt: skip
        assert words in text
    assert "moved: nothing, all defaults" in text_of(report())
    assert "loss from breach to flat unknown" in text_of(report())


def test_a_record_is_kept_once_and_read_newest_first(tmp_path: Path) -> None:
    older, newer = report(drill_id="a", started_wall_ns=1), report(drill_id="b", started_wall_ns=2)
    for one in (newer, older):
        write_record(tmp_path, one)
    assert [one.drill_id for one in read_records(tmp_path).reports] == ["b", "a"]
    assert read_records(tmp_path, most=1).reports == (newer,)
    with pytest.raises(Conflict):
        write_record(tmp_path, newer)
    assert (drills_folder(tmp_path) / "a.json").stat().st_mode & 0o077 == 0


def test_records_that_cannot_be_read_are_told_and_count_for_nothing(tmp_path: Path) -> None:
    assert read_records(tmp_path) == ((), ())
    write_record(tmp_path, report(drill_id="good"))
    (drills_folder(tmp_path) / "torn.json").write_bytes(b'{"drill_id":')
    other = msgspec.structs.replace(report(drill_id="other"), schema="somebody/else")
    (drills_folder(tmp_path) / "other.json").write_bytes(msgspec.json.encode(other))
    found = read_records(tmp_path)
    assert [one.drill_id for one in found.reports] == ["good"]
    assert len(found.problems) == 2


@pytest.mark.parametrize(
    ("rung", "days", "is_due", "is_missed"),
    [
        ("paper", 0, False, False), ("paper", 6, False, False), ("paper", 7, True, False), ("paper", 8, True, False),
        ("paper", 9, True, True), ("testnet", 9, True, True), ("live", 29, False, False), ("live", 30, True, False),
        ("live", 35, True, False), ("live", 36, True, True), ("moon", 9, True, True),
    ],
)  # fmt: skip
def test_a_drill_is_due_weekly_and_monthly_live_and_missed_a_day_or_five_later(rung: str, days: int, is_due: bool, is_missed: bool) -> None:
    found = due(rung, [report(rung=rung)], 0, WALL_NS + days * NS_PER_DAY)
    assert (found.is_due, found.is_missed) == (is_due, is_missed)
    assert found.last_wall_ns == WALL_NS
    assert ("kedge brake test" in found.words) is (is_due or is_missed)


def test_without_a_drill_time_runs_from_when_the_account_was_first_guarded() -> None:
    assert not due("paper", [], WALL_NS, WALL_NS + 6 * NS_PER_DAY).is_due
    found = due("paper", [], WALL_NS, WALL_NS + 9 * NS_PER_DAY)
    assert found.is_missed
    assert found.last_wall_ns is None
    assert "none has passed yet" in found.words


@pytest.mark.parametrize("other", [{"findings": ("it reversed",)}, {"rung": "live"}, {"fault": "thin book"}])
def test_what_failed_or_was_held_elsewhere_or_with_a_fault_does_not_count(other: dict[str, object]) -> None:
    held: DrillReport = report(**other)
    assert due("paper", [held], WALL_NS, WALL_NS + 9 * NS_PER_DAY).is_missed


def test_a_record_from_the_future_counts_as_now_and_hides_nothing_later() -> None:
    found = due("paper", [report(started_wall_ns=WALL_NS + 100 * NS_PER_DAY)], 0, WALL_NS)
    assert found.last_wall_ns == WALL_NS
    assert not found.is_due
