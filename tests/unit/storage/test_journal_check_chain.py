"""A journal that is to be gone on with hangs together from where it is read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError
from kedge.storage import SqliteJournalReader


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)


@pytest.mark.parametrize("group_size", [1, 4, 100])
def test_a_whole_journal_hangs_together_from_every_record_on(write, group_size):
    with SqliteJournalReader(write(steps=12, group_size=group_size, snapshots=(3, 7))) as reader:
        for start in range(14):
            reader.check_chain(start_seq=start)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE rows SET body = body || ' ' WHERE seq = 4",
        "UPDATE rows SET body = CAST(body AS TEXT) WHERE seq = 4",
        "UPDATE rows SET hash = randomblob(32) WHERE seq = 4",
        "DELETE FROM rows WHERE seq = 4",
        "DELETE FROM rows WHERE seq = 0",
    ],
)
def test_a_row_that_was_changed_or_taken_out_is_refused(write, damage):
    path = write(steps=12)
    execute(path, damage)
    with SqliteJournalReader(path) as reader, pytest.raises(IntegrityError, match="the chain is broken at row"):
        reader.check_chain()


def test_what_lies_before_the_beginning_is_not_looked_at(write):
    path = write(steps=12)
    execute(path, "UPDATE rows SET body = body || ' ' WHERE seq = 2")
    with SqliteJournalReader(path) as reader:
        reader.check_chain(start_seq=6)
        with pytest.raises(IntegrityError, match="row 2"):
            reader.check_chain(start_seq=1)
