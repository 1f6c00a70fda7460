"""Power cuts at every moment of a journal's life, what was not synchronised being lost, torn or kept: what was promised is there."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.unit.storage.conftest import bar
from tests.unit.storage.power_cut import PLAIN, Image, Trace, Write, drawn
from tests.unit.storage.power_cut_files import Watch, watched

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError
from kedge.domain.events import Command, CommandGiven
from kedge.domain.record import RunStarted
from kedge.journal import Group, Head
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader, verify_journal
from kedge.storage import journal_sqlite as module
from kedge.storage.journal_head import SLOT_BYTES, HeadFile

NAME = "run.journal"
Life = Callable[[Path, Trace], None]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Life], Watch]:
    """What a life writes, in an empty folder of its own."""
    numbers = count()

    def run(life: Life) -> Watch:
        folder = tmp_path / f"life-{next(numbers)}"
        folder.mkdir()
        with watched(folder, monkeypatch) as watch:
            life(watch.root, watch.trace)
        return watch

    return run


@pytest.fixture
def life(key: SigningKey, run_started: RunStarted) -> Callable[..., Life]:
    """A journal begun, written in groups, closed, and gone on with: each life of `lives` writes so many records."""

    def make(lives: tuple[int, ...] = (4, 3), group_size: int = 2, snapshot_at: int = 2, body: int = 0) -> Life:
        def live(folder: Path, trace: Trace) -> None:
            for number, records in enumerate(lives):
                journal = SqliteJournal(folder / NAME, signer=key, source="live", group_size=group_size)
                if not number:
                    journal.start(run_started)
                    trace.told(journal.count)
                for at in range(records):
                    event = CommandGiven(journal.count, Command.HALT, "drill", f"{journal.count}." * body) if body else bar(journal.count)
                    journal.commit(event, ())
                    if at + 1 == snapshot_at:
                        journal.save_snapshot(journal.count - 1, b"state %d" % journal.count)
                        trace.told(journal.count)
                    if journal._pending == []:
                        trace.told(journal.count)
                journal.close()
                trace.told(journal.count)

        return live

    return make


class Recovery:
    """Goes on after cuts, each in a folder of its own, and says what is wrong."""

    def __init__(self, folder: Path, key: SigningKey, whole: Path) -> None:
        self._folder, self._key, self._numbers = folder, key, count()
        with SqliteJournalReader(whole) as reader:
            self._rows = list(reader.raw_rows())
        self.crashes = 0

    def findings(self, images: Iterator[Image]) -> list[str]:
        return [found for image in images if (found := self.finding(image))]

    def finding(self, image: Image) -> str:
        """What one image has lost; '' where it holds all that was promised, verifies, and can be gone on with."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        image.write_to(folder)
        path = folder / NAME
        try:
            with SqliteJournal(path, signer=self._key, source="live") as journal:
                self.crashes += journal.crash_recovered
                found = self._lost(image, path, journal.count)
                if not found and journal.count:
                    journal.commit(bar(journal.count), ())
            if not found and journal.count and not (report := verify_journal(path, self._key.public)).ok:
                found = f"does not verify: {report.findings}"
        except IntegrityError as error:
            found = str(error)
        return f"{image}: {found}" if found else ""

    def _lost(self, image: Image, path: Path, records: int) -> str:
        if records < image.value:
            return f"{records} records are there"
        with SqliteJournalReader(path) as reader:
            rows = list(reader.raw_rows())
        return "" if rows == self._rows[: len(rows)] else "its rows are others"


@pytest.fixture
def recovery(tmp_path: Path, key: SigningKey) -> Callable[[Watch], Recovery]:
    def make(watch: Watch) -> Recovery:
        folder = tmp_path / f"cuts-{watch.root.name}"
        folder.mkdir()
        return Recovery(folder, key, watch.root / NAME)

    return make


Recorded = Callable[[Life], Watch]
Recoveries = Callable[[Watch], Recovery]


def test_the_trace_of_all_writes_gives_the_files_that_are_there(recorded: Recorded, life: Callable[..., Life]) -> None:
    watch = recorded(life())
    *_, last = watch.trace.images({"all kept": PLAIN["all kept"]})
    files = {path: body for path, body in last.paths if body is not None}
    there = {path.name: path.read_bytes() for path in watch.root.iterdir()}
    assert files == {name: body for name, body in there.items() if not name.endswith(".lock")}
    assert last.value == 8


def test_a_cut_at_any_moment_loses_nothing_that_was_promised(recorded: Recorded, life: Callable[..., Life], recovery: Recoveries) -> None:
    watch = recorded(life())
    after = recovery(watch)
    assert after.findings(watch.trace.images(PLAIN)) == []
    assert after.crashes > 0, "no cut fell between a group and the copy of its head"


