"""The guard's journal: verified like every other, never waited for, and honest about what it does not take."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, KedgeError, RecordingFailed
from kedge.storage import SigningKey
from kedge.storage.guard_journal import (
    GUARD_JOURNAL,
    GuardWriter,
    account_of,
    known_generation,
    newest_content,
    read_page,
    was_released_by,
)
from kedge.storage.guard_journal_thread import GuardJournal
from kedge.storage.journal_files import head_path
from kedge.storage.journal_verify import verify_journal

WAIT_S = 20.0


class Latched(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="latched"):
    generation: int
    reason: str = ""


class Released(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="released"):
    generation: int
    approval_id: str


class ReleaseRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="release_refused"):
    approval_id: str


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="seen"):
    equity_e8: int = 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard" / GUARD_JOURNAL


@pytest.fixture
def opened(path: Path, key: SigningKey) -> Callable[..., GuardWriter]:
    def open_writer(account: str = "demo", signer: SigningKey | None = None) -> GuardWriter:
        return GuardWriter(path, account, signer=signer or key, engine_version="1", wall_ns=lambda: 1_000, random_bytes=lambda n: b"\7" * n)

    return open_writer


@pytest.fixture
def journal(opened: Callable[..., GuardWriter]) -> Iterator[GuardJournal]:
    made = GuardJournal(opened, retry_s=0.02)
    made.start(WAIT_S)
    yield made
    made.close(WAIT_S)


def until(reached: Callable[[], bool]) -> None:
    """Wait for something the journal's thread does; it says so by its condition, which is looked at in short steps."""
    step = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if reached():
            return
        step.wait(0.01)
    raise AssertionError("it did not come")


# the writer -----------------------------------------------------------------------------------------------------------


def test_records_go_to_a_journal_that_verifies_and_goes_on_after_a_restart(path: Path, opened: Any, key: SigningKey) -> None:
    for generation in (1, 2):
        writer = opened()
        writer.append([Latched(generation=generation, reason="odd"), Seen(equity_e8=5)])
        writer.close()
    report = verify_journal(path, key.public)
    assert (report.ok, report.records, report.run_id) == (True, 5, "guard-" + "07" * 8)
    assert account_of(path) == "demo"
    kinds = [(one.seq, one.kind, one.content) for one in read_page(path, 10).records]
    assert kinds[0] == (4, "seen", {"equity_e8": 5})
    assert kinds[-1] == (1, "latched", {"generation": 1, "reason": "odd"})


def test_one_changed_byte_of_a_record_is_found(path: Path, opened: Any, key: SigningKey) -> None:
    writer = opened()
    writer.append([Latched(generation=3, reason="drawdown")])
    writer.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE rows SET body = CAST(replace(CAST(body AS TEXT), 'drawdown', 'drowdown') AS BLOB)")
    assert not verify_journal(path, key.public).ok


def test_a_taken_out_entry_of_the_index_is_found(path: Path, opened: Any, key: SigningKey) -> None:
    writer = opened()
    writer.append([Latched(generation=3), Released(generation=4, approval_id="ap-1")])
    writer.close()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM ids WHERE id = 'ap-1'")
    assert [finding.kind for finding in verify_journal(path, key.public).findings] == ["index"]


def test_the_journal_of_another_account_or_key_is_not_written(opened: Any) -> None:
    opened().close()
    with pytest.raises(IntegrityError, match="account 'demo'"):
        opened("other")
    with pytest.raises(IntegrityError, match="cannot be continued"):
        opened(signer=SigningKey.generate())


def test_a_second_writer_is_refused(opened: Any) -> None:
    writer = opened()
    with pytest.raises(Conflict, match="being written"):
        opened()
    writer.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, opened: Any) -> None:
    (tmp_path / "guard").write_text("a file")
    with pytest.raises(RecordingFailed, match="cannot make"):
        opened()


def test_a_file_that_was_taken_away_takes_nothing_more(path: Path, opened: Any) -> None:
    writer = opened()
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(RecordingFailed, match="taken away"):
        writer.append([Seen()])
    writer.close()


# the thread -----------------------------------------------------------------------------------------------------------


