"""Commands and runs: each is taken once whichever run dies, a stop is never lost, a resume lifts nothing that came after it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kedge.domain.errors import RecordingFailed
from kedge.domain.events import Command
from kedge.services.inbox import Inbox
from kedge.services.live_inbox import RunInbox

HALT, RESUME, FLATTEN = Command.HALT, Command.RESUME, Command.FLATTEN


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "inbox.sqlite") as opened:
        yield opened


def put(inbox: Inbox, wall_ns: int, command: Command) -> str:
    return inbox.put(command, "ann", "drill", wall_ns=wall_ns)


def taken(inbox: Inbox, run_id: str, begun_wall_ns: int = 0, was_taken: Callable[[str, str], bool] | None = None) -> list[Command]:
    return [one.command for one in RunInbox(inbox, run_id, begun_wall_ns=begun_wall_ns, was_taken=was_taken).due()]


def test_a_command_that_a_dead_run_journalled_and_did_not_mark_is_not_taken_by_the_next_run(inbox: Inbox):
    name = put(inbox, 1, HALT)
    next(iter(RunInbox(inbox, "first").due()))  # journalled; the process died before it was marked
    assert [one.claimed_by for one in inbox.waiting()] == ["first"]
    assert taken(inbox, "second", 5, lambda run_id, command_id: (run_id, command_id) == ("first", name)) == []
    assert inbox.is_taken(name)


def test_a_stop_that_a_dead_run_claimed_and_did_not_journal_is_taken_by_the_next_run(inbox: Inbox):
    put(inbox, 1, HALT)
    next(iter(RunInbox(inbox, "first").due()))
    assert taken(inbox, "second", 5, lambda run_id, command_id: False) == [HALT]
    assert inbox.waiting() == []


def test_the_same_run_asks_its_own_journal(inbox: Inbox):
    name = put(inbox, 1, HALT)
    next(iter(RunInbox(inbox, "first").due()))
    assert list(RunInbox(inbox, "first", journalled=[name]).due()) == []
    assert inbox.is_taken(name)


def test_a_stop_that_was_given_while_no_trader_ran_stops_the_next_run(inbox: Inbox):
    put(inbox, 1, FLATTEN)
    put(inbox, 2, HALT)
    assert taken(inbox, "first", 5) == [FLATTEN, HALT]


def test_a_resume_of_an_earlier_run_lifts_the_stops_before_it_and_nothing_after_it(inbox: Inbox):
    for wall_ns, command in enumerate((HALT, RESUME, FLATTEN), 1):
        put(inbox, wall_ns, command)
    put(inbox, 9, RESUME)
    assert taken(inbox, "first", 5) == [FLATTEN, RESUME]
    assert inbox.waiting() == []


def test_a_command_counts_as_taken_only_when_it_was_carried_out(inbox: Inbox):
    name = put(inbox, 1, HALT)
    due = RunInbox(inbox, "first").due()
    assert next(due).command_id == name
    assert not inbox.is_taken(name)
    assert list(due) == []
    assert inbox.is_taken(name)


def test_an_inbox_from_before_commands_were_claimed_is_gone_on_with(tmp_path: Path):
    path = tmp_path / "old.sqlite"
    with Inbox(path) as inbox:
        put(inbox, 1, HALT)
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE commands DROP COLUMN claimed_by")
    db.commit()
    db.close()
    with Inbox(path) as inbox:
        assert taken(inbox, "first") == [HALT]


def test_a_claim_that_cannot_be_kept_is_told(inbox: Inbox):
    inbox.close()
    with pytest.raises(RecordingFailed, match="inbox"):
        inbox.claim("x", "first")
