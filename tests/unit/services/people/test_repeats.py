"""One effect for requests that are one: at the same time, after a failure, and after a death at either side of the commit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kedge.domain.errors import NotFound
from kedge.domain.people import Act, Source
from kedge.services.people.repeats import KeyReused, Made, Repeats, StillRunning, Wanted
from kedge.storage.people_rows import IdempotencyRow, Person
from kedge.storage.people_store import PeopleStore

WANTED = Wanted(actor_id="p-ada", key="k", route="POST /people", fingerprint="0" * 64)
WAIT_S = 20.0


def bob(tx_of: PeopleStore) -> Made:
    with tx_of.writing() as tx:
        tx.add(Person(person_id="p-bob", name="bob", display_name="Bob", roles=(), state="invited", version=1, made_wall_ns=1))
    return Made({"person_id": "p-bob"}, headers={"Location": "/people/p-bob"})


def repeats(store: PeopleStore, now_ns: int = 1) -> Repeats:
    return Repeats(store, flush=lambda: None, wall_ns=lambda: now_ns)


def test_the_first_makes_it_and_the_others_are_given_its_answer(tmp_path: Path) -> None:
    with PeopleStore(tmp_path / "p" / "people.sqlite") as store:
        keys = repeats(store)
        made = keys.once(WANTED, lambda: bob(store))
        again = keys.once(WANTED, lambda: bob(store))
        assert (made.replayed, again.replayed) == (False, True)
        assert (again.status, again.headers, again.body) == (201, {"Location": "/people/p-bob"}, b'{"person_id":"p-bob"}')
        with pytest.raises(KeyReused):
            keys.once(Wanted(actor_id="p-ada", key="k", route="POST /people", fingerprint="1" * 64), lambda: bob(store))


def test_while_one_is_under_way_another_is_refused(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    with PeopleStore(tmp_path / "p" / "people.sqlite") as store:
        keys = repeats(store)

        def slow() -> Made:
            inside.set()
            assert go_on.wait(WAIT_S)
            return bob(store)

        thread = threading.Thread(target=lambda: keys.once(WANTED, slow))
        thread.start()
        assert inside.wait(WAIT_S)
        with pytest.raises(StillRunning):
            keys.once(WANTED, lambda: bob(store))
        go_on.set()
        thread.join(WAIT_S)
        assert keys.once(WANTED, lambda: bob(store)).replayed


def test_what_failed_leaves_its_act_and_no_key(tmp_path: Path) -> None:
    act = Act(
        act_id="a", wall_ns=1, person_id="p-ada", name="ada", roles=(), source=Source.BROWSER, action="read", subject="", outcome="refused"
    )  # fmt: skip

    def fails(store: PeopleStore) -> Made:
        with store.writing() as tx:
            tx.act(act)
        with store.writing():
            bob(store)
            raise NotFound("somebody else")

    with PeopleStore(tmp_path / "p" / "people.sqlite") as store:
        with pytest.raises(NotFound):
            repeats(store).once(WANTED, lambda: fails(store))
        with store.reading() as tx:
            assert [due.act for due in tx.acts_due()] == [act]
            assert (tx.count(Person), tx.count(IdempotencyRow)) == (0, 0)
        assert not repeats(store).once(WANTED, lambda: bob(store)).replayed


def test_a_defect_undoes_everything(tmp_path: Path) -> None:
    def breaks(store: PeopleStore) -> Made:
        bob(store)
        raise ZeroDivisionError

    with PeopleStore(tmp_path / "p" / "people.sqlite") as store:
        with pytest.raises(ZeroDivisionError):
            repeats(store).once(WANTED, lambda: breaks(store))
        with store.reading() as tx:
            assert (tx.count(Person), tx.count(IdempotencyRow)) == (0, 0)
        assert not repeats(store).once(WANTED, lambda: bob(store)).replayed


def test_an_answer_that_is_a_secret_is_not_kept_and_a_day_later_the_key_is_free(tmp_path: Path) -> None:
    secret = Wanted(actor_id="p-ada", key="k", route="POST /tokens", fingerprint="0" * 64, keeps_answer=False)
    with PeopleStore(tmp_path / "p" / "people.sqlite") as store:
        repeats(store).once(secret, lambda: Made({"token": "canary"}))
        again = repeats(store).once(secret, lambda: Made({"token": "other"}))
        assert (again.replayed, again.has_answer, again.body) == (True, False, b"")
        assert not repeats(store, 25 * 3600 * 10**9).once(secret, lambda: Made({})).replayed


DIES = """
import os, signal, sys
from pathlib import Path
from kedge.services.people.repeats import Repeats
from kedge.storage.people_store import PeopleStore
from tests.unit.services.people.test_repeats import WANTED, bob

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def made_and_died():
    bob(store)
    die()

store = PeopleStore(Path(sys.argv[1]))
early = sys.argv[2] == "before"
Repeats(store, flush=die, wall_ns=lambda: 1).once(WANTED, made_and_died if early else lambda: bob(store))
"""


@pytest.mark.parametrize(("when", "is_done"), [("before", False), ("after", True)])
def test_a_death_on_either_side_of_the_commit_leaves_one_effect(tmp_path: Path, when: str, is_done: bool) -> None:
    path = tmp_path / "p" / "people.sqlite"
    root = Path(__file__).parents[4]
    environ = {"PYTHONPATH": f"{root / 'src'}:{root}", "PATH": ""}
    ended = subprocess.run([sys.executable, "-c", DIES, str(path), when], cwd=root, env=environ, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with PeopleStore(path) as store:
        answer = repeats(store).once(WANTED, lambda: bob(store))
        assert (answer.replayed, answer.body) == (is_done, b'{"person_id":"p-bob"}')
        with store.reading() as tx:
            assert (tx.count(Person), tx.count(IdempotencyRow)) == (1, 1)