def test_what_is_handed_over_is_durable_after_a_flush(path: Path, journal: GuardJournal) -> None:
    assert (journal.is_taking, journal.problem) == (True, "")
    for generation in range(1, 1_200):
        journal.append(Latched(generation=generation))
    assert journal.flush(WAIT_S)
    assert known_generation(path) == 1_199
    assert [one.content["generation"] for one in read_page(path, 3).records] == [1_199, 1_198, 1_197]


def test_what_could_never_be_recorded_is_refused_at_once(journal: GuardJournal) -> None:
    class Bad(msgspec.Struct, tag_field="type", tag="bad"):
        value: Any

    class Untagged(msgspec.Struct):
        value: int

    for wrong in (Bad(1.5), Bad([{"deep": 0.1}]), Bad("x" * 70_000), Untagged(1)):
        with pytest.raises(InvalidInput):
            journal.append(wrong)
    assert journal.flush(WAIT_S)


def test_a_locked_file_holds_nobody_up_and_is_told_and_everything_is_written_later(path: Path, journal: GuardJournal, opened: Any) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for generation in (1, 2, 3):
        journal.append(Latched(generation=generation))
    until(lambda: not journal.is_taking)
    blocker.execute("ROLLBACK")
    blocker.close()
    until(lambda: journal.is_taking and journal.flush(0))
    assert [one.content["generation"] for one in read_page(path, 9).records] == [3, 2, 1]


def test_a_file_taken_away_is_told_until_it_is_put_back(path: Path, journal: GuardJournal, key: SigningKey) -> None:
    journal.append(Latched(generation=1))
    assert journal.flush(WAIT_S)
    away = path.with_name("away")
    path.rename(away)
    until(lambda: not journal.is_taking)
    journal.append(Latched(generation=2))
    until(lambda: "is gone" in journal.problem)
    assert not journal.is_taking
    assert not journal.flush(0)
    away.replace(path)
    until(lambda: journal.is_taking and journal.flush(0))
    assert known_generation(path) == 2


def test_a_damaged_file_is_told_and_the_guard_goes_on(path: Path, opened: Any) -> None:
    opened().close()
    path.write_bytes(b"nothing of ours")
    journal = GuardJournal(opened, retry_s=0.02)
    journal.start(WAIT_S)
    journal.append(Latched(generation=1))
    assert not journal.is_taking
    assert journal.problem
    assert not journal.flush(0)
    journal.close(WAIT_S)


def test_a_full_disk_is_told_and_nothing_is_written_twice(path: Path, opened: Any, key: SigningKey) -> None:
    class Full(GuardWriter):
        fails = 2

        def append(self, records: list[msgspec.Struct]) -> None:
            if Full.fails:
                Full.fails -= 1
                if Full.fails:
                    raise RecordingFailed("the disk is full", why="no space", fix="free space")
                super().append(records)
                raise RecordingFailed("only the copy of the head failed", why="no space", fix="free space")
            super().append(records)

    def open_full() -> GuardWriter:
        return Full(path, "demo", signer=key, engine_version="1", wall_ns=lambda: 1_000)

    journal = GuardJournal(open_full, retry_s=0.02)
    journal.append(Latched(generation=1))
    journal.append(Latched(generation=2))
    journal.start(WAIT_S)
    until(lambda: journal.flush(0))
    journal.append(Latched(generation=3))
    until(lambda: journal.flush(0))
    journal.close(WAIT_S)
    assert [one.content["generation"] for one in read_page(path, 9).records] == [3, 2, 1]
    assert verify_journal(path, key.public).ok


def test_records_beyond_what_memory_keeps_are_dropped_and_their_number_is_recorded(path: Path, opened: Any) -> None:
    blocked = threading.Event()

    def open_later() -> GuardWriter:
        blocked.wait(WAIT_S)
        return opened()

    journal = GuardJournal(open_later, retry_s=0.02, kept_max=3)
    journal.start(0)
    for generation in range(1, 6):
        journal.append(Latched(generation=generation))
    assert journal.lost == 2
    blocked.set()
    until(lambda: journal.flush(0))
    journal.close(WAIT_S)
    found = [(one.kind, one.content.get("generation", one.content.get("count"))) for one in read_page(path, 9).records]
    assert found == [("latched", 5), ("latched", 4), ("latched", 3), ("records_lost", 2)]


