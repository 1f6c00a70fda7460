"""Acts reach their journal in order and once, whatever fails on the way, and it proves itself like a run's."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import threading

import pytest
from tests.unit.storage.people import act, person

from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, RecordingFailed
from kedge.domain.record import RunStarted
from kedge.journal import Redactor
from kedge.services.people.acts import BATCH_ACTS, KILL_POINTS, ActJournal
from kedge.storage import SigningKey, SqliteJournal
from kedge.storage.acts_journal import ActsWriter
from kedge.storage.acts_reader import ActReader
from kedge.storage.journal_files import head_path
from kedge.storage.journal_verify import verify_journal
from kedge.storage.people_rows import Person
from kedge.storage.people_store import PeopleStore

RUN_STARTED = RunStarted(
    run_id="run-1",
    account="demo",
    source="synthetic",
    speed="max",
    engine_version="0.1.0",
    code_sha256="0" * 64,
    settings_sha256="1" * 64,
    settings={},
    instruments=(),
    data=(),
    assumptions={},
    seed=7,
    started_ts_ns=0,
)


class Stop(Exception):
    """What a kill point does here instead of killing."""


class StopAt:
    armed = True

    def __init__(self, name):
        self.name = name

    def reach(self, name):
        if name == self.name:
            self.name = ""
            raise Stop


@pytest.fixture(scope="module")
def key():
    return SigningKey.generate()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "people" / "acts"


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "people" / "people.sqlite") as made:
        yield made


@pytest.fixture
def opened(folder, key):
    """Opens the journal of acts; its clock counts 1, 2, 3."""
    with_clock = itertools.count(1)
    made = []

    def open_(**more):
        made.append(ActJournal(folder, key, wall_ns=lambda: next(with_clock), random_bytes=lambda count: b"\x07" * count, **more))
        return made[-1]

    yield open_
    for journal in made:
        journal.close()


def write(store, *acts):
    with store.writing() as tx:
        for one in acts:
            tx.act(one)


def journalled(folder):
    """The ids of the acts, oldest first."""
    return [one.act.act_id for one in reversed(ActReader(folder / "journal.sqlite").page(500).acts)]


def test_acts_are_appended_in_order_and_taken_off_the_list(store, opened, folder, key):
    journal = opened()
    write(store, *(act(number) for number in (3, 1, 2)))
    journal.flush(store)
    assert journalled(folder) == ["act-3", "act-1", "act-2"]
    with store.reading() as tx:
        assert tx.acts_due() == []
    report = verify_journal(journal.path, key.public)
    assert (report.ok, report.records, report.run_id, report.ended) == (True, 4, "acts-0707070707070707", False)


def test_an_act_says_when_it_was_journalled_and_keeps_all_it_had(store, opened):
    journal = opened()
    full = act(ref="s-1", code="FORBIDDEN", outcome="refused", reason="why", correlation_id="c-1", details={"a": "b"})
    write(store, full)
    journal.flush(store)
    [stored] = journal.page(5).acts
    assert (stored.seq, stored.act) == (1, full)
    assert stored.recorded_wall_ns > 1


def test_more_acts_than_a_batch_are_all_appended(store, opened, folder, key):
    journal = opened()
    write(store, *(act(number) for number in range(2 * BATCH_ACTS + 1)))
    journal.flush(store)
    assert journalled(folder) == [f"act-{number}" for number in range(2 * BATCH_ACTS + 1)]
    assert verify_journal(journal.path, key.public).ok


def test_the_journal_goes_on_after_opening_again(store, opened, folder, key):
    first = opened()
    write(store, act(1))
    first.flush(store)
    first.close()
    write(store, act(2))
    second = opened()
    second.flush(store)
    assert journalled(folder) == ["act-1", "act-2"]
    assert verify_journal(second.path, key.public).records == 3


@pytest.mark.parametrize("point", KILL_POINTS)
def test_whatever_point_is_not_passed_each_act_is_journalled_once(store, opened, folder, key, point):
    write(store, act(1), act(2))
    journal = opened(kill_points=StopAt(point))
    with pytest.raises(Stop):
        journal.flush(store)
    write(store, act(3))
    journal.flush(store)
    assert journalled(folder) == ["act-1", "act-2", "act-3"]
    assert verify_journal(journal.path, key.public).ok


def test_an_act_that_comes_again_long_after_is_not_written_twice(store, opened, folder):
    journal = opened()
    write(store, *(act(number) for number in range(300)))
    journal.flush(store)
    write(store, act(5), act(300))
    journal.flush(store)
    assert journalled(folder) == [f"act-{number}" for number in range(301)]


def test_nothing_is_journalled_from_inside_a_transaction_that_may_yet_be_undone(store, opened, folder):
    journal = opened()

    def begin_and_fail():
        with store.writing() as tx:
            tx.put(person())
            tx.act(act(1))
            journal.flush(store)
            raise Stop

    with pytest.raises(Stop):
        begin_and_fail()
    journal.flush(store)
    assert journalled(folder) == []
    with store.reading() as tx:
        assert not tx.count(Person)


def test_many_threads_flush_at_once_and_every_act_is_there_when_its_flush_returns(store, opened, folder, key):
    journal, missing = opened(), []

    def one_after_another(first):
        for number in range(first, first + 8):
            write(store, act(number))
            journal.flush(store)
            if f"act-{number}" not in journalled(folder):
                missing.append(number)

    threads = [threading.Thread(target=one_after_another, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert sorted(journalled(folder)) == sorted(f"act-{100 * n + m}" for n in range(4) for m in range(8))
    assert verify_journal(journal.path, key.public).ok


def test_a_second_writer_is_refused_with_the_process_that_writes(opened, folder, key):
    opened()
    with pytest.raises(Conflict, match="is being written by process"):
        ActJournal(folder, key)


def test_a_full_disk_is_told_and_the_acts_follow_when_there_is_room(store, opened, folder, key):
    journal = opened()
    write(store, act(1))
    journal._writer._journal._db.execute("PRAGMA max_page_count = 1")
    big = [act(number, details={f"filler{n}": "x" * 4_000 for n in range(5)}) for number in range(2, 6)]
    write(store, *big)
    with pytest.raises(RecordingFailed):
        journal.flush(store)
    assert journalled(folder) == []
    journal.flush(store)
    assert journalled(folder) == [f"act-{number}" for number in range(1, 6)]
    assert verify_journal(journal.path, key.public).ok


def test_a_configured_secret_never_reaches_the_bytes_wherever_it_stands(store, opened, folder):
    secret = "canary-in-an-id-0123456789abcdef"
    journal = opened(redactor=Redactor([secret]))
    write(store, act(1, subject=secret, reason="password: hunter22"))
    journal.flush(store)
    journal.close()
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    assert secret.encode() not in written
    assert b"hunter22" not in written
    [stored] = journal.page(1).acts
    assert (stored.act.subject, stored.act.reason) == ("REDACTED", "password: REDACTED")


def test_the_folder_is_for_its_owner_alone_also_where_it_was_open(folder, opened):
    folder.mkdir(parents=True, mode=0o755)
    opened()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_place_that_cannot_hold_the_journal_is_told(tmp_path, key):
    (tmp_path / "acts").write_text("a file")
    with pytest.raises(RecordingFailed, match="cannot make"):
        ActJournal(tmp_path / "acts", key)


def test_a_journal_of_a_run_is_not_continued_with_acts(folder, key):
    folder.mkdir(parents=True)
    with SqliteJournal(folder / "journal.sqlite", signer=key, source="backtest") as journal:
        journal.start(RUN_STARTED)
    with pytest.raises(IntegrityError, match="no journal of acts"):
        ActJournal(folder, key)


def test_a_journal_of_another_key_is_not_continued(opened, folder, store):
    opened().close()
    with pytest.raises(IntegrityError, match="signed with key"):
        ActJournal(folder, SigningKey.generate())


def test_an_older_copy_of_the_journal_is_refused_by_the_store_that_saw_the_newer_one(store, opened, folder, key):
    journal = opened()
    write(store, act(1))
    journal.flush(store)
    journal.close()
    older = {path: path.read_bytes() for path in folder.iterdir()}
    journal = opened()
    write(store, act(2))
    journal.flush(store)
    journal.close()
    for path, body in older.items():
        path.write_bytes(body)
    assert verify_journal(journal.path, key.public).ok
    write(store, act(3))
    journal = opened()
    for _ in range(2):
        with pytest.raises(IntegrityError, match="an older copy was put in its place"):
            journal.flush(store)
    assert journalled(folder) == ["act-1"]


def test_a_new_journal_in_place_of_the_old_one_is_refused_even_with_nothing_to_write(store, opened, folder, key):
    journal = opened()
    write(store, act(1))
    journal.flush(store)
    journal.close()
    for path in folder.iterdir():
        path.unlink()
    other = ActJournal(folder, key)
    with pytest.raises(IntegrityError, match="is not the journal of acts that was written here"):
        other.flush(store)
    other.close()


def test_a_journal_that_is_ahead_of_a_restored_store_goes_on(tmp_path, store, opened, folder):
    journal = opened()
    write(store, act(1))
    journal.flush(store)
    with PeopleStore(tmp_path / "restored" / "people.sqlite") as restored:
        write(restored, act(1), act(2))
        journal.flush(restored)
    assert journalled(folder) == ["act-1", "act-2"]


@pytest.mark.parametrize("record", [0, 1, 99])
def test_an_index_that_lies_about_an_act_is_found(store, opened, record):
    journal = opened()
    write(store, act(1))
    journal.flush(store)
    db = sqlite3.connect(journal.path, isolation_level=None)
    db.execute("INSERT INTO ids VALUES ('act-2', 'acted', ?)", (record,))
    db.close()
    write(store, act(2))
    with pytest.raises(IntegrityError, match="does not hold act act-2"):
        journal.flush(store)


def test_a_writer_takes_no_act_that_cannot_be_recorded(folder, key):
    writer = ActsWriter(folder / "journal.sqlite", signer=key, engine_version="1", wall_ns=lambda: 1, random_bytes=bytes)
    with pytest.raises(InvalidInput, match="the act cannot be recorded"):
        writer.append([act(wall_ns=0.5)])
    writer.append([act(2)])
    writer.close()
    assert journalled(folder) == ["act-2"]
    assert head_path(folder / "journal.sqlite").is_file()
