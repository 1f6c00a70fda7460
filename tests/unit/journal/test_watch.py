"""The records of a guard's journal, pure: what they hold, what is refused, what the index finds, what a verification proves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kedge.domain.errors import Conflict, InvalidInput
from kedge.journal import LATCH, Redactor, Watched, WatchStarted, decode_row, mentions, telling_step, verify_rows, watched_content
from kedge.storage import SigningKey
from kedge.storage.journal_memory import MemoryJournal

STARTED = WatchStarted(run_id="guard-1", account="demo", engine_version="1", started_wall_ns=5)


class Latched(msgspec.Struct, tag_field="type", tag="latched"):
    generation: int
    reason: str = ""
    more: dict[str, Any] | None = None


def test_a_record_is_its_tag_and_its_plain_fields() -> None:
    assert watched_content(Latched(3, "odd")) == ("latched", {"generation": 3, "reason": "odd", "more": None})


@pytest.mark.parametrize("more", [{"x": 0.5}, {"x": [1, [0.5]]}, {"x": {"y": 0.5}}, {"x": "y" * 70_000}])
def test_floats_at_any_depth_and_records_without_measure_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        watched_content(Latched(1, more=more))


def test_words_are_searched_for_secrets_at_any_depth_and_ids_are_left() -> None:
    mixed = "Ab3" * 8
    found = Redactor().watched({"reason": f"token={mixed}", "client_order_id": mixed, "steps": [{"why": f"Bearer {mixed}", "n": 1}]})
    assert mixed not in found["reason"]
    assert found["client_order_id"] == mixed
    assert mixed not in found["steps"][0]["why"]
    assert found["steps"][0]["n"] == 1


def test_the_index_finds_approvals_orders_and_what_changed_the_latch() -> None:
    def of(kind: str, **content: Any) -> list[tuple[str, str]]:
        return [(one.id, one.kind) for one in mentions(Watched(seq=4, recorded_wall_ns=1, kind=kind, content=content))]

    assert of("released", approval_id="ap-1", generation=3) == [("ap-1", "released"), (LATCH, "released")]
    assert of("latched", generation=3) == [(LATCH, "latched")]
    assert of("slice_sent", client_order_id="kg-1", generation=3) == [("kg-1", "slice_sent")]
    assert of("seen", equity_e8=1, approval_id="") == []
    assert of("latched") == []


def test_its_rows_are_chained_signed_and_verified_like_every_other() -> None:
    key = SigningKey.generate()
    journal = MemoryJournal(signer=key, source="guard", group_size=2)
    journal.start_watch(STARTED)
    with pytest.raises(Conflict):
        journal.start_watch(STARTED)
    for generation in range(1, 4):
        journal.commit_watched(Latched(generation), recorded_wall_ns=9)
    journal.flush()
    rows = list(journal.raw_rows())
    report = verify_rows(rows, key.public)
    assert (report.ok, report.records, report.run_id) == (True, 4, "guard-1")
    assert decode_row(0, rows[0][2]) == STARTED
    told = [telling_step(body) for _, _, body in rows]
    assert [one.content["generation"] for one in told if isinstance(one, Watched)] == [1, 2, 3]
    missing = [row for row in rows if b'"generation":2' not in row[2]]
    assert not verify_rows(missing, key.public).ok


def test_nothing_is_recorded_before_the_start() -> None:
    with pytest.raises(InvalidInput, match="takes no record yet"):
        MemoryJournal(signer=None, source="guard").commit_watched(Latched(1), 1)