def test_cuts_while_the_log_is_folded_into_the_file_lose_nothing(
    recorded: Recorded, life: Callable[..., Life], recovery: Recoveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAL_PAGES", 6)
    watch = recorded(life((3, 2), group_size=1, body=800))
    files = {op.inode for op in watch.trace.ops if isinstance(op, Write)}
    assert len(files) >= 4, "file, log, journal of the first transaction, head"
    ways = {"all lost": PLAIN["all lost"], "torn": PLAIN["torn"], "drawn": drawn(1)}
    assert recovery(watch).findings(watch.trace.images(ways)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_any_part_of_what_was_not_synchronised_may_be_missing_in_a_long_run(
    recorded: Recorded, life: Callable[..., Life], recovery: Recoveries, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "_WAL_PAGES", 24)
    rng = random.Random(seed)
    lives = tuple(rng.randint(1, 12) for _ in range(5))
    watch = recorded(life(lives, group_size=rng.randint(1, 7), snapshot_at=rng.randint(1, 5), body=rng.choice([0, 300, 1_500])))
    ways = {f"drawn {number}": drawn(100 * seed + number) for number in range(4)}
    assert recovery(watch).findings(watch.trace.images(ways, lambda at: rng.random() < 0.4)) == []


# mistakes that must be found -----------------------------------------------------------------------------------------------


def _never_synchronised(patch: pytest.MonkeyPatch) -> None:
    _after_configuring(patch, "PRAGMA synchronous = OFF")


def _synchronised_at_checkpoints(patch: pytest.MonkeyPatch) -> None:
    _after_configuring(patch, "PRAGMA synchronous = NORMAL")


def _after_configuring(patch: pytest.MonkeyPatch, pragma: str) -> None:
    real = module._configure

    def configure(db: sqlite3.Connection) -> None:
        real(db)
        db.execute(pragma)

    patch.setattr(module, "_configure", configure)


def _head_before_rows(patch: pytest.MonkeyPatch) -> None:
    real = SqliteJournal._persist

    def persist(journal: SqliteJournal, group: Group) -> None:
        assert group.head is not None
        journal._copy_head(group.head)
        real(journal, group)

    patch.setattr(SqliteJournal, "_persist", persist)


def _head_not_synchronised(patch: pytest.MonkeyPatch) -> None:
    real = HeadFile.write

    def write(file: HeadFile, head: Head) -> None:
        if file._fd < 0:
            real(file, head)
        else:
            os.pwrite(file._fd, encode(head).ljust(SLOT_BYTES - 1) + b"\n", head.group % 2 * SLOT_BYTES)

    patch.setattr(HeadFile, "write", write)


def _name_not_synchronised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("kedge.storage.journal_files._sync_folder", lambda folder: None)


def _head_in_one_slot(patch: pytest.MonkeyPatch) -> None:
    real = HeadFile.write

    def write(file: HeadFile, head: Head) -> None:
        if file._fd < 0:
            real(file, head)
            return
        os.pwrite(file._fd, encode(head).ljust(SLOT_BYTES - 1) + b"\n", 0)
        os.pwrite(file._fd, b"\n".rjust(SLOT_BYTES), SLOT_BYTES)
        os.fdatasync(file._fd)

    patch.setattr(HeadFile, "write", write)


MISTAKES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "never synchronised": (_never_synchronised, "the tail was cut"),
    "only at checkpoints": (_synchronised_at_checkpoints, "the tail was cut"),
    "head before rows": (_head_before_rows, "1 groups ahead of the journal"),
    "head not synchronised": (_head_not_synchronised, "a crash leaves one"),
    "name not synchronised": (_name_not_synchronised, "a crash leaves one"),
    "head in one slot": (_head_in_one_slot, "the head file is damaged"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_what_is_synchronised_is_found(
    recorded: Recorded, life: Callable[..., Life], recovery: Recoveries, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    plant, says = MISTAKES[mistake]
    with monkeypatch.context() as patch:
        plant(patch)
        watch = recorded(life())
    found = recovery(watch).findings(watch.trace.images(PLAIN))
    assert any(says in one for one in found), found


def test_without_a_cut_a_mistake_shows_nowhere(
    recorded: Recorded, life: Callable[..., Life], recovery: Recoveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _never_synchronised(patch)
        watch = recorded(life())
    *_, whole = watch.trace.images({"all kept": PLAIN["all kept"]})
    assert recovery(watch).finding(whole) == ""