def test_the_age_of_what_waits_alone_ends_taking(opened: Any) -> None:
    now_s = [0.0]
    blocked = threading.Event()

    class Slow(GuardWriter):
        def append(self, records: list[msgspec.Struct]) -> None:
            blocked.wait(WAIT_S)
            super().append(records)

    journal = GuardJournal(
        lambda: Slow(opened().path, "demo", signer=SigningKey.generate(), engine_version="1", wall_ns=lambda: 1),
        monotonic_s=lambda: now_s[0],
    )
    journal.problem = ""
    journal.append(Seen())
    assert journal.is_taking
    now_s[0] = 1.5
    assert not journal.is_taking
    blocked.set()


# reading --------------------------------------------------------------------------------------------------------------


def test_what_the_journal_knows_of_the_latch(path: Path, opened: Any) -> None:
    assert known_generation(path) is None
    writer = opened()
    assert known_generation(path) == 0
    writer.append([Latched(generation=4), Released(generation=5, approval_id="ap-1"), Seen()])
    writer.close()
    assert known_generation(path) == 5
    path.write_bytes(b"damaged")
    assert known_generation(path) == 0
    path.unlink()
    assert known_generation(path) == 0, "its head file shows that there was one"
    head_path(path).unlink()
    assert known_generation(path) is None


def test_only_a_release_uses_an_approval_up(path: Path, opened: Any) -> None:
    writer = opened()
    writer.append([ReleaseRefused(approval_id="ap-1"), Released(generation=5, approval_id="ap-2")])
    writer.close()
    assert not was_released_by(path, "ap-1")
    assert was_released_by(path, "ap-2")
    assert not was_released_by(path, "ap-3")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE ids SET seq = 1 WHERE id = 'ap-2'")
    with pytest.raises(IntegrityError, match="does not hold ap-2"):
        was_released_by(path, "ap-2")
    path.write_bytes(b"damaged")
    with pytest.raises(KedgeError):
        was_released_by(path, "ap-2")


def test_the_newest_of_a_kind_unless_something_made_it_void(path: Path, opened: Any) -> None:
    assert newest_content(path, "seen") is None
    writer = opened()
    writer.append([Seen(equity_e8=n) for n in range(400)] + [Latched(generation=1)])
    assert newest_content(path, "seen") == {"equity_e8": 399}
    assert newest_content(path, "seen", void_by="latched") is None
    writer.append([Seen(equity_e8=1_000)])
    assert newest_content(path, "seen", void_by="latched") == {"equity_e8": 1_000}
    assert newest_content(path, "released") is None
    writer.close()


def test_pages_go_back_to_the_start_and_no_further(path: Path, opened: Any) -> None:
    assert read_page(path, 5).records == []
    writer = opened()
    writer.append([Seen(equity_e8=n) if n % 2 else Latched(generation=n) for n in range(1, 21)])
    writer.close()
    found: list[int] = []
    before: int | None = None
    while True:
        page = read_page(path, 4, before)
        found += [one.seq for one in page.records]
        before = page.before_seq
        if before is None:
            break
    assert found == list(range(20, 0, -1))
    assert [one.kind for one in read_page(path, 3, kinds=frozenset({"latched"})).records] == ["latched"] * 3
    with pytest.raises(InvalidInput):
        read_page(path, 0)


def test_a_record_that_is_not_in_canonical_form_is_no_record(path: Path, opened: Any) -> None:
    writer = opened()
    writer.append([Latched(generation=1, reason="odd")])
    writer.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE rows SET body = CAST(replace(CAST(body AS TEXT), '\"kind\":', '\"kind\": ') AS BLOB)")
    with pytest.raises(IntegrityError, match="canonical"):
        read_page(path, 5)


def test_secrets_in_words_never_reach_the_file(path: Path, opened: Any) -> None:
    writer = opened()
    writer.append([Latched(generation=1, reason="my api_key=abcdefgh12345678")])
    writer.close()
    assert b"abcdefgh12345678" not in path.read_bytes()
    assert head_path(path).exists()
