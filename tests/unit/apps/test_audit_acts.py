"""`kedge audit verify` on a journal of acts: whole, changed, and never taken for a run."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from kedge.services.people.acts import ActJournal
from kedge.storage.keys import load_or_create_key
from kedge.storage.people_store import PeopleStore

from ..storage.people import act
from .market_files import kedge, refused


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder in which three acts were done."""
    with (
        PeopleStore(tmp_path / "people" / "people.sqlite") as store,
        ActJournal(tmp_path / "people" / "acts", load_or_create_key(tmp_path / "keys")) as journal,
    ):
        with store.writing() as tx:
            for number in (1, 2, 3):
                tx.act(act(number))
        journal.flush(store)
    return tmp_path


def test_acts_are_verified_by_their_folder_and_by_their_file(state: Path) -> None:
    folder = state / "people" / "acts"
    for named in (folder, folder / "journal.sqlite"):
        answer = kedge("audit", "verify", named, "--state-dir", state, "--json")
        assert (answer.code, answer.json["ok"], answer.json["records"]) == (0, True, 4)
    [note] = answer.json["notes"]
    assert "such a journal has no end" in note


def test_an_act_that_was_changed_is_named_with_its_row(state: Path) -> None:
    path = state / "people" / "acts" / "journal.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE rows SET body = CAST(replace(CAST(body AS TEXT), 'act-2', 'act-9') AS BLOB) WHERE seq = 3")
    db.close()
    answer = kedge("audit", "verify", path, "--state-dir", state, "--json")
    assert answer.code == 9
    assert answer.json["findings"][0]["seq"] == 3


def test_acts_are_no_run_that_could_be_replayed(state: Path) -> None:
    told = kedge("replay", state / "people" / "acts", "--state-dir", state, "--json")
    assert refused(told)[1] == "INTEGRITY"
