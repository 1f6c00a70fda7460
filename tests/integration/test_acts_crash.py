"""kill -9 between the transaction, the journal and the list: every act is journalled once, in order, with what it changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kedge.domain.people import Act, Role, Source
from kedge.services.people.acts import KILL_POINTS, ActJournal
from kedge.storage.journal_verify import verify_journal
from kedge.storage.keys import load_or_create_key
from kedge.storage.people_rows import Person
from kedge.storage.people_store import PeopleStore

AFTER_COMMIT = "after_commit"
IN_TRANSACTION = "in_transaction"
POINTS = (IN_TRANSACTION, AFTER_COMMIT, *KILL_POINTS)
LAST = 1_000


class KillHere:
    """Ends this process the `count`-th time a point is reached."""

    armed = True

    def __init__(self, name: str, count: int) -> None:
        self._name, self._left = name, count

    def reach(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def act(number: int) -> Act:
    return Act(
        act_id=f"act-{number}",
        wall_ns=number,
        person_id="p-1",
        name="ann",
        roles=(Role.ADMIN,),
        source=Source.BROWSER,
        action="people.manage",
        subject=f"p-{number}",
        outcome="done",
    )


def person(number: int) -> Person:
    return Person(person_id=f"p-{number}", name=f"n{number}", display_name="", roles=(), state="active", version=1, made_wall_ns=number)


def serve(state: Path, point: str, count: int) -> None:
    """What a server does: a change with its act, then the journal, then the answer; from where the last one died."""
    kill = KillHere(point, count)
    with (
        PeopleStore(state / "people" / "people.sqlite") as store,
        ActJournal(state / "people" / "acts", load_or_create_key(state / "keys"), kill_points=kill) as journal,
    ):
        journal.flush(store)
        with store.reading() as tx:
            first = tx.count(Person)
        for number in range(first, LAST):
            with store.writing() as tx:
                tx.put(person(number))
                tx.act(act(number))
                kill.reach(IN_TRANSACTION)
            kill.reach(AFTER_COMMIT)
            journal.flush(store)
            print(number, flush=True)


def die(state: Path, point: str, count: int) -> list[int]:
    """Serve in a process that dies at the point; the answers that left it."""
    done = subprocess.run(
        [sys.executable, __file__, str(state), point, str(count)], stdout=subprocess.PIPE, env=os.environ, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    return [int(line) for line in done.stdout.split()]


def books(state: Path) -> tuple[list[str], list[str], int]:
    """What the store holds, what the journal holds, both oldest first, and how many acts wait."""
    with (
        PeopleStore(state / "people" / "people.sqlite") as store,
        ActJournal(state / "people" / "acts", load_or_create_key(state / "keys")) as journal,
    ):
        journal.flush(store)
        report = verify_journal(journal.path, load_or_create_key(state / "keys").public)
        assert report.findings == ()
        with store.reading() as tx:
            return (
                [row.person_id for row in tx.find(Person)],
                journalled_by(journal),
                len(tx.acts_due()),
            )


def journalled_by(journal: ActJournal) -> list[str]:
    """Whom all acts were done to, oldest first."""
    page = journal.page(500)
    found = [one.act.subject for one in page.acts]
    while page.before_seq is not None:
        page = journal.page(500, page.before_seq)
        found += [one.act.subject for one in page.acts]
    return found[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_server_killed_at_any_point_loses_no_act_and_writes_none_twice(tmp_path: Path, point: str) -> None:
    answered: list[int] = []
    for count in (1, 3, 2):
        answered += die(tmp_path, point, count)
    people, journalled, waiting = books(tmp_path)
    assert journalled == people == [f"p-{number}" for number in range(len(people))]
    assert waiting == 0
    assert {f"p-{number}" for number in answered} <= set(journalled)
    assert len(people) >= 3


@pytest.mark.slow
def test_a_server_killed_from_outside_at_any_moment_loses_no_act(tmp_path: Path) -> None:
    answered: list[int] = []
    for lines in (1, 5, 9, 2):
        with subprocess.Popen([sys.executable, __file__, str(tmp_path), "never", "1"], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            answered += [int(server.stdout.readline()) for _ in range(lines)]
            server.kill()
            answered += [int(line) for line in server.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    people, journalled, waiting = books(tmp_path)
    assert journalled == people == [f"p-{number}" for number in range(len(people))]
    assert waiting == 0
    assert {f"p-{number}" for number in answered} <= set(journalled)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
