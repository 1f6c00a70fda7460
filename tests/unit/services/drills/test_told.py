"""What a guard's journal tells of a drill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedge.ops.latch_file import guard_folder
from kedge.services.drills.told import contents, flatten_wall_ns, pages_of, records_of, tells_of_flat, times_of
from kedge.storage.guard_journal import GUARD_JOURNAL, StoredRecord


def record(seq: int, kind: str, **content: Any) -> StoredRecord:
    return StoredRecord(seq, seq, kind, content)


def test_a_flattening_that_came_later_has_its_own_beginning() -> None:
    halt, flatten = record(1, "breached", level="halted", wall_ns=5), record(2, "breached", level="flattening", wall_ns=9)
    assert flatten_wall_ns([halt, flatten]) == 9
    assert flatten_wall_ns([flatten, halt]) is None
    assert flatten_wall_ns([halt]) is None
    assert flatten_wall_ns([]) is None


def test_calls_and_times_are_read_and_the_unknown_stays_unknown() -> None:
    records = [record(1, "paged", code="BRAKE", words="flattening"), record(2, "seen"), record(3, "paged", code="FLAT", words="done")]
    assert pages_of(records) == ("BRAKE: flattening", "FLAT: done")
    assert tells_of_flat(records)
    assert not tells_of_flat(records[:2])
    assert contents(records, "seen") == [{}]
    names = ("latched_ns", "permits_stopped_ns", "cancels_ns", "orders_zero_ns", "positions_zero_ns", "flat_ns")
    found = times_of({**dict.fromkeys(names, 1), "flat_ns": None})
    assert (found.latched_ms, found.flat_ms) == (1, None)
    assert times_of(None).latched_ms is None


def test_a_journal_that_cannot_be_read_is_told_and_one_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    assert records_of(tmp_path, said.append) == []
    assert said == []
    path = guard_folder(tmp_path) / GUARD_JOURNAL
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all, and longer than a header is" * 30)
    assert records_of(tmp_path, said.append) == []
    assert "cannot be read" in said[0]
