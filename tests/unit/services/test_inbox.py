"""The inbox as people see it: who gave a command from where, what becomes of it, its act, and files of older versions."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.domain.canonical import encode
from kedge.domain.errors import Conflict, IntegrityError, RecordingFailed
from kedge.domain.events import Command, CommandGiven
from kedge.domain.people import Role, Source
from kedge.services import inbox_file
from kedge.services.inbox import Inbox, command_id_of
from kedge.services.inbox_file import APPLICATION_ID

OLD = (
    "CREATE TABLE commands (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, put_wall_ns INTEGER NOT NULL, "
    "command TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0)"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


@pytest.fixture
def inbox(path: Path) -> Iterator[Inbox]:
    with Inbox(path) as opened:
        yield opened


def test_a_command_keeps_who_gave_it_with_which_roles_and_from_where(inbox: Inbox):
    roles = (Role.ADMIN, Role.TRADER)
    name = inbox.put(Command.HALT, "p-ada", "drill", wall_ns=5, roles=roles, source=Source.BROWSER)
    (left,) = inbox.waiting()
    assert (left.command_id, left.actor, left.roles, left.source, left.taken) == (name, "p-ada", roles, Source.BROWSER, False)
    assert inbox.find(name) == left
    assert inbox.find("none") is None


def test_the_same_id_again_is_the_same_command_and_says_so(inbox: Inbox):
    assert inbox.add("c-1", Command.HALT, "p-ada", "drill", wall_ns=5) is True
    assert inbox.add("c-1", Command.FLATTEN, "p-bob", "other words", wall_ns=6) is False
    assert [(one.command, one.actor, one.reason) for one in inbox.waiting()] == [(Command.HALT, "p-ada", "drill")]


def test_the_same_words_at_the_same_time_are_the_same_command(inbox: Inbox):
    first = inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
    assert inbox.put(Command.HALT, "ann", "drill", wall_ns=5) == first
    assert inbox.put(Command.HALT, "ann", "drill", wall_ns=6) != first
    assert len(inbox.waiting()) == 2


def test_ids_of_the_same_parts_are_equal_and_of_others_not():
    assert command_id_of("key", "p-1", "k") == command_id_of("key", "p-1", "k")
    assert len({command_id_of("key", "p-1", "k"), command_id_of("key", "p-2", "k"), command_id_of("key", "p-1", "l")}) == 3


def test_the_newest_come_first_page_by_page_taken_or_not(inbox: Inbox):
    names = [inbox.put(Command.HALT, "ann", f"n{n}", wall_ns=n) for n in range(5)]
    inbox.claim(names[0], "paper-1")
    inbox.taken(names[0])
    page = inbox.newest(3)
    assert [one.command_id for one in page] == names[:1:-1]
    rest = inbox.newest(3, page[-1].number)
    assert [(one.command_id, one.taken, one.claimed_by) for one in rest] == [(names[1], False, ""), (names[0], True, "paper-1")]


def test_an_act_waits_beside_its_command_until_it_is_recorded(inbox: Inbox):
    inbox.put(Command.HALT, "ann", "without", wall_ns=1)
    first = inbox.put(Command.HALT, "ann", "with", wall_ns=2, act='{"n":1}')
    second = inbox.put(Command.HALT, "ann", "with too", wall_ns=3, act='{"n":2}')
    assert inbox.acts_due() == [(first, '{"n":1}'), (second, '{"n":2}')]
    inbox.act_recorded(first)
    inbox.taken(second)
    assert inbox.acts_due() == [(second, '{"n":2}')]


@pytest.mark.parametrize("columns", [(), ("claimed_by",)])
def test_files_of_older_versions_go_on(path: Path, columns: tuple[str, ...]):
    old = sqlite3.connect(path)
    old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    old.execute(OLD)
    for column in columns:
        old.execute(f"ALTER TABLE commands ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
    old.execute("INSERT INTO commands (id, put_wall_ns, command, actor, reason) VALUES ('c-0', 4, 'halt', 'ann', 'before')")
    old.commit()
    old.close()
    with Inbox(path) as inbox:
        inbox.put(Command.RESUME, "p-ada", "after", wall_ns=5, roles=(Role.RISK,), source=Source.TOKEN)
        assert [(one.actor, one.roles, one.source) for one in inbox.waiting()] == [
            ("ann", (), None),
            ("p-ada", (Role.RISK,), Source.TOKEN),
        ]
        assert inbox.acts_due() == []
    with Inbox(path) as inbox:
        assert len(inbox.waiting()) == 2


def test_roles_and_sources_that_nobody_knows_are_damage(path: Path, inbox: Inbox):
    inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
    db = sqlite3.connect(path)
    for column, value in (("roles", "king"), ("source", "moon")):
        db.execute(f"UPDATE commands SET roles = '', source = '', {column} = ?", (value,))
        db.commit()
        with pytest.raises(IntegrityError, match=value):
            inbox.newest(1)
    db.execute("DROP TABLE commands")
    db.commit()
    db.close()
    with pytest.raises(IntegrityError):
        inbox.acts_due()
    with pytest.raises(RecordingFailed):
        inbox.act_recorded("x")


def test_a_journals_command_names_roles_and_source_only_where_they_are_known():
    bare = encode(CommandGiven(1, Command.HALT, "ann", "drill"))
    assert b"roles" not in bare
    assert b"source" not in bare
    full = encode(CommandGiven(1, Command.HALT, "p-ada", "drill", "c-1", (Role.ADMIN,), Source.BROWSER))
    assert b'"roles":["admin"],"source":"browser"' in full


def test_the_file_is_its_owners_alone_whatever_the_umask_and_made_so_where_it_was_not(path: Path):
    before = os.umask(0)
    try:
        with Inbox(path) as inbox:
            inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
            assert {found.stat().st_mode & 0o777 for found in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    path.chmod(0o666)
    with Inbox(path) as inbox:
        assert len(inbox.waiting()) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingFailed):
        Inbox(path)
    assert not (tmp_path / "elsewhere").exists()


def looking(path: Path) -> sqlite3.Connection:
    """A connection in the middle of a look at a file that has no write-ahead log yet."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return other


def test_a_file_that_others_hold_is_busy_and_neither_damaged_nor_full(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox_file, "BUSY_S", 0.05)
    other = looking(path)
    with pytest.raises(Conflict, match="busy"):
        Inbox(path)
    other.close()
    path.unlink()
    with Inbox(path) as inbox:
        holds = sqlite3.connect(path, isolation_level=None)
        holds.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Conflict, match="busy"):
            inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
        holds.execute("ROLLBACK")
        holds.close()
        assert inbox.put(Command.HALT, "ann", "drill", wall_ns=5)


def test_twenty_who_make_the_file_at_once_all_leave_their_command(tmp_path: Path):
    failed: list[Exception] = []

    def leaves(path: Path, number: int, start: threading.Barrier) -> None:
        start.wait()
        try:
            with Inbox(path) as inbox:
                inbox.put(Command.HALT, "ann", f"drill {number}", wall_ns=5)
        except Exception as error:
            failed.append(error)

    for turn in range(3):
        path, start = tmp_path / f"{turn}.sqlite", threading.Barrier(20)
        threads = [threading.Thread(target=leaves, args=(path, number, start)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with Inbox(path) as inbox:
            assert failed == []
            assert len(inbox.waiting()) == 20
